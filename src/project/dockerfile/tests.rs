//! The parser against what engines do, and against another parser.

use std::collections::BTreeMap;

use super::{Dockerfile, DockerfileError, syntax};

fn parse(text: &str) -> Dockerfile {
    Dockerfile::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn build_args(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

const PROJECT: &str = r#"# syntax=docker/dockerfile:1
ARG NODE=20 SUFFIX
ARG BASE="node:${NODE}${SUFFIX:+-$SUFFIX}"
FROM --platform=$BUILDPLATFORM ${BASE} AS Build
ARG GIT_COMMIT_HASH
WORKDIR /
WORKDIR /src
ENV A=1
COPY package.json \
     package-lock.json ./
RUN --mount=type=cache,target=/c --mount=type=bind,from=tools:1,target=/t \
    npm ci
COPY --from=docker.io/library/busybox:1 /bin/busybox /bin/
FROM scratch
COPY --from=build /src /
COPY --from=0 /src /
ADD https://example.com/x /
FROM build
RUN <<EOF
make
EOF
"#;

#[test]
fn knows_stages_and_arguments() {
    let dockerfile = parse(PROJECT);
    assert_eq!(dockerfile.syntax(), Some("docker/dockerfile:1"));
    assert_eq!(syntax(PROJECT), Some("docker/dockerfile:1"));
    let names: Vec<_> = dockerfile.stages().iter().map(|stage| (stage.name(), stage.base())).collect();
    assert_eq!(names, [(Some("build"), "${BASE}"), (None, "scratch"), (None, "build")]);
    let globals: Vec<_> =
        dockerfile.global_args().iter().map(|arg| (arg.name.as_str(), arg.default.as_deref(), arg.line)).collect();
    assert_eq!(
        globals,
        [("NODE", Some("20"), 2), ("SUFFIX", None, 2), ("BASE", Some("\"node:${NODE}${SUFFIX:+-$SUFFIX}\""), 3)]
    );
    assert!(dockerfile.declares_arg("GIT_COMMIT_HASH"));
    assert!(dockerfile.declares_arg("NODE"));
    assert!(!dockerfile.declares_arg("A"));
    assert_eq!(dockerfile.find_stage("BUILD").and_then(|stage| stage.name()), Some("build"));
    assert_eq!(dockerfile.find_stage("1").map(super::Stage::base), Some("scratch"));
    assert!(dockerfile.find_stage("3").is_none());
    assert!(dockerfile.find_stage("other").is_none());
}

#[test]
fn names_the_images_that_it_needs() {
    let dockerfile = parse(PROJECT);
    for (args, base) in [
        (&[][..], "node:20"),
        (&[("NODE", "22")], "node:22"),
        (&[("SUFFIX", "slim")], "node:20-slim"),
        (&[("BASE", "mirror/node:1")], "mirror/node:1"),
        (&[("UNDECLARED", "x")], "node:20"),
    ] {
        let args = build_args(args);
        assert_eq!(dockerfile.image_references(None, &args), [base, "tools:1", "docker.io/library/busybox:1"]);
        assert_eq!(dockerfile.base_of(&dockerfile.stages()[0], &args).as_deref(), Some(base));
    }
}

#[test]
fn a_base_is_an_image_unless_a_stage_above_has_its_name() {
    let dockerfile = parse("FROM alpine AS alpine\nFROM Alpine AS x\nFROM later\nFROM b AS later\nFROM ${X:?}");
    let images = |target: Option<&str>| dockerfile.image_references(target, &BTreeMap::new());
    assert_eq!(images(Some("x")), ["alpine"]);
    assert_eq!(images(Some("2")), ["later"]);
    assert_eq!(images(Some("later")), ["b"]);
    assert_eq!(images(None), Vec::<String>::new());
    // What BuildKit makes of an unknown target is for BuildKit to say.
    assert_eq!(images(Some("nobody")), ["alpine", "later", "b"]);
    let platform = parse("FROM base-$TARGETARCH");
    assert_eq!(platform.image_references(None, &build_args(&[("TARGETARCH", "arm64")])), ["base-arm64"]);
}

#[test]
fn stages_that_a_target_does_not_need_name_nothing() {
    let dockerfile = parse(
        "FROM a AS one\nFROM b AS two\nFROM c AS three\nCOPY --from=0 /x /\nRUN --mount=from=two,target=/t true\nFROM d AS unused\nFROM three",
    );
    assert_eq!(dockerfile.image_references(None, &BTreeMap::new()), ["a", "b", "c"]);
    assert_eq!(dockerfile.image_references(Some("two"), &BTreeMap::new()), ["b"]);
}

#[test]
fn finds_the_lines_of_a_step() {
    let dockerfile = parse(PROJECT);
    for (stage, position, total, instruction, expected) in [
        (Some("build"), 1, 6, "FROM docker.io/library/node:20", Some((4, 4))),
        // `WORKDIR /` is counted in the total and has no number of its own.
        (Some("build"), 2, 6, "WORKDIR /src", Some((7, 7))),
        (Some("build"), 3, 6, "COPY package.json package-lock.json ./", Some((9, 10))),
        (Some("build"), 4, 6, "RUN npm ci", Some((11, 12))),
        (Some("build"), 5, 6, "COPY --from=docker.io/library/busybox:1 /bin/busybox /bin/", Some((13, 13))),
        (Some("stage-1"), 1, 3, "COPY --from=build /src /", Some((15, 15))),
        (Some("stage-1"), 2, 3, "COPY --from=0 /src /", Some((16, 16))),
        (Some("stage-1"), 3, 3, "ADD https://example.com/x /", Some((17, 17))),
        (Some("stage-2"), 1, 1, "RUN <<EOF (make)", Some((19, 21))),
        // The base brought a trigger of its own.
        (Some("build"), 2, 7, "ONBUILD COPY . /app", Some((4, 4))),
        (Some("build"), 5, 7, "RUN npm ci", Some((11, 12))),
        (Some("nowhere"), 1, 1, "RUN x", None),
        (Some("build"), 0, 6, "RUN npm ci", None),
        (Some("stage-1"), 1, 3, "RUN x", None),
        (Some("stage-0"), 1, 3, "RUN x", None),
    ] {
        let lines = dockerfile.locate_step(stage, position, total, instruction);
        assert_eq!(lines, expected, "{stage:?} {position}/{total} {instruction}");
    }
    for (stage, position, expected) in [
        (Some("build"), 1, Some((4, 4))),
        (Some("build"), 2, Some((7, 7))),
        (Some("build"), 5, Some((13, 13))),
        (Some("build"), 6, None),
        (Some("stage-1"), 1, Some((15, 15))),
        (Some("stage-2"), 1, Some((19, 21))),
        (Some("stage-0"), 1, None),
        (Some("build"), 0, None),
    ] {
        assert_eq!(dockerfile.locate(stage, position), expected, "{stage:?} {position}");
    }
    let single = parse("FROM a\nRUN x\nRUN y");
    assert_eq!(single.locate(None, 3), Some((3, 3)));
    assert_eq!(single.locate_step(None, 3, 3, "RUN y"), Some((3, 3)));
}

#[test]
fn refuses_what_is_no_dockerfile() {
    for (text, expected, line) in [
        ("", DockerfileError::NoStage, None),
        ("# nothing\nARG A\n", DockerfileError::NoStage, None),
        ("RUN x\nFROM a", DockerfileError::NoStageYet { keyword: "RUN".to_owned(), line: 1 }, Some(1)),
        ("FROM a\nFROM", DockerfileError::InvalidFrom { line: 2 }, Some(2)),
        ("FROM a b", DockerfileError::InvalidFrom { line: 1 }, Some(1)),
        ("FROM a ALS b", DockerfileError::InvalidFrom { line: 1 }, Some(1)),
    ] {
        let error = Dockerfile::parse(text).unwrap_err();
        assert_eq!((&error, error.line()), (&expected, line), "{text:?}");
        assert!(!error.help().is_empty());
    }
    assert_eq!(
        Dockerfile::parse("RUN x").unwrap_err().to_string(),
        "line 1: no build stage in current context: RUN comes before the first FROM"
    );
}

/// Files that the other parser reads too (it knows heredocs only directly after the keyword).
const CORPUS: &[&str] = &[
    "FROM a",
    "from a as b\nrun x\ncmd [\"y\"]",
    "\u{FEFF}FROM a\r\nRUN x \\\r\n  && y\r\n",
    "# syntax=docker/dockerfile:1\n# escape=`\nFROM a\nRUN x `\n y\nCOPY c:\\a d\\",
    "ARG A=1\nARG B\nFROM a:$A AS x\nFROM b:${B:-2}\nCOPY --from=x /a /b\n",
    "FROM a\n\n# c\nRUN x \\\n  # c\n  y \\\n\n  z\nENV A=1 \\\n B=2\nLABEL a=b\nEXPOSE 80 443/udp\n",
    "FROM --platform=linux/amd64 a\nRUN --mount=type=cache,target=/x --network=none make\n",
    "FROM a\nONBUILD RUN x\nONBUILD COPY a b\nHEALTHCHECK --interval=5s CMD x\nHEALTHCHECK NONE\n",
    "FROM a\nRUN <<EOF\nFROM b\nEOF\nCOPY <<A <<B /x/\n1\nA\n2\nB\nUSER x:y\nVOLUME /a /b\nSTOPSIGNAL 9\nSHELL [\"/bin/sh\"]\n",
    "FROM a\nWORKDIR /x y\nENTRYPOINT [\"a\", \"b\"]\nADD --chown=1:2 a b\nMAINTAINER me <m@e>\n",
];

#[test]
fn agrees_with_another_parser() {
    for text in CORPUS {
        let theirs = parse_dockerfile::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        let mut expected = Vec::new();
        let mut globals = Vec::new();
        for instruction in &theirs.instructions {
            match instruction {
                parse_dockerfile::Instruction::From(from) => expected.push((
                    from.image.value.to_string(),
                    from.as_.as_ref().map(|(_, name)| name.value.to_lowercase()),
                    0,
                )),
                parse_dockerfile::Instruction::Arg(arg) if expected.is_empty() => {
                    globals.push(arg.arguments.value.to_string());
                }
                _ => expected.last_mut().unwrap().2 += 1,
            }
        }
        let ours = parse(text);
        let found: Vec<_> = ours
            .stages()
            .iter()
            .map(|stage| (stage.base().to_owned(), stage.name().map(str::to_owned), stage.instructions().len()))
            .collect();
        assert_eq!(found, expected, "{text:?}");
        let found: Vec<_> = ours
            .global_args()
            .iter()
            .map(|arg| arg.default.as_ref().map_or(arg.name.clone(), |value| format!("{}={value}", arg.name)))
            .collect();
        assert_eq!(found, globals, "{text:?}");
        assert_eq!(
            ours.syntax(),
            theirs.parser_directives.syntax.as_ref().map(|syntax| syntax.value.value),
            "{text:?}"
        );
    }
}

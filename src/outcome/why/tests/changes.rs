//! What changed in a step, and what only looks like it.

use super::{Side, scene, side};

/// What it is, two builds, the steps of the second that ran, and what is said of them.
type Case<'a> = (&'a str, &'a Side, &'a Side, &'a [&'a str], &'a [&'a str]);

fn check(cases: &[Case<'_>]) {
    for (what, before, now, ran, expected) in cases {
        assert_eq!(scene(before, now, ran).reasons(), *expected, "{what}");
    }
}

const APP: &str = "FROM busybox\nCOPY deps /deps\nRUN install\nCOPY src /src\nRUN make\n";
const FILES: [&str; 3] = ["deps=1", "src/a", "other"];

#[test]
fn files() {
    let before = &side(APP, &FILES);
    let changed = |file: &str| before.clone().file(file, "new", 0o644);
    let many = (0..8).fold(before.clone(), |side, number| side.file(&format!("src/n{number}"), "", 0o644));
    let top = &["COPY deps", "RUN install", "COPY src", "RUN make"][..];
    let (copy, below) = (&["COPY src", "RUN make"][..], "earlier [4/5] COPY src /src");
    let deps = "earlier [2/5] COPY deps /deps";
    check(&[
        ("content", before, &changed("src/a"), copy, &["files src/a", below]),
        ("a new one", before, &changed("src/b"), copy, &["files src/b", below]),
        ("more than five", before, &many, copy, &["files src/n0 src/n1 src/n2 src/n3 src/n4 +3", below]),
        ("gone", &changed("src/b"), before, copy, &["files  -1", below]),
        ("renamed", &changed("src/b"), &changed("src/c").without("src/b"), copy, &["files src/c -1", below]),
        ("mode", before, &before.clone().file("src/a", "content", 0o755), copy, &["mode src/a", below]),
        ("both", before, &before.clone().file("src/a", "new", 0o755), copy, &["files src/a", below]),
        // Its own change, and one above it.
        ("two", before, &changed("src/a").file("deps", "2", 0o644), top, &["files deps", deps, "files src/a", deps]),
        // The file that changed is another step's, or nobody's.
        ("another's", before, &changed("deps"), top, &["files deps", deps, deps, deps]),
        ("nobody's", before, &changed("other"), copy, &["unknown", below]),
        ("nothing", before, before, copy, &["unknown", below]),
    ]);
}

#[test]
fn sources_of_every_kind() {
    let of = |instruction: &str, files: &[&str]| side(&format!("FROM busybox\n{instruction}\n"), files);
    let changed = |instruction: &str| {
        (of(instruction, &["a.py=1", "b.txt=1", "d/c.py=1"]), of(instruction, &["a.py=2", "b.txt=1", "d/c.py=1"]))
    };
    for (instruction, expected) in [
        ("COPY . /x", "files a.py"),
        ("ADD . /x", "files a.py"),
        ("COPY *.py /x", "files a.py"),
        ("COPY [\"a.py\", \"/x\"]", "files a.py"),
        ("COPY --chown=1:1 ./a.py b.txt /x", "files a.py"),
        ("RUN --mount=type=bind,target=/src make", "files a.py"),
        ("RUN --mount=target=/src,source=a.py make", "files a.py"),
        // None of these takes that file.
        ("COPY d /x", "unknown"),
        ("COPY *.txt /x", "unknown"),
        ("RUN --mount=type=cache,target=/c make", "unknown"),
        ("RUN --mount=type=bind,source=d,target=/src make", "unknown"),
        // Perhaps, and perhaps something else.
        ("ADD https://example.com/x /x", "unknown"),
        ("COPY $FILE /x", "unknown"),
        ("COPY --exclude=*.py . /x", "unknown"),
        ("COPY <<EOF /x\ntext\nEOF", "unknown"),
    ] {
        let (before, now) = changed(instruction);
        assert_eq!(scene(&before, &now, &["COPY", "ADD", "RUN"]).reasons(), [expected], "{instruction}");
    }
}

#[test]
fn a_link_may_lead_to_the_file_that_changed() {
    let of =
        |content: &str| side("FROM busybox\nCOPY link/x /x\nCOPY . /all\n", &["link=-> d"]).file("d/x", content, 0o644);
    let mut scene = scene(&of("1"), &of("2"), &["COPY link"]);
    scene.present.clear();
    assert_eq!(scene.reasons(), ["unknown"]);
}

#[test]
fn named_contexts_are_contexts() {
    let of = |content: &str| {
        let text = "FROM busybox\nCOPY --from=assets x /x\nCOPY --from=assets y /y\n";
        side(text, &["assets/y"]).file("assets/x", content, 0o644)
    };
    let scene = scene(&of("1"), &of("2"), &["COPY"]);
    assert_eq!(scene.reasons(), ["files x", "earlier [2/3] COPY --from=assets x /x"]);
}

#[test]
fn instructions() {
    let of = |text: &str| side(&format!("FROM busybox\n{text}"), &["a", "b"]);
    let (a, b, run) = ("COPY a /\n", "COPY b /\n", "RUN make\n");
    let with = |parts: &[&str]| of(&parts.concat());
    let before = &with(&[a, b, run]);
    let heredoc = |line: &str| of(&format!("RUN <<EOF\n{line}\nEOF\n"));
    let (all, own) = (&["COPY", "RUN"][..], "instruction");
    check(&[
        ("another", before, &with(&[a, b, "RUN other\n"]), &["RUN"], &[own]),
        (
            "inserted",
            before,
            &with(&[a, "COPY a /c\n", b, run]),
            &["COPY a /c", "COPY b", "RUN"],
            &[own, "earlier [3/5] COPY a /c", "earlier [3/5] COPY a /c"],
        ),
        ("two", before, &with(&[a, "COPY b /c\n", "RUN other\n"]), &["COPY b", "RUN"], &[own, own]),
        ("removed", before, &with(&[b, run]), all, &[own, "earlier [2/3] COPY b /"]),
        ("moved", before, &with(&[b, a, run]), all, &[own, "earlier [2/4] COPY b /", "earlier [2/4] COPY b /"]),
        ("a heredoc's line", &heredoc("a"), &heredoc("b"), all, &[own]),
        ("a comment", before, &with(&[a, "# new\n", b, run]), &["RUN"], &["unknown"]),
        ("a label", before, &with(&[a, "LABEL x=y\n", b, run]), &["RUN"], &["unknown"]),
        ("a command", before, &with(&[a, b, run, "CMD x\n"]), &["RUN"], &["unknown"]),
        // What was removed may have been a setting.
        ("a setting less", &with(&[a, "ENV X=1\n", run]), &with(&[a, run]), &["RUN"], &["unknown"]),
    ]);
}

#[test]
fn settings() {
    let of = |setting: &str| side(&format!("FROM busybox\n{setting}\nCOPY a /$X\nRUN make\nRUN [\"x\"]\n"), &["a"]);
    let plain = |setting: &str| side(&format!("FROM busybox\n{setting}\nCOPY a /\nRUN make\nRUN [\"x\"]\n"), &["a"]);
    let run = &["RUN"][..];
    let below = "earlier [3/4] RUN make";
    check(&[
        ("env", &plain("ENV X=1"), &plain("ENV X=2"), run, &["setting ENV", "setting ENV"]),
        ("env that a copy names", &of("ENV X=1"), &of("ENV X=2"), &["COPY"], &["setting ENV"]),
        ("env that it does not", &plain("ENV X=1"), &plain("ENV X=2"), &["COPY"], &["unknown"]),
        ("user", &plain("USER a"), &plain("USER b"), run, &["setting USER", "setting USER"]),
        ("shell", &plain("SHELL [\"a\"]"), &plain("SHELL [\"b\"]"), run, &["setting SHELL", below]),
        ("new", &plain("LABEL x=y"), &plain("LABEL x=y\nENV X=2"), run, &["setting ENV", "setting ENV"]),
        ("expose", &plain("EXPOSE 1"), &plain("EXPOSE 2"), run, &["unknown", below]),
    ]);
}

#[test]
fn arguments() {
    let of = |instructions: &str| side(&format!("FROM busybox\n{instructions}\n"), &["a", "b"]);
    let run = &["RUN"][..];
    let declared = &of("ARG A=0\nARG B\nRUN x");
    let with = |side: &Side, value: &str| side.clone().arg("A", value);
    let late = &of("RUN x\nARG A");
    let copy = &of("ARG A\nCOPY a /$A");
    let plain = &of("ARG A\nCOPY a /");
    let through = &of("ARG A\nENV C=${A}-x D=1\nCOPY a /$C\nCOPY b /$D");
    let quoted = &of("ARG A\nENV C=\"${A} x\" D=1\nCOPY a /$C");
    let shadowed = &of("ARG A\nENV A=1\nRUN x");
    let below = &of("RUN x\nARG A\nRUN y");
    check(&[
        ("another value", &with(declared, "1"), &with(declared, "2"), run, &["argument A"]),
        ("given now", declared, &with(declared, "2"), run, &["argument A"]),
        ("the same", &with(declared, "1"), &with(declared, "1"), run, &["unknown"]),
        ("not declared", &with(&of("RUN x"), "1"), &with(&of("RUN x"), "2"), run, &["unknown"]),
        ("declared below", &with(late, "1"), &with(late, "2"), run, &["unknown"]),
        ("not given any more", &with(declared, "1"), declared, run, &["unknown"]),
        ("another default", &of("ARG A=1\nRUN x"), &of("ARG A=2\nRUN x"), run, &["argument A"]),
        (
            "a default that is not used",
            &with(&of("ARG A=1\nRUN x"), "1"),
            &with(&of("ARG A=2\nRUN x"), "1"),
            run,
            &["unknown"],
        ),
        ("new", &of("RUN x"), &with(&of("ARG A\nRUN x"), "1"), run, &["argument A"]),
        ("in a copy", &with(copy, "1"), &with(copy, "2"), &["COPY"], &["argument A"]),
        ("beside a copy", &with(plain, "1"), &with(plain, "2"), &["COPY"], &["unknown"]),
        ("through another", &with(through, "1"), &with(through, "2"), &["COPY a"], &["argument A"]),
        ("not through it", &with(through, "1"), &with(through, "2"), &["COPY b"], &["unknown"]),
        ("perhaps through it", &with(quoted, "1"), &with(quoted, "2"), &["COPY a"], &["unknown"]),
        ("hidden by another", &with(shadowed, "1"), &with(shadowed, "2"), run, &["unknown"]),
        ("above one of two", &with(below, "1"), &with(below, "2"), &["RUN y"], &["argument A"]),
    ]);
}

#[test]
fn the_argument_that_a_step_names_is_the_one_that_is_told() {
    let of =
        |value: &str| side("FROM busybox\nARG A\nARG B\nRUN echo $B\nRUN x\n", &[]).arg("A", value).arg("B", value);
    assert_eq!(scene(&of("1"), &of("2"), &["RUN"]).reasons(), ["argument B", "argument A"]);
}

#[test]
fn arguments_above_the_first_stage() {
    let of = |instructions: &str, value: &str| {
        let side = side(&format!("ARG A={value}\nARG TAG=x$A\nFROM image:$TAG\n{instructions}\n"), &[]);
        side.base("image:$TAG", value)
    };
    let run = &["RUN"][..];
    let known = |text, value| of(text, value).base("image:$TAG", "same");
    check(&[
        ("in the base", &of("RUN x", "1"), &of("RUN x", "2"), run, &["argument A"]),
        ("two names of one image", &known("RUN x", "1"), &known("RUN x", "2"), run, &["unknown"]),
        ("declared again", &known("ARG A\nRUN x", "1"), &known("ARG A\nRUN x", "2"), run, &["argument A"]),
        ("with a default", &known("ARG A=3\nRUN x", "1"), &known("ARG A=3\nRUN x", "2"), run, &["unknown"]),
    ]);
}

#[test]
fn bases() {
    let text = "FROM busybox\nRUN x\nRUN y\n";
    let before = &side(text, &[]);
    let now = &before.clone().base("busybox", "2");
    let all = &["RUN"][..];
    let first = "earlier [2/3] RUN x";
    let tool = |id: &str| side("FROM busybox\nCOPY --from=tool /x /x\n", &[]).base("tool", id);
    let stage = |name: &str| side(&format!("FROM busybox AS {name}\nRUN x\nFROM {name}\nRUN y\n"), &[]);
    check(&[
        ("another image", before, now, all, &["base busybox 1 2", first]),
        ("another name", before, &side("FROM busybox:2\nRUN x\nRUN y\n", &[]), all, &["setting FROM", first]),
        // A step on the new base that the builder had already says nothing of those below it.
        ("known to the builder", before, now, &["RUN y"], &["unknown"]),
        (
            "told by the builder",
            &before.clone().pinned("busybox", "a"),
            &now.clone().pinned("busybox", "a"),
            all,
            &["unknown", first],
        ),
        ("copied from", &tool("1"), &tool("2"), &["COPY"], &["base tool 1 2"]),
        ("a stage of another name", &stage("a"), &stage("b"), &["RUN y"], &["unknown"]),
    ]);
}

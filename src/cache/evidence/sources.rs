//! What a Dockerfile takes from the main context.

use crate::patterns::slash_path::clean;
use crate::project::dockerfile::{Dockerfile, Instruction, Stage};

/// The paths that `COPY`, `ADD` and bind mounts name, wildcards left in, relative and clean; `None` means everything.
///
/// They are those that BuildKit asks for (`ctxPaths` in dockerfile2llb/convert.go), of all stages. Everything, where
/// one of them depends on a variable, is quoted, or comes from an `ONBUILD`; and for another frontend than Docker's.
/// An `ONBUILD` of a base image is not seen.
pub(super) fn sources(dockerfile: &Dockerfile) -> Option<Vec<String>> {
    let frontend = dockerfile.syntax().unwrap_or("docker/dockerfile");
    let frontend = frontend.strip_prefix("docker.io/").unwrap_or(frontend);
    if !frontend.starts_with("docker/dockerfile") {
        return None;
    }
    let mut paths = Vec::new();
    for instruction in dockerfile.stages().iter().flat_map(Stage::instructions) {
        match instruction.keyword.as_str() {
            "COPY" if has_flag(instruction, "--from=") => {}
            "COPY" | "ADD" => paths.extend(copied(&instruction.arguments)?),
            "RUN" => paths.extend(mounted(instruction)?),
            "ONBUILD" => return None,
            _ => {}
        }
    }
    let mut paths: Vec<String> = paths.iter().map(|path| clean(&format!("/{path}"))).collect();
    paths.sort_unstable();
    paths.dedup();
    // The context itself is `/` now.
    paths.iter().map(|path| path.strip_prefix('/').filter(|path| !path.is_empty()).map(str::to_owned)).collect()
}

fn has_flag(instruction: &Instruction, prefix: &str) -> bool {
    instruction.flags.iter().any(|flag| flag.starts_with(prefix))
}

/// All words but the last, heredocs and URLs left out.
fn copied(arguments: &str) -> Option<Vec<String>> {
    let mut words: Vec<String> = match serde_json::from_str(arguments) {
        Ok(words) => words,
        Err(_) if arguments.contains(['\'', '"', '\\', '`', '[']) => return None,
        Err(_) => arguments.split_whitespace().map(str::to_owned).collect(),
    };
    words.pop();
    if words.iter().any(|word| word.contains(['$', '\\'])) {
        return None;
    }
    let is_file = |word: &String| !["<<", "http://", "https://"].iter().any(|prefix| word.starts_with(prefix));
    Some(words.into_iter().filter(is_file).collect())
}

/// The sources of bind mounts from the context.
fn mounted(instruction: &Instruction) -> Option<Vec<String>> {
    let mut paths = Vec::new();
    for mount in instruction.flags.iter().filter_map(|flag| flag.strip_prefix("--mount=")) {
        if mount.contains(['$', '"']) {
            return None;
        }
        let value = |names: &[&str]| {
            let mut fields = mount.split(',').filter_map(|field| field.split_once('='));
            fields.rfind(|(name, _)| names.contains(&name.to_ascii_lowercase().as_str()))
        };
        let is_bind = value(&["type"]).is_none_or(|(_, kind)| kind.eq_ignore_ascii_case("bind"));
        if is_bind && value(&["from"]).is_none() {
            paths.push(value(&["source", "src"]).map_or("/", |(_, path)| path).to_owned());
        }
    }
    Some(paths)
}

#[cfg(test)]
mod tests {
    use super::sources;
    use crate::project::dockerfile::Dockerfile;

    #[test]
    fn knows_what_is_taken() {
        for (instructions, expected) in [
            ("RUN x", Some(&[][..])),
            ("COPY package.json ./yarn.lock /app/", Some(&["package.json", "yarn.lock"])),
            ("COPY --chown=1:1 [\"a b\", \"c/../d/\", \"/x\"]", Some(&["a b", "d"])),
            ("COPY a /\nCOPY . /app", None),
            ("COPY ./ /app", None),
            ("COPY ../.. /app", None),
            ("COPY *.py src/[a-z] /app", None),
            ("COPY *.py /app", Some(&["*.py"])),
            ("COPY --from=build . /app", Some(&[])),
            ("ADD https://example.com/x.tar a.tar /", Some(&["a.tar"])),
            ("COPY <<EOF a /x\n.\nEOF\n", Some(&["a"])),
            ("COPY $DIR /app", None),
            ("COPY 'a b' /app", None),
            ("COPY a $DIR", Some(&["a"])),
            ("RUN --mount=type=cache,target=/c --mount=type=secret,id=x y", Some(&[])),
            ("RUN --mount=target=/src y", None),
            ("RUN --mount=type=bind,source=lib,target=/src y", Some(&["lib"])),
            ("RUN --mount=type=bind,from=build,target=/src y", Some(&[])),
            ("RUN --mount=source=$X,target=/src y", None),
            ("ONBUILD COPY . /", None),
        ] {
            let dockerfile = Dockerfile::parse(&format!("FROM a\n{instructions}\n")).unwrap();
            let expected: Option<Vec<String>> = expected.map(|paths| paths.iter().map(ToString::to_string).collect());
            assert_eq!(sources(&dockerfile), expected, "{instructions}");
        }
        for (syntax, known) in [("docker/dockerfile:1", true), ("docker.io/docker/dockerfile", true), ("x/y", false)] {
            let dockerfile = Dockerfile::parse(&format!("# syntax={syntax}\nFROM a\nCOPY a b\n")).unwrap();
            assert_eq!(sources(&dockerfile).is_some(), known, "{syntax}");
        }
    }
}

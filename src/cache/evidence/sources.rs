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
        if instruction.keyword == "ONBUILD" {
            return None;
        }
        for taken in taken(instruction).into_iter().filter(|taken| taken.from.is_none()) {
            paths.extend(taken.paths?);
        }
    }
    paths.sort_unstable();
    paths.dedup();
    // All of it is not a path of its own.
    (!paths.iter().any(String::is_empty)).then_some(paths)
}

/// What an instruction takes from one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The stage, image or named context; the main context if absent.
    pub from: Option<String>,
    /// The paths there, wildcards left in, relative and clean, empty for all of it; `None` where that is not plain to see.
    pub paths: Option<Vec<String>>,
    /// Whether something comes from an address besides.
    pub remote: bool,
}

/// What `COPY`, `ADD` and the mounts of `RUN` take, and where from.
pub fn taken(instruction: &Instruction) -> Vec<Taken> {
    match instruction.keyword.as_str() {
        "COPY" | "ADD" => {
            let from = instruction.flags.iter().find_map(|flag| flag.strip_prefix("--from="));
            let (paths, remote) = copied(&instruction.arguments);
            vec![Taken { from: from.map(str::to_owned), paths: paths.as_deref().map(relative), remote }]
        }
        "RUN" => {
            let mounts = instruction.flags.iter().filter_map(|flag| flag.strip_prefix("--mount="));
            mounts.filter_map(mounted).collect()
        }
        _ => Vec::new(),
    }
}

fn relative(paths: &[String]) -> Vec<String> {
    paths.iter().map(|path| clean(&format!("/{path}")).trim_start_matches('/').to_owned()).collect()
}

/// All words but the last, heredocs left out; and whether there are addresses.
fn copied(arguments: &str) -> (Option<Vec<String>>, bool) {
    const ADDRESSES: [&str; 5] = ["http://", "https://", "git://", "ssh://", "git@"];
    let is_address = |word: &str| ADDRESSES.iter().any(|scheme| word.starts_with(scheme));
    let plain = !arguments.contains(['\'', '"', '\\', '`', '[']);
    let words: Option<Vec<String>> = match serde_json::from_str::<Vec<String>>(arguments) {
        Ok(words) => Some(words),
        Err(_) => plain.then(|| arguments.split_whitespace().map(str::to_owned).collect()),
    };
    let Some(mut words) = words else { return (None, ADDRESSES.iter().any(|scheme| arguments.contains(scheme))) };
    words.pop();
    let remote = words.iter().any(|word| is_address(word));
    if words.iter().any(|word| word.contains(['$', '\\'])) {
        return (None, remote);
    }
    (Some(words.into_iter().filter(|word| !word.starts_with("<<") && !is_address(word)).collect()), remote)
}

/// What a mount has its files from, if it has any.
fn mounted(mount: &str) -> Option<Taken> {
    let value = |names: &[&str]| {
        let mut fields = mount.split(',').filter_map(|field| field.trim_matches('"').split_once('='));
        fields.rfind(|(name, _)| names.contains(&name.to_ascii_lowercase().as_str())).map(|(_, value)| value)
    };
    let is_bind = value(&["type"]).is_none_or(|kind| kind.eq_ignore_ascii_case("bind"));
    let from = value(&["from"]).filter(|from| !from.contains('$')).map(str::to_owned);
    let hidden = mount.contains(['$', '"']);
    // A mount of another kind has files only where it says from what.
    if !hidden && !is_bind && from.is_none() {
        return None;
    }
    let path = value(&["source", "src"]).unwrap_or("/").to_owned();
    Some(Taken { from, paths: (!hidden).then(|| relative(&[path])), remote: false })
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

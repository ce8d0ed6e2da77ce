//! The digests of base images, as the builder tells them.

use std::collections::BTreeMap;

use crate::project::dockerfile::Dockerfile;

/// The digests that the builder pinned base images to, by their names as the Dockerfile writes them.
///
/// `names` are what the builder calls its operations: `[build 1/5] FROM docker.io/library/node:22@sha256:…`. An image of a
/// graph driver's own has no digest there; what a `COPY --from` names is not among them.
pub fn pinned<'a>(dockerfile: &Dockerfile, names: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, String> {
    let stages = dockerfile.stages();
    let base = |stage: Option<&str>| match stage {
        // Only a Dockerfile with one stage has steps without a stage.
        None => stages.last(),
        Some(stage) => {
            let index = || stage.strip_prefix("stage-")?.parse::<usize>().ok();
            let named = stages.iter().rev().find(|known| known.name() == Some(stage));
            named.or_else(|| stages.get(index()?).filter(|known| known.name().is_none()))
        }
    };
    let pinned = names.into_iter().filter_map(|name| {
        let (bracket, from) = name.strip_prefix('[')?.split_once("] FROM ")?;
        let digest = from.split_whitespace().next()?.rsplit_once('@')?.1;
        let is_digest = digest
            .strip_prefix("sha256:")
            .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        // `linux/arm64 build 1/5`: only a stage's name has no slash.
        let stage = bracket.split_whitespace().find(|word| !word.contains('/'));
        Some((base(stage)?.base().to_owned(), digest.to_owned())).filter(|_| is_digest)
    });
    pinned.collect()
}

#[cfg(test)]
mod tests {
    use super::pinned;
    use crate::project::dockerfile::Dockerfile;

    #[test]
    fn digests_are_found_by_stage() {
        let dockerfile = Dockerfile::parse("FROM a:$TAG AS one\nRUN x\nFROM b\nRUN y\nFROM one\nRUN z\n").unwrap();
        let digest = format!("sha256:{}", "0a".repeat(32));
        let single = Dockerfile::parse("FROM c\nRUN x\n").unwrap();
        for (dockerfile, name, expected) in [
            (&dockerfile, format!("[one 1/2] FROM docker.io/library/a:$TAG@{digest}"), Some("a:$TAG")),
            (&dockerfile, format!("[linux/arm64 one 1/2] FROM docker.io/library/a:1@{digest}"), Some("a:$TAG")),
            (&dockerfile, format!("[stage-1 1/2] FROM docker.io/library/b@{digest}"), Some("b")),
            (&dockerfile, format!("[stage-0 1/2] FROM docker.io/library/a@{digest}"), None),
            (&single, format!("[1/2] FROM docker.io/library/c@{digest}"), Some("c")),
            (&single, "[1/2] FROM docker.io/library/c".to_owned(), None),
            (&single, "[1/2] FROM docker.io/library/c@sha256:$SHA".to_owned(), None),
            (&single, format!("[internal] load metadata for c@{digest}"), None),
        ] {
            let expected = expected.map(|written| (written.to_owned(), digest.clone()));
            assert_eq!(pinned(dockerfile, [name.as_str()]).into_iter().next(), expected, "{name}");
        }
    }
}

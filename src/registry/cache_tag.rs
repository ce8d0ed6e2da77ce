//! What the tags of caches are called, so that no two builds share one that they must not share: above all, no name that a
//! person chooses for a tag or a service leads a deploy to what a pull request wrote.
//!
//! | written by | tag |
//! |---|---|
//! | a push, a dispatch, a schedule | `<tag>-cache`, for a service of a Compose file `<tag>-<service>-cache` |
//! | runs of pull request 7 | the same with `-pr-7` before `-cache` |
//! | other runs whose layers no deploy may take | the same with `-<event>-<hash>-untrusted` before `-cache` |
//! | an engine on its way to one of these | the same with `-layers` before `-cache` |
//!
//! Where the name of the first kind would end as one of the others does, it has an underscore more.

use sha2::{Digest as _, Sha256};

/// How the tags of caches end: a clear finds them by it.
const SUFFIX: &str = "-cache";
const UNTRUSTED: &str = "-untrusted";
const LAYERS: &str = "-layers";
/// Bytes of the hash: 10 hexadecimal digits.
const HASH_BYTES: usize = 5;

/// Who writes a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author<'a> {
    /// A run whose layers a deploy may take.
    Trusted,
    /// A run of the pull request with this number.
    PullRequest(u64),
    /// Any other run.
    Untrusted {
        /// What started it: `pull_request_target`.
        event: &'a str,
        /// What it is about: `pull/7`, `refs/heads/main`.
        about: &'a str,
    },
}

/// The tag of a cache that is kept under `tag`, with or without the end that all of them have.
pub fn cache_tag(tag: &str, service: Option<&str>, author: Author<'_>) -> String {
    let tag = tag.strip_suffix(SUFFIX).unwrap_or(tag);
    let stem = service.map_or_else(|| tag.to_owned(), |service| format!("{tag}-{service}"));
    match author {
        Author::Trusted if is_reserved(&stem) => format!("{stem}_{SUFFIX}"),
        Author::Trusted => format!("{stem}{SUFFIX}"),
        Author::PullRequest(number) => format!("{stem}-pr-{number}{SUFFIX}"),
        Author::Untrusted { event, about } => {
            let hash = Sha256::digest(format!("{stem}\n{event}\n{about}"));
            let hash: String = hash.iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect();
            format!("{stem}-{}-{hash}{UNTRUSTED}{SUFFIX}", allowed(event))
        }
    }
}

/// Whether a tag ends as those of caches do.
pub fn is_cache_tag(tag: &str) -> bool {
    tag.ends_with(SUFFIX)
}

/// The tag under which an engine sends the layers of the cache at `tag`.
pub fn layers_tag(tag: &str) -> String {
    format!("{}{LAYERS}{SUFFIX}", tag.strip_suffix(SUFFIX).unwrap_or(tag))
}

/// The tag of the cache whose layers an engine sends under `tag`, if it is such a tag.
pub fn cache_of_layers(tag: &str) -> Option<String> {
    Some(format!("{}{SUFFIX}", tag.strip_suffix(SUFFIX)?.strip_suffix(LAYERS)?))
}

/// Whether a tag is named, or the cache whose layers an engine sends under it.
pub fn is_named_with_cache(tag: &str, is_named: impl Fn(&str) -> bool) -> bool {
    is_named(tag) || cache_of_layers(tag).is_some_and(|cache| is_named(&cache))
}

/// Whether a tag is that of a cache which no deploy takes, a pull request's or another run's.
pub fn is_untrusted(tag: &str) -> bool {
    tag.strip_suffix(SUFFIX).is_some_and(|stem| !stem.ends_with('_') && is_reserved(stem))
}

/// Whether a name ends as those do which are not of trusted runs, or was made not to.
fn is_reserved(stem: &str) -> bool {
    let stem = stem.trim_end_matches('_');
    let number = stem.rsplit_once("-pr-").map(|(_, number)| number);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    stem.ends_with(UNTRUSTED) || stem.ends_with(LAYERS) || number.is_some_and(is_number)
}

fn allowed(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{Author, cache_of_layers, cache_tag, is_untrusted, layers_tag};

    #[test]
    fn tags() {
        let target = Author::Untrusted { event: "pull_request_target", about: "pull/7" };
        for (tag, service, author, expected) in [
            ("main", None, Author::Trusted, "main-cache"),
            ("main-cache", None, Author::Trusted, "main-cache"),
            ("main", Some("web"), Author::Trusted, "main-web-cache"),
            ("main", None, Author::PullRequest(7), "main-pr-7-cache"),
            ("main-cache", Some("web"), Author::PullRequest(7), "main-web-pr-7-cache"),
            ("main", None, target, "main-pull_request_target-0aed99f997-untrusted-cache"),
            // What would be another's.
            ("main", Some("pr-7"), Author::Trusted, "main-pr-7_-cache"),
            ("main-pr-7-cache", None, Author::Trusted, "main-pr-7_-cache"),
            ("main-pr-7_", None, Author::Trusted, "main-pr-7__-cache"),
            ("main", Some("layers"), Author::Trusted, "main-layers_-cache"),
            ("x-untrusted", None, Author::Trusted, "x-untrusted_-cache"),
            ("main-pr-", None, Author::Trusted, "main-pr--cache"),
            ("main-pr-7x", None, Author::Trusted, "main-pr-7x-cache"),
        ] {
            assert_eq!(cache_tag(tag, service, author), expected);
        }
        assert_eq!(layers_tag("main-pr-7-cache"), "main-pr-7-layers-cache");
        assert_eq!(cache_of_layers("main-pr-7-layers-cache").as_deref(), Some("main-pr-7-cache"));
        assert_eq!(cache_of_layers("main-cache"), None);
        for tag in ["main-pr-7-cache", "main-push-0aed99f997-untrusted-cache"] {
            assert!(is_untrusted(tag), "{tag}");
        }
        for tag in ["main-cache", "main-pr-7_-cache", "main-pr-7", "main-pr-x-cache"] {
            assert!(!is_untrusted(tag), "{tag}");
        }
    }

    /// Names out of the words that have a meaning here.
    fn name() -> impl Strategy<Value = String> {
        const WORDS: &[&str] = &["a", "pr", "7", "12", "layers", "untrusted", "cache", "_", "push"];
        proptest::collection::vec(proptest::sample::select(WORDS), 1..5).prop_map(|words| words.join("-"))
    }

    proptest! {
        #[test]
        fn nobody_has_a_tag_of_somebody_whom_he_must_not_trust(names in proptest::collection::vec((name(), name()), 2..6)) {
            let mut writers: BTreeMap<String, String> = BTreeMap::new();
            let events = ["pull_request_target", "push"];
            for (tag, service) in &names {
                for service in [None, Some(service.as_str())] {
                    let others = events.map(|event| Author::Untrusted { event, about: "pull/7" });
                    let authors = [Author::Trusted, Author::PullRequest(7), Author::PullRequest(12)];
                    for author in authors.into_iter().chain(others) {
                        let written = cache_tag(tag, service, author);
                        let layers = (layers_tag(&written), format!("{author:?} layers"));
                        prop_assert_eq!(cache_of_layers(&layers.0), Some(written.clone()));
                        for (tag, author) in [(written, format!("{author:?}")), layers] {
                            let first = writers.entry(tag).or_insert_with(|| author.clone());
                            prop_assert_eq!(&*first, &author);
                        }
                    }
                }
            }
        }
    }
}

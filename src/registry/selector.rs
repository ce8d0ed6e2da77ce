//! Which tags of which repository: an entry `registry=…` of the input `images`.

use std::fmt;
use std::str::FromStr;

use crate::image::pattern::{Pattern, PatternError};
use crate::image::{ImageReference, ReferenceError};

use super::Repository;
use super::cache_tag::{Author, cache_tag, is_named_with_cache};

/// How `cache-to` ends its tags, and what it calls them.
const SUFFIX: &str = "-cache";
const CACHE_TAGS: &str = "*-cache";

/// Tags of one repository: `ghcr.io/org/app:pr-*-cache`. Without a tag `*-cache` is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrySelector {
    repository: Repository,
    tags: TagPattern,
}

/// A pattern of tags, which reads as one in `images` or `keep` does: it is one, with a name in the repository's place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TagPattern {
    text: String,
    pattern: Pattern,
}

impl TagPattern {
    const REPOSITORY: &str = "repository";

    fn matches(&self, tag: &str) -> bool {
        format!("{}:{tag}", Self::REPOSITORY).parse().is_ok_and(|reference| self.pattern.names(&reference))
    }
}

impl FromStr for TagPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Ok(Self { text: text.to_owned(), pattern: format!("{}:{text}", Self::REPOSITORY).parse()? })
    }
}

/// Why a text does not name tags of a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistrySelectorError {
    /// A registry does not tell what repositories it has.
    #[error("'{0}' has a pattern in the name of the repository")]
    Wildcard(String),
    /// Tags are what is cleared.
    #[error("it has a digest, and a registry's cache is known by its tag")]
    Digest,
    /// Not the name of a repository.
    #[error("'{name}' is not a repository")]
    Repository {
        /// The text before the tag.
        name: String,
        /// Why not.
        #[source]
        source: ReferenceError,
    },
    /// Not a pattern of tags.
    #[error("'{tag}' is not a pattern of tags")]
    Tag {
        /// The text after the colon.
        tag: String,
        /// Why not.
        #[source]
        source: PatternError,
    },
}

impl RegistrySelectorError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Wildcard(_) => "name each repository by an entry of its own, and use patterns for its tags alone",
            Self::Digest => "leave the part from `@` on out, and name the tag",
            Self::Repository { .. } => "write it as `registry=host/repository:tag`, in lower case",
            Self::Tag { .. } => "use letters, digits, `.`, `_`, `-` and the patterns `*`, `?`, `[…]` for a tag",
        }
    }
}

impl RegistrySelector {
    /// Every tag that builds with `cache-to: reference` may have written: `<tag>-cache`, and those of services and of pull
    /// requests, `<tag>-…-cache`. Where one tag begins as another does (`1`, `1-2`) nothing tells a service `2` from the other
    /// tag: then both are meant. None if the reference has no tag.
    pub fn caches_of(reference: &ImageReference) -> Vec<Self> {
        let Some(tag) = reference.tag() else { return Vec::new() };
        let repository = Repository::of(reference);
        let named = |tags: String| format!("{repository}:{tags}").parse().ok();
        let short = tag.strip_suffix(SUFFIX).unwrap_or(tag);
        let mut tags = vec![format!("{short}{SUFFIX}"), format!("{short}-*{SUFFIX}")];
        // A tag that looks like a pull request's has an underscore there.
        let own = cache_tag(tag, None, Author::Trusted);
        if !tags.contains(&own) {
            tags.push(own);
        }
        tags.into_iter().filter_map(named).collect()
    }

    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Whether it names this tag of its repository, or the cache that the tag is there for.
    pub fn names(&self, tag: &str) -> bool {
        is_named_with_cache(tag, |tag| self.tags.matches(tag))
    }
}

impl fmt::Display for RegistrySelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tags.text)
    }
}

impl FromStr for RegistrySelector {
    type Err = RegistrySelectorError;

    fn from_str(text: &str) -> Result<Self, RegistrySelectorError> {
        if text.contains('@') {
            return Err(RegistrySelectorError::Digest);
        }
        let (name, tag) = match text.rsplit_once(':') {
            // A colon before a slash belongs to the host's port.
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (text, CACHE_TAGS),
        };
        // In brackets stands an IPv6 address as well.
        if name.contains(['*', '?']) || name.trim_start_matches('[').contains('[') {
            return Err(RegistrySelectorError::Wildcard(name.to_owned()));
        }
        let reference: ImageReference =
            name.parse().map_err(|source| RegistrySelectorError::Repository { name: name.to_owned(), source })?;
        let tags = tag.parse().map_err(|source| RegistrySelectorError::Tag { tag: tag.to_owned(), source })?;
        Ok(Self { repository: Repository::of(&reference), tags })
    }
}

#[cfg(test)]
mod tests {
    use super::RegistrySelector;
    use crate::error::chain;

    #[test]
    fn names_tags_of_one_repository() {
        for (text, shown, yes, no) in [
            ("ghcr.io/org/app", "ghcr.io/org/app:*-cache", vec!["1-cache", "main-pr-7-cache"], vec!["1", "cache"]),
            ("ghcr.io/org/app:v?", "ghcr.io/org/app:v?", vec!["v1"], vec!["v10", "v", "V1"]),
            ("ghcr.io/org/app:*", "ghcr.io/org/app:*", vec!["v1", "latest"], vec!["no tag"]),
            ("[::1]:5000/app:pr-[0-9]*", "[::1]:5000/app:pr-[0-9]*", vec!["pr-1", "pr-12x"], vec!["pr-x"]),
            ("org/app:x", "docker.io/org/app:x", vec!["x"], vec!["xx", "y"]),
            ("localhost:5000/app", "localhost:5000/app:*-cache", vec!["1-cache"], vec!["1"]),
        ] {
            let selector: RegistrySelector = text.parse().unwrap();
            assert_eq!(selector.to_string(), shown);
            assert_eq!(selector.to_string().parse(), Ok(selector.clone()), "its own text");
            yes.iter().for_each(|tag| assert!(selector.names(tag), "{text} does not name {tag}"));
            no.iter().for_each(|tag| assert!(!selector.names(tag), "{text} names {tag}"));
        }
    }

    #[test]
    fn caches_of_a_reference_begin_with_its_tag() {
        let texts = |reference: &str| {
            let selectors = RegistrySelector::caches_of(&reference.parse().unwrap());
            selectors.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(texts("ghcr.io/org/app"), ["ghcr.io/org/app:latest-cache", "ghcr.io/org/app:latest-*-cache"]);
        assert_eq!(texts("ghcr.io/org/app:v1-cache"), ["ghcr.io/org/app:v1-cache", "ghcr.io/org/app:v1-*-cache"]);
        assert_eq!(
            texts("app:main-pr-7"),
            [
                "docker.io/library/app:main-pr-7-cache",
                "docker.io/library/app:main-pr-7-*-cache",
                "docker.io/library/app:main-pr-7_-cache"
            ]
        );
        assert_eq!(texts(&format!("app@sha256:{}", "a".repeat(64))), [""; 0]);
        let names = |tag: &str| {
            let selectors = RegistrySelector::caches_of(&"ghcr.io/org/app:1".parse().unwrap());
            selectors.iter().any(|selector| selector.names(tag))
        };
        for tag in ["1-cache", "1-web-cache", "1-pr-7-cache", "1-pr-7-web-cache", "1-layers-cache"] {
            assert!(names(tag), "{tag}");
        }
        for tag in ["1", "11-cache", "2-cache", "1-cache-old", "1cache", "x-1-cache"] {
            assert!(!names(tag), "{tag}");
        }
    }

    #[test]
    fn refuses_and_says_why() {
        for (text, error) in [
            ("ghcr.io/org/*:x", "'ghcr.io/org/*' has a pattern in the name of the repository"),
            ("ghcr.io/org/ap[p]", "'ghcr.io/org/ap[p]' has a pattern in the name of the repository"),
            ("ghcr.io/App", "'ghcr.io/App' is not a repository: repository name must be lower case"),
            ("https://ghcr.io/app", "'https://ghcr.io/app' is not a repository: invalid host 'https:'"),
            ("app@sha256:1", "it has a digest, and a registry's cache is known by its tag"),
            ("app:", "'' is not a pattern of tags: the tag is empty"),
            ("app:a b", "'a b' is not a pattern of tags: image names do not have ' '"),
            ("app:[", "'[' is not a pattern of tags: a [ has no ]"),
        ] {
            let refused = text.parse::<RegistrySelector>().unwrap_err();
            assert_eq!(chain(&refused), error);
            assert!(!refused.help().is_empty());
        }
    }
}

//! Which tags of which repository: an entry `registry=…` of the input `images`.

use std::fmt;
use std::str::FromStr;

use crate::image::pattern::{Pattern, PatternError};
use crate::image::{ImageReference, ReferenceError};

use super::Repository;

/// What `cache-to` calls its tags.
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
    /// The tag of the registry cache of an image, if its name has a tag.
    pub fn cache_of(image: &ImageReference) -> Option<Self> {
        format!("{}:{}-cache", Repository::of(image), image.tag()?).parse().ok()
    }

    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Whether it names this tag of its repository.
    pub fn names(&self, tag: &str) -> bool {
        self.tags.matches(tag)
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
    fn the_cache_of_an_image_is_one_tag() {
        let selector = RegistrySelector::cache_of(&"ghcr.io/org/app".parse().unwrap()).unwrap();
        assert_eq!(selector.to_string(), "ghcr.io/org/app:latest-cache");
        assert!(selector.names("latest-cache") && !selector.names("x-cache"));
        let long = format!("app:{}", "x".repeat(125));
        assert_eq!(RegistrySelector::cache_of(&long.parse().unwrap()).map(|it| it.names("x")), Some(false));
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

//! Names of images: references as Docker reads and writes them.

pub mod pattern;

use std::fmt;
use std::str::FromStr;

const DEFAULT_HOST: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";
/// The repository prefix of the images that this program makes for itself (tombstones; ledgers and stage images later).
pub const RESERVED_NAMESPACE: &str = "watchparty-cache";

/// An image reference, normalised as the engine does it: `app` is `docker.io/library/app:latest`.
///
/// The grammar is that of `github.com/distribution/reference`; `Display` gives the familiar (short) form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageReference {
    host: String,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// Why a text is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing there.
    #[error("an image reference cannot be empty")]
    Empty,
    /// `docker build -t App` fails the same way.
    #[error("repository name must be lower case")]
    UpperCase,
    /// A part that the grammar does not allow.
    #[error("invalid {part} '{value}'")]
    Invalid {
        /// `host`, `repository`, `tag` or `digest`.
        part: &'static str,
        /// The text of that part.
        value: String,
    },
}

impl ImageReference {
    /// The registry host, `docker.io` if none was named.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository's path on its host, with `library/` where Docker Hub implies it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag; `latest` is filled in where neither tag nor digest was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if the reference has one.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The repository in its familiar form, without tag or digest: `app`, `ghcr.io/org/app`.
    pub fn repository(&self) -> String {
        match (self.host.as_str(), self.path.strip_prefix("library/")) {
            (DEFAULT_HOST, Some(name)) if !name.contains('/') => name.to_owned(),
            (DEFAULT_HOST, _) => self.path.clone(),
            (host, _) => format!("{host}/{}", self.path),
        }
    }

    /// The full form: `docker.io/library/app:latest`.
    pub fn canonical(&self) -> String {
        format!("{}/{}{}", self.host, self.path, self.suffix())
    }

    /// Whether the text named a registry host (anything but Docker Hub).
    pub fn names_registry(&self) -> bool {
        self.host != DEFAULT_HOST
    }

    /// Whether the name lies in the namespace that this program keeps for itself.
    pub fn is_reserved(&self) -> bool {
        self.host == DEFAULT_HOST && self.path.split('/').next() == Some(RESERVED_NAMESPACE)
    }

    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        tag + &digest
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.repository(), self.suffix())
    }
}

impl FromStr for ImageReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(parse_digest(digest)?)),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            // A colon before a slash belongs to the host's port.
            Some((name, tag)) if !tag.contains('/') => (name, Some(parse_tag(tag)?)),
            _ => (rest, None),
        };
        let (host, path) = split_host(name);
        if path.chars().any(|c| c.is_ascii_uppercase()) {
            return Err(ReferenceError::UpperCase);
        }
        if !is_host(host) {
            return Err(ReferenceError::Invalid { part: "host", value: host.to_owned() });
        }
        if !path.split('/').all(is_path_component) {
            return Err(ReferenceError::Invalid { part: "repository", value: path.to_owned() });
        }
        let path =
            if host == DEFAULT_HOST && !path.contains('/') { format!("library/{path}") } else { path.to_owned() };
        let tag = if tag.is_none() && digest.is_none() { Some(DEFAULT_TAG.to_owned()) } else { tag };
        Ok(Self { host: host.to_owned(), path, tag, digest })
    }
}

/// The first component is a host only if it looks like one (`splitDockerDomain` upstream).
fn split_host(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':']) || first == "localhost" || first.chars().any(|c| c.is_ascii_uppercase()) =>
        {
            (if first == "index.docker.io" { DEFAULT_HOST } else { first }, rest)
        }
        _ => (DEFAULT_HOST, name),
    }
}

fn is_host(host: &str) -> bool {
    let (name, port) =
        host.rsplit_once(':').filter(|_| !host.ends_with(']')).map_or((host, None), |(name, port)| (name, Some(port)));
    let name_ok = match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => !address.is_empty() && address.chars().all(|c| c.is_ascii_hexdigit() || c == ':'),
        None => name.split('.').all(|label| {
            !label.is_empty()
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        }),
    };
    name_ok && port.is_none_or(|port| !port.is_empty() && port.chars().all(|c| c.is_ascii_digit()))
}

/// `[a-z0-9]+` joined by `.`, `_`, `__` or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !component.starts_with(is_word) || !component.ends_with(is_word) {
        return false;
    }
    component
        .split(is_word)
        .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.chars().all(|c| c == '-'))
}

fn parse_tag(tag: &str) -> Result<String, ReferenceError> {
    let ok = !tag.is_empty()
        && tag.len() <= 128
        && tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    ok.then(|| tag.to_owned()).ok_or_else(|| ReferenceError::Invalid { part: "tag", value: tag.to_owned() })
}

fn parse_digest(digest: &str) -> Result<String, ReferenceError> {
    let ok = digest.split_once(':').is_some_and(|(algorithm, hex)| {
        algorithm.starts_with(|c: char| c.is_ascii_alphabetic())
            && algorithm.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '_' | '-'))
            && hex.len() >= 32
            && hex.chars().all(|c| c.is_ascii_hexdigit())
    });
    ok.then(|| digest.to_owned()).ok_or_else(|| ReferenceError::Invalid { part: "digest", value: digest.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::{ImageReference, ReferenceError};

    fn parse(text: &str) -> ImageReference {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn normalises_as_the_engine_does() {
        for (text, canonical, familiar) in [
            ("app", "docker.io/library/app:latest", "app:latest"),
            ("app:1", "docker.io/library/app:1", "app:1"),
            ("org/app", "docker.io/org/app:latest", "org/app:latest"),
            ("docker.io/app", "docker.io/library/app:latest", "app:latest"),
            ("index.docker.io/library/app", "docker.io/library/app:latest", "app:latest"),
            ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
            ("localhost:5000/a/b:c", "localhost:5000/a/b:c", "localhost:5000/a/b:c"),
            ("ghcr.io/org/app", "ghcr.io/org/app:latest", "ghcr.io/org/app:latest"),
            ("[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"),
            ("a__b/c-.d", "", ""),
        ] {
            match text.parse::<ImageReference>() {
                Ok(reference) => {
                    assert_eq!((reference.canonical().as_str(), reference.to_string().as_str()), (canonical, familiar));
                }
                Err(_) => assert_eq!(canonical, "", "{text}"),
            }
        }
    }

    #[test]
    fn keeps_digests() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let reference = parse(&format!("app@{digest}"));
        assert_eq!(reference.tag(), None);
        assert_eq!(reference.digest(), Some(digest.as_str()));
        assert_eq!(parse(&format!("app:1@{digest}")).to_string(), format!("app:1@{digest}"));
    }

    #[test]
    fn refuses_what_the_engine_refuses() {
        assert_eq!("App".parse::<ImageReference>(), Err(ReferenceError::UpperCase));
        for text in ["", "a//b", "-a", "a:", "a b", "a:b c", "a@sha256:12", "https://a/b", "a/b:c:d", "a..b", "a___b"] {
            assert!(text.parse::<ImageReference>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn knows_its_own_namespace() {
        assert!(parse("watchparty-cache/tombstone:abc").is_reserved());
        assert!(parse("docker.io/watchparty-cache/x").is_reserved());
        assert!(!parse("ghcr.io/watchparty-cache/x").is_reserved());
        assert!(!parse("watchparty-cache").is_reserved());
    }
}

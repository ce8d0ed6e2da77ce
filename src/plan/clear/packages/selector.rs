//! What an entry `package=…` names: versions of one container package at GitHub.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use regex::Regex;

use crate::image::pattern::{glob, parse_age};
use crate::plan::clear::options;
use crate::registry::cache_tag::is_named_with_cache;

/// An untagged version may be one half of a build that pushes by digest first and names the whole afterwards, unless the
/// entry has an age of its own.
pub(super) const FRESH: TimeDelta = TimeDelta::hours(1);

/// A container package: an owner's, which may be a person or an organisation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// The registry that the entry named; `None` means that of the GitHub that the job runs at.
    pub registry: Option<String>,
    /// The login of the owner, in lower case as the registry has it; GitHub itself does not mind.
    pub owner: String,
    /// The name of the package, which may have slashes.
    pub name: String,
}

/// One entry for a package; its text is what follows `package=`.
///
/// | part | names |
/// |---|---|
/// | `package=[host/]owner/name:pattern` | versions all of whose tags match, here or in other entries for this package; `*`, `?` and `[…]`; with a cache its layers, `main-layers-cache` with `main-cache` |
/// | `;untagged` | versions without a tag that no other version is made of or signed by |
/// | `;older-than=30d` | of these, the ones that did not change since |
/// | `;keep-latest=5` | of these, not the newest five with tags, nor the newest five without |
#[derive(Debug, Clone)]
pub struct PackageSelector {
    text: String,
    package: Package,
    tags: Option<Regex>,
    untagged: bool,
    older_than: Option<TimeDelta>,
    pub(super) keep_latest: usize,
}

/// Why a text is not an entry for a package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct PackageSelectorError {
    reason: String,
}

impl PackageSelectorError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        "write `package=owner/name:tag`, where the tag may have `*`, `?` and `[a-z]`; after it, or instead of the tag, \
         `;untagged`; then `;older-than=30d` and `;keep-latest=5` if you like"
    }
}

impl PackageSelector {
    /// The package that it is about.
    pub fn package(&self) -> &Package {
        &self.package
    }

    /// Whether it names this tag, or the cache that the tag is there for, as an entry `registry=…` does.
    pub(super) fn matches_tag(&self, tag: &str) -> bool {
        is_named_with_cache(tag, |tag| self.names_tag(tag))
    }

    /// Whether it names this very tag.
    pub(super) fn names_tag(&self, tag: &str) -> bool {
        self.tags.as_ref().is_some_and(|tags| tags.is_match(tag))
    }

    pub(super) fn takes_untagged(&self) -> bool {
        self.untagged
    }

    /// Whether a version that changed last at this time is old enough for the entry; without an age all are.
    pub(super) fn is_old_enough(&self, updated: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        self.older_than.is_none_or(|age| is_older(updated, age, now))
    }

    /// Whether an untagged version could still be part of a push that goes on.
    pub(super) fn is_fresh(&self, updated: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        self.older_than.is_none() && !is_older(updated, FRESH, now)
    }
}

fn is_older(updated: DateTime<Utc>, age: TimeDelta, now: DateTime<Utc>) -> bool {
    now.checked_sub_signed(age).is_some_and(|limit| updated < limit)
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl fmt::Display for PackageSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "package={}", self.text)
    }
}

impl PartialEq for PackageSelector {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PackageSelector {}

impl FromStr for PackageSelector {
    type Err = PackageSelectorError;

    fn from_str(text: &str) -> Result<Self, PackageSelectorError> {
        let text = text.trim();
        parse(text).map_err(|reason| PackageSelectorError { reason })
    }
}

fn parse(text: &str) -> Result<PackageSelector, String> {
    let (head, options) = options::split(text);
    let (name, tags) = match head.rsplit_once(':') {
        // A colon before a slash belongs to the host's port.
        Some((name, tags)) if !tags.contains('/') => (name, Some(tags)),
        _ => (head, None),
    };
    let mut selector = PackageSelector {
        text: text.to_owned(),
        package: parse_package(name)?,
        tags: match tags {
            Some("") => return Err("the tag is empty".to_owned()),
            Some(tags) => Some(glob(tags, "._-")?),
            None => None,
        },
        untagged: false,
        older_than: None,
        keep_latest: 0,
    };
    for (option, value) in options {
        match (option, value) {
            ("untagged", None) => selector.untagged = true,
            ("older-than", Some(age)) => selector.older_than = Some(parse_age(age)?),
            ("keep-latest", Some(number)) => {
                selector.keep_latest = number.parse().map_err(|_| format!("'{number}' is not a number of versions"))?;
            }
            (option, _) => return Err(format!("it has an option that a package does not take: '{option}'")),
        }
    }
    if selector.tags.is_none() && !selector.untagged {
        return Err("it names a package and does not say which versions of it".to_owned());
    }
    Ok(selector)
}

/// The host is told as Docker tells it: owners at GitHub have neither dots nor colons.
fn parse_package(text: &str) -> Result<Package, String> {
    let lower = text.to_ascii_lowercase();
    let (registry, path) = match lower.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (Some(first.to_owned()), rest),
        _ => (None, lower.as_str()),
    };
    let (owner, name) = path.split_once('/').ok_or("it names no package: `owner/name`")?;
    let is_owner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if owner.is_empty() || !owner.chars().all(is_owner) {
        return Err(format!("'{owner}' is not an owner at GitHub"));
    }
    // A component of dots alone would be a step in the path of a request.
    let is_component = |part: &str| part.chars().any(|c| c.is_ascii_alphanumeric()) && part.chars().all(is_name);
    if !name.split('/').all(is_component) {
        return Err(format!("'{name}' is not the name of a package; it takes no patterns"));
    }
    Ok(Package { registry, owner: owner.to_owned(), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::{Package, PackageSelector};

    fn package(registry: Option<&str>, owner: &str, name: &str) -> Package {
        Package { registry: registry.map(str::to_owned), owner: owner.into(), name: name.into() }
    }

    #[test]
    fn reads_entries() {
        for (text, expected, tags) in [
            ("org/app:pr-*", package(None, "org", "app"), Some(("pr-1", "main"))),
            ("Org/App:[0-9]?", package(None, "org", "app"), Some(("1x", "x1"))),
            ("org/app/cache:a.b", package(None, "org", "app/cache"), Some(("a.b", "axb"))),
            ("ghcr.io/org/app:*;untagged", package(Some("ghcr.io"), "org", "app"), Some(("x", ""))),
            ("localhost:5000/o/a:x", package(Some("localhost:5000"), "o", "a"), Some(("x", "y"))),
            ("org/app:*-1-cache", package(None, "org", "app"), Some(("a-1-layers-cache", "a-1-b-layers-cache"))),
            ("org/app;untagged", package(None, "org", "app"), None),
            ("  org/app ; untagged ; older-than=30d; keep-latest=5 ", package(None, "org", "app"), None),
        ] {
            let selector: PackageSelector = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(selector.package(), &expected, "{text}");
            assert_eq!(selector.to_string(), format!("package={}", text.trim()));
            assert_eq!(selector.takes_untagged(), text.contains("untagged"), "{text}");
            match tags {
                Some((yes, no)) => assert!(selector.matches_tag(yes) && (no.is_empty() || !selector.matches_tag(no))),
                None => assert!(!selector.matches_tag("latest"), "{text}"),
            }
        }
    }

    #[test]
    fn refuses_what_is_not_clear() {
        for (text, reason) in [
            ("app:x", "names no package"),
            ("org/app", "which versions"),
            ("org/app;older-than=1d", "which versions"),
            ("org/app:", "tag is empty"),
            ("org/app:a[", "[ has no ]"),
            ("org/*:x", "takes no patterns"),
            ("org/..:x", "not the name of a package"),
            ("org/a//b:x", "not the name of a package"),
            ("o?g/app:x", "not an owner"),
            ("org/app:x;untagged=yes", "'untagged'"),
            ("org/app:x;keep-latest", "'keep-latest'"),
            ("org/app:x;keep-latest=many", "'many' is not a number"),
            ("org/app:x;keep-latest=-1", "'-1' is not a number"),
            ("org/app:x;older-than=soon", "'soon' is not an age"),
            ("org/app:x;label=a", "'label'"),
        ] {
            let error = text.parse::<PackageSelector>().expect_err(text);
            assert!(error.to_string().contains(reason), "{text}: {error}");
            assert!(!error.help().is_empty());
        }
    }
}

//! What an entry `actions-cache=…` names: caches of GitHub Actions in the repository of the job.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};

use super::ActionsCache;
use crate::image::pattern::parse_age;
use crate::plan::clear::options;

/// GitHub's limit for a key ("Dependency caching reference", in characters).
const LONGEST_KEY: usize = 512;

/// One entry for caches of GitHub Actions; its text is what follows `actions-cache=`.
///
/// | part | names |
/// |---|---|
/// | `actions-cache=key` | the caches with this key |
/// | `actions-cache=prefix*` | those whose key begins so; `*` alone means all |
/// | `;ref=main`, `;ref=refs/pull/5/merge` | of these, the ones of a branch or of any other ref; all refs without it, or with `;ref=*` |
/// | `;older-than=7d` | of these, the ones that were saved before |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSelector {
    text: String,
    key: Key,
    reference: CacheReference,
    older_than: Option<TimeDelta>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    Exactly(String),
    Prefix(String),
}

/// Whose caches are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheReference {
    /// Those of every ref.
    All,
    /// Those of this ref, in full: `refs/heads/main`.
    One(String),
}

/// Why a text is not an entry for caches.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct CacheSelectorError {
    reason: &'static str,
}

impl CacheSelectorError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        "write `actions-cache=key`, or `actions-cache=prefix*` for every key that begins so; then, if you like, \
         `;ref=main` or `;ref=refs/pull/5/merge`, and `;older-than=7d`"
    }
}

impl CacheSelector {
    /// Whether it names this cache.
    pub fn matches(&self, cache: &ActionsCache, now: DateTime<Utc>) -> bool {
        let by_key = match &self.key {
            Key::Exactly(key) => cache.key == *key,
            Key::Prefix(prefix) => cache.key.starts_with(prefix),
        };
        let by_reference = match &self.reference {
            CacheReference::All => true,
            CacheReference::One(reference) => cache.reference == *reference,
        };
        let is_old = |age: TimeDelta| now.checked_sub_signed(age).is_some_and(|limit| cache.created < limit);
        by_key && by_reference && self.older_than.is_none_or(is_old)
    }

    /// The beginning that every key has which it names.
    pub fn key_prefix(&self) -> &str {
        match &self.key {
            Key::Exactly(key) => key,
            Key::Prefix(prefix) => prefix,
        }
    }

    /// Whose caches it names.
    pub fn reference(&self) -> &CacheReference {
        &self.reference
    }
}

impl fmt::Display for CacheSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "actions-cache={}", self.text)
    }
}

impl FromStr for CacheSelector {
    type Err = CacheSelectorError;

    fn from_str(text: &str) -> Result<Self, CacheSelectorError> {
        let text = text.trim();
        let wrong = |reason| CacheSelectorError { reason };
        let (head, options) = options::split(text);
        let mut selector =
            Self { text: text.to_owned(), key: parse_key(head)?, reference: CacheReference::All, older_than: None };
        for option in options {
            match option {
                ("ref", Some("*")) => selector.reference = CacheReference::All,
                ("ref", Some(reference)) if !reference.is_empty() => selector.reference = parse_reference(reference)?,
                ("older-than", Some(age)) => {
                    let age = parse_age(age).map_err(|_| wrong("its age is not one like 12h, 7d or 2w"))?;
                    selector.older_than = Some(age);
                }
                _ => return Err(wrong("it has an option other than `ref=…` and `older-than=…`")),
            }
        }
        Ok(selector)
    }
}

fn parse_key(text: &str) -> Result<Key, CacheSelectorError> {
    let wrong = |reason| Err(CacheSelectorError { reason });
    let (key, is_prefix) = text.strip_suffix('*').map_or((text, false), |prefix| (prefix, true));
    match key {
        "" if !is_prefix => wrong("it names no key"),
        _ if key.contains('*') => wrong("a `*` stands at the end of a key and nowhere else"),
        _ if key.chars().count() > LONGEST_KEY => wrong("a key has 512 characters at most"),
        _ if is_prefix => Ok(Key::Prefix(key.to_owned())),
        _ => Ok(Key::Exactly(key.to_owned())),
    }
}

fn parse_reference(text: &str) -> Result<CacheReference, CacheSelectorError> {
    if text.contains(['*', '?', ' ', '[', '~', '^', ':', '\\']) {
        return Err(CacheSelectorError { reason: "a ref is a branch or a full `refs/…`, without a pattern" });
    }
    let is_full = text.starts_with("refs/");
    Ok(CacheReference::One(if is_full { text.to_owned() } else { format!("refs/heads/{text}") }))
}

#[cfg(test)]
mod tests {
    use super::{CacheReference, CacheSelector};

    #[test]
    fn reads_entries() {
        let one = |reference: &str| CacheReference::One(reference.to_owned());
        for (text, prefix, reference) in [
            ("a-b", "a-b", CacheReference::All),
            ("*", "", CacheReference::All),
            ("  a=b* ; ref=main ", "a=b", one("refs/heads/main")),
            ("a;ref=refs/pull/5/merge;older-than=7d", "a", one("refs/pull/5/merge")),
            ("a;ref=*", "a", CacheReference::All),
            ("a;ref=feature/x", "a", one("refs/heads/feature/x")),
        ] {
            let selector: CacheSelector = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((selector.key_prefix(), selector.reference()), (prefix, &reference), "{text}");
            assert_eq!(selector.to_string(), format!("actions-cache={}", text.trim()));
        }
    }

    #[test]
    fn refuses_what_is_not_clear() {
        let long = "a".repeat(513);
        for text in
            ["", "a*b", "**", "a;ref=", "a;ref", "a;ref=refs/pull/*/merge", "a;untagged", "a;older-than=x", &long]
        {
            let error = text.parse::<CacheSelector>().expect_err(text);
            assert!(!error.to_string().is_empty() && !error.help().is_empty());
        }
    }
}

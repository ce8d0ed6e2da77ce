//! The plan for the caches of GitHub Actions: what goes, what stays and why.
//!
//! A pure function of the entries `actions-cache=…` and of what GitHub lists.

mod selector;

use std::fmt;

use bytesize::ByteSize;
use chrono::{DateTime, Utc};

pub use selector::{CacheReference, CacheSelector, CacheSelectorError};

/// A cache that the repository has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionsCache {
    /// What GitHub removes it by.
    pub id: u64,
    /// Its key. The same key may exist once for each ref, and for each set of paths.
    pub key: String,
    /// The ref that it is for: `refs/heads/main`, `refs/pull/5/merge`.
    pub reference: String,
    /// Bytes, compressed as GitHub stores it.
    pub bytes: u64,
    /// When it was saved.
    pub created: DateTime<Utc>,
}

/// What will become of the caches that are named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActionsCachePlan {
    /// Every cache that an entry names, by ref and key.
    pub caches: Vec<PlannedActionsCache>,
}

/// A cache that an entry names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedActionsCache {
    /// The cache.
    pub cache: ActionsCache,
    /// The entry of `keep` that it stays for; `None` if it goes.
    pub kept_by: Option<String>,
}

/// Decides what goes: what one of the entries names and none of `keep` does.
pub fn plan(
    selectors: &[CacheSelector],
    keep: &[CacheSelector],
    caches: &[ActionsCache],
    now: DateTime<Utc>,
) -> ActionsCachePlan {
    let named = caches.iter().filter(|cache| selectors.iter().any(|selector| selector.matches(cache, now)));
    let mut caches: Vec<_> = named
        .map(|cache| PlannedActionsCache {
            cache: cache.clone(),
            kept_by: keep.iter().find(|selector| selector.matches(cache, now)).map(ToString::to_string),
        })
        .collect();
    caches.sort_by(|a, b| a.order().cmp(&b.order()));
    ActionsCachePlan { caches }
}

impl ActionsCachePlan {
    /// The caches that go.
    pub fn going(&self) -> impl Iterator<Item = &ActionsCache> {
        self.caches.iter().filter(|planned| planned.kept_by.is_none()).map(|planned| &planned.cache)
    }
}

impl PlannedActionsCache {
    fn order(&self) -> (&str, &str, u64) {
        (&self.cache.reference, &self.cache.key, self.cache.id)
    }
}

impl fmt::Display for ActionsCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reference = self.reference.strip_prefix("refs/heads/").unwrap_or(&self.reference);
        write!(f, "{} ({reference})", self.key)
    }
}

impl fmt::Display for ActionsCachePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Caches of GitHub Actions")?;
        for PlannedActionsCache { cache, kept_by } in &self.caches {
            match kept_by {
                None => writeln!(f, "  remove  {cache}  ({})", ByteSize::b(cache.bytes).display().si())?,
                Some(entry) => writeln!(f, "  keep    {cache}  (keep: {entry})")?,
            }
        }
        if self.caches.is_empty() { writeln!(f, "  none that is named") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};
    use proptest::prelude::*;

    use super::{ActionsCache, CacheSelector, plan};

    fn cache(id: u64, key: &str, reference: &str, age: TimeDelta) -> ActionsCache {
        ActionsCache { id, key: key.into(), reference: reference.into(), bytes: 10, created: Utc::now() - age }
    }

    fn selectors(entries: &[&str]) -> Vec<CacheSelector> {
        entries.iter().map(|entry| entry.parse().unwrap()).collect()
    }

    fn going(entries: &[&str], keep: &[&str], caches: &[ActionsCache]) -> Vec<u64> {
        let plan = plan(&selectors(entries), &selectors(keep), caches, Utc::now());
        plan.going().map(|cache| cache.id).collect()
    }

    #[test]
    fn names_by_key_prefix_ref_and_age() {
        let day = TimeDelta::days(1);
        let caches = [
            cache(1, "deps-a", "refs/heads/main", day * 10),
            cache(2, "deps-b", "refs/heads/main", day),
            cache(3, "deps-a", "refs/pull/5/merge", day),
            cache(4, "deps-a-more", "refs/heads/feature/x", day),
            cache(5, "other", "refs/pull/55/merge", day),
        ];
        for (entries, expected) in [
            (vec!["deps-a"], vec![1_u64, 3]),
            (vec!["deps-a*"], vec![4, 1, 3]),
            (vec!["*"], vec![4, 1, 2, 3, 5]),
            (vec!["*;ref=refs/pull/5/merge"], vec![3]),
            (vec!["*;ref=main"], vec![1, 2]),
            (vec!["*;ref=feature/x"], vec![4]),
            (vec!["*;ref=*;older-than=7d"], vec![1]),
            (vec!["deps-b", "other"], vec![2, 5]),
            (vec!["dep"], vec![]),
        ] {
            assert_eq!(going(&entries, &[], &caches), expected, "{entries:?}");
        }
        assert_eq!(going(&["*"], &["deps-*;ref=main"], &caches), [4, 3, 5]);
    }

    #[test]
    fn what_is_kept_is_named_with_its_entry() {
        let caches = [cache(1, "a", "refs/heads/main", TimeDelta::zero())];
        let plan = plan(&selectors(&["*"]), &selectors(&["a"]), &caches, Utc::now());
        assert_eq!(plan.caches[0].kept_by.as_deref(), Some("actions-cache=a"));
        assert_eq!(plan.caches[0].cache.to_string(), "a (main)");
    }

    /// What an entry means, written down once more and in another way.
    fn means(entry: &str, cache: &ActionsCache, now: DateTime<Utc>) -> bool {
        let mut parts = entry.split(';');
        let key = parts.next().unwrap();
        let by_key = match key.strip_suffix('*') {
            Some(prefix) => cache.key.starts_with(prefix),
            None => cache.key == key,
        };
        by_key
            && parts.all(|part| match part {
                "ref=main" => cache.reference == "refs/heads/main",
                "ref=refs/pull/1/merge" => cache.reference == "refs/pull/1/merge",
                "older-than=1d" => now - cache.created > TimeDelta::days(1),
                _ => panic!("{part}"),
            })
    }

    proptest! {
        #[test]
        fn goes_by_what_is_named_and_not_kept(
            caches in prop::collection::vec(("[ab]{1,3}", 0..3_usize, 0..3_i64), 0..12),
            entries in prop::collection::vec(("[ab]{0,2}\\*?", 0..3_usize, any::<bool>()), 0..4),
            keep in prop::collection::vec(("[ab]{1,2}\\*?", 0..3_usize, any::<bool>()), 0..2),
        ) {
            let now = Utc::now();
            let references = ["refs/heads/main", "refs/pull/1/merge", "refs/heads/x"];
            let caches: Vec<_> = caches.iter().zip(1..).map(|((key, reference, days), id)| ActionsCache {
                created: now - TimeDelta::days(*days) - TimeDelta::hours(1),
                ..cache(id, key, references[*reference], TimeDelta::zero())
            }).collect();
            let texts = |entries: Vec<(String, usize, bool)>| -> Vec<String> {
                entries.into_iter().filter(|(key, ..)| !key.is_empty()).map(|(key, reference, old)| {
                    let reference = ["", ";ref=main", ";ref=refs/pull/1/merge"][reference];
                    format!("{key}{reference}{}", if old { ";older-than=1d" } else { "" })
                }).collect()
            };
            let (entries, keep) = (texts(entries), texts(keep));
            let parse = |texts: &[String]| -> Vec<CacheSelector> { texts.iter().map(|it| it.parse().unwrap()).collect() };
            let plan = plan(&parse(&entries), &parse(&keep), &caches, now);
            for cache in &caches {
                let named = entries.iter().any(|entry| means(entry, cache, now));
                let kept = keep.iter().any(|entry| means(entry, cache, now));
                let goes = plan.going().any(|going| going.id == cache.id);
                prop_assert_eq!(goes, named && !kept, "{:?}", cache);
                prop_assert_eq!(plan.caches.iter().any(|planned| planned.cache.id == cache.id), named);
            }
        }
    }
}

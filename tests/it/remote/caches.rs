//! Caches of GitHub Actions.

use std::collections::BTreeSet;

use super::{clear, methods, removals};
use crate::support::Action;
use crate::support::github::FakeGithub;

pub(super) const MAIN: &str = "refs/heads/main";
const PULL: &str = "refs/pull/5/merge";

pub(super) fn seeded() -> FakeGithub {
    let fake = FakeGithub::start();
    fake.permit(&["actions: write"]);
    fake.state(|state| {
        for (key, reference, bytes) in [
            ("deps-linux-1", MAIN, 100),
            ("deps-linux-1", PULL, 200),
            ("deps-linux-2", PULL, 300),
            ("buildkit-blob", MAIN, 1_000),
            ("other", PULL, 50),
            ("other", "refs/pull/55/merge", 60),
        ] {
            state.storage.cache(key, reference, bytes);
        }
    });
    fake
}

pub(super) fn caches(fake: &FakeGithub, entries: &str) -> Action {
    clear(fake, "actions-cache", entries)
}

pub(super) fn left(fake: &FakeGithub) -> BTreeSet<u64> {
    fake.state(|state| state.storage.caches.iter().map(|cache| cache.id).collect())
}

#[test]
fn what_is_named_goes_by_key_prefix_and_ref() {
    for (entries, stays, bytes) in [
        ("actions-cache=deps-linux-1", vec![3, 4, 5, 6], 300),
        ("actions-cache=deps-*", vec![4, 5, 6], 600),
        ("actions-cache=*;ref=refs/pull/5/merge", vec![1, 4, 6], 550),
        ("actions-cache=*;ref=main", vec![2, 3, 5, 6], 1_100),
        ("actions-cache=deps-*;ref=main\nactions-cache=other;ref=*", vec![2, 3, 4], 210),
        ("actions-cache=nothing*", vec![1, 2, 3, 4, 5, 6], 0),
        ("actions-cache=*;older-than=30d", vec![1, 2, 3, 4, 5, 6], 0),
    ] {
        let fake = seeded();
        let run = caches(&fake, entries).run().expect_code(0);
        assert_eq!(left(&fake), stays.into_iter().collect(), "{entries}");
        assert_eq!((run.output("verified"), run.output("freed-bytes")), ("true", bytes.to_string().as_str()));
        let again = caches(&fake, entries).run().expect_code(0);
        assert_eq!((again.output("verified"), again.output("freed-bytes")), ("true", "0"));
    }
}

#[test]
fn keep_holds_and_is_named() {
    let fake = seeded();
    let keep = "actions-cache=deps-*;ref=main, ghcr.io/org/*";
    let run = caches(&fake, "actions-cache=*").input("keep", keep).run().expect_code(0);
    assert_eq!(left(&fake), BTreeSet::from([1]));
    assert_eq!(run.output("verified"), "true");
    assert!(run.stdout.contains("keep: actions-cache=deps-*;ref=main"), "{}", run.stdout);
}

#[test]
fn a_dry_run_reads_only() {
    let fake = seeded();
    let run = caches(&fake, "actions-cache=deps-*").input("dry-run", "true").run().expect_code(0);
    assert_eq!((left(&fake).len(), methods(&fake)), (6, BTreeSet::from(["GET".to_owned()])));
    assert_eq!(run.output("freed-bytes"), "0");
    assert!(run.summary.contains("deps-linux-2") && run.summary.contains("would be removed"), "{}", run.summary);
}

#[test]
fn pages_are_read() {
    let fake = seeded();
    fake.state(|state| {
        for number in 0..140 {
            state.storage.cache(&format!("many-{number}"), MAIN, 1);
        }
    });
    let run = caches(&fake, "actions-cache=many-*").run().expect_code(0);
    assert_eq!((left(&fake).len(), removals(&fake).len()), (6, 140));
    assert_eq!(run.output("freed-bytes"), "140");
}

#[test]
fn of_several_pages_one_look_proves_nothing() {
    let fake = seeded();
    fake.state(|state| {
        for number in 0..130 {
            state.storage.cache(&format!("many-{number}"), MAIN, 1);
        }
    });
    let keep = "actions-cache=many-*;ref=main";
    let run = caches(&fake, "actions-cache=*").input("keep", keep).run().expect_code(0);
    assert_eq!((left(&fake).len(), run.output("verified")), (130, "true"));
    // One look before, and two after it, of two pages each.
    assert_eq!(fake.count("GET", "/actions/caches?"), 6);
}

#[test]
fn a_run_that_cannot_save_caches_is_told() {
    let fake = seeded();
    let run = caches(&fake, "actions-cache=other").variable("ACTIONS_CACHE_MODE", "read").run().expect_code(0);
    assert!(run.stdout.contains("`ACTIONS_CACHE_MODE` is `read`"), "{}", run.stdout);
    let run = caches(&fake, "actions-cache=other").variable("ACTIONS_CACHE_MODE", "read").run().expect_code(0);
    assert!(!run.stdout.contains("ACTIONS_CACHE_MODE"), "nothing was cleared");
}

#[test]
fn two_clears_at_once_are_safe() {
    let fake = seeded();
    let steps = [caches(&fake, "actions-cache=*;ref=main"), caches(&fake, "actions-cache=*")];
    let children: Vec<_> = steps.iter().map(Action::start).collect();
    for (step, child) in steps.iter().zip(children) {
        let run = step.finish(&child.wait_with_output().unwrap()).expect_code(0);
        assert_eq!(run.output("verified"), "true");
    }
    assert_eq!(left(&fake), BTreeSet::new());
}

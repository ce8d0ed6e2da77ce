//! Versions of packages.

use std::collections::BTreeSet;

use chrono::{TimeDelta, Utc};

use super::{clear, methods, removals};
use crate::support::github::FakeGithub;
use crate::support::{Action, Finished};

const APP: &str = "org/app";

/// A package with everything that must not be torn apart, and a second one that nothing names.
pub(super) struct Seeded {
    pub(super) fake: FakeGithub,
    /// Digests of what belongs to `pr-1`: index, its platform, attestation, signature, referrer.
    pub(super) old: Vec<String>,
    /// Digests of what stays: `main` with its platforms, one of them shared with `pr-1`; a signature; `pr-2`, also `stable`.
    pub(super) stays: BTreeSet<String>,
    pub(super) orphan: String,
}

impl Seeded {
    pub(super) fn new() -> Self {
        Self::at("")
    }

    fn at(base: &'static str) -> Self {
        let fake = FakeGithub::start_at(base);
        fake.permit(&["packages: write"]);
        let (old, stays, orphan) = fake.state(|state| {
            let it = &mut state.storage;
            it.package(APP);
            it.package("org/bystander");
            it.image("org/bystander", &["pr-1"], 1);
            let tag = |digest: &str, end: &str| format!("{}{end}", digest.replace(':', "-"));
            let (own, shared) = (it.image(APP, &[], 1_000_000), it.image(APP, &[], 500));
            let attestation = it.image(APP, &[], 70);
            let index = it.index(APP, &["pr-1"], &[&own, &shared, &attestation]);
            let signature = it.image(APP, &[&tag(&index, ".sig")], 20);
            let referrer = it.about(APP, &[], &index);
            let main = it.index(APP, &["main", "1.0"], &[&shared]);
            let of_main = it.image(APP, &[&tag(&main, ".sig")], 20);
            let second = it.image(APP, &["pr-2", "stable"], 30);
            let orphan = it.image(APP, &[], 40);
            (
                vec![index, own, attestation, signature, referrer],
                BTreeSet::from([shared, main, of_main, second]),
                orphan,
            )
        });
        Self { fake, old, stays, orphan }
    }

    pub(super) fn clear(&self, entry: &str) -> Action {
        clear(&self.fake, "packages", &format!("package={}/{APP}{entry}", self.fake.registry()))
    }

    pub(super) fn left(&self) -> BTreeSet<String> {
        self.fake.state(|state| state.storage.digests(APP))
    }

    /// Everything that must stay is there, with its tags, and so is the other package.
    pub(super) fn bystanders_are_there(&self) {
        let left = self.left();
        assert!(self.stays.is_subset(&left), "{:?} is gone", self.stays.difference(&left));
        assert_eq!(self.fake.state(|state| state.storage.digests("org/bystander").len()), 1);
    }
}

/// The line of the summary that is about this.
#[track_caller]
pub(super) fn line<'a>(run: &'a Finished, what: &str) -> &'a str {
    run.summary.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("no {what} in {}", run.summary))
}

#[test]
fn an_image_goes_with_all_that_belongs_to_it_and_nothing_else_does() {
    for base in ["", "/api/v3"] {
        let it = Seeded::at(base);
        let run = it.clear(":pr-*;untagged").run().expect_code(4);
        // What has a tag that nothing names stays, and with it a tag that was to go.
        assert_eq!(run.output("verified"), "false");
        assert!(
            run.stdout.contains("not cleared: package version org/app:pr-2 stays: also tagged stable"),
            "{}",
            run.stdout
        );
        assert_eq!(it.left(), it.stays, "{}", run.stdout);
        it.bystanders_are_there();
        assert!(line(&run, "org/app:pr-2").contains("also tagged stable"), "{}", run.summary);
        assert_eq!(run.output("freed-bytes"), (1_000_001 + 71 + 21 + 11 + 41).to_string());
        // The index before what it is made of: cut short, it is never broken.
        let first = it.fake.state(|state| state.storage.packages[APP].versions.len());
        assert_eq!(first, it.stays.len());
        assert_eq!(removals(&it.fake).first(), Some(&5), "{:?}", removals(&it.fake));

        let again = it.clear(":pr-1;untagged").run().expect_code(0);
        assert_eq!((again.output("verified"), again.output("freed-bytes")), ("true", "0"));
    }
}

#[test]
fn a_dry_run_shows_the_same_and_reads_only() {
    let it = Seeded::new();
    let before = it.left();
    let dry = it.clear(":pr-*;untagged").input("dry-run", "true").run().expect_code(0);
    assert_eq!(it.left(), before);
    assert_eq!(methods(&it.fake), BTreeSet::from(["GET".to_owned()]));
    assert_eq!((dry.output("verified"), dry.output("freed-bytes")), ("", "0"));
    let run = it.clear(":pr-*;untagged").run().expect_code(4);
    let items = |run: &Finished, fate: &str| -> BTreeSet<String> {
        let lines = run.summary.lines().filter(|line| line.contains(fate));
        lines.map(|line| line.split(" | ").next().unwrap().to_owned()).collect()
    };
    assert_eq!(items(&dry, "would be removed"), items(&run, "🧹 removed"));
    assert_eq!(items(&dry, "would be removed").len(), 6, "{}", dry.summary);
}

#[test]
fn a_persons_package_is_found_and_pages_are_read() {
    let it = Seeded::new();
    it.fake.state(|state| {
        let storage = &mut state.storage;
        for number in 0..120 {
            storage.image(APP, &[&format!("sha-{number}")], 1);
        }
        storage.packages.get_mut(APP).unwrap().of_person = true;
    });
    let run = it.clear(":sha-*").run().expect_code(0);
    assert_eq!(run.output("verified"), "true");
    assert_eq!(removals(&it.fake).len(), 120);
    assert!(it.left().contains(&it.orphan), "untagged versions were not named");
    it.bystanders_are_there();
    assert!(it.fake.count("GET", "/users/org/packages/container/app/versions?") > 3);
}

#[test]
fn ages_the_newest_and_keep_hold() {
    let it = Seeded::new();
    let digests: Vec<String> = it.fake.state(|state| {
        let storage = &mut state.storage;
        (1..=5)
            .map(|day: u8| {
                let digest = storage.image(APP, &[&format!("sha-{day}")], 1);
                storage.version(APP, &digest).updated = Utc::now() - TimeDelta::days(day.into()) - TimeDelta::hours(1);
                digest
            })
            .collect()
    });
    let keep = format!("{}/{APP}:sha-4", it.fake.registry());
    let run = it.clear(":sha-*;older-than=2d;keep-latest=2").input("keep", &keep).run().expect_code(0);
    assert!(line(&run, "sha-4").contains("keep: "), "{}", run.summary);
    let gone: Vec<&String> = digests.iter().filter(|digest| !it.left().contains(*digest)).collect();
    assert_eq!(gone, [&digests[2], &digests[4]]);
}

#[test]
fn a_push_that_goes_on_is_not_torn_apart() {
    let it = Seeded::new();
    it.fake.state(|state| state.storage.version(APP, &it.orphan).updated = Utc::now() - TimeDelta::minutes(2));
    it.clear(";untagged").run().expect_code(0);
    assert!(it.left().contains(&it.orphan));
    it.clear(";untagged;older-than=1m").run().expect_code(0);
    assert!(!it.left().contains(&it.orphan));
    it.bystanders_are_there();
}

#[test]
fn what_github_does_not_remove_is_named_with_the_reason() {
    let it = Seeded::new();
    it.fake.state(|state| {
        let refusal = "Publicly visible package versions with more than 5000 downloads cannot be deleted. Contact \
             GitHub support for further assistance.";
        state.storage.version(APP, &it.old[0]).refusal = Some(refusal);
    });
    let run = it.clear(":pr-*;untagged").run().expect_code(4);
    assert_eq!(run.output("verified"), "false");
    assert!(line(&run, "org/app:pr-1` ").contains("5000 downloads"), "{}", run.summary);
    assert!(run.stdout.contains("its support can"), "{}", run.stdout);
    // What it is made of stays with it.
    let left = it.left();
    assert!(it.old.iter().all(|digest| left.contains(digest)) && !left.contains(&it.orphan));
    it.bystanders_are_there();
}

#[test]
fn the_last_tagged_version_is_left_to_a_person() {
    let it = Seeded::new();
    let all = clear(&it.fake, "packages", &format!("package={}/org/bystander:*", it.fake.registry()));
    let run = all.run().expect_code(4);
    assert!(run.stdout.contains("delete the package itself in its settings"), "{}", run.stdout);
    assert_eq!(removals(&it.fake), [0_u64; 0]);
    it.bystanders_are_there();
}

#[test]
fn a_selector_that_cannot_be_read_is_a_bad_input() {
    let it = Seeded::new();
    let run = it.clear("").run().expect_code(2);
    assert!(run.stdout.contains("does not say which versions"), "{}", run.stdout);
    let run = clear(&it.fake, "packages", "").run().expect_code(2);
    assert!(run.stdout.contains("packages"), "{}", run.stdout);
    assert_eq!(it.fake.seen(), []);
}

#[test]
fn a_list_that_is_not_whole_or_never_the_same_is_not_used() {
    for (unlisted, restless, said) in [(1, false, "did not list all"), (0, true, "changed again and again")] {
        let it = Seeded::new();
        it.fake.state(|state| {
            let package = state.storage.packages.get_mut(APP).unwrap();
            (package.unlisted, package.restless) = (unlisted, restless);
        });
        let run = it.clear(":pr-1").run().expect_code(4);
        assert!(run.stdout.contains(said), "{}", run.stdout);
        assert_eq!((run.output("verified"), removals(&it.fake).len()), ("false", 0));
    }
}

#[test]
fn what_is_pushed_between_the_survey_and_a_removal_keeps_its_parts() {
    let it = Seeded::new();
    // After the first removal somebody pushes an index of two manifests that were to go.
    let (own, orphan) = (it.old[1].clone(), it.orphan.clone());
    it.fake.state(|state| {
        state.storage.packages.get_mut(APP).unwrap().pushed_at_removal = Some(vec![own.clone(), orphan.clone()]);
    });
    let run = it.clear(":pr-1;untagged").run();
    let left = it.left();
    assert!(left.contains(&own) && left.contains(&orphan), "the parts of an index are gone: {}", run.stdout);
    assert!(!left.contains(&it.old[0]) && !left.contains(&it.old[2]), "{}", run.stdout);
    assert!(run.stdout.contains("it belongs to org/app:pushed, which stays, meanwhile"), "{}", run.stdout);
    it.bystanders_are_there();
}

#[test]
fn a_tagged_child_of_an_index_that_was_pushed_meanwhile_stays() {
    let it = Seeded::new();
    let (index, main) = (it.old[0].clone(), it.fake.state(|state| state.storage.image(APP, &["single"], 5)));
    // The survey looks twice at the versions; then somebody takes one with a tag of its own into an index.
    it.fake.state(|state| {
        let package = state.storage.packages.get_mut(APP).unwrap();
        package.pushed_before_look = Some((3, vec![main.clone(), index.clone()]));
    });
    let run = it.clear(":single\npackage=ORG/app:pr-1".replace("ORG", &format!("{}/org", it.fake.registry())).as_str());
    let run = run.run().expect_code(4);
    assert!(it.left().contains(&main) && it.left().contains(&index), "the parts of an index are gone: {}", run.stdout);
    let said = "kept org/app:single: it belongs to org/app:pushed, which stays, meanwhile";
    assert!(run.stdout.contains(said), "{}", run.stdout);
    assert_eq!((run.output("verified"), removals(&it.fake).len()), ("false", 0));
}

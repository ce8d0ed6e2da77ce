//! What goes and what stays, by example and by property.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use proptest::prelude::*;

use super::{
    Manifest, Package, PackagePlan, PackageRequest, PackageSelector, PackageSurvey, Version, VersionAction,
    VersionKept, plan, stays_after_all,
};
use crate::image::pattern::Pattern;

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 1, 12, 0, 0).unwrap()
}

fn digest(number: u64) -> String {
    format!("sha256:{number:064x}")
}

/// A package under construction; versions have the numbers 1, 2, 3, …, in the order in which they are added.
struct Fixture {
    survey: PackageSurvey,
}

impl Fixture {
    fn new() -> Self {
        let package = Package { registry: None, owner: "org".into(), name: "app".into() };
        Self {
            survey: PackageSurvey {
                package,
                registry: "ghcr.io".into(),
                versions: Vec::new(),
                manifests: BTreeMap::new(),
            },
        }
    }

    /// A version made of others, so many days old.
    fn version(&mut self, tags: &[&str], children: &[u64], days: i64) -> u64 {
        let id = self.survey.versions.len() as u64 + 1;
        self.survey.versions.push(Version {
            id,
            digest: digest(id),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            updated: now() - TimeDelta::days(days) - TimeDelta::minutes(90),
        });
        let manifest = Manifest {
            children: children.iter().map(|child| digest(*child)).collect(),
            subject: None,
            blobs: vec![(format!("blob-{id}"), 100), ("shared".into(), 1000)],
        };
        self.survey.manifests.insert(digest(id), Ok(manifest));
        id
    }

    /// A version that says itself what it is about.
    fn about(&mut self, subject: u64, tags: &[&str]) -> u64 {
        let id = self.version(tags, &[], 0);
        self.survey.manifests.get_mut(&digest(id)).unwrap().as_mut().unwrap().subject = Some(digest(subject));
        id
    }

    fn break_manifest(&mut self, id: u64) {
        self.survey.manifests.insert(digest(id), Err("500".into()));
    }

    fn plan(&self, entries: &[&str], keep: &[&str]) -> PackagePlan {
        plan_of(&self.survey, entries, keep)
    }

    fn going(&self, entries: &[&str]) -> Vec<u64> {
        going(&self.plan(entries, &[]))
    }
}

fn plan_of(survey: &PackageSurvey, entries: &[&str], keep: &[&str]) -> PackagePlan {
    let selectors: Vec<PackageSelector> =
        entries.iter().map(|entry| format!("org/app{entry}").parse().unwrap()).collect();
    let selectors: Vec<_> = selectors.iter().collect();
    let keep: Vec<Pattern> = keep.iter().map(|pattern| pattern.parse().unwrap()).collect();
    plan(&PackageRequest { selectors: &selectors, keep: &keep, now: now() }, survey)
}

fn going(plan: &PackagePlan) -> Vec<u64> {
    plan.going().map(|planned| planned.version.id).collect()
}

/// Why a version stays; `None` if it goes or is not named.
fn reason(plan: &PackagePlan, id: u64) -> Option<String> {
    plan.versions.iter().find(|planned| planned.version.id == id).and_then(|planned| match &planned.action {
        VersionAction::Keep(reason) => Some(reason.to_string()),
        VersionAction::Remove { .. } => None,
    })
}

#[test]
fn a_version_goes_only_with_all_its_tags() {
    let mut it = Fixture::new();
    let (cache, both, main) = (
        it.version(&["pr-1-cache"], &[], 0),
        it.version(&["pr-2-cache", "stable"], &[], 0),
        it.version(&["x"], &[], 0),
    );
    let plan = it.plan(&[":*-cache"], &[]);
    assert_eq!(going(&plan), [cache]);
    assert_eq!(reason(&plan, both).as_deref(), Some("also tagged stable"));
    assert_eq!(reason(&plan, main), None);
    assert_eq!(plan.left(), ["org/app:pr-1-cache is still there", "org/app:pr-2-cache stays: also tagged stable"]);
    // Tags may be named by different entries.
    assert_eq!(it.going(&[":*-cache", ":stable"]), [cache, both]);
}

#[test]
fn an_index_goes_before_its_children_and_a_shared_child_stays() {
    let mut it = Fixture::new();
    let (own, shared, attestation) = (it.version(&[], &[], 9), it.version(&[], &[], 9), it.version(&[], &[], 9));
    let old = it.version(&["pr-1"], &[own, shared, attestation], 9);
    it.version(&["main"], &[shared], 9);
    let plan = it.plan(&[":pr-*;untagged"], &[]);
    assert_eq!(going(&plan), [old, own, attestation]);
    let withs: Vec<_> = plan
        .going()
        .map(|planned| match &planned.action {
            VersionAction::Remove { after, with } => (after.iter().copied().collect::<Vec<_>>(), with.clone()),
            VersionAction::Keep(_) => panic!(),
        })
        .collect();
    assert_eq!(withs[0], (vec![], None));
    assert_eq!(withs[1], (vec![old], Some("org/app:pr-1".to_owned())));
    // A blob that something else holds is not freed.
    assert_eq!(plan.going().map(|planned| planned.bytes).collect::<Vec<_>>(), [100, 100, 100]);
}

#[test]
fn a_child_with_a_tag_that_matches_stays_with_its_index() {
    let mut it = Fixture::new();
    let child = it.version(&["main-amd64"], &[], 9);
    it.version(&["main"], &[child], 9);
    let plan = it.plan(&[":*-amd64"], &[]);
    assert_eq!(going(&plan), [] as [u64; 0]);
    assert_eq!(reason(&plan, child).as_deref(), Some("it belongs to org/app:main, which stays"));
    assert_eq!(plan.left(), ["org/app:main-amd64 stays: it belongs to org/app:main, which stays"]);
}

#[test]
fn signatures_and_attestations_share_the_fate_of_their_image() {
    for (entry, goes) in [(":pr-1", true), (":other", false), (":*.sig", false), (";untagged", false)] {
        let mut it = Fixture::new();
        let platform = it.version(&[], &[], 9);
        let image = it.version(&["pr-1"], &[platform], 9);
        let hex = |id: u64| digest(id).replace("sha256:", "sha256-");
        let signature = it.version(&[&format!("{}.sig", hex(image))], &[], 9);
        let of_platform = it.version(&[&format!("{}.att", hex(platform))], &[], 9);
        let about = it.about(image, &[]);
        let listed = it.version(&[], &[], 9);
        let fallback = it.version(&[&hex(image)], &[listed], 9);
        it.version(&["main"], &[], 9);
        let went: BTreeSet<u64> = it.going(&[entry]).into_iter().collect();
        let all = BTreeSet::from([platform, image, signature, of_platform, about, listed, fallback]);
        assert_eq!(went, if goes { all } else { BTreeSet::new() }, "{entry}");
    }
}

#[test]
fn what_is_left_of_an_image_that_is_gone_is_untagged_or_goes_by_its_tag() {
    let mut it = Fixture::new();
    let orphan = it.version(&[], &[], 9);
    let signature = it.version(&[&format!("sha256-{}.sig", "a".repeat(64))], &[], 9);
    it.version(&["main"], &[], 9);
    assert_eq!(it.going(&[";untagged"]), [orphan]);
    assert_eq!(it.going(&[":sha256-*.sig"]), [signature]);
}

#[test]
fn ages_narrow_down_and_the_newest_stay() {
    let mut it = Fixture::new();
    for days in [1, 2, 3, 40, 50] {
        it.version(&[&format!("sha-{days}")], &[], days);
        it.version(&[], &[], days);
    }
    it.version(&["main"], &[], 100);
    assert_eq!(it.going(&[":sha-*;older-than=30d"]), [7, 9]);
    let plan = it.plan(&[":sha-*;keep-latest=2"], &[]);
    assert_eq!(going(&plan), [5, 7, 9]);
    assert_eq!(reason(&plan, 1).as_deref(), Some("one of the newest, and keep-latest=2"));
    assert_eq!(it.going(&[":sha-*;keep-latest=4;older-than=10d"]), [9]);
    assert_eq!(it.going(&[":sha-*;untagged;keep-latest=4"]), [9, 10]);
    // Entries stand each for itself.
    assert_eq!(it.going(&[":sha-*;keep-latest=4", ":sha-1"]), [1, 9]);
}

#[test]
fn the_layers_of_a_cache_go_and_stay_with_it() {
    let mut it = Fixture::new();
    it.version(&["main"], &[], 9);
    let old = it.version(&["v1-cache"], &[], 9);
    let of_old = it.version(&["v1-layers-cache"], &[], 3);
    let new = it.version(&["v2-cache"], &[], 8);
    let of_new = it.version(&["v2-layers-cache"], &[], 2);
    assert_eq!(it.going(&[":v?-cache"]), [old, of_old, new, of_new]);
    assert_eq!(it.going(&[":v?-cache;keep-latest=1"]), [old, of_old], "they are younger than what they are of");
    assert_eq!(it.going(&[":v?-cache;keep-latest=2"]), [0; 0]);
}

#[test]
fn a_push_that_goes_on_is_left_alone() {
    let mut it = Fixture::new();
    let pushed = it.version(&[], &[], 0);
    it.survey.versions[0].updated = now() - TimeDelta::minutes(5);
    it.version(&["main"], &[], 0);
    let plan = it.plan(&[";untagged"], &[]);
    assert_eq!(going(&plan), [] as [u64; 0]);
    assert!(reason(&plan, pushed).unwrap().contains("a push may be going on"));
    assert_eq!(it.going(&[";untagged;older-than=1m"]), [pushed]);
    assert_eq!(it.going(&[";untagged;older-than=10m"]), [] as [u64; 0]);
}

#[test]
fn keep_holds_for_parts_as_well() {
    let mut it = Fixture::new();
    let child = it.version(&[], &[], 9);
    let index = it.version(&["pr-1"], &[child], 9);
    let second = it.version(&["pr-2"], &[], 9);
    it.version(&["main"], &[], 9);
    let plan = it.plan(&[":pr-*"], &["ghcr.io/org/app:pr-1"]);
    assert_eq!((going(&plan), reason(&plan, index)), (vec![second], Some("keep: ghcr.io/org/app:pr-1".into())));
    let of_child = format!("ghcr.io/org/*@{}", digest(child));
    assert_eq!(going(&it.plan(&[":pr-*"], &[&of_child])), [index, second]);
    assert_eq!(going(&it.plan(&[":pr-*"], &["org/app"])), [index, child, second], "another registry's");
}

#[test]
fn what_keep_may_mean_stays() {
    let mut it = Fixture::new();
    let child = it.version(&[], &[], 9);
    let (index, second) = (it.version(&["pr-1"], &[child], 9), it.version(&["pr-2"], &[], 9));
    it.version(&["main"], &[], 9);
    // A label stands in the image, which nobody reads.
    let plan = it.plan(&[":pr-*"], &["label=team"]);
    assert_eq!(going(&plan), [] as [u64; 0]);
    assert_eq!(reason(&plan, index).as_deref(), Some("keep: label=team, which cannot be told of a package version"));
    assert_eq!(plan.left().len(), 2, "{:?}", plan.left());
    // On a graph driver the id of an image is the digest of its config.
    let config = format!("sha256:{:064x}", 77);
    it.survey.manifests.get_mut(&digest(second)).unwrap().as_mut().unwrap().blobs.push((config.clone(), 1));
    let plan = it.plan(&[":pr-*"], &[&config]);
    assert_eq!((going(&plan), reason(&plan, second)), (vec![index, child], Some(format!("keep: {config}"))));
    it.break_manifest(second);
    let plan = it.plan(&[":pr-*"], &[&config]);
    assert!(!going(&plan).contains(&second), "{plan:?}");
}

#[test]
fn what_is_pushed_after_the_plan_holds_what_it_needs() {
    let mut it = Fixture::new();
    let (own, shared, orphan) = (it.version(&[], &[], 9), it.version(&[], &[], 9), it.version(&[], &[], 9));
    let index = it.version(&["pr-1"], &[own, shared], 9);
    it.version(&["main"], &[], 9);
    let plan = it.plan(&[":pr-*;untagged"], &[]);
    // One image with its parts, and then the next one.
    assert_eq!(going(&plan), [index, own, shared, orphan]);
    let stays = |it: &Fixture| stays_after_all(&plan, &it.survey);
    assert_eq!(stays(&it), BTreeMap::new());
    // The index is removed by now, and what is left of it is no reason to keep its parts.
    it.survey.versions.retain(|version| version.id != index);
    assert_eq!(stays(&it), BTreeMap::new());
    // Ids and digests of versions are numbers of the fixture: the next one is as long as the list.
    it.survey.versions.push(Version { id: 50, digest: digest(50), tags: BTreeSet::new(), updated: now() });
    it.survey.manifests.insert(digest(50), Ok(Manifest { children: vec![digest(shared)], ..Manifest::default() }));
    let name = it.survey.package.name_of(it.survey.versions.last().unwrap());
    assert_eq!(stays(&it), BTreeMap::from([(shared, VersionKept::PartOf(name.clone()))]));
    // Until its manifest is read, it may be made of anything.
    it.survey.manifests.remove(&digest(50));
    let unread = VersionKept::Unread { what: name, why: "it was not read".into() };
    assert_eq!(stays(&it), [own, shared, orphan, index].map(|id| (id, unread.clone())).into());
    it.survey.versions.pop();
    // A tag, or a push of the same content.
    it.survey.versions[0].tags.insert("amd64".into());
    it.survey.versions[2].updated = now();
    let expected = [(own, VersionKept::AlsoTagged("amd64".into())), (orphan, VersionKept::Changed)];
    assert_eq!(stays(&it), expected.into());
    // A tag that has moved on to another version.
    it.version(&["pr-9"], &[], 9);
    let plan = it.plan(&[":pr-9"], &[]);
    let (moved, again) = (it.survey.versions.len() - 1, it.survey.clone());
    it.survey.versions[moved].tags.clear();
    assert_eq!(stays_after_all(&plan, &it.survey).into_values().collect::<Vec<_>>(), [VersionKept::Changed]);
    it.survey = again;
    it.survey.versions[moved].updated = now();
    assert_eq!(stays_after_all(&plan, &it.survey).into_values().collect::<Vec<_>>(), [VersionKept::Changed]);
}

#[test]
fn what_is_left_of_a_removed_image_is_named_with_a_way_to_continue() {
    let mut it = Fixture::new();
    let (own, stays) = (it.version(&[], &[], 9), it.version(&["main"], &[], 9));
    let index = it.version(&["pr-1"], &[own], 9);
    let before = it.plan(&[":pr-1"], &[]);
    assert_eq!(going(&before), [index, own]);
    let orphans = |it: &Fixture, entry: &str| before.orphans(&it.plan(&[entry], &[]), &it.survey);
    // What the second plan names anyway, it says itself.
    assert_eq!(orphans(&it, ":pr-1"), [""; 0]);
    it.survey.versions.retain(|version| version.id != index);
    let name = it.survey.package.name_of(&it.survey.versions[0]);
    let expected = format!("{name} is still there; to continue, name it as `package=org/app;untagged;older-than=1m`");
    assert_eq!(orphans(&it, ":pr-1"), [expected]);
    assert_eq!(orphans(&it, ":pr-1;untagged"), [""; 0]);
    let latest = orphans(&it, ":pr-1;untagged;keep-latest=1");
    assert!(latest.len() == 1 && latest[0].contains("stays: the newest one"), "{latest:?}");
    assert!(it.survey.versions.iter().any(|version| version.id == stays));
    it.survey.versions.retain(|version| version.id == stays);
    assert_eq!(orphans(&it, ":pr-1"), [""; 0]);
}

#[test]
fn nothing_goes_while_a_manifest_that_stays_is_unread() {
    let mut it = Fixture::new();
    let (cache, main) = (it.version(&["pr-1"], &[], 9), it.version(&["main"], &[], 9));
    let orphan = it.version(&[], &[], 9);
    it.break_manifest(main);
    let plan = it.plan(&[":pr-*;untagged"], &[]);
    assert_eq!(going(&plan), [] as [u64; 0]);
    for id in [cache, orphan] {
        let reason = reason(&plan, id).unwrap();
        assert_eq!(reason, "it may belong to org/app:main, whose manifest could not be read (500)");
    }
    assert_eq!(plan.left().len(), 2);
    // One that goes may be unread: its parts stay, and nothing else.
    it.survey.manifests.insert(digest(main), Ok(Manifest::default()));
    it.break_manifest(cache);
    assert_eq!(it.going(&[":pr-*;untagged"]), [cache, orphan]);
    // One without a tag may be about something that stays.
    it.break_manifest(orphan);
    assert_eq!(it.going(&[";untagged"]), [] as [u64; 0]);
    it.survey.manifests.remove(&digest(main));
    assert_eq!(it.going(&[":pr-*"]), [] as [u64; 0], "never read is unread");
}

#[test]
fn the_last_tagged_version_is_left_to_a_person() {
    let mut it = Fixture::new();
    let child = it.version(&[], &[], 1);
    let (new, old) = (it.version(&["b"], &[child], 1), it.version(&["a"], &[], 9));
    let plan = it.plan(&[":*;untagged"], &[]);
    assert_eq!(going(&plan), [old]);
    assert!(reason(&plan, new).unwrap().contains("delete the package itself"));
    assert_eq!(plan.left().len(), 2);
}

#[test]
fn the_reasons_of_versions_read_well() {
    let reasons = [
        VersionKept::Latest(1),
        VersionKept::Fresh,
        VersionKept::Unreadable("timed out".into()),
        VersionKept::Unclear,
        VersionKept::LastTagged,
    ];
    let texts: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(texts.join("\n"), @"
    the newest one, and keep-latest=1
    without a tag for less than an hour, a push may be going on; an older-than=… of the entry decides instead
    its manifest could not be read (timed out), it may belong to another version
    nothing tells which version it belongs to
    GitHub does not remove the last tagged version of a package: delete the package itself in its settings
    ");
}

/// A version at random: tags, children, subject, age in days, whether its manifest can be read.
type Drawn = (BTreeSet<usize>, BTreeSet<usize>, Option<usize>, i64, bool);

const TAGS: [&str; 6] = ["a1", "a2", "b1", "b2", "sha256-1", "sha256-2"];

fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
    let version = (
        prop::collection::btree_set(0..TAGS.len(), 0..3),
        prop::collection::btree_set(0..10_usize, 0..3),
        prop::option::weighted(0.2, 0..10_usize),
        0..4_i64,
        prop::bool::weighted(0.97),
    );
    prop::collection::vec(version, 0..10)
}

fn survey_of(drawn: &[Drawn]) -> PackageSurvey {
    let mut it = Fixture::new();
    let mut used = BTreeSet::new();
    for (tags, children, subject, days, is_read) in drawn {
        let own: Vec<String> = tags
            .iter()
            .filter(|tag| used.insert(**tag))
            .map(|tag| match TAGS[*tag].strip_prefix("sha256-") {
                Some(number) => format!("sha256-{:064x}.sig", number.parse::<u64>().unwrap()),
                None => TAGS[*tag].to_owned(),
            })
            .collect();
        let children: Vec<u64> = children.iter().map(|child| *child as u64 + 1).collect();
        let id = it.version(&own.iter().map(String::as_str).collect::<Vec<_>>(), &children, *days);
        if let Some(subject) = subject {
            it.survey.manifests.get_mut(&digest(id)).unwrap().as_mut().unwrap().subject =
                Some(digest(*subject as u64 + 1));
        }
        if !is_read {
            it.break_manifest(id);
        }
    }
    it.survey
}

/// Whether `below` is a part of `above` or is about it, said once more and in another way.
fn belongs(survey: &PackageSurvey, below: &Version, above: &Version) -> bool {
    let hex = above.digest.replace("sha256:", "sha256-");
    below.id != above.id
        && (survey.manifest(&above.digest).is_some_and(|manifest| manifest.children.contains(&below.digest))
            || survey.manifest(&below.digest).is_some_and(|manifest| manifest.subject.as_ref() == Some(&above.digest))
            || below.tags.iter().any(|tag| tag.starts_with(&hex)))
}

proptest! {
    #[test]
    fn what_is_protected_never_goes_and_what_matches_is_never_passed_over(
        drawn in drawn(),
        entries in prop::collection::btree_set(0..6_usize, 1..3),
        keep in prop::option::weighted(0.3, 0..2_usize),
    ) {
        let survey = survey_of(&drawn);
        let choices = [":a*", ":*1", ":*", ";untagged", ":b?;older-than=2d", ":*;untagged;keep-latest=2"];
        let entries: Vec<&str> = entries.into_iter().map(|entry| choices[entry]).collect();
        let kept_tag = keep.map(|keep| ["a1", "b1"][keep]);
        let keep: Vec<String> = kept_tag.iter().map(|tag| format!("ghcr.io/org/app:{tag}")).collect();
        let plan = plan_of(&survey, &entries, &keep.iter().map(String::as_str).collect::<Vec<_>>());
        let gone: BTreeSet<u64> = going(&plan).into_iter().collect();
        let stays: Vec<&Version> = survey.versions.iter().filter(|version| !gone.contains(&version.id)).collect();
        let is_own = |tag: &str| !tag.starts_with("sha256-");
        let named = |tag: &str| entries.iter().any(|entry| match *entry {
            ":a*" => tag.starts_with('a'),
            ":*1" => tag.ends_with('1'),
            ":*" | ":*;untagged;keep-latest=2" => true,
            ":b?;older-than=2d" => tag.starts_with('b') && tag.len() == 2,
            _ => false,
        });

        for version in survey.versions.iter().filter(|version| gone.contains(&version.id)) {
            for other in &stays {
                prop_assert!(!belongs(&survey, version, other), "{} belongs to {}", version.id, other.id);
            }
            prop_assert!(kept_tag.is_none_or(|tag| !version.tags.contains(tag)));
            prop_assert!(version.tags.iter().filter(|tag| is_own(tag)).all(|tag| named(tag)), "{version:?}");
        }
        if !gone.is_empty() {
            prop_assert!(stays.iter().all(|version| survey.unread(&version.digest).is_none()));
            let tagged = survey.versions.iter().any(Version::is_tagged);
            let whole = stays.iter().any(|version| version.is_tagged() || !tagged);
            let only_about = survey.versions.iter().filter(|it| it.is_tagged()).all(|it| !it.tags.iter().any(|t| is_own(t)));
            prop_assert!(whole || only_about, "no tagged version is left");
        }
        // Each is removed once, and after everything that it belongs to.
        let order = going(&plan);
        prop_assert_eq!(order.len(), gone.len());
        for planned in plan.going() {
            let VersionAction::Remove { after, .. } = &planned.action else { unreachable!() };
            let at = order.iter().position(|id| *id == planned.version.id).unwrap();
            prop_assert!(after.iter().all(|id| order[..at].contains(id)));
        }
        // What is named goes or says why not, and every reason is true.
        let certain = |entry: &&str| !entry.contains(';');
        for version in &survey.versions {
            let own: Vec<_> = version.tags.iter().filter(|tag| is_own(tag)).collect();
            let by_tag = entries.iter().filter(|entry| certain(entry));
            let surely = !own.is_empty() && own.len() == version.tags.len()
                && own.iter().all(|tag| by_tag.clone().any(|entry| named_by(entry, tag)));
            if surely && !gone.contains(&version.id) {
                prop_assert!(reason(&plan, version.id).is_some(), "{version:?} is passed over");
            }
        }
        for planned in &plan.versions {
            let VersionAction::Keep(reason) = &planned.action else { continue };
            let version = &planned.version;
            let holds = match reason {
                VersionKept::Pattern(_) => version.tags.contains(kept_tag.unwrap_or_default()),
                VersionKept::AlsoTagged(tag) => {
                    version.tags.contains(tag) && !entries.iter().filter(|entry| certain(entry)).any(|entry| named_by(entry, tag))
                }
                VersionKept::Latest(number) => *number == 2,
                VersionKept::Fresh | VersionKept::Changed | VersionKept::Unknown(_) => false,
                VersionKept::PartOf(_) => stays.iter().any(|other| belongs(&survey, version, other)),
                VersionKept::Unread { .. } => stays.iter().any(|other| survey.unread(&other.digest).is_some()),
                VersionKept::Unreadable(_) => survey.unread(&version.digest).is_some() && !version.is_tagged(),
                VersionKept::Unclear => survey.versions.iter().any(|other| belongs(&survey, version, other)),
                VersionKept::LastTagged => {
                    let mut others = stays.iter().filter(|other| other.id != version.id && other.is_tagged());
                    others.all(|other| stays.iter().any(|above| belongs(&survey, other, above)))
                        || stays.iter().any(|other| survey.unread(&other.digest).is_some())
                }
            };
            prop_assert!(holds, "{version:?} does not stay because {reason}");
        }
    }
}

fn named_by(entry: &str, tag: &str) -> bool {
    match entry {
        ":a*" => tag.starts_with('a'),
        ":*1" => tag.ends_with('1'),
        ":*" => true,
        _ => false,
    }
}

//! What happened to a package between its plan and a removal.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::graph::Graph;
use super::{PackagePlan, PackageSurvey, Version, VersionKept};

/// The versions of a plan that must stay after all, by their ids, each with the reason.
///
/// That is what got or lost a tag, or was pushed again; what belongs to a version that does not go, as to an index that was
/// pushed meanwhile; and everything if the manifest of one that does not go could not be read.
pub fn stays_after_all(plan: &PackagePlan, now: &PackageSurvey) -> BTreeMap<u64, VersionKept> {
    let graph = Graph::new(now);
    let going: BTreeMap<u64, &Version> = plan.going().map(|planned| (planned.version.id, &planned.version)).collect();
    let mut stays: BTreeMap<u64, VersionKept> = BTreeMap::new();
    let mut open: Vec<usize> = Vec::new();
    for (at, version) in now.versions.iter().enumerate() {
        match going.get(&version.id).map(|before| changed(before, version)) {
            // It goes as it was planned.
            Some(None) => continue,
            Some(Some(reason)) => {
                stays.insert(version.id, reason);
            }
            None => {}
        }
        open.push(at);
    }
    let mut unread = None;
    while let Some(at) = open.pop() {
        let Some(above) = now.versions.get(at) else { continue };
        let what = || now.package.name_of(above);
        if let Some(why) = now.unread(&above.digest) {
            unread = Some(VersionKept::Unread { what: what(), why: why.to_owned() });
        }
        for below in graph.below(at) {
            let Some(version) = now.versions.get(below).filter(|version| going.contains_key(&version.id)) else {
                continue;
            };
            if let Entry::Vacant(entry) = stays.entry(version.id) {
                entry.insert(VersionKept::PartOf(what()));
                open.push(below);
            }
        }
    }
    if let Some(reason) = unread {
        for id in going.keys() {
            stays.entry(*id).or_insert_with(|| reason.clone());
        }
    }
    stays
}

/// Why a version is not the one any more that was planned.
pub fn changed(before: &Version, now: &Version) -> Option<VersionKept> {
    if let Some(tag) = now.tags.difference(&before.tags).next() {
        return Some(VersionKept::AlsoTagged(tag.clone()));
    }
    (now.tags != before.tags || now.updated > before.updated).then_some(VersionKept::Changed)
}

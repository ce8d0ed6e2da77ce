//! Which versions of a package the entries name, before anything is known of what belongs together.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::graph::Graph;
use super::{PackageRequest, PackageSelector, PackageSurvey, Version, VersionKept};
use crate::image::ImageReference;
use crate::image::pattern::{Candidate, Pattern};
use crate::registry::cache_tag::cache_of_layers;

/// What the entries say about a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    NotNamed,
    /// It goes, as far as they are concerned.
    Taken,
    /// It is named, and stays all the same.
    Kept(VersionKept),
}

/// One for each version of the survey. Versions that belong to others are not named, but `keep` and an unread manifest
/// hold for them as well.
pub(super) fn verdicts(request: &PackageRequest<'_>, survey: &PackageSurvey, graph: &Graph) -> Vec<Verdict> {
    let latest: Vec<BTreeSet<u64>> =
        request.selectors.iter().map(|selector| latest_of(selector, survey, graph)).collect();
    let entries: Vec<_> = request.selectors.iter().copied().zip(&latest).collect();
    let versions = survey.versions.iter().enumerate();
    versions
        .map(|(at, version)| {
            let verdict = if !graph.is_image(at) {
                Verdict::NotNamed
            } else if version.tags.is_empty() {
                untagged(request, &entries, version)
            } else {
                tagged(request, &entries, version)
            };
            if let Some(pattern) = kept_by(request, survey, version) {
                return Verdict::Kept(VersionKept::Pattern(pattern));
            }
            if let Some(pattern) = maybe_kept_by(request, survey, version).filter(|_| verdict == Verdict::Taken) {
                return Verdict::Kept(VersionKept::Unknown(pattern));
            }
            match survey.unread(&version.digest) {
                // What it is about stands in its manifest alone.
                Some(why) if version.tags.is_empty() && verdict == Verdict::Taken => {
                    Verdict::Kept(VersionKept::Unreadable(why.to_owned()))
                }
                _ => verdict,
            }
        })
        .collect()
}

type Entry<'a> = (&'a PackageSelector, &'a BTreeSet<u64>);

fn tagged(request: &PackageRequest<'_>, entries: &[Entry<'_>], version: &Version) -> Verdict {
    let (mut taken, mut latest, mut other) = (false, None, None);
    for tag in &version.tags {
        let naming = entries
            .iter()
            .filter(|(selector, _)| selector.matches_tag(tag) && selector.is_old_enough(version.updated, request.now));
        match newest(naming, version) {
            Verdict::Taken => taken = true,
            Verdict::Kept(reason) => latest = Some(reason),
            Verdict::NotNamed => other = Some(tag),
        }
    }
    match (latest, other) {
        (Some(reason), _) => Verdict::Kept(reason),
        (None, Some(tag)) if taken => Verdict::Kept(VersionKept::AlsoTagged(tag.clone())),
        (None, Some(_)) => Verdict::NotNamed,
        (None, None) => Verdict::Taken,
    }
}

fn untagged(request: &PackageRequest<'_>, entries: &[Entry<'_>], version: &Version) -> Verdict {
    let naming: Vec<_> = entries
        .iter()
        .filter(|(selector, _)| selector.takes_untagged() && selector.is_old_enough(version.updated, request.now))
        .collect();
    if !naming.is_empty() && naming.iter().all(|(selector, _)| selector.is_fresh(version.updated, request.now)) {
        return Verdict::Kept(VersionKept::Fresh);
    }
    let ripe = naming.into_iter().filter(|(selector, _)| !selector.is_fresh(version.updated, request.now));
    newest(ripe, version)
}

/// Entries stand each for itself: one that takes a version is enough, whatever another keeps.
fn newest<'a>(naming: impl Iterator<Item = &'a Entry<'a>>, version: &Version) -> Verdict {
    let mut verdict = Verdict::NotNamed;
    for (selector, latest) in naming {
        if !latest.contains(&version.id) {
            return Verdict::Taken;
        }
        verdict = Verdict::Kept(VersionKept::Latest(selector.keep_latest));
    }
    verdict
}

/// The newest images that an entry names, whatever their age: those with tags and those without, so many of each; and the
/// layers of the caches among them, which are no images of their own.
fn latest_of(selector: &PackageSelector, survey: &PackageSurvey, graph: &Graph) -> BTreeSet<u64> {
    let images = survey.versions.iter().enumerate().filter(|(at, _)| graph.is_image(*at)).map(|(_, version)| version);
    let mut named: BTreeMap<bool, Vec<&Version>> = BTreeMap::new();
    for version in images {
        let is_tagged = !version.tags.is_empty();
        let is_named =
            if is_tagged { version.tags.iter().any(|tag| selector.names_tag(tag)) } else { selector.takes_untagged() };
        if is_named {
            named.entry(is_tagged).or_default().push(version);
        }
    }
    let newest = named.into_values().flat_map(|mut versions| {
        versions.sort_by_key(|version| Reverse((version.updated, version.id)));
        versions.into_iter().take(selector.keep_latest)
    });
    let newest: Vec<&Version> = newest.collect();
    let is_latest = |tag: &String| newest.iter().any(|version| version.tags.contains(tag));
    let has_layers_of_one =
        |version: &&Version| version.tags.iter().filter_map(|tag| cache_of_layers(tag)).any(|cache| is_latest(&cache));
    let layers = survey.versions.iter().filter(has_layers_of_one);
    newest.iter().copied().chain(layers).map(|version| version.id).collect()
}

/// The entry of `keep` that names a version, under any of its names.
fn kept_by(request: &PackageRequest<'_>, survey: &PackageSurvey, version: &Version) -> Option<String> {
    let repository = format!("{}/{}", survey.registry, survey.package);
    let digests = [format!("{repository}@{}", version.digest)];
    let labels = BTreeMap::new();
    let by_tag = version.tags.iter().map(|tag| format!("{repository}:{tag}"));
    let names: Vec<Option<ImageReference>> =
        by_tag.chain(digests.iter().cloned()).map(|name| name.parse().ok()).collect();
    let blobs = survey.manifest(&version.digest).map(|manifest| manifest.blobs.as_slice()).unwrap_or_default();
    let ids: Vec<&str> = [version.digest.as_str()].into_iter().chain(blobs.iter().map(|(id, _)| id.as_str())).collect();
    let names_it = |pattern: &&Pattern| {
        names.iter().flat_map(|name| ids.iter().map(move |id| (name, *id))).any(|(name, id)| {
            let candidate = Candidate {
                name: name.as_ref(),
                id,
                digests: &digests,
                labels: &labels,
                created: Some(version.updated),
            };
            pattern.matches(&candidate, request.now)
        })
    };
    request.keep.iter().find(names_it).map(ToString::to_string)
}

/// The entry of `keep` of which nothing tells whether it names a version: labels stand in the image alone, and the digest of
/// its config in its manifest.
fn maybe_kept_by(request: &PackageRequest<'_>, survey: &PackageSurvey, version: &Version) -> Option<String> {
    let is_unread = survey.unread(&version.digest).is_some();
    let maybe = request.keep.iter().find(|pattern| pattern.is_by_label() || is_unread && pattern.is_by_id());
    maybe.map(ToString::to_string)
}

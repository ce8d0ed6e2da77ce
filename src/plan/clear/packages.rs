//! The plan for the versions of a container package at GitHub: what goes, what stays and why.
//!
//! A pure function of the entries `package=…`, of the versions that GitHub lists, and of what their manifests say. A
//! version is one manifest; an image of several platforms is an index with a version for each of them, which have no tags.
//! When in doubt a version stays.

mod graph;
mod manifest;
mod meanwhile;
mod named;
mod print;
mod selector;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};

use crate::image::pattern::Pattern;
use graph::Graph;
pub use manifest::Manifest;
pub use meanwhile::{changed, stays_after_all};
use named::Verdict;
pub use selector::{Package, PackageSelector, PackageSelectorError};

/// A version of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// What GitHub removes it by.
    pub id: u64,
    /// The digest of its manifest: `sha256:…`.
    pub digest: String,
    /// Its tags.
    pub tags: BTreeSet<String>,
    /// When it changed last: it was pushed then, or a tag came or went.
    pub updated: DateTime<Utc>,
}

/// What there is of one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageSurvey {
    /// The package.
    pub package: Package,
    /// The host of its registry: `ghcr.io`.
    pub registry: String,
    /// Every version that is not deleted.
    pub versions: Vec<Version>,
    /// The manifests by digest, or why one could not be read. One that is not in it counts as unread.
    pub manifests: BTreeMap<String, Result<Manifest, String>>,
}

/// What will become of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackagePlan {
    /// The package.
    pub package: Package,
    /// Every version that goes, in the order in which to remove them, and every one that is named and stays.
    pub versions: Vec<PlannedVersion>,
}

/// A version that goes, or that is named and stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedVersion {
    /// The version.
    pub version: Version,
    /// Bytes, by its manifest; of one that goes those that nothing holds which stays, nor anything that goes before it.
    pub bytes: u64,
    /// What to do.
    pub action: VersionAction,
}

/// What to do with a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionAction {
    /// Remove it.
    Remove {
        /// The ids of the versions that it is part of or about. All of them are removed before, or it stays.
        after: BTreeSet<u64>,
        /// What it is part of or about, if it is not named itself: `org/app:pr-1`.
        with: Option<String>,
    },
    /// Leave it alone.
    Keep(VersionKept),
}

/// Why a version stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionKept {
    /// An entry of `keep` names it.
    Pattern(String),
    /// An entry of `keep` might name it: it goes by what no registry tells of a version.
    Unknown(String),
    /// It has a tag that nothing names.
    AlsoTagged(String),
    /// It is one of the newest that the entry names, and the entry keeps so many.
    Latest(usize),
    /// It has no tag, and it is so new that a build may be about to give it one.
    Fresh,
    /// It was pushed again, or lost a tag, since it was planned.
    Changed,
    /// It is part of a version that stays, or about one: a signature, an attestation.
    PartOf(String),
    /// A manifest that stays could not be read, and this one may be part of it.
    Unread {
        /// Whose manifest: `org/app:1.0`.
        what: String,
        /// Why it could not be read.
        why: String,
    },
    /// Its own manifest could not be read, so it may be about another version.
    Unreadable(String),
    /// Nothing tells what it belongs to.
    Unclear,
    /// GitHub removes all tagged versions of a package but the last.
    LastTagged,
}

/// What to decide a package by.
#[derive(Debug, Clone, Copy)]
pub struct PackageRequest<'a> {
    /// The entries for this package.
    pub selectors: &'a [&'a PackageSelector],
    /// The input `keep`: references match a tag under its full name, `ghcr.io/org/app:1`; digests the manifest's, ids that
    /// or any of its blobs' (an engine may call an image by the digest of its config). Where nothing tells whether an entry
    /// holds, as with a label, the version stays.
    pub keep: &'a [Pattern],
    /// The time that ages are counted from.
    pub now: DateTime<Utc>,
}

impl PackageRequest<'_> {
    /// Whether the entries could name a version, whatever else there is.
    pub fn may_name(&self, version: &Version) -> bool {
        self.selectors.iter().any(|selector| {
            version.tags.iter().any(|tag| selector.matches_tag(tag))
                || !version.is_tagged() && selector.takes_untagged()
        })
    }
}

/// Decides what goes.
///
/// 1. An *image* is a version with a tag of its own, or one without that no other version is made of and that is about no
///    other. Only images are named by the entries; what belongs to one shares its fate.
/// 2. Whatever an image that stays is made of stays, and so does what is about it: children of an index, attestations,
///    signatures (OCI `subject`, or a tag `sha256-<digest>…` as cosign and the referrers tag schema write it).
/// 3. If the manifest of any version that stays could not be read, nothing is known of what it is made of: all stay.
pub fn plan(request: &PackageRequest<'_>, survey: &PackageSurvey) -> PackagePlan {
    let graph = Graph::new(survey);
    let verdicts = named::verdicts(request, survey, &graph);
    let mut fates = Fates { survey, graph: &graph, verdicts, stays: BTreeMap::new() };
    fates.settle();
    PackagePlan { package: survey.package.clone(), versions: fates.planned() }
}

/// Versions by their place in the survey.
struct Fates<'a> {
    survey: &'a PackageSurvey,
    graph: &'a Graph,
    verdicts: Vec<Verdict>,
    /// What stays, with the reason; `None` if no entry names it.
    stays: BTreeMap<usize, Option<VersionKept>>,
}

impl Fates<'_> {
    fn settle(&mut self) {
        let belongs = self.graph.reached(self.graph.images());
        for (at, verdict) in self.verdicts.iter().enumerate() {
            let reason = match verdict {
                Verdict::Kept(reason) => Some(reason.clone()),
                // What belongs to an image shares its fate, which follows.
                _ if !self.graph.is_image(at) && belongs.contains(&at) => continue,
                _ if !self.graph.is_image(at) => Some(VersionKept::Unclear),
                Verdict::Taken => continue,
                Verdict::NotNamed => None,
            };
            self.stays.insert(at, reason);
        }
        self.spread();
        self.keep_the_last_one();
        self.spread();
        self.fail_closed();
    }

    /// What belongs to something that stays, stays.
    fn spread(&mut self) {
        let mut open: Vec<usize> = self.stays.keys().copied().collect();
        while let Some(at) = open.pop() {
            for below in self.graph.below(at) {
                if !self.stays.contains_key(&below) {
                    self.stays.insert(below, Some(VersionKept::PartOf(self.name(at))));
                    open.push(below);
                }
            }
        }
    }

    /// GitHub answers 400 "You cannot delete the last tagged version of a package", and the same for the last one of all.
    fn keep_the_last_one(&mut self) {
        let any_tagged = self.survey.versions.iter().any(Version::is_tagged);
        let versions = self.survey.versions.iter().enumerate();
        let counts: Vec<_> = versions.filter(|(_, version)| version.is_tagged() || !any_tagged).collect();
        if counts.iter().any(|(at, _)| self.stays.contains_key(at)) {
            return;
        }
        let images = counts.into_iter().filter(|(at, _)| self.graph.is_image(*at));
        if let Some((at, _)) = images.max_by_key(|(_, version)| (version.updated, version.id)) {
            self.stays.insert(at, Some(VersionKept::LastTagged));
        }
    }

    fn fail_closed(&mut self) {
        let unread = self.stays.keys().find_map(|at| {
            let why = self.survey.unread(&self.survey.versions.get(*at)?.digest)?;
            Some(VersionKept::Unread { what: self.name(*at), why: why.to_owned() })
        });
        let Some(reason) = unread else { return };
        for at in 0..self.survey.versions.len() {
            self.stays.entry(at).or_insert_with(|| Some(reason.clone()));
        }
    }

    fn name(&self, at: usize) -> String {
        self.survey.versions.get(at).map(|version| self.survey.package.name_of(version)).unwrap_or_default()
    }

    fn planned(&self) -> Vec<PlannedVersion> {
        let mut planned = self.going();
        planned.extend(self.stays.iter().filter_map(|(at, reason)| {
            let is_named = matches!(self.verdicts.get(*at), Some(Verdict::Taken | Verdict::Kept(_)));
            let version = self.survey.versions.get(*at).filter(|_| is_named)?.clone();
            let bytes = self.blobs(*at).map(|(_, bytes)| bytes).sum();
            Some(PlannedVersion { version, bytes, action: VersionAction::Keep(reason.clone()?) })
        }));
        planned
    }

    fn going(&self) -> Vec<PlannedVersion> {
        let versions = &self.survey.versions;
        let mut images: Vec<usize> = self.graph.images().filter(|at| !self.stays.contains_key(at)).collect();
        images.sort_by_key(|at| versions.get(*at).map(|version| (!version.is_tagged(), &version.tags, version.id)));
        let mut order = self.graph.downwards(&images);
        order.retain(|at| !self.stays.contains_key(at));
        let mut held: BTreeSet<&str> = self.stays.keys().flat_map(|at| self.blobs(*at)).map(|(blob, _)| blob).collect();
        let mut above: BTreeMap<usize, Vec<&Version>> = BTreeMap::new();
        let mut planned = Vec::with_capacity(order.len());
        for at in order {
            let Some(version) = versions.get(at) else { continue };
            let after = above.remove(&at).unwrap_or_default();
            let whole = after.first().filter(|_| !self.graph.is_image(at));
            planned.push(PlannedVersion {
                version: version.clone(),
                bytes: self.blobs(at).filter(|(blob, _)| held.insert(blob)).map(|(_, bytes)| bytes).sum(),
                action: VersionAction::Remove {
                    with: whole.map(|whole| self.survey.package.name_of(whole)),
                    after: after.iter().map(|above| above.id).collect(),
                },
            });
            self.graph.below(at).for_each(|below| above.entry(below).or_default().push(version));
        }
        planned
    }

    fn blobs(&self, at: usize) -> impl Iterator<Item = (&str, u64)> {
        let manifest = self.survey.versions.get(at).and_then(|version| self.survey.manifest(&version.digest));
        manifest.into_iter().flat_map(|manifest| &manifest.blobs).map(|(digest, bytes)| (digest.as_str(), *bytes))
    }
}

impl Version {
    /// Whether it has tags.
    pub fn is_tagged(&self) -> bool {
        !self.tags.is_empty()
    }
}

impl PackageSurvey {
    /// What the manifest with this digest says, if it could be read.
    pub fn manifest(&self, digest: &str) -> Option<&Manifest> {
        self.manifests.get(digest)?.as_ref().ok()
    }

    /// Why a manifest is not known.
    pub fn unread(&self, digest: &str) -> Option<&str> {
        match self.manifests.get(digest) {
            Some(Ok(_)) => None,
            Some(Err(why)) => Some(why),
            None => Some("it was not read"),
        }
    }
}

impl Package {
    /// What to call a version: by its first tag, or by the beginning of its digest.
    pub fn name_of(&self, version: &Version) -> String {
        match version.tags.first() {
            Some(tag) => format!("{self}:{tag}"),
            None => format!("{self}@{}", version.digest.get(..19).unwrap_or(&version.digest)),
        }
    }
}

impl PackagePlan {
    /// The versions that go, in the order in which to remove them.
    pub fn going(&self) -> impl Iterator<Item = &PlannedVersion> {
        self.versions.iter().filter(|planned| matches!(planned.action, VersionAction::Remove { .. }))
    }

    /// What is left, if this is the plan that one would make after a clear: each a phrase with its reason.
    pub fn left(&self) -> Vec<String> {
        let phrase = |planned: &PlannedVersion| {
            let name = self.package.name_of(&planned.version);
            match &planned.action {
                VersionAction::Remove { .. } => Some(format!("{name} is still there")),
                VersionAction::Keep(reason) => reason.leaves_cache().then(|| format!("{name} stays: {reason}")),
            }
        };
        self.versions.iter().filter_map(phrase).collect()
    }

    /// What of this plan is listed all the same, and is left out by `after`, the plan of a second survey, or kept by it for
    /// a reason that only holds of what stands alone: each a phrase with the entry that names it now. A part of an image
    /// that is gone is one in its own right, and the entry that named the image does not name it.
    pub fn orphans(&self, after: &Self, now: &PackageSurvey) -> Vec<String> {
        let package = match &self.package.registry {
            Some(registry) => format!("{registry}/{}", self.package),
            None => self.package.to_string(),
        };
        let phrase = |planned: &PlannedVersion| {
            let version = now.versions.iter().find(|version| version.id == planned.version.id)?;
            let again = after.versions.iter().find(|again| again.version.id == version.id);
            let why = match again.map(|again| &again.action) {
                Some(VersionAction::Keep(VersionKept::Pattern(_)) | VersionAction::Remove { .. }) => return None,
                Some(VersionAction::Keep(reason)) if reason.leaves_cache() => return None,
                Some(VersionAction::Keep(reason)) => format!("stays: {reason}"),
                None => "is still there".to_owned(),
            };
            let entry = match version.tags.first() {
                Some(tag) => format!("package={package}:{tag}"),
                None => format!("package={package};untagged;older-than=1m"),
            };
            Some(format!("{} {why}; to continue, name it as `{entry}`", self.package.name_of(version)))
        };
        self.going().filter_map(phrase).collect()
    }
}

impl VersionKept {
    /// Whether what was asked for is still there because of it. What the request itself excludes does not count.
    pub fn leaves_cache(&self) -> bool {
        match self {
            Self::AlsoTagged(_)
            | Self::PartOf(_)
            | Self::Unknown(_)
            | Self::Unread { .. }
            | Self::Unreadable(_)
            | Self::Unclear
            | Self::Changed
            | Self::LastTagged => true,
            Self::Pattern(_) | Self::Latest(_) | Self::Fresh => false,
        }
    }
}

impl fmt::Display for VersionKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(pattern) => write!(f, "keep: {pattern}"),
            Self::Unknown(pattern) => write!(f, "keep: {pattern}, which cannot be told of a package version"),
            Self::AlsoTagged(tag) => write!(f, "also tagged {tag}"),
            Self::Latest(1) => write!(f, "the newest one, and keep-latest=1"),
            Self::Latest(number) => write!(f, "one of the newest, and keep-latest={number}"),
            Self::Fresh => write!(
                f,
                "without a tag for less than an hour, a push may be going on; an older-than=… of the entry decides instead"
            ),
            Self::Changed => write!(f, "pushed again, or under other tags"),
            Self::PartOf(name) => write!(f, "it belongs to {name}, which stays"),
            Self::Unread { what, why } => {
                write!(f, "it may belong to {what}, whose manifest could not be read ({why})")
            }
            Self::Unreadable(why) => {
                write!(f, "its manifest could not be read ({why}), it may belong to another version")
            }
            Self::Unclear => write!(f, "nothing tells which version it belongs to"),
            Self::LastTagged => write!(
                f,
                "GitHub does not remove the last tagged version of a package: delete the package itself in its settings"
            ),
        }
    }
}

#[cfg(test)]
mod tests;

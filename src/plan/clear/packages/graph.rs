//! What the versions of a package are made of, and which are about others.

use std::collections::{BTreeMap, BTreeSet};

use super::PackageSurvey;

/// Versions by their place in the survey.
pub(super) struct Graph {
    /// For each version those that it is made of and those that are about it.
    below: Vec<BTreeSet<usize>>,
    images: Vec<bool>,
}

impl Graph {
    pub(super) fn new(survey: &PackageSurvey) -> Self {
        let versions = &survey.versions;
        let places: BTreeMap<&str, usize> =
            versions.iter().enumerate().map(|(at, version)| (version.digest.as_str(), at)).collect();
        let mut below = vec![BTreeSet::new(); versions.len()];
        let mut link = |above: usize, under: usize| {
            if let Some(set) = below.get_mut(above).filter(|_| above != under) {
                set.insert(under);
            }
        };
        let mut images = Vec::with_capacity(versions.len());
        for (at, version) in versions.iter().enumerate() {
            let manifest = survey.manifest(&version.digest);
            let children = manifest.iter().flat_map(|manifest| &manifest.children);
            children.filter_map(|child| places.get(child.as_str())).for_each(|child| link(at, *child));
            let subject = manifest.and_then(|manifest| places.get(manifest.subject.as_deref()?));
            subject.into_iter().for_each(|subject| link(*subject, at));
            let mut has_own_tag = false;
            for tag in &version.tags {
                match digest_of_tag(tag).and_then(|digest| places.get(digest.as_str()).copied()) {
                    Some(subject) if subject != at => link(subject, at),
                    // Also one about a version that is gone already.
                    _ => has_own_tag = true,
                }
            }
            images.push(has_own_tag);
        }
        let belonging: BTreeSet<usize> = below.iter().flatten().copied().collect();
        for (at, image) in images.iter_mut().enumerate() {
            *image |= !belonging.contains(&at);
        }
        Self { below, images }
    }

    /// Whether a version is an image in its own right: it has a tag of its own, or it belongs to no other.
    pub(super) fn is_image(&self, at: usize) -> bool {
        self.images.get(at).copied().unwrap_or(false)
    }

    pub(super) fn images(&self) -> impl Iterator<Item = usize> {
        self.images.iter().enumerate().filter(|(_, image)| **image).map(|(at, _)| at)
    }

    /// What a version is made of, and what is about it.
    pub(super) fn below(&self, at: usize) -> impl Iterator<Item = usize> {
        self.below.get(at).into_iter().flatten().copied()
    }

    /// These and everything below them.
    pub(super) fn reached(&self, from: impl Iterator<Item = usize>) -> BTreeSet<usize> {
        let mut open: Vec<usize> = from.collect();
        let mut reached: BTreeSet<usize> = open.iter().copied().collect();
        while let Some(at) = open.pop() {
            open.extend(self.below(at).filter(|below| reached.insert(*below)));
        }
        reached
    }

    /// These and everything below them, each after all that it belongs to, and as soon as it can be: who is cut short leaves the
    /// parts of one image behind, and not those of all. (Digests cannot make a ring, but an answer can say anything: what is
    /// in one comes last.)
    pub(super) fn downwards(&self, from: &[usize]) -> Vec<usize> {
        let mut left = self.reached(from.iter().copied());
        let mut order: Vec<usize> = Vec::with_capacity(left.len());
        let mut above: BTreeMap<usize, usize> = left.iter().map(|at| (*at, 0)).collect();
        for at in &left {
            self.below(*at).for_each(|below| {
                above.entry(below).and_modify(|count| *count = count.saturating_add(1));
            });
        }
        // The next one is the last of it.
        let mut open: Vec<usize> = from.iter().rev().copied().filter(|at| above.get(at) == Some(&0)).collect();
        while let Some(at) = open.pop() {
            left.remove(&at);
            order.push(at);
            let mut free = Vec::new();
            for below in self.below(at) {
                let count = above.entry(below).or_default();
                *count = count.saturating_sub(1);
                if *count == 0 && left.contains(&below) {
                    free.push(below);
                }
            }
            open.extend(free.into_iter().rev());
        }
        order.extend(left);
        order
    }
}

/// The digest that a tag `sha256-<64 digits>`, `sha256-<64 digits>.sig` and the like is about: cosign's tags
/// (`pkg/oci/remote`) and the referrers tag schema (OCI distribution specification 1.1).
fn digest_of_tag(tag: &str) -> Option<String> {
    let rest = tag.strip_prefix("sha256-")?;
    let hex = rest.split_once('.').map_or(rest, |(hex, _)| hex);
    (hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| format!("sha256:{hex}"))
}

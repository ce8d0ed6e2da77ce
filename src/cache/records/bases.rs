//! Base images that are there now: all the keys by which BuildKit knows the same files.
//!
//! BuildKit asks for what was built upon an image by the image's manifest first, and by its layers only after that; a step
//! that finds nothing by the first key may not wait for the second (`solver/edge.go`, `checkDepMatchPossible`). The records
//! of a build know the manifest of that day. An image with another label has another manifest and the same layers, and its
//! steps would be found by luck.
//!
//! # Why nothing is stale
//!
//! What an image gives to a step are its files, and those are its layers. What else is in it (environment, user, working
//! directory, shell) reaches a step through the step's own operation, whose digest is the record's. So a key of the image
//! stands for its layers and nothing else, and two keys of one image are one thing said twice. Which keys these are is
//! computed from an image that the engine holds, and never read from anywhere.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::limits::{ALTERNATIVES, LINKS, RECORDS};
use super::{Digest, Link, Record, Records};

/// An image by the digests of the records that stand for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseImage {
    pub(super) keys: BTreeSet<Digest>,
}

/// What BuildKit makes a manifest's key of (`source/containerimage/pull.go`, `mainManifestKey`; the same for an engine with
/// a graph driver, in moby's `builder/builder-next/adapters/containerimage`).
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ManifestKey<'a> {
    digest: Digest,
    #[serde(rename = "OS")]
    os: &'a str,
    arch: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'a str>,
}

impl BaseImage {
    /// The image with these layers, the lowest first by their diff ids, whose manifest or index has one of these digests.
    /// `platform` is the engine's own, as `linux/amd64`: the one whose layers the engine tells. Nothing where an image has
    /// no layers, which BuildKit does not know by them, and on other systems than Linux, whose keys say more.
    #[must_use]
    pub fn new(manifests: impl IntoIterator<Item = Digest>, platform: &str, layers: &[Digest]) -> Option<Self> {
        let (os, arch) = platform.split_once('/').filter(|(os, _)| *os == "linux")?;
        let by_layers = root(chain_id(layers)?);
        // BuildKit writes either for the one.
        let variants = if arch == "arm64" { [None, Some("v8")].as_slice() } else { &[None] };
        let by_manifest = manifests.into_iter().flat_map(|digest| {
            variants.iter().filter_map(move |variant| {
                let key = ManifestKey { digest, os, arch, variant: *variant };
                Some(root(Digest::of(&serde_json::to_vec(&key).ok()?)))
            })
        });
        Some(Self { keys: by_manifest.chain([by_layers]).collect() })
    }
}

/// The digest that a set of layers has (`github.com/opencontainers/image-spec/identity`, `ChainID`).
fn chain_id(layers: &[Digest]) -> Option<Digest> {
    let on = |below: Digest, layer: Digest| Digest::of(format!("{below} {layer}").as_bytes());
    layers.iter().copied().reduce(on)
}

/// The digest of the record of a source with this key (`solver/llbsolver/ops/source.go`, `CacheMap`;
/// `solver/cachemanager.go`, `rootKey`).
fn root(key: Digest) -> Digest {
    let source = Digest::of(format!("buildkit.source.v0:{key}").as_bytes());
    Digest::of(format!("{source}@0").as_bytes())
}

impl Records {
    /// The same, and what stands upon a key of one of these images stands upon all of that image's keys.
    ///
    /// To be used before a merge: of two sets that knew the image by different keys the newer result counts then.
    #[must_use]
    pub fn with_bases(self, bases: &[BaseImage]) -> Self {
        let mut known: BTreeMap<Digest, usize> = BTreeMap::new();
        for (index, record) in self.records.iter().enumerate().filter(|(_, record)| record.inputs.is_empty()) {
            known.entry(record.digest).or_insert(index);
        }
        let mut same = same_files(bases);
        same.retain(|keys| keys.iter().any(|key| known.contains_key(key)));
        // Links lead to earlier records: the keys come first, in one order, whether they were there or not.
        let keys: Vec<Digest> = same.iter().flatten().copied().collect();
        let new_place: BTreeMap<Digest, usize> = keys.iter().copied().zip(0..).collect();
        let moved: BTreeMap<usize, usize> =
            keys.iter().filter_map(|key| Some((*known.get(key)?, *new_place.get(key)?))).collect();
        let others = || self.records.iter().enumerate().filter(|(index, _)| !moved.contains_key(index));
        let mut places = moved.clone();
        places.extend(others().map(|(index, _)| index).zip(keys.len()..));
        let together = |keys: BTreeSet<Digest>| {
            let all: Vec<usize> = keys.iter().filter_map(|key| new_place.get(key).copied()).collect();
            keys.into_iter().map(move |key| (key, all.clone())).collect::<Vec<_>>()
        };
        let same: BTreeMap<Digest, Vec<usize>> = same.into_iter().flat_map(together).collect();

        let mut records: Vec<Record> = Vec::with_capacity(places.len());
        for key in &keys {
            let results =
                known.get(key).and_then(|index| self.records.get(*index)).map(|record| record.results.clone());
            records.push(Record { digest: *key, inputs: Vec::new(), results: results.unwrap_or_default() });
        }
        for (_, record) in others() {
            let inputs = record.inputs.iter().map(|links| self.upon_all_keys(links, &places, &same)).collect();
            records.push(Record { inputs, ..record.clone() });
        }
        let links = records.iter().flat_map(|record| &record.inputs).map(Vec::len).sum::<usize>();
        if records.len() > RECORDS || links > LINKS {
            return self;
        }
        Self { records, ..self }
    }

    /// The alternatives of an input, where the records are in their new places.
    fn upon_all_keys(
        &self,
        links: &[Link],
        places: &BTreeMap<usize, usize>,
        same: &BTreeMap<Digest, Vec<usize>>,
    ) -> Vec<Link> {
        let moved = |link: &Link| Some(Link { selector: link.selector.clone(), record: *places.get(&link.record)? });
        let others = |link: &Link| {
            let source = self.records.get(link.record).filter(|source| source.inputs.is_empty());
            let others = source.and_then(|source| same.get(&source.digest)).into_iter().flatten();
            let selector = link.selector.clone();
            others.map(move |record| Link { selector: selector.clone(), record: *record }).collect::<Vec<_>>()
        };
        let moved: BTreeSet<Link> = links.iter().filter_map(moved).collect();
        let all: BTreeSet<Link> = links.iter().flat_map(others).chain(moved.iter().cloned()).collect();
        if all.len() > ALTERNATIVES { moved.into_iter().collect() } else { all.into_iter().collect() }
    }
}

/// The keys of the images, together where two have one in common: images with the same layers are the same files.
fn same_files(bases: &[BaseImage]) -> Vec<BTreeSet<Digest>> {
    let mut same: Vec<BTreeSet<Digest>> = Vec::new();
    for base in bases {
        let (mut joined, apart): (Vec<_>, Vec<_>) = same.into_iter().partition(|keys| !keys.is_disjoint(&base.keys));
        joined.push(base.keys.clone());
        same = apart;
        same.push(joined.into_iter().flatten().collect());
    }
    same
}

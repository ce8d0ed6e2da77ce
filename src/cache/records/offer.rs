//! Records as BuildKit imports them: the blobs of a cache manifest and its config.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::limits::OFFER_BYTES;
use super::wire::{
    CONFIG_MEDIA_TYPE, ConfigLayer, ConfigLink, Descriptor, INDEX_MEDIA_TYPE, OfferedConfig, OfferedIndex,
    OfferedRecord, OfferedResult,
};
use super::{Digest, Record, Records};

/// What is served to BuildKit: one manifest, and the config that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The manifest's digest, `sha256:…`: what the import names.
    pub digest: String,
    /// The two blobs by digest, at most 900 KiB each.
    pub blobs: Vec<(String, Bytes)>,
    /// How many records there are, with and without a result of their own.
    pub records: usize,
    /// How many records have a result.
    pub results: usize,
    /// How many results were left out because everything is too large for BuildKit.
    pub left_out: usize,
    /// What is offered besides, which no build can ask for: see [`strangers`].
    strangers: BTreeSet<Digest>,
}

/// Who reads an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Importer {
    /// BuildKit since 0.9.
    Careful,
    /// BuildKit 0.8, which must not be told of two records with the same result (`distinct`).
    MistakesTwins,
}

impl Offer {
    /// Merges sets of records, the newest and most trusted first, and makes them the blobs that BuildKit imports. Nothing
    /// when no record leads to a result.
    ///
    /// BuildKit refuses blobs over 1 MiB. Results are left out until they fit: those of the last set first, and of one set
    /// the oldest first.
    ///
    /// `nonce` is new for every build: see [`strangers`]. Without one the same sources give the same bytes.
    #[must_use]
    pub fn new(sources: &[Records], importer: Importer, nonce: Option<u128>) -> Option<Self> {
        let prepared = |records: Records| match importer {
            Importer::Careful => records,
            Importer::MistakesTwins => records.distinct(),
        };
        let all = prepared(Records::merge(sources.iter().cloned()));
        if all.is_empty() {
            return None;
        }
        let results = all.count_with_results();
        if let Some(offer) = Self::of(&all, 0, importer, nonce) {
            return Some(offer);
        }
        let ranked: usize = sources.iter().map(|source| source.results().count()).sum();
        let (mut fits, mut too_many) = (0, ranked);
        let mut best = None;
        while too_many - fits > 1 {
            let count = fits.midpoint(too_many);
            let some = prepared(first_results(sources, count));
            match Self::of(&some, results.saturating_sub(some.count_with_results()), importer, nonce) {
                Some(offer) => (fits, best) = (count, Some(offer)),
                None => too_many = count,
            }
        }
        best
    }

    /// The blobs of merged records, if there are some and the blobs are small enough.
    fn of(records: &Records, left_out: usize, importer: Importer, nonce: Option<u128>) -> Option<Self> {
        if records.is_empty() {
            return None;
        }
        let mut config = config(records, nonce);
        config.records.extend(match importer {
            Importer::Careful => nonce.and_then(|nonce| keystone(records, nonce)),
            Importer::MistakesTwins => None,
        });
        let config = serde_json::to_vec(&config).ok().filter(|config| config.len() <= OFFER_BYTES)?;
        let config_digest = Digest::of(&config);
        let config_descriptor = Descriptor {
            media_type: Some(CONFIG_MEDIA_TYPE.to_owned()),
            digest: config_digest,
            size: u64::try_from(config.len()).ok()?,
            annotations: None,
        };
        // An image index, as 20.10 understands nothing else.
        let manifest = OfferedIndex {
            schema_version: 2,
            media_type: INDEX_MEDIA_TYPE,
            manifests: records.layers.iter().map(Descriptor::of).chain([config_descriptor]).collect(),
        };
        let manifest = serde_json::to_vec(&manifest).ok().filter(|manifest| manifest.len() <= OFFER_BYTES)?;
        let digest = Digest::of(&manifest).to_string();
        Some(Self {
            blobs: vec![(digest.clone(), manifest.into()), (config_digest.to_string(), config.into())],
            digest,
            records: records.count(),
            results: records.count_with_results(),
            left_out,
            strangers: strangers(records, nonce).into_values().collect(),
        })
    }

    /// The same records without what was in this offer for no build to ask for: what BuildKit captures after an import has
    /// everything that was imported, and the next offer would have it again, and more of it at each build.
    #[must_use]
    pub fn forget_strangers(&self, records: Records) -> Records {
        records.without_roots(&self.strangers)
    }
}

/// The merged sets with so many results: of the first sets all, of the last one the newest.
fn first_results(sources: &[Records], count: usize) -> Records {
    let mut left = count;
    Records::merge(sources.iter().map(|source| {
        let mut ranks: Vec<_> = source.results().map(|result| Reverse(result.created_at())).zip(0..).collect();
        ranks.sort_unstable();
        ranks.truncate(left);
        left -= ranks.len();
        let mut wanted = vec![false; source.results().count()];
        for (_, index) in ranks {
            super::need(&mut wanted, index);
        }
        let mut wanted = wanted.into_iter();
        source.clone().keep(|_| wanted.next().unwrap_or(false))
    }))
}

/// For each record that stands upon one without inputs, by its index: the digest of a record that no build can ask for, as
/// one more alternative of its first input.
///
/// BuildKit makes a record's id out of those of its inputs (`cache/remotecache/v1`, `computeID`), and takes a record that
/// its own cache has under the same id for the same one, results included (`solver/combinedcache.go`). A key of an earlier
/// import that has outlived its result would hide ours. With a stranger among the inputs an id is never that of an earlier
/// import; each record has a stranger of its own, so that no two come to share an input.
fn strangers(records: &Records, nonce: Option<u128>) -> BTreeMap<usize, Digest> {
    let Some(nonce) = nonce else { return BTreeMap::new() };
    let is_root = |link: &super::Link| records.records.get(link.record).is_some_and(|record| record.inputs.is_empty());
    let stands_upon_root = |record: &Record| record.inputs.first().is_some_and(|links| links.iter().any(is_root));
    let indexed = records.records.iter().enumerate().filter(|(_, record)| stands_upon_root(record));
    indexed.map(|(index, _)| (index, Digest::of(format!("watchparty-cache {nonce:032x} {index}").as_bytes()))).collect()
}

/// The records that no other is made of.
fn leaves(records: &Records) -> Vec<usize> {
    let mut is_source = vec![false; records.records.len()];
    let links = records.records.iter().flat_map(|record| &record.inputs).flatten();
    links.for_each(|link| super::need(&mut is_source, link.record));
    is_source.iter().enumerate().filter(|(_, is_source)| !**is_source).map(|(index, _)| index).collect()
}

/// A record upon all leaves, which no build can ask for.
///
/// BuildKit 0.25 takes an import in leaf by leaf. What an earlier leaf has brought is linked to one record of the next one, and
/// to no other (`cache/remotecache/v1/cachestorage.go`, `addItemToStorage`: the second time `visited` has nothing of it), so
/// that steps upon a common base are lost, others at every import. Where there is one leaf all links are taken in.
fn keystone(records: &Records, nonce: u128) -> Option<OfferedRecord> {
    let leaves = leaves(records);
    let links = leaves
        .iter()
        .map(|leaf| ConfigLink { selector: String::new(), link: i64::try_from(*leaf).unwrap_or(i64::MAX) });
    let digest = Digest::of(format!("watchparty-cache {nonce:032x} keystone").as_bytes());
    let record = || OfferedRecord { digest, layers: Vec::new(), inputs: vec![links.collect()] };
    (leaves.len() > 1).then(record)
}

pub(super) fn config(records: &Records, nonce: Option<u128>) -> OfferedConfig {
    let strangers = strangers(records, nonce);
    let places: BTreeMap<usize, usize> = strangers.keys().copied().zip(records.records.len()..).collect();
    let index = |index: usize| i64::try_from(index).unwrap_or(i64::MAX);
    let layers = records.chains.iter().filter_map(|chain| {
        let blob = records.layers.get(chain.layer)?.blob;
        Some(ConfigLayer { blob, parent: chain.parent.map_or(-1, index) })
    });
    let record = |(number, record): (usize, &Record)| OfferedRecord {
        digest: record.digest,
        layers: record
            .results
            .iter()
            .map(|outcome| OfferedResult { layer: outcome.chain, created_at: outcome.created_at })
            .collect(),
        inputs: record
            .inputs
            .iter()
            .enumerate()
            .map(|(input, links)| {
                let stranger = places.get(&number).filter(|_| input == 0);
                let stranger = stranger.map(|place| ConfigLink { selector: String::new(), link: index(*place) });
                let link =
                    |link: &super::Link| ConfigLink { selector: link.selector.clone(), link: index(link.record) };
                links.iter().map(link).chain(stranger).collect()
            })
            .collect(),
    };
    let unknown =
        strangers.values().map(|digest| OfferedRecord { digest: *digest, layers: Vec::new(), inputs: Vec::new() });
    let records = records.records.iter().enumerate().map(record).chain(unknown);
    OfferedConfig { layers: layers.collect(), records: records.collect() }
}

//! Records as BuildKit imports them: the blobs of a cache manifest and its config.

use std::cmp::Reverse;

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
}

impl Offer {
    /// Merges sets of records, the newest and most trusted first, and makes them the blobs that BuildKit imports. Nothing
    /// when no record leads to a result.
    ///
    /// BuildKit refuses blobs over 1 MiB. Results are left out until they fit: those of the last set first, and of one set
    /// the oldest first.
    #[must_use]
    pub fn new(sources: &[Records]) -> Option<Self> {
        let all = Records::merge(sources.iter().cloned());
        let results = all.count_with_results();
        if let Some(offer) = Self::of(&all, 0) {
            return Some(offer);
        }
        let ranked: usize = sources.iter().map(|source| source.results().count()).sum();
        let (mut fits, mut too_many) = (0, ranked);
        let mut best = None;
        while too_many - fits > 1 {
            let count = fits.midpoint(too_many);
            let some = first_results(sources, count);
            match Self::of(&some, results.saturating_sub(some.count_with_results())) {
                Some(offer) => (fits, best) = (count, Some(offer)),
                None => too_many = count,
            }
        }
        best
    }

    /// The blobs of merged records, if there are records and the blobs are small enough.
    fn of(records: &Records, left_out: usize) -> Option<Self> {
        if records.is_empty() {
            return None;
        }
        let config = serde_json::to_vec(&config(records)).ok().filter(|config| config.len() <= OFFER_BYTES)?;
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
        })
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

fn config(records: &Records) -> OfferedConfig {
    let index = |index: usize| i64::try_from(index).unwrap_or(i64::MAX);
    let layers = records.chains.iter().filter_map(|chain| {
        let blob = records.layers.get(chain.layer)?.blob;
        Some(ConfigLayer { blob, parent: chain.parent.map_or(-1, index) })
    });
    let record = |record: &Record| OfferedRecord {
        digest: record.digest,
        layers: record
            .results
            .iter()
            .map(|outcome| OfferedResult { layer: outcome.chain, created_at: outcome.created_at })
            .collect(),
        inputs: record
            .inputs
            .iter()
            .map(|links| {
                let link =
                    |link: &super::Link| ConfigLink { selector: link.selector.clone(), link: index(link.record) };
                links.iter().map(link).collect()
            })
            .collect(),
    };
    OfferedConfig { layers: layers.collect(), records: records.records.iter().map(record).collect() }
}

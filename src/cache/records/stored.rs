//! Records as the ledger keeps them: our own form, which is checked like any other when it is read.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::check::writable;
use super::limits::{ALTERNATIVES, Bounded, DEPTH, INPUTS, LAYERS, LINKS, RECORDS, RESULTS, SELECTOR_BYTES};
use super::{Chain, Digest, Layer, Link, Outcome, Record, Records, RecordsError};

/// Everything is referred to by an index, and comes before what refers to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    layers: Bounded<StoredLayer, LAYERS>,
    /// Layer, and the chain below it or -1.
    chains: Bounded<(usize, i64), LAYERS>,
    records: Bounded<StoredRecord, RECORDS>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct StoredLayer {
    blob: Digest,
    /// Missing where it is the blob's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    diff_id: Option<Digest>,
    media_type: String,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredRecord {
    digest: Digest,
    /// Selector and record of each alternative.
    #[serde(default, skip_serializing_if = "is_empty")]
    inputs: Bounded<Bounded<(String, usize), ALTERNATIVES>, INPUTS>,
    /// Chain and time.
    #[serde(default, skip_serializing_if = "is_empty")]
    results: Bounded<(usize, Option<DateTime<Utc>>), RESULTS>,
}

fn is_empty<T, const N: usize>(list: &Bounded<T, N>) -> bool {
    list.0.is_empty()
}

impl From<Records> for Stored {
    fn from(records: Records) -> Self {
        let layers = records.layers.into_iter().map(|layer| StoredLayer {
            blob: layer.blob,
            diff_id: Some(layer.diff_id).filter(|diff_id| *diff_id != layer.blob),
            media_type: layer.media_type,
            size: layer.size,
            created_at: layer.created_at,
            description: layer.description,
        });
        let parent = |chain: &Chain| chain.parent.and_then(|parent| i64::try_from(parent).ok()).unwrap_or(-1);
        let links = |links: Vec<Link>| Bounded(links.into_iter().map(|link| (link.selector, link.record)).collect());
        let stored = records.records.into_iter().map(|record| StoredRecord {
            digest: record.digest,
            inputs: Bounded(record.inputs.into_iter().map(links).collect()),
            results: Bounded(record.results.iter().map(|outcome| (outcome.chain, outcome.created_at)).collect()),
        });
        Self {
            layers: Bounded(layers.collect()),
            chains: Bounded(records.chains.iter().map(|chain| (chain.layer, parent(chain))).collect()),
            records: Bounded(stored.collect()),
        }
    }
}

impl TryFrom<Stored> for Records {
    type Error = RecordsError;

    fn try_from(stored: Stored) -> Result<Self, RecordsError> {
        let layers = layers(stored.layers.0)?;
        let chains = chains(stored.chains.0, layers.len())?;
        let mut links = 0;
        let records = stored.records.0.into_iter().enumerate().map(|(index, record)| {
            links += record.inputs.0.iter().map(|alternatives| alternatives.0.len()).sum::<usize>();
            match links {
                0..=LINKS => checked(index, record, chains.len()),
                _ => Err(RecordsError::TooLarge { what: "links", limit: LINKS }),
            }
        });
        let records = records.collect::<Result<_, _>>()?;
        Ok(Self { layers, chains, records }.pruned())
    }
}

fn layers(stored: Vec<StoredLayer>) -> Result<Vec<Layer>, RecordsError> {
    let mut blobs = HashSet::new();
    let layers = stored.into_iter().map(|layer| {
        if !blobs.insert(layer.blob) {
            return Err(RecordsError::RepeatedLayer { blob: layer.blob.to_string() });
        }
        let layer = Layer {
            blob: layer.blob,
            diff_id: layer.diff_id.unwrap_or(layer.blob),
            media_type: layer.media_type,
            size: layer.size,
            created_at: layer.created_at,
            description: layer.description,
        };
        layer.checked()
    });
    layers.collect()
}

fn chains(stored: Vec<(usize, i64)>, layers: usize) -> Result<Vec<Chain>, RecordsError> {
    let mut depths: Vec<usize> = Vec::with_capacity(stored.len());
    let mut chains = Vec::with_capacity(stored.len());
    for (layer, below) in stored {
        if layer >= layers {
            return Err(RecordsError::UnknownLayer { layer: i64::try_from(layer).unwrap_or(i64::MAX) });
        }
        let parent = match below {
            -1 => None,
            _ => Some(usize::try_from(below).map_err(|_| RecordsError::UnknownLayer { layer: below })?),
        };
        let depth = match parent.map(|parent| depths.get(parent)) {
            None => 1,
            Some(Some(depth)) => depth + 1,
            Some(None) => return Err(RecordsError::UnknownLayer { layer: below }),
        };
        if depth > DEPTH {
            return Err(RecordsError::TooLarge { what: "layers above each other", limit: DEPTH });
        }
        depths.push(depth);
        chains.push(Chain { layer, parent });
    }
    Ok(chains)
}

fn checked(index: usize, record: StoredRecord, chains: usize) -> Result<Record, RecordsError> {
    let unknown =
        |record: usize| RecordsError::UnknownRecord { record: index, link: i64::try_from(record).unwrap_or(i64::MAX) };
    let mut inputs = Vec::with_capacity(record.inputs.0.len());
    for alternatives in record.inputs.0 {
        let mut links = BTreeSet::new();
        for (selector, record) in alternatives.0 {
            if record >= index {
                return Err(unknown(record));
            }
            if selector.len() > SELECTOR_BYTES {
                return Err(RecordsError::TooLarge { what: "bytes in a selector", limit: SELECTOR_BYTES });
            }
            links.insert(Link { selector, record });
        }
        if links.is_empty() {
            return Err(RecordsError::EmptyInput { record: index });
        }
        inputs.push(links.into_iter().collect());
    }
    let mut results = Vec::with_capacity(record.results.0.len());
    for (chain, created_at) in record.results.0 {
        if chain >= chains {
            return Err(RecordsError::UnknownLayer { layer: i64::try_from(chain).unwrap_or(i64::MAX) });
        }
        // `chrono` reads more than it may be given here.
        if !created_at.is_none_or(writable) {
            return Err(RecordsError::InvalidTime { record: index });
        }
        results.push(Outcome { chain, created_at });
    }
    Ok(Record { digest: record.digest, inputs, results })
}

//! Cache records: BuildKit's cache config (`cache/remotecache/v1`), read, checked, merged and served.
//!
//! A *record* names an operation by its digest, and the records of what it was applied to: each input has alternatives,
//! each of them another record, narrowed by a selector. It may have *results*: a time, and a chain of layers. What comes
//! from outside becomes [`Records`] only when it is sound: every link leads to an earlier record, no layer is its own
//! parent, and nothing is larger than `limits` allow. [`Records::merge`] is where staleness could come in: why it does
//! not is written there, in `merge`.
//!
//! Shapes: <https://github.com/moby/buildkit/blob/v0.25.1/cache/remotecache/v1/doc.go>.

mod bases;
mod check;
mod digest;
mod distinct;
mod error;
mod export;
mod image;
mod keys;
mod limits;
mod merge;
mod offer;
mod order;
#[cfg(any(test, fuzzing))]
mod probe;
mod registry;
mod stored;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use bases::BaseImage;
pub use digest::{Digest, DigestError};
pub use error::RecordsError;
pub use offer::{Importer, Offer};
#[cfg(any(test, fuzzing))]
pub use probe::probe;
pub use registry::{Blob, CacheImage, Child, Subject, blobs, of_its_own};

/// A checked set of records, with the layers that they lead to.
///
/// Links lead to earlier records and chains to earlier chains, so there are no loops; each record leads to a result or has
/// one; each layer belongs to a result. The default is the empty set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "stored::Stored", into = "stored::Stored")]
pub struct Records {
    /// Each blob once.
    layers: Vec<Layer>,
    /// A forest: each layer upon another one, or upon nothing.
    chains: Vec<Chain>,
    records: Vec<Record>,
}

/// A layer as a manifest describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The digest of the blob, compressed or not; on the graph driver the diff id.
    pub blob: Digest,
    /// The digest of the uncompressed layer, annotation `containerd.io/uncompressed`.
    pub diff_id: Digest,
    /// The media type.
    pub media_type: String,
    /// The blob's size in bytes; 1 on the graph driver, where nobody knows it and nobody asks.
    pub size: u64,
    /// When it was made, annotation `buildkit/createdat`, RFC 3339 as written: it goes into the history of images.
    pub created_at: Option<String>,
    /// What made it, annotation `buildkit/description`.
    pub description: Option<String>,
}

/// One layer upon what is below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Chain {
    /// An index of `Records::layers`.
    layer: usize,
    /// An earlier index of `Records::chains`; nothing at the root.
    parent: Option<usize>,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    digest: Digest,
    /// The alternatives of each input, at least one, without repetition.
    inputs: Vec<Vec<Link>>,
    results: Vec<Outcome>,
}

/// One alternative of an input.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Link {
    /// Which part of the source is meant; empty for all of it.
    selector: String,
    /// An earlier index of `Records::records`.
    record: usize,
}

/// One result of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outcome {
    /// The uppermost layer: an index of `Records::chains`.
    chain: usize,
    /// When it was built first; a re-import does not refresh it. Unknown is older than everything.
    created_at: Option<DateTime<Utc>>,
}

/// One result, as [`Records::keep`] shows it.
#[derive(Debug, Clone, Copy)]
pub struct ResultRef<'a> {
    records: &'a Records,
    outcome: Outcome,
}

impl<'a> ResultRef<'a> {
    /// When it was built; nothing when the record does not say.
    #[must_use]
    pub const fn created_at(&self) -> Option<DateTime<Utc>> {
        self.outcome.created_at
    }

    /// Its layers, uppermost first.
    pub fn layers_from_top(&self) -> impl Iterator<Item = &'a Layer> + use<'a> {
        let records = self.records;
        std::iter::successors(records.chains.get(self.outcome.chain), |chain| records.chains.get(chain.parent?))
            .filter_map(|chain| records.layers.get(chain.layer))
    }

    /// Its layers, lowest first, as `RootFS.Layers` lists them.
    #[must_use]
    pub fn layers(&self) -> Vec<&'a Layer> {
        let mut layers: Vec<_> = self.layers_from_top().collect();
        layers.reverse();
        layers
    }
}

impl Records {
    /// The layers that results lead to, each blob once.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// All results, in the order of their records.
    pub fn results(&self) -> impl Iterator<Item = ResultRef<'_>> {
        let outcomes = self.records.iter().flat_map(|record| &record.results);
        outcomes.map(|outcome| ResultRef { records: self, outcome: *outcome })
    }

    /// Whether there is no record; there is none where there is no result.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many records there are, with and without a result of their own.
    #[must_use]
    pub fn count(&self) -> usize {
        self.records.len()
    }

    /// How many records have a result.
    #[must_use]
    pub fn count_with_results(&self) -> usize {
        self.records.iter().filter(|record| !record.results.is_empty()).count()
    }

    /// When the oldest result was built, among those that say it.
    #[must_use]
    pub fn oldest(&self) -> Option<DateTime<Utc>> {
        self.results().filter_map(|result| result.created_at()).min()
    }

    /// When the newest result was built, among those that say it.
    #[must_use]
    pub fn newest(&self) -> Option<DateTime<Utc>> {
        self.results().filter_map(|result| result.created_at()).max()
    }

    /// Keeps the results that `wanted` accepts, the records that lead to one, and their layers.
    ///
    /// To be used before a merge, which keeps one result only: the newest one of those that exist.
    #[must_use]
    pub fn keep(self, mut wanted: impl FnMut(&ResultRef<'_>) -> bool) -> Self {
        let verdicts: Vec<bool> = self.results().map(|result| wanted(&result)).collect();
        let mut kept = self;
        let mut verdicts = verdicts.into_iter();
        for record in &mut kept.records {
            record.results.retain(|_| verdicts.next().unwrap_or(false));
        }
        kept.pruned()
    }

    /// Without the results whose layers, in this order, others have as well.
    #[must_use]
    pub fn without_results_of(self, others: &Self) -> Self {
        let layers = |result: &ResultRef<'_>| result.layers_from_top().map(|layer| layer.blob).collect::<Vec<_>>();
        let known: BTreeSet<Vec<Digest>> = others.results().map(|result| layers(&result)).collect();
        self.keep(|result| !known.contains(&layers(result)))
    }

    /// Without the results that were built before `oldest`, and without those that were built upon one of them: a layer is
    /// as old as what is below it. What a build begins with, a base image or a context, has no age of its own. A result
    /// that does not say its age may be older than anything.
    #[must_use]
    pub fn younger_than(mut self, oldest: DateTime<Utc>) -> Self {
        /// What is known of the age of what a record stands for.
        #[derive(Clone, Copy, PartialEq)]
        enum Age {
            Unknown,
            Young,
            Aged,
        }
        let mut ages: Vec<Age> = Vec::with_capacity(self.records.len());
        for record in &mut self.records {
            // Links lead to earlier records, so what is below has been looked at.
            let age = |link: &Link| ages.get(link.record).copied().unwrap_or(Age::Aged);
            // Of one input said in several ways, some say nothing: what a step copies is also known by its content.
            let is_aged = |ways: &Vec<Link>| {
                ways.iter().any(|link| age(link) == Age::Aged) && !ways.iter().any(|link| age(link) == Age::Young)
            };
            let below = record.inputs.iter().any(is_aged);
            let had_results = !record.results.is_empty();
            if !record.inputs.is_empty() {
                record.results.retain(|result| !below && result.created_at.is_some_and(|created| created >= oldest));
            }
            ages.push(match (record.inputs.is_empty(), had_results, record.results.is_empty()) {
                _ if below => Age::Aged,
                (false, true, true) => Age::Aged,
                (false, true, false) => Age::Young,
                (true, _, _) | (false, false, _) => Age::Unknown,
            });
        }
        self.pruned()
    }

    /// Without these records, if they have no inputs, and without what stands upon nothing else.
    fn without_roots(mut self, unwanted: &BTreeSet<Digest>) -> Self {
        let mut places: Vec<Option<usize>> = Vec::with_capacity(self.records.len());
        let mut kept = Vec::with_capacity(self.records.len());
        for mut record in std::mem::take(&mut self.records) {
            let is_unwanted = record.inputs.is_empty() && unwanted.contains(&record.digest);
            for links in &mut record.inputs {
                let place = |link: Link| Some(Link { record: places.get(link.record).copied().flatten()?, ..link });
                *links = std::mem::take(links).into_iter().filter_map(place).collect();
            }
            let stays = !is_unwanted && record.inputs.iter().all(|links| !links.is_empty());
            places.push(stays.then_some(kept.len()));
            if stays {
                kept.push(record);
            }
        }
        self.records = kept;
        self.pruned()
    }

    /// Without the records that lead to no result, and the layers that no result needs.
    fn pruned(mut self) -> Self {
        let mut needed = vec![false; self.records.len()];
        for (index, record) in self.records.iter().enumerate().rev() {
            if !record.results.is_empty() {
                need(&mut needed, index);
            }
            if needed.get(index) == Some(&true) {
                record.inputs.iter().flatten().for_each(|link| need(&mut needed, link.record));
            }
        }
        let places = retain(&mut self.records, &needed);
        for link in self.records.iter_mut().flat_map(|record| &mut record.inputs).flatten() {
            link.record = place(&places, link.record);
        }

        let mut needed = vec![false; self.chains.len()];
        self.records.iter().flat_map(|record| &record.results).for_each(|outcome| need(&mut needed, outcome.chain));
        for (index, chain) in self.chains.iter().enumerate().rev() {
            if let (Some(true), Some(parent)) = (needed.get(index), chain.parent) {
                need(&mut needed, parent);
            }
        }
        let places = retain(&mut self.chains, &needed);
        for outcome in self.records.iter_mut().flat_map(|record| &mut record.results) {
            outcome.chain = place(&places, outcome.chain);
        }
        for chain in &mut self.chains {
            chain.parent = chain.parent.map(|parent| place(&places, parent));
        }

        let mut needed = vec![false; self.layers.len()];
        self.chains.iter().for_each(|chain| need(&mut needed, chain.layer));
        let places = retain(&mut self.layers, &needed);
        for chain in &mut self.chains {
            chain.layer = place(&places, chain.layer);
        }
        self
    }
}

fn need(needed: &mut [bool], index: usize) {
    if let Some(flag) = needed.get_mut(index) {
        *flag = true;
    }
}

/// Keeps the needed values; returns the new place of each old one.
fn retain<T>(values: &mut Vec<T>, needed: &[bool]) -> Vec<usize> {
    let mut kept = 0;
    let places = needed.iter().map(|needed| {
        let place = kept;
        kept += usize::from(*needed);
        place
    });
    let places = places.collect();
    let mut needed = needed.iter();
    values.retain(|_| needed.next() == Some(&true));
    places
}

/// The new place of something that was kept.
fn place(places: &[usize], old: usize) -> usize {
    places.get(old).copied().unwrap_or_default()
}

impl fmt::Display for Records {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} records, {} with results", self.count(), self.count_with_results())
    }
}

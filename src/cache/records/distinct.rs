//! Records of which no two have the same result, for an importer that takes one of them for the other.
//!
//! The importer of Docker 20.10 (BuildKit 0.8, `cache/remotecache/v1/cachestorage.go`, `LoadWithParents`) looks a result up
//! by the digests of its layers alone. If several records have it, it loads the inputs of any of them, does not find the
//! record that was asked for among what it loaded, and takes the first thing that it finds instead: **the layers of one of
//! its inputs**. **Measured**: a step then runs without the files of the step before it. BuildKit 0.9 looks at all of them.

use std::collections::{BTreeMap, BTreeSet};

use super::order::ordered;
use super::{Digest, Link, Outcome, Record, Records};

/// A pass goes up from the inputs, so that one does nearly all of it; another one unites what was made alike later.
const PASSES: usize = 4;
/// So many records of one operation are looked at. Only records made to be slow need more; they stay apart.
const ALIKE: usize = 32;
/// More records are not united at all, because it takes too long.
const MANY: usize = 1_000;

impl Records {
    /// The same with each result at one record only. Records that can be said as one are united; of the others that share
    /// a result, all but the one with the most derivations lose it.
    ///
    /// Two records are united if they are the same operation with the same result, and differ in the alternatives of one
    /// input at most: then no combination of inputs is new. What stands upon either stands upon the same files.
    pub(super) fn distinct(self) -> Self {
        let mut records = self;
        for _ in 0..PASSES {
            let united = if records.count() > MANY { None } else { records.unite() };
            match united {
                // What stands upon united records may overlap now: a merge parts what it must part.
                Some(united) => records = Self::merge([united]),
                None => break,
            }
        }
        records.one_for_each_result()
    }

    /// One pass; nothing if there is nothing to unite.
    fn unite(&self) -> Option<Self> {
        let mut groups = Groups::default();
        let mut places = Vec::with_capacity(self.records.len());
        for record in &self.records {
            let translate = |link: &Link| {
                let record = places.get(link.record).copied().unwrap_or_default();
                (link.selector.clone(), record)
            };
            let inputs = record.inputs.iter().map(|links| links.iter().map(translate).collect()).collect();
            places.push(groups.add(record.digest, inputs, record.results.first().copied()));
        }
        if groups.united.len() == self.records.len() {
            return None;
        }
        let records = groups.finish()?;
        Some(Self { layers: self.layers.clone(), chains: self.chains.clone(), records }.pruned())
    }

    fn one_for_each_result(mut self) -> Self {
        let derivations =
            |record: &Record| record.inputs.iter().fold(1_usize, |product, links| product.saturating_mul(links.len()));
        let mut best: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        for (index, record) in self.records.iter().enumerate() {
            for outcome in &record.results {
                let found = (derivations(record), index);
                let best = best.entry(outcome.chain).or_insert(found);
                if found.0 > best.0 {
                    *best = found;
                }
            }
        }
        for (index, record) in self.records.iter_mut().enumerate() {
            record.results.retain(|outcome| best.get(&outcome.chain).is_some_and(|(_, chosen)| *chosen == index));
        }
        self.pruned()
    }
}

/// The alternatives of each input: selector and record.
type Inputs = Vec<BTreeSet<(String, usize)>>;

#[derive(Debug)]
struct United {
    digest: Digest,
    inputs: Inputs,
    result: Option<Outcome>,
}

/// Records as they are united one after the other.
#[derive(Debug, Default)]
struct Groups {
    united: Vec<United>,
    by_digest: BTreeMap<String, Vec<usize>>,
}

impl Groups {
    /// Where the record went.
    fn add(&mut self, digest: Digest, inputs: Inputs, result: Option<Outcome>) -> usize {
        let next = self.united.len();
        let alike = self.by_digest.entry(digest.to_string()).or_default();
        for index in alike.iter().copied().take(ALIKE) {
            let Some(known) = self.united.get_mut(index).filter(|known| known.inputs.len() == inputs.len()) else {
                continue;
            };
            let same_result = known.result.map(|known| known.chain) == result.map(|new| new.chain);
            let differing = known.inputs.iter().zip(&inputs).filter(|(known, new)| known != new).count();
            if differing > 1 || (differing == 1 && !(same_result && result.is_some())) {
                continue;
            }
            known.inputs.iter_mut().zip(inputs).for_each(|(known, new)| known.extend(new));
            known.result = newest(known.result, result);
            return index;
        }
        alike.push(next);
        self.united.push(United { digest, inputs, result });
        next
    }

    /// The records in an order in which links lead to earlier ones; nothing if two were united of which one needs the
    /// other.
    fn finish(self) -> Option<Vec<Record>> {
        let link = |(selector, record): (String, usize)| Link { selector, record };
        let records = self.united.into_iter().map(|united| Record {
            digest: united.digest,
            inputs: united.inputs.into_iter().map(|links| links.into_iter().map(link).collect()).collect(),
            results: united.result.into_iter().collect(),
        });
        ordered(&records.collect::<Vec<_>>()).ok()
    }
}

fn newest(one: Option<Outcome>, other: Option<Outcome>) -> Option<Outcome> {
    match (one, other) {
        (Some(one), Some(other)) if other.created_at > one.created_at => Some(other),
        (Some(one), _) => Some(one),
        (None, other) => other,
    }
}

//! Other keys by which a record was found before.
//!
//! A step that copies is found by how its source was made, and by what is in it. A builder that took the step from records
//! knows it by the one that it was found by, and BuildKit 0.8 captures no other: a source that is made anew and has the same
//! content would not be found at the next build. The ledger of before knows both.
//!
//! # Why nothing is stale
//!
//! A record takes alternatives of one input from an older record that has the same operation and led to the same layers, and
//! whose other inputs stand for everything that this record's stand for. So what the older one's source claims of these
//! layers is all that is added: nothing is invented. Where a source has a result, it stands for that result's layers, by
//! whichever key it is found: what is made upon it is made upon the same files. A step that is not the same each time is one step
//! here as it is in BuildKit, which keeps what was made upon an earlier result of it.

use std::collections::{BTreeMap, BTreeSet};

use super::limits::{ALTERNATIVES, LINKS, RECORDS};
use super::order::ordered;
use super::{Digest, Link, Record, Records, ResultRef};

/// Alternatives of one input, up to which it is given more: each commit that changes a stage and not what is copied from it adds
/// one. Far more than anybody goes back to, and few enough for a ledger that is read before every build.
const ENOUGH: usize = 16;

impl Records {
    /// The same, and a record that `older` has too is found by the keys of sources by which it was found there. What these
    /// sources were made of comes along as far as these records lack it, without results.
    #[must_use]
    pub fn with_keys_of(self, older: &Self) -> Self {
        let twins = Twins::of(&self, older);
        let mut grafts = Grafts::new(&twins);
        let mut added: BTreeMap<usize, Vec<(usize, String, Source)>> = BTreeMap::new();
        for (index, record) in self.records.iter().enumerate() {
            let Some(twin) = twins.with_same_layers(index) else { continue };
            let inputs = || record.inputs.iter().zip(&twin.inputs).enumerate();
            let uncovered: Vec<usize> =
                inputs().filter(|(_, (links, theirs))| !twins.covers(links, theirs)).map(|(input, _)| input).collect();
            let may_grow = |input: usize| match uncovered.as_slice() {
                [] => true,
                [only] => *only == input,
                _ => false,
            };
            for (input, (links, theirs)) in inputs().filter(|(input, _)| may_grow(*input)) {
                let has = |link: &Link| links.iter().any(|own| twins.is_same(own, link));
                let contradicted = |link: &Link| twins.is_contradicted(index, input, link);
                let mut lacking: Vec<&Link> = theirs.iter().filter(|link| !has(link) && !contradicted(link)).collect();
                // What is in a source outlives how it was made.
                lacking.sort_by_key(|link| !twins.is_root(link));
                let room = ENOUGH.saturating_sub(links.len());
                let sources = lacking.into_iter().filter_map(|link| Some((link, grafts.source(link.record, index)?)));
                let sources = sources.take(room).map(|(link, source)| (input, link.selector.clone(), source));
                let sources: Vec<_> = sources.collect();
                if !sources.is_empty() {
                    added.entry(index).or_default().extend(sources);
                }
            }
        }
        if added.is_empty() {
            return self;
        }
        let Grafts { grafted, .. } = grafts;
        let extended = self.extended(grafted, added);
        let links = extended.records.iter().flat_map(|record| &record.inputs);
        let fits =
            links.clone().all(|links| links.len() <= ALTERNATIVES) && links.map(Vec::len).sum::<usize>() <= LINKS;
        if fits && extended.records.len() <= RECORDS { extended.pruned() } else { self }
    }

    /// With these records and alternatives, each record after those that it is made of.
    fn extended(&self, grafted: Vec<Graft>, mut added: BTreeMap<usize, Vec<(usize, String, Source)>>) -> Self {
        let first = self.records.len();
        let place = |source: Source| match source {
            Source::Known(record) => record,
            Source::Grafted(graft) => first.saturating_add(graft),
        };
        let mut records = self.records.clone();
        for (index, record) in records.iter_mut().enumerate() {
            for (input, selector, source) in added.remove(&index).unwrap_or_default() {
                let Some(links) = record.inputs.get_mut(input) else { continue };
                links.push(Link { selector, record: place(source) });
            }
        }
        records.extend(grafted.into_iter().map(|graft| {
            let link = |(selector, source)| Link { selector, record: place(source) };
            let inputs = graft.inputs.into_iter().map(|links| links.into_iter().map(link).collect());
            Record { digest: graft.digest, inputs: inputs.collect(), results: Vec::new() }
        }));
        // A graft is used above everything that it is made of, so there is no loop.
        let Ok(records) = ordered(&records) else { return self.clone() };
        Self { records, layers: self.layers.clone(), chains: self.chains.clone() }
    }
}

/// Where an alternative leads.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// To one of the records.
    Known(usize),
    /// To one of the older set that these lack.
    Grafted(usize),
}

/// A record of the older set, without its results.
#[derive(Debug)]
struct Graft {
    digest: Digest,
    inputs: Vec<Vec<(String, Source)>>,
}

/// What of the older set these records lack and need.
struct Grafts<'a> {
    twins: &'a Twins<'a>,
    grafted: Vec<Graft>,
    /// By the index of the older record: where it is now, and the first own record that may be made of it; nothing where
    /// it was looked for in vain.
    of: BTreeMap<usize, Option<(Source, usize)>>,
}

impl<'a> Grafts<'a> {
    const fn new(twins: &'a Twins<'a>) -> Self {
        Self { twins, grafted: Vec::new(), of: BTreeMap::new() }
    }

    /// Where an older record is among those that the own record `user` may be made of; nothing if it cannot be there.
    fn source(&mut self, older: usize, user: usize) -> Option<Source> {
        // Links lead to earlier records: from below, so that the depth needs no stack.
        let mut wanted = BTreeSet::from([older]);
        let mut below = vec![older];
        while let Some(index) = below.pop() {
            if self.of.contains_key(&index) || self.twins.known(index).is_some() {
                continue;
            }
            let inputs = self.twins.older.records.get(index).map(|record| record.inputs.as_slice()).unwrap_or_default();
            below.extend(inputs.iter().flatten().map(|link| link.record).filter(|record| wanted.insert(*record)));
        }
        for index in wanted {
            if !self.of.contains_key(&index) {
                let place = self.graft(index);
                self.of.insert(index, place);
            }
        }
        let (source, first_user) = self.of.get(&older).copied().flatten()?;
        (user >= first_user).then_some(source)
    }

    /// Brings an older record here; those that it is made of have been looked at.
    fn graft(&mut self, index: usize) -> Option<(Source, usize)> {
        let record = self.twins.older.records.get(index)?;
        if let Some(known) = self.twins.known(index) {
            // What is made of nothing may come before anything.
            let first_user = if record.inputs.is_empty() { 0 } else { known.saturating_add(1) };
            return Some((Source::Known(known), first_user));
        }
        let mut first_user = 0;
        let mut inputs = Vec::with_capacity(record.inputs.len());
        for links in &record.inputs {
            let found = links.iter().filter_map(|link| Some((link, self.of.get(&link.record).copied().flatten()?)));
            let found: Vec<(String, (Source, usize))> =
                found.map(|(link, place)| (link.selector.clone(), place)).collect();
            if found.is_empty() {
                return None;
            }
            first_user = found.iter().map(|(_, (_, user))| *user).fold(first_user, usize::max);
            inputs.push(found.into_iter().map(|(selector, (source, _))| (selector, source)).collect());
        }
        self.grafted.push(Graft { digest: record.digest, inputs });
        Some((Source::Grafted(self.grafted.len().saturating_sub(1)), first_user))
    }
}

/// Which record of an older set says of the same what a record says.
struct Twins<'a> {
    own: &'a Records,
    older: &'a Records,
    /// By the index of the own record.
    of: Vec<Option<usize>>,
    /// The first own record of each older one.
    back: BTreeMap<usize, usize>,
    roots: BTreeMap<Digest, usize>,
    /// The own records of each operation.
    by_operation: BTreeMap<Digest, Vec<usize>>,
}

impl<'a> Twins<'a> {
    fn of(own: &'a Records, older: &'a Records) -> Self {
        let mut candidates: BTreeMap<Digest, Vec<usize>> = BTreeMap::new();
        for (index, record) in older.records.iter().enumerate() {
            candidates.entry(record.digest).or_default().push(index);
        }
        let roots = own.records.iter().enumerate().filter(|(_, record)| record.inputs.is_empty());
        let roots = roots.map(|(index, record)| (record.digest, index)).collect();
        let mut by_operation: BTreeMap<Digest, Vec<usize>> = BTreeMap::new();
        for (index, record) in own.records.iter().enumerate() {
            by_operation.entry(record.digest).or_default().push(index);
        }
        let of = Vec::with_capacity(own.records.len());
        let mut twins = Self { own, older, of, back: BTreeMap::new(), roots, by_operation };
        // Links lead to earlier records, so what is below has been looked at.
        for (index, record) in own.records.iter().enumerate() {
            let all = candidates.get(&record.digest).into_iter().flatten();
            let twin =
                all.copied().find(|twin| older.records.get(*twin).is_some_and(|twin| twins.is_twin(twin, record)));
            twins.of.push(twin);
            twin.into_iter().for_each(|twin| {
                twins.back.entry(twin).or_insert(index);
            });
        }
        twins
    }

    /// Whether an older record says of the same what this one says: it led to the same layers, or stands for everything that
    /// this one stands for.
    fn is_twin(&self, older: &Record, record: &Record) -> bool {
        if older.inputs.len() != record.inputs.len() {
            return false;
        }
        match (layers(self.older, older), layers(self.own, record)) {
            (Some(older), Some(own)) => older == own,
            _ => record.inputs.iter().zip(&older.inputs).all(|(links, theirs)| self.covers(links, theirs)),
        }
    }

    /// Whether the alternatives of an older input stand for everything that these stand for.
    fn covers(&self, links: &[Link], theirs: &[Link]) -> bool {
        links.iter().all(|own| theirs.iter().any(|link| self.is_same(own, link)))
    }

    fn is_same(&self, own: &Link, older: &Link) -> bool {
        own.selector == older.selector && self.of.get(own.record).copied().flatten() == Some(older.record)
    }

    /// The twin of a record, if both lead to the same layers.
    fn with_same_layers(&self, index: usize) -> Option<&'a Record> {
        let record = self.own.records.get(index)?;
        let twin = self.older.records.get(self.of.get(index).copied().flatten()?)?;
        let layers = layers(self.own, record)?;
        (layers == self::layers(self.older, twin)?).then_some(twin)
    }

    /// The own record that an older one is.
    fn known(&self, older: usize) -> Option<usize> {
        let record = self.older.records.get(older)?;
        let root = || record.inputs.is_empty().then(|| self.roots.get(&record.digest)).flatten();
        self.back.get(&older).or_else(root).copied()
    }

    /// Whether the records themselves say otherwise of what a record would stand for with this alternative of an older one: another
    /// record of the same operation has it, with the same other inputs. A step that is not the same each time has other layers each
    /// time, and those that it has now count.
    fn is_contradicted(&self, index: usize, input: usize, older: &Link) -> bool {
        let (Some(record), Some(known)) = (self.own.records.get(index), self.known(older.record)) else { return false };
        let added = Link { selector: older.selector.clone(), record: known };
        let others = self.by_operation.get(&record.digest).into_iter().flatten();
        others.filter(|other| **other != index).filter_map(|other| self.own.records.get(*other)).any(|other| {
            let mut inputs = record.inputs.iter().zip(&other.inputs).enumerate();
            other.inputs.len() == record.inputs.len()
                && inputs.all(|(place, (own, theirs))| match place == input {
                    true => theirs.contains(&added),
                    false => own.iter().any(|link| theirs.contains(link)),
                })
        })
    }

    /// Whether a link of an older record leads to one that is made of nothing, as the digest of a content.
    fn is_root(&self, link: &Link) -> bool {
        self.older.records.get(link.record).is_some_and(|record| record.inputs.is_empty())
    }
}

/// The layers of a record's only result, uppermost first.
fn layers(records: &Records, record: &Record) -> Option<Vec<Digest>> {
    let [outcome] = record.results.as_slice() else { return None };
    let result = ResultRef { records, outcome: *outcome };
    Some(result.layers_from_top().map(|layer| layer.blob).collect())
}

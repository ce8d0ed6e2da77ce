//! From what BuildKit wrote to checked records: everything that refers to something does so rightly, and in an order.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Datelike as _, Utc};

use super::limits::{DEPTH, DESCRIPTION_BYTES, LAYERS, LINKS, SELECTOR_BYTES, WORD_BYTES};
use super::order::{Loop, topological};
use super::wire::{Config, ConfigLayer, ConfigRecord};
use super::{Chain, Digest, Layer, Link, Outcome, Record, Records, RecordsError};

impl Records {
    /// Checks a config whose blobs are `layers`. As BuildKit does, a result is left out when one of its layers is not
    /// among them, and of layers with the same digest the last one counts.
    pub(super) fn check(layers: Vec<Layer>, config: &Config<'_>) -> Result<Self, RecordsError> {
        let mut forest = Forest::default();
        for layer in layers {
            forest.describe(layer)?;
        }
        let tops = forest.plant(&config.layers.0)?;
        let mut records = Vec::new();
        // Where each record went; nothing for those that no build can ask for.
        let mut places = vec![None; config.records.0.len()];
        let mut links = 0;
        for index in order(&config.records.0)? {
            let Some(record) = config.records.0.get(index) else { continue };
            links += record.inputs.0.iter().map(|alternatives| alternatives.0.len()).sum::<usize>();
            if links > LINKS {
                return Err(RecordsError::TooLarge { what: "links", limit: LINKS });
            }
            // Their digests are made up for each build (`CacheChains.Add`).
            if record.digest.starts_with("random:") {
                continue;
            }
            let digest = record.digest.parse().map_err(|_| RecordsError::InvalidDigest { record: index })?;
            let results = results(index, record, &tops, &mut forest)?;
            if let Some(inputs) = inputs(record, &places)? {
                if let Some(place) = places.get_mut(index) {
                    *place = Some(records.len());
                }
                records.push(Record { digest, inputs, results });
            }
        }
        Ok(Self { layers: forest.layers, chains: forest.chains, records }.pruned())
    }
}

impl Layer {
    /// Refuses what is no description, and drops a text that is too long to be worth its place.
    pub(super) fn checked(mut self) -> Result<Self, RecordsError> {
        let word = |text: &str| !text.is_empty() && text.len() <= WORD_BYTES && !text.contains(char::is_control);
        let time = |text: &String| word(text) && DateTime::parse_from_rfc3339(text).is_ok();
        if !word(&self.media_type) || self.created_at.as_ref().is_some_and(|text| !time(text)) {
            return Err(RecordsError::InvalidLayer { blob: self.blob.to_string() });
        }
        self.description.take_if(|text| text.len() > DESCRIPTION_BYTES);
        Ok(self)
    }
}

/// Layers upon layers.
#[derive(Debug, Default)]
struct Forest {
    layers: Vec<Layer>,
    by_blob: HashMap<Digest, usize>,
    chains: Vec<Chain>,
    by_chain: HashMap<Chain, usize>,
    depths: Vec<usize>,
}

impl Forest {
    fn describe(&mut self, layer: Layer) -> Result<(), RecordsError> {
        let layer = layer.checked()?;
        let index = *self.by_blob.entry(layer.blob).or_insert(self.layers.len());
        match self.layers.get_mut(index) {
            Some(known) => *known = layer,
            None => self.layers.push(layer),
        }
        Ok(())
    }

    /// The chain of a layer upon another chain.
    fn grow(&mut self, blob: Digest, parent: Option<usize>) -> Result<Option<usize>, RecordsError> {
        let Some(&layer) = self.by_blob.get(&blob) else { return Ok(None) };
        let chain = Chain { layer, parent };
        if let Some(known) = self.by_chain.get(&chain) {
            return Ok(Some(*known));
        }
        let depth = parent.and_then(|parent| self.depths.get(parent)).map_or(1, |depth| depth + 1);
        if depth > DEPTH {
            return Err(RecordsError::TooLarge { what: "layers above each other", limit: DEPTH });
        }
        let index = self.chains.len();
        if index == LAYERS {
            return Err(RecordsError::TooLarge { what: "layers", limit: LAYERS });
        }
        self.chains.push(chain);
        self.depths.push(depth);
        self.by_chain.insert(chain, index);
        Ok(Some(index))
    }

    /// The chain and the blob of each layer of a config; no chain where a blob is unknown.
    fn plant(&mut self, layers: &[ConfigLayer]) -> Result<Vec<(Option<usize>, Digest)>, RecordsError> {
        let mut parents = Vec::with_capacity(layers.len());
        for layer in layers {
            let unknown = RecordsError::UnknownLayer { layer: layer.parent };
            parents.push(match layer.parent {
                -1 => None,
                parent => Some(usize::try_from(parent).ok().filter(|parent| *parent < layers.len()).ok_or(unknown)?),
            });
        }
        let parent = |index: usize| parents.get(index).copied().flatten();
        let order = topological(layers.len(), |index| parent(index).into_iter())
            .map_err(|Loop(layer)| RecordsError::LayerLoop { layer })?;
        let mut tops: Vec<_> = layers.iter().map(|layer| (None, layer.blob)).collect();
        for index in order {
            let Some(layer) = layers.get(index) else { continue };
            let chain = match parent(index).map(|parent| tops.get(parent).and_then(|(chain, _)| *chain)) {
                Some(None) => None,
                below => self.grow(layer.blob, below.flatten())?,
            };
            if let Some(top) = tops.get_mut(index) {
                top.0 = chain;
            }
        }
        Ok(tops)
    }
}

/// An order of the records in which inputs come first. BuildKit sorts them by digest.
fn order(records: &[ConfigRecord<'_>]) -> Result<Vec<usize>, RecordsError> {
    let links = |record: usize| {
        let inputs = records.get(record).into_iter().flat_map(|record| &record.inputs.0);
        inputs.flat_map(|alternatives| &alternatives.0)
    };
    for record in 0..records.len() {
        for link in links(record) {
            if usize::try_from(link.link).ok().is_none_or(|link| link >= records.len()) {
                return Err(RecordsError::UnknownRecord { record, link: link.link });
            }
            if link.selector.len() > SELECTOR_BYTES {
                return Err(RecordsError::TooLarge { what: "bytes in a selector", limit: SELECTOR_BYTES });
            }
        }
    }
    topological(records.len(), |record| links(record).filter_map(|link| usize::try_from(link.link).ok()))
        .map_err(|Loop(record)| RecordsError::RecordLoop { record })
}

/// The alternatives of each input, without those that lead nowhere. Nothing if an input has none left: no build can ask
/// for such a record, and BuildKit refuses a whole config for it (`invalid empty input`).
fn inputs(record: &ConfigRecord<'_>, places: &[Option<usize>]) -> Result<Option<Vec<Vec<Link>>>, RecordsError> {
    let mut inputs = Vec::with_capacity(record.inputs.0.len());
    for alternatives in &record.inputs.0 {
        let places = alternatives.0.iter().filter_map(|link| {
            let record = places.get(usize::try_from(link.link).ok()?).copied().flatten()?;
            Some(Link { selector: link.selector.clone(), record })
        });
        let mut links: Vec<_> = places.collect();
        links.sort_unstable();
        links.dedup();
        if links.is_empty() {
            return Ok(None);
        }
        inputs.push(links);
    }
    Ok(Some(inputs))
}

fn results(
    index: usize,
    record: &ConfigRecord<'_>,
    tops: &[(Option<usize>, Digest)],
    forest: &mut Forest,
) -> Result<Vec<Outcome>, RecordsError> {
    let top = |layer: i64| {
        let top = usize::try_from(layer).ok().and_then(|layer| tops.get(layer).copied());
        top.ok_or(RecordsError::UnknownLayer { layer })
    };
    let mut outcomes = Vec::new();
    for result in &record.layers.0 {
        let created_at = time(index, result.created_at.as_ref())?;
        outcomes.extend(top(result.layer)?.0.map(|chain| Outcome { chain, created_at }));
    }
    for chained in &record.chains.0 {
        let created_at = time(index, chained.created_at.as_ref())?;
        let mut chain = None;
        for layer in &chained.layers.0 {
            chain = forest.grow(top(*layer)?.1, chain)?;
            if chain.is_none() {
                break;
            }
        }
        outcomes.extend(chain.map(|chain| Outcome { chain, created_at }));
    }
    let mut seen = HashSet::new();
    outcomes.retain(|outcome| seen.insert((outcome.chain, outcome.created_at)));
    Ok(outcomes)
}

/// A time as Go writes it; its zero, in the year 1, is no time.
fn time(record: usize, text: Option<&Cow<'_, str>>) -> Result<Option<DateTime<Utc>>, RecordsError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let time = DateTime::parse_from_rfc3339(text).map_err(|_| RecordsError::InvalidTime { record })?;
    let time = Some(time.to_utc()).filter(|time| time.year() > 1);
    if time.is_none_or(writable) { Ok(time) } else { Err(RecordsError::InvalidTime { record }) }
}

/// Whether a time can be written as RFC 3339 writes it, which is all that BuildKit reads: a year of four digits.
pub(super) fn writable(time: DateTime<Utc>) -> bool {
    (0..=9999).contains(&time.year())
}

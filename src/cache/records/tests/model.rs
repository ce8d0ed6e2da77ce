//! What a set of records means, and that merging keeps to it.
//!
//! Written without the code under test: all derivations of all records, one by one, with the results claimed of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::super::{Digest, Records};
use super::importer::import;
use super::{Spec, offered, records};

/// A derivation: an operation upon derivations, by number.
type Derivation = (String, Vec<(String, usize)>);
/// A time and the digests of the layers, lowest first.
type Claim = (Option<DateTime<Utc>>, Vec<String>);
/// More derivations of one record are too many to write down; such cases are left out.
const MANY: usize = 600;

/// Derivations that have been seen, so that equal ones have one number.
#[derive(Default)]
struct World {
    numbers: HashMap<Derivation, usize>,
    /// Records without inputs that are one and the same.
    same: BTreeSet<String>,
}

impl World {
    /// The claims of each derivation, and how many records make each; nothing if there are too many.
    fn meaning(&mut self, records: &Records) -> Option<BTreeMap<usize, (BTreeSet<Claim>, usize)>> {
        let mut derivations: Vec<BTreeSet<usize>> = Vec::new();
        let mut meaning = BTreeMap::<usize, (BTreeSet<Claim>, usize)>::new();
        for record in &records.records {
            let mut tuples = vec![Vec::new()];
            for links in &record.inputs {
                let choices = links.iter().flat_map(|link| {
                    derivations[link.record].iter().map(|derivation| (link.selector.clone(), *derivation))
                });
                let choices: Vec<_> = choices.collect();
                if tuples.len() * choices.len() > MANY {
                    return None;
                }
                let longer = |tuple: &Vec<_>| {
                    let tuple = tuple.clone();
                    choices.iter().map(move |choice| [tuple.clone(), vec![choice.clone()]].concat())
                };
                tuples = tuples.iter().flat_map(longer).collect();
            }
            let mut own = BTreeSet::new();
            let digest = record.digest.to_string();
            let is_same = record.inputs.is_empty() && self.same.contains(&digest);
            let name = if is_same { "same".to_owned() } else { digest };
            for tuple in tuples {
                let next = self.numbers.len();
                own.insert(*self.numbers.entry((name.clone(), tuple)).or_insert(next));
            }
            for derivation in &own {
                let (claims, count) = meaning.entry(*derivation).or_default();
                *count += 1;
                claims.extend(record.results.iter().map(|outcome| {
                    let result = super::super::ResultRef { records, outcome: *outcome };
                    (outcome.created_at, result.layers().iter().map(|layer| layer.blob.to_string()).collect())
                }));
            }
            derivations.push(own);
        }
        Some(meaning)
    }
}

/// The merged records, and whether they mean what all sources mean together; nothing if that is too much to write down.
fn check(sources: &[Records], lossless: bool) -> Option<()> {
    let mut world = World::default();
    let mut claimed = BTreeMap::<usize, BTreeSet<Claim>>::new();
    for source in sources {
        for (derivation, (claims, _)) in world.meaning(source)? {
            claimed.entry(derivation).or_default().extend(claims);
        }
    }
    let merged = Records::merge(sources.iter().cloned());
    let meaning = world.meaning(&merged)?;
    for (derivation, (claims, count)) in &meaning {
        assert_eq!(*count, 1, "a derivation of two records");
        assert!(claims.len() <= 1, "two results of one record");
        let Some(claim) = claims.first() else { continue };
        let sources = claimed.get(derivation).expect("a derivation that no source has");
        assert!(sources.contains(claim), "a result that no source claims of this derivation");
        let newest = sources.iter().map(|(time, _)| *time).max().unwrap();
        assert_eq!(claim.0, newest, "an older result than a source claims of this derivation");
    }
    for (derivation, claims) in claimed.iter().filter(|(_, claims)| lossless && !claims.is_empty()) {
        assert!(meaning.get(derivation).is_some_and(|(have, _)| !have.is_empty()), "lost: {claims:?}");
    }

    assert_eq!(Records::merge([merged.clone()]), merged, "merged again, it changes");
    assert_eq!(Records::merge([merged.clone(), merged.clone()]), merged, "merged with itself, it changes");
    let Some((config, read)) = offered(sources) else {
        assert!(merged.is_empty());
        return Some(());
    };
    assert_eq!(world.meaning(&read)?, meaning, "what BuildKit reads means something else");
    assert_eq!(import(&config), Ok(0), "BuildKit unites offered records");
    Some(())
}

/// That each set of `known` claims what the one of `sources` does, and nothing else, if these records are one and the same;
/// and so do all of them merged. Nothing if that is too much to write down.
pub(super) fn same_meaning_under(same: &BTreeSet<Digest>, sources: &[Records], known: &[Records]) -> Option<()> {
    let mut world = World { same: same.iter().map(ToString::to_string).collect(), ..World::default() };
    let mut claims = |records: &Records| -> Option<BTreeMap<usize, BTreeSet<Claim>>> {
        let meaning = world.meaning(records)?.into_iter();
        Some(meaning.map(|(derivation, (claims, _))| (derivation, claims)).collect())
    };
    let mut all = BTreeMap::<usize, BTreeSet<Claim>>::new();
    for (source, known) in sources.iter().zip(known) {
        let said = claims(source)?;
        assert_eq!(claims(known)?, said, "another meaning");
        said.into_iter().for_each(|(derivation, claims)| all.entry(derivation).or_default().extend(claims));
    }
    for (derivation, found) in claims(&Records::merge(known.iter().cloned()))? {
        assert!(found.is_subset(&all[&derivation]), "a result that no source claims of this derivation");
    }
    Some(())
}

/// What is known of the derivations of `own` when `older` completes it: no derivation is new, no result is.
fn check_completed(own: &Records, older: &Records) -> Option<()> {
    let mut world = World::default();
    let (mine, theirs) = (world.meaning(own)?, world.meaning(older)?);
    let completed = own.clone().completed_by(older.clone());
    let chains = |records: &Records| -> BTreeSet<Vec<String>> {
        let results = records.results().map(|result| result.layers());
        results.map(|layers| layers.iter().map(|layer| layer.blob.to_string()).collect()).collect()
    };
    let longest = chains(own);
    for (derivation, (claims, count)) in world.meaning(&completed)? {
        assert_eq!(count, 1, "a derivation of two records");
        let (said, _) = mine.get(&derivation).expect("a derivation that was not there");
        let Some(claim) = claims.first() else {
            assert!(said.is_empty(), "a result is lost");
            continue;
        };
        let before = theirs.get(&derivation).map(|(claims, _)| claims).into_iter().flatten();
        assert!(said.iter().chain(before).any(|known| known == claim), "a result that nobody claims");
        assert!(said.iter().all(|known| known.0 <= claim.0), "an older result than before");
        assert!(longest.iter().any(|layers| layers.starts_with(&claim.1)), "layers that are not its own");
    }
    for (derivation, (claims, _)) in &theirs {
        let known = mine.get(derivation).is_some_and(|(said, _)| said.is_empty());
        let held = claims.iter().any(|claim| longest.iter().any(|layers| layers.starts_with(&claim.1)));
        if known && held {
            let meaning = world.meaning(&completed)?;
            assert!(
                meaning.get(derivation).is_some_and(|(claims, _)| !claims.is_empty()),
                "a result that is not taken"
            );
        }
    }
    Some(())
}

/// Derivations in words: where one has a result by what `all` claim, or by what is known of the same words, its layers stand for it,
/// however they came about.
struct Words<'a> {
    by_number: HashMap<usize, &'a Derivation>,
    all: &'a BTreeMap<usize, (BTreeSet<Claim>, usize)>,
    known: BTreeMap<String, &'a Vec<String>>,
}

/// One reading, in all the ways to put it: an input as its layers, and as the operation that made them if nobody claims others of it.
type Reading = Vec<String>;

impl<'a> Words<'a> {
    /// Whatever is claimed, in every way to put it: with each result that is found the next ones may be put in one more. Nothing if a
    /// step has not the same result each time, or if it is too much.
    fn all_known(
        by_number: HashMap<usize, &'a Derivation>,
        all: &'a BTreeMap<usize, (BTreeSet<Claim>, usize)>,
    ) -> Option<Self> {
        let mut words = Self { by_number, all, known: BTreeMap::new() };
        loop {
            let before = words.known.len();
            for (number, (claims, _)) in all {
                for text in words.of(*number)?.into_iter().flatten() {
                    for (_, layers) in claims {
                        if *words.known.entry(text.clone()).or_insert(layers) != layers {
                            return None;
                        }
                    }
                }
            }
            if words.known.len() == before {
                return Some(words);
            }
        }
    }

    /// A derivation, a reading for every result that is claimed of what it is made of.
    fn of(&self, number: usize) -> Option<Vec<Reading>> {
        let (name, inputs) = self.by_number[&number];
        let mut all = vec![vec![name.clone()]];
        for (selector, input) in inputs {
            let choices = self.of_input(*input)?;
            let longer = |reading: &Reading, choice: &Reading| -> Reading {
                let texts = reading.iter().flat_map(|text| choice.iter().map(move |choice| (text, choice)));
                texts.map(|(text, choice)| format!("{text}({selector}>{choice})")).collect()
            };
            all = all.iter().flat_map(|reading| choices.iter().map(|choice| longer(reading, choice))).collect();
            if all.iter().map(Vec::len).sum::<usize>() > MANY {
                return None;
            }
        }
        Some(all)
    }

    fn of_input(&self, number: usize) -> Option<Vec<Reading>> {
        let (name, _) = self.by_number[&number];
        let claims = self.all.get(&number).map(|(claims, _)| claims).into_iter().flatten();
        let layers: BTreeSet<&Vec<String>> = claims.map(|(_, layers)| layers).collect();
        let mut made = self.of(number)?;
        for reading in &mut made {
            let known = reading.iter().find_map(|text| self.known.get(text));
            reading.extend(known.map(|layers| format!("{name}={layers:?}")));
        }
        let mut readings: Vec<Reading> = layers.iter().map(|layers| vec![format!("{name}={layers:?}")]).collect();
        match readings.as_mut_slice() {
            [] => return Some(made),
            [only] => only.extend(made.into_iter().flatten()),
            _ => {}
        }
        for reading in &mut readings {
            reading.sort();
            reading.dedup();
        }
        Some(readings)
    }
}

/// What is known with the keys of `older`: whatever is claimed of files, one of the two claims, and nothing is lost. Nothing if it is
/// too much to write down, or if a step has not the same result each time: as in BuildKit it is one step all the same, and what was
/// made upon one of its results is found with another (`keys::what_a_step_gives_now_counts_and_not_what_it_gave_before`).
///
/// A reading of what is claimed now counts as theirs in any of the ways to put it: what was made upon a step without a result was made
/// upon what this operation gives, also where another record has a result of it, and the other way round.
fn check_keys(own: &Records, older: &Records) -> Option<()> {
    let mut world = World::default();
    let (mine, theirs) = (world.meaning(own)?, world.meaning(older)?);
    let meaning = world.meaning(&own.clone().with_keys_of(older))?;
    for (derivation, (said, _)) in &mine {
        assert!(meaning.get(derivation).is_some_and(|(claims, _)| said.is_subset(claims)), "something is lost");
    }
    let mut all = mine.clone();
    for (derivation, (claims, _)) in &theirs {
        all.entry(*derivation).or_default().0.extend(claims.iter().cloned());
    }
    let by_number = world.numbers.iter().map(|(what, number)| (*number, what)).collect();
    let words = Words::all_known(by_number, &all)?;
    for (number, (claims, _)) in meaning.iter().filter(|(_, (claims, _))| !claims.is_empty()) {
        for reading in words.of(*number)? {
            for (_, layers) in claims {
                let is_known = reading.iter().any(|text| words.known.get(text) == Some(&layers));
                assert!(is_known, "a result that nobody claims: {reading:?} is {layers:?}");
            }
        }
    }
    Some(())
}

const SELECTORS: [&str; 2] = ["", "sel"];
const CHAINS: [&str; 7] = ["a", "ab", "abc", "ad", "e", "ef", "g"];

/// Records whose operations 0..=2 have no inputs, 3..=5 one and 6.. two; or, if they are not `regular`, any number.
pub(super) fn source(regular: bool) -> impl Strategy<Value = Records> {
    let link = (0..2_usize, any::<prop::sample::Index>());
    let input = prop::collection::vec(link, 1..3);
    let result = prop::option::weighted(0.6, (0..CHAINS.len(), 0..9_u32));
    let record = (0..8_usize, prop::collection::vec(input, 2), 0..3_usize, result);
    prop::collection::vec(record, 2..9).prop_map(move |drawn| {
        let mut specs = Vec::<Spec>::new();
        for (operation, inputs, any, result) in drawn {
            let usual = operation / 3;
            let count = if specs.is_empty() {
                0
            } else if regular {
                usual
            } else {
                any
            };
            // The first record has no inputs whatever it does.
            let operation = if specs.is_empty() { operation % 3 } else { operation };
            let link =
                |(selector, index): &(usize, prop::sample::Index)| (SELECTORS[*selector], index.index(specs.len()));
            let inputs = inputs[..count].iter().map(|links| links.iter().map(link).collect()).collect();
            let results = result.map(|(chain, second)| (CHAINS[chain].to_owned(), second)).into_iter().collect();
            specs.push(Spec { digest: operation.to_string(), inputs, results });
        }
        records(&specs)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 20_000, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn merging_invents_nothing_and_loses_nothing(sources in prop::collection::vec(source(true), 1..5)) {
        prop_assume!(check(&sources, true).is_some());
    }

    #[test]
    fn merging_invents_nothing_out_of_nonsense(sources in prop::collection::vec(source(false), 1..4)) {
        prop_assume!(check(&sources, false).is_some());
    }

    #[test]
    fn what_was_known_completes_what_is_told(own in source(true), older in source(true)) {
        prop_assume!(check_completed(&own, &older).is_some());
    }

    #[test]
    fn keys_of_before_say_what_was_said_before(own in source(true), older in source(true)) {
        // As a builder writes them: nothing is said twice.
        let [own, older] = [own, older].map(|records| Records::merge([records]));
        prop_assume!(check_keys(&own, &older).is_some());
        // Two drawn sets have little in common, two of one have much.
        let both = Records::merge([own, older.clone()]);
        prop_assume!(check_keys(&older, &both).is_some());
    }

    #[test]
    fn the_order_of_sources_does_not_change_the_times(sources in prop::collection::vec(source(true), 2..4)) {
        let times = |sources: Vec<Records>, world: &mut World| {
            let meaning = world.meaning(&Records::merge(sources))?;
            let times = |(claims, _): (BTreeSet<Claim>, usize)| claims.first().map(|claim| claim.0);
            Some(meaning.into_iter().map(|(derivation, claims)| (derivation, times(claims))).collect::<BTreeMap<_, _>>())
        };
        let mut world = World::default();
        let there = times(sources.clone(), &mut world);
        let back = times(sources.into_iter().rev().collect(), &mut world);
        prop_assert_eq!(there, back);
    }

    #[test]
    fn what_is_stored_is_what_is_read(records in source(false)) {
        let stored = serde_json::to_string(&records).unwrap();
        prop_assert_eq!(serde_json::from_str::<Records>(&stored).unwrap(), records);
    }
}

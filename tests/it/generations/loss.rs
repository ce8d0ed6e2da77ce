//! What the builder loses before a build.

use super::random::Random;
use crate::support::{Engine, docker};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    Nothing,
    Everything,
    /// What was not used for some seconds.
    Unused,
    /// The least recently used, until the rest is small enough.
    Size,
    /// One record: keys outlive their results.
    Record,
    /// Several single records, one after another.
    Records,
}

impl Loss {
    pub(super) const ALL: [Self; 6] =
        [Self::Nothing, Self::Everything, Self::Unused, Self::Size, Self::Record, Self::Records];

    /// Makes the builder lose it and tells what was done.
    pub(super) fn befall(self, engine: &Engine, random: &mut Random) -> String {
        // Always one draw, so that what follows does not depend on what the engine holds.
        let draw = random.next();
        match self {
            Self::Nothing => "the builder lost nothing".to_owned(),
            Self::Everything => prune(engine, &[]),
            Self::Unused => prune(engine, &["--filter", &format!("until={}s", [1, 2, 4, 8][below(draw, 4)])]),
            Self::Size => {
                // Records are a few bytes each, or in the containerd store a block each.
                let unit = if engine.has_containerd_store() { 4096 } else { 40 };
                let option = if engine.is_20_10() { "--reserved-space" } else { "--max-used-space" };
                prune(engine, &[option, &format!("{}b", unit * (1 + below(draw, 20)))])
            }
            Self::Record => {
                remove_one(engine, draw).unwrap_or_else(|| "the builder has no record that can go alone".to_owned())
            }
            Self::Records => remove_several(engine, draw),
        }
    }
}

fn below(draw: u64, limit: usize) -> usize {
    usize::try_from(draw % limit as u64).unwrap()
}

fn prune(engine: &Engine, options: &[&str]) -> String {
    let before = records(engine).len();
    docker(engine, &[&["builder", "prune", "--all", "--force"], options].concat());
    format!("builder prune -af {}: {} of {before} records stayed", options.join(" "), records(engine).len())
}

/// Removes one record on which no other is built, and which nothing holds; nothing if there is none.
fn remove_one(engine: &Engine, draw: u64) -> Option<String> {
    let all = records(engine);
    let mut ends: Vec<&Record> = all.iter().filter(|record| !all.iter().any(|other| other.is_on(record))).collect();
    // Some are held by what the list does not show, and 20.10 does not say what is built on what.
    for _ in 0..ends.len().min(8) {
        let record = ends.swap_remove(below(draw, ends.len()));
        docker(engine, &["builder", "prune", "--all", "--force", "--filter", &format!("id={}", record.id)]);
        let left = records(engine).len();
        if left < all.len() {
            return Some(format!("builder prune of '{}': {left} of {} records stayed", record.description, all.len()));
        }
    }
    None
}

/// Removes records one by one, so that what is left is not what a size or an age leaves.
fn remove_several(engine: &Engine, draw: u64) -> String {
    let before = records(engine).len();
    let keep = before * (1 + below(draw, 4)) / 6;
    let mut random = Random::new(draw);
    for _ in 0..before.saturating_sub(keep).min(12) {
        if remove_one(engine, random.next()).is_none() {
            break;
        }
    }
    format!("single records pruned: {} of {before} records stayed", records(engine).len())
}

/// A record of the builder; sorted so that the order does not depend on its id.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Record {
    description: String,
    created: String,
    id: String,
    parents: Vec<String>,
}

impl Record {
    fn is_on(&self, other: &Self) -> bool {
        self.parents.contains(&other.id)
    }
}

fn records(engine: &Engine) -> Vec<Record> {
    let listed = docker(engine, &["buildx", "du", "--format", "json"]);
    let mut records: Vec<Record> = listed
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
            let parents = record["Parents"].as_array().into_iter().flatten();
            Record {
                description: text("Description"),
                created: text("CreatedAt"),
                id: text("ID"),
                parents: parents.map(|parent| parent.as_str().unwrap().to_owned()).collect(),
            }
        })
        .collect();
    records.sort();
    records
}

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
}

impl Loss {
    pub(super) const ALL: [Self; 5] = [Self::Nothing, Self::Everything, Self::Unused, Self::Size, Self::Record];

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
                // One that others build on stays: then the next one.
                let records = records(engine);
                let from = below(draw, records.len().max(1));
                let turned = records.iter().cycle().skip(from).take(records.len().min(5));
                let mut last = "the builder had no record to lose".to_owned();
                for (description, id) in turned {
                    last = format!("{} ({description})", prune(engine, &["--filter", &format!("id={id}")]));
                    if self::records(engine).len() < records.len() {
                        break;
                    }
                }
                last
            }
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

/// Description and id of the builder's records, in an order that does not depend on the ids.
fn records(engine: &Engine) -> Vec<(String, String)> {
    let mut records: Vec<(String, String, String)> = docker(engine, &["buildx", "du", "--format", "json"])
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
            (text("Description"), text("CreatedAt"), text("ID"))
        })
        .collect();
    records.sort();
    records.into_iter().map(|(description, _, id)| (description, id)).collect()
}

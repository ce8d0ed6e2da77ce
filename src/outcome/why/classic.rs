//! The classic builder: it keeps no ledger, so little is known.

use super::ran;
use crate::outcome::build::ImageOutcome;
use crate::outcome::reason::MissReason;
use crate::project::target::{NoCache, Target};

/// Why each step ran, in the order of the steps; nothing for one that was cached or never begun.
///
/// Once a step of a stage was not cached, the builder looks none of those below it up.
pub fn reasons(outcome: &ImageOutcome, target: &Target) -> Vec<Option<MissReason>> {
    let first_build = is_first_build(outcome, target);
    let mut missed: Vec<(Option<&str>, &str)> = Vec::new();
    let each = outcome.steps.iter().map(|step| {
        if !ran(step) {
            return None;
        }
        if target.no_cache == NoCache::All {
            return Some(MissReason::Asked);
        }
        if outcome.fresh_after.is_some() {
            return Some(MissReason::Cleared);
        }
        if first_build {
            return Some(MissReason::FirstBuild);
        }
        let stage = step.stage.as_deref();
        if let Some((_, first)) = missed.iter().find(|(of, _)| *of == stage) {
            return Some(MissReason::EarlierStep { step: (*first).to_owned() });
        }
        missed.push((stage, &step.name));
        Some(MissReason::Unknown)
    });
    each.collect()
}

/// Whether the image that is the cache was not there, and nothing else was one.
fn is_first_build(outcome: &ImageOutcome, target: &Target) -> bool {
    let own = target.tags.first().map(ToString::to_string);
    let absent = outcome.unused_sources.iter().any(|unused| Some(&unused.source) == own.as_ref());
    absent && !outcome.steps.iter().any(|step| step.cached)
}

//! Where cached steps came from, as far as that can be known: the builder's progress does not say.

use std::collections::{BTreeMap, BTreeSet};

use crate::buildkit::Connection;
use crate::buildkit::usage::{self, Record};
use crate::outcome::build::{CacheSource, StepOutcome};
use crate::plan::build::PlannedBuild;

/// The kind of a record that holds the result of a step.
const REGULAR: &str = "regular";

/// What the builder had before a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Before {
    /// It was offered nothing: what is cached is its own.
    NothingOffered,
    /// It was offered records, and had no results of its own.
    Empty {
        /// Where the offered records come from.
        offered: CacheSource,
    },
    /// It was offered records, and had these.
    Had {
        /// Where the offered records come from.
        offered: CacheSource,
        /// Ids of its own.
        ids: BTreeSet<String>,
    },
    /// It was offered records, and does not say what it had.
    Unknown,
}

impl Before {
    /// Looks, if there is anything to tell apart.
    pub(super) async fn look(connection: &Connection, build: &PlannedBuild) -> Self {
        let Some(offered) = build.offered else { return Self::NothingOffered };
        match usage::records(connection).await {
            Ok(records) => {
                let ids: BTreeSet<String> =
                    records.into_iter().filter(|record| record.kind == REGULAR).map(|record| record.id).collect();
                if ids.is_empty() { Self::Empty { offered } } else { Self::Had { offered, ids } }
            }
            Err(_) => Self::Unknown,
        }
    }

    /// Whether the builder's records after the build are needed to tell.
    pub(super) fn needs_after(&self) -> bool {
        matches!(self, Self::Had { .. })
    }

    /// Says of every cached step where it came from.
    ///
    /// `after` are the builder's records after the build. A layer that it did not hold before and that no step of this
    /// build made came out of an offered record; its description is the step that made it.
    pub(super) fn attribute(&self, steps: &mut [StepOutcome], after: &[Record]) {
        let imported = match self {
            Self::NothingOffered => return set(steps, |_| CacheSource::Builder),
            Self::Empty { offered } => return set(steps, |_| *offered),
            Self::Unknown => return set(steps, |_| CacheSource::Mixed),
            Self::Had { ids, .. } => after.iter().filter(|record| record.kind == REGULAR && !ids.contains(&record.id)),
        };
        let mut ran: BTreeMap<String, usize> = BTreeMap::new();
        for step in steps.iter().filter(|step| !step.cached) {
            *ran.entry(plain(&step.instruction)).or_default() += 1;
        }
        let mut descriptions: Vec<String> = Vec::new();
        for record in imported {
            let description = plain(&record.description);
            match ran.iter_mut().find(|(instruction, count)| **count > 0 && description.contains(instruction.as_str()))
            {
                Some((_, count)) => *count -= 1,
                None => descriptions.push(description),
            }
        }
        let Self::Had { offered, .. } = self else { return };
        tracing::debug!(?descriptions, "layers that the builder did not have before");
        set(steps, |step| {
            let instruction = plain(&step.instruction);
            if descriptions.is_empty() {
                CacheSource::Builder
            } else if descriptions.iter().any(|description| description.contains(instruction.as_str())) {
                *offered
            } else {
                CacheSource::Mixed
            }
        });
    }
}

fn set(steps: &mut [StepOutcome], source: impl Fn(&StepOutcome) -> CacheSource) {
    for step in steps {
        step.source = if step.cached { source(step) } else { CacheSource::None };
    }
}

/// An instruction as both the builder's progress and an image's history write it: without keyword, shell and remarks.
fn plain(text: &str) -> String {
    let text = text.trim().trim_end_matches("# buildkit").trim();
    // `[stage 2/5] RUN make` is what the builder calls a step that it ran itself.
    let text = text.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map_or(text, |(_, rest)| rest);
    let text = text.split_once("/bin/sh -c ").map_or(text, |(_, command)| command);
    let text = text
        .split_once(' ')
        .filter(|(word, _)| word.chars().all(|c| c.is_ascii_uppercase()))
        .map_or(text, |(_, rest)| rest);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

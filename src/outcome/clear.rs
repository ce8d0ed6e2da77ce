//! The outcome of a clear: what was there, what went, what stayed and why.

use std::time::Duration;

use crate::outcome::build::EngineFacts;

/// What one run of `mode: clear` did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearOutcome {
    /// Whether nothing was removed because `dry-run` was set.
    pub dry_run: bool,
    /// Every item that the survey found and the plan named, in the order of the plan.
    pub items: Vec<ItemOutcome>,
    /// Bytes that the engine says it freed.
    pub freed_bytes: u64,
    /// Whether the second survey found nothing left; `None` for a dry run and for a cancelled clear.
    pub verified: Option<bool>,
    /// Wall time.
    pub duration: Duration,
    /// The engine that was cleared.
    pub engine: EngineFacts,
    /// Things that a person should know.
    pub warnings: Vec<String>,
    /// Set if the run was cancelled.
    pub cancelled: bool,
}

/// One thing that a clear looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemOutcome {
    /// Which kind of cache it belongs to.
    pub place: Place,
    /// Its name for a person: an image reference, or the records of the builder.
    pub name: String,
    /// What it is of, as a phrase, if the name does not tell: `build of app, refs/heads/main`.
    pub of: Option<String>,
    /// The engine's id, if it has one.
    pub id: Option<String>,
    /// Bytes that it takes, in the engine's own figures.
    pub bytes: u64,
    /// How many there are behind this line (builder records).
    pub count: u64,
    /// What became of it.
    pub fate: Fate,
}

/// The kinds of places that a clear looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Images of the engine, but for those that the image cache made.
    Images,
    /// Stage images of the image cache.
    Stages,
    /// Ledgers of the image cache.
    Ledgers,
    /// The engine's builder cache.
    Builder,
}

/// What became of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is gone.
    Removed,
    /// It would go, were this not a dry run.
    WouldRemove,
    /// It stays, and why.
    Kept {
        /// The reason, as a phrase: `used by container web-1`.
        why: String,
    },
    /// It could not be removed, and why.
    Failed {
        /// The engine's message.
        why: String,
    },
}

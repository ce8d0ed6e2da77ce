//! The outcome of a clear: what was there, what went, what stayed and why.

use std::time::Duration;

use crate::inputs::ClearScope;
use crate::outcome::build::EngineFacts;

/// What one run of `mode: clear` did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearOutcome {
    /// What was to be cleared.
    pub scope: ClearScope,
    /// Whether nothing was removed because `dry-run` was set.
    pub dry_run: bool,
    /// Every item that the survey found and the plan named, in the order of the plan.
    pub items: Vec<ItemOutcome>,
    /// Bytes that were freed: on the engine by its own figures, elsewhere the sizes of what went.
    pub freed_bytes: u64,
    /// Whether the second survey of every place in scope found nothing left; `None` for a dry run (`false` if it could not
    /// look at every place) and for a cancelled clear.
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

impl ClearOutcome {
    /// The outcome before anything was looked at. What has nothing to be proven is proven.
    pub fn of_nothing(scope: ClearScope, dry_run: bool) -> Self {
        Self {
            scope,
            dry_run,
            items: Vec::new(),
            freed_bytes: 0,
            verified: (!dry_run).then_some(true),
            duration: Duration::ZERO,
            engine: EngineFacts::default(),
            warnings: Vec::new(),
            cancelled: false,
        }
    }

    /// Adds what became of one more place.
    pub fn add(&mut self, place: PlaceOutcome) {
        self.freed_bytes = self.freed_bytes.saturating_add(place.freed_bytes());
        self.warnings.extend(place.warnings);
        if !place.left.is_empty() {
            self.verified = Some(false);
        }
        let not = if self.dry_run { "not looked at" } else { "not cleared" };
        self.warnings.extend(place.left.into_iter().map(|left| format!("{not}: {left}")));
        self.items.extend(place.items);
    }

    /// A signal ended it: what was not looked at again is not verified.
    pub fn cancel(&mut self) {
        self.cancelled = true;
        self.verified = None;
    }
}

/// One thing that a clear looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemOutcome {
    /// Which kind of cache it belongs to.
    pub place: Place,
    /// Its name for a person: an image reference, the name of a builder, the key of an Actions cache.
    pub name: String,
    /// What it is of, as a phrase, if the name does not tell: `build of app, refs/heads/main`; of an Actions cache its ref.
    pub of: Option<String>,
    /// Its id, if it has one: the engine's of an image, the digest of a registry's tag or a package version.
    pub id: Option<String>,
    /// Bytes that it takes, in the figures of whoever keeps it; 0 where nobody tells.
    pub bytes: u64,
    /// How many there are behind this line: records of a builder; of anything else 1.
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
    /// Records of another builder of this engine, one that `docker buildx create` made.
    Builders,
    /// Volumes with the state of such builders.
    Volumes,
    /// Tags in a registry.
    Registry,
    /// Versions of GitHub packages.
    Packages,
    /// Caches of GitHub Actions.
    ActionsCache,
}

impl Place {
    /// Whether sizes are known there at all: of a tag in a registry nobody tells what removing it frees.
    pub fn has_sizes(self) -> bool {
        match self {
            Self::Registry => false,
            Self::Images
            | Self::Stages
            | Self::Ledgers
            | Self::Builder
            | Self::Builders
            | Self::Volumes
            | Self::Packages
            | Self::ActionsCache => true,
        }
    }
}

/// What became of one place outside the engine's own images and builder: its survey, plan and proof are its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlaceOutcome {
    /// Every item that the selectors of the place matched, with what became of it; in a dry run with what would.
    pub items: Vec<ItemOutcome>,
    /// What its second survey still found, or that there was none: each a phrase as `tag ghcr.io/org/app:1-cache is still
    /// there`. Empty means that the place is proven. In a dry run, what could not be looked at.
    pub left: Vec<String>,
    /// What a person should know, each one sentence without a full stop.
    pub warnings: Vec<String>,
}

impl PlaceOutcome {
    /// The outcome of a place that could not even be looked at.
    pub fn failed(place: &str, why: &str) -> Self {
        Self { left: vec![format!("{place}: {why}")], ..Self::default() }
    }

    /// Bytes of what is gone.
    pub fn freed_bytes(&self) -> u64 {
        let gone = self.items.iter().filter(|item| item.fate == Fate::Removed);
        gone.fold(0, |sum, item| sum.saturating_add(item.bytes))
    }
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
        /// The words of whoever refused.
        why: String,
    },
}

//! The outcome of a build: per image its steps, times and cache source.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::advice::Advice;
use super::baseline::{Baseline, Gate};
use super::push::Pushes;
use super::reason::MissReason;
use crate::cache::ledger::BuildRecord;

/// What one run of `mode: build` did.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildOutcome {
    /// When the run's first image began.
    pub started_at: DateTime<Utc>,
    /// The commit that was built, if it is known.
    pub commit: Option<String>,
    /// Wall time of all builds together.
    pub duration: Duration,
    /// The images, in the order of the Compose file.
    pub images: Vec<ImageOutcome>,
    /// Things that a person should know and that did not fail the build.
    pub warnings: Vec<String>,
    /// The engine that built.
    pub engine: EngineFacts,
    /// Set if the run was cancelled.
    pub cancelled: bool,
    /// What it is compared with; `None` where no build of its kind is known.
    pub baseline: Option<Baseline>,
    /// The branch whose earlier builds were asked for, and that has none of this kind.
    pub without_builds: Option<String>,
    /// What became of `fail-if-slower`, if it was set.
    pub gate: Option<Gate>,
    /// What would make the next build faster, most first, [`MOST`](super::advice::MOST) of it at most.
    pub advice: Vec<Advice>,
    /// Set if `fail-if-stale` was given, and a cache served the first build after a clear.
    pub stale: bool,
    /// What became of `push`.
    pub pushes: Pushes,
}

/// What is worth saying of the engine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EngineFacts {
    /// Its version, as `28.5.2`.
    pub version: String,
    /// Whether images live in the containerd image store (else a graph driver).
    pub containerd_store: bool,
    /// `buildkit` or `classic`.
    pub builder: String,
}

/// One image of a build.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageOutcome {
    /// What the person calls it: the Compose service or the first tag.
    pub name: String,
    /// Its names.
    pub tags: Vec<String>,
    /// When its build began, measured from the run's start.
    pub offset: Duration,
    /// Wall time of its build.
    pub duration: Duration,
    /// How it ended.
    pub result: ImageResult,
    /// Dockerfile steps, in the order of the Dockerfile.
    pub steps: Vec<StepOutcome>,
    /// What is not a Dockerfile step: loading the context, resolving base images, exporting.
    pub other: Vec<OperationOutcome>,
    /// Cache sources that could not be used, each with the engine's reason.
    pub unused_sources: Vec<UnusedSource>,
    /// Why the build was repeated without the records of the image cache, if it was.
    pub without_cache: Option<String>,
    /// Set if this is the first build after a clear of this image.
    pub fresh_after: Option<ClearMark>,
    /// Whether all that the builder held when the run began was made after that clear, as by a build that failed: then a
    /// step that came from there is as fresh as one that ran.
    pub made_since_clear: bool,
    /// Bytes of context that travelled to the builder.
    pub context_bytes: u64,
    /// Bytes of the image, in the engine's own figures: of its content (as it would be pushed) on a containerd image store, of
    /// its unpacked layers on a graph driver.
    pub size: Option<u64>,
    /// Bytes of the image that the earlier build made.
    pub size_before: Option<u64>,
    /// The builds before this one, as its ledger tells them, the oldest first.
    pub history: Vec<BuildRecord>,
}

impl ImageOutcome {
    /// An image of which nothing is known but how it ended.
    pub fn ended(name: String, tags: Vec<String>, result: ImageResult) -> Self {
        Self {
            name,
            tags,
            offset: Duration::ZERO,
            duration: Duration::ZERO,
            result,
            steps: Vec::new(),
            other: Vec::new(),
            unused_sources: Vec::new(),
            without_cache: None,
            fresh_after: None,
            made_since_clear: false,
            context_bytes: 0,
            size: None,
            size_before: None,
            history: Vec::new(),
        }
    }
}

impl ImageOutcome {
    /// Whether this is the first build after a clear, and took a step from a cache that may be older than that clear.
    pub fn is_stale(&self) -> bool {
        self.fresh_after.is_some() && !self.made_since_clear && self.steps.iter().any(|step| step.cached)
    }

    /// Whether a step did not come from a cache.
    pub fn has_uncached_steps(&self) -> bool {
        self.steps.iter().any(|step| !step.cached)
    }
}

/// How the build of one image ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageResult {
    /// It was built.
    Built {
        /// The engine's id of the image.
        image_id: String,
        /// The registry's digest, if it was pushed.
        digest: Option<String>,
    },
    /// It failed.
    Failed(Failure),
    /// The run was cancelled before it was finished.
    Cancelled,
    /// It was not begun, because what it needs failed.
    Skipped {
        /// The name of what failed.
        because: String,
    },
}

/// Why the build of an image failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The builder's message, masked.
    pub message: String,
    /// The step that failed, as in [`StepOutcome::name`], if it was a step.
    pub step: Option<String>,
    /// The exit status of the step's process.
    pub exit_code: Option<i32>,
    /// The last lines that the step printed, masked.
    pub log_tail: Vec<String>,
    /// Where the step stands.
    pub location: Option<SourceLocation>,
    /// What to do about it, where that is known.
    pub help: Option<String>,
}

/// A place in a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceLocation {
    /// Path relative to the workspace where it lies inside, else absolute.
    pub file: String,
    /// First line, from 1.
    pub line: u32,
    /// Last line.
    pub end_line: u32,
}

/// One Dockerfile step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepOutcome {
    /// The builder's name of it, as `[build 2/5] RUN make`, build-argument values replaced by `$NAME`.
    pub name: String,
    /// The stage, if the Dockerfile names it.
    pub stage: Option<String>,
    /// Position in the stage, from 1, as BuildKit counts (a stage's `FROM` is 1).
    pub position: u32,
    /// Number of steps in the stage.
    pub of: u32,
    /// The instruction alone: `RUN make`.
    pub instruction: String,
    /// Whether it came from a cache.
    pub cached: bool,
    /// Where it came from.
    pub source: CacheSource,
    /// How it ended.
    pub status: StepStatus,
    /// When it ran, each from the run's start; a cached step's intervals are time spent to restore its layer.
    pub intervals: Vec<Interval>,
    /// Why it was not cached; `None` for a step that was cached or never begun.
    pub reason: Option<MissReason>,
    /// Whether it would have to be faster for the build to be faster.
    pub critical: bool,
}

impl StepOutcome {
    /// Time spent on the step in all its intervals.
    pub fn duration(&self) -> Duration {
        time_of(&self.intervals)
    }
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepStatus {
    /// It is done.
    Done,
    /// It failed.
    Failed,
    /// It was cut short, because another step failed or the run was cancelled.
    Cancelled,
    /// It was never begun.
    NotRun,
}

/// A span of time from the run's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Its beginning.
    pub start: Duration,
    /// Its end.
    pub end: Duration,
}

impl Interval {
    /// How long it was.
    pub fn length(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }
}

/// The time that intervals cover together: the builder reports a layer that is fetched and unpacked as a whole, and each
/// part of it besides.
pub fn time_of(intervals: &[Interval]) -> Duration {
    let mut ordered = intervals.to_vec();
    ordered.sort_unstable_by_key(|interval| (interval.start, interval.end));
    let covered = ordered.iter().fold((Duration::ZERO, Duration::ZERO), |(sum, until), interval| {
        let start = interval.start.max(until);
        (sum + interval.end.saturating_sub(start), until.max(interval.end))
    });
    covered.0
}

/// Something the builder did that is not a Dockerfile step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationOutcome {
    /// The builder's name of it, masked.
    pub name: String,
    /// What it was.
    pub kind: OperationKind,
    /// When it ran.
    pub intervals: Vec<Interval>,
    /// Its error, if it had one.
    pub error: Option<String>,
    /// Whether it would have to be faster for the build to be faster.
    pub critical: bool,
}

/// What an operation was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationKind {
    /// `[internal] …`: the Dockerfile, the ignore file, the context.
    Internal,
    /// `FROM …`: a base image.
    Base,
    /// `importing cache manifest from …`.
    CacheImport,
    /// `exporting …`, `writing image …`, `unpacking …`, `pushing …`.
    Export,
    /// Anything else.
    Other,
}

/// Where cached steps came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheSource {
    /// Nothing was cached.
    None,
    /// The builder's own records.
    Builder,
    /// Previous images.
    Image,
    /// A registry.
    Registry,
    /// More than one of these, or one that cannot be told apart.
    Mixed,
}

impl CacheSource {
    /// The word that outputs and reports use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Builder => "builder",
            Self::Image => "image",
            Self::Registry => "registry",
            Self::Mixed => "mixed",
        }
    }
}

/// A cache source that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusedSource {
    /// As the person wrote it.
    pub source: String,
    /// Why, in the engine's words.
    pub reason: String,
}

/// The mark that a clear left for the next build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearMark {
    /// When it was cleared; absent if the mark cannot be read.
    pub cleared_at: Option<DateTime<Utc>>,
    /// The URL of the run that did it, if it ran on GitHub.
    pub run_url: Option<String>,
    /// Whether the builder's records were removed as well.
    pub builder_cleared: bool,
}

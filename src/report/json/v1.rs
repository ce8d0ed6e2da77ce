//! Schema version 1 of the output `result`.
//!
//! Within version 1, fields are only added; what reads it must ignore fields that it does not know. A field that is
//! removed, renamed or given another meaning makes version 2. Times are seconds with three decimals, sizes bytes.

mod advice;
mod baseline;
mod push;
mod reason;

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

pub use self::advice::{Advice, AdviceKind, Unused};
pub use self::baseline::{Baseline, Gate};
pub use self::push::Push;
pub use self::reason::Reason;
use crate::outcome::build::{BuildOutcome, Failure, ImageOutcome, ImageResult, StepOutcome, StepStatus};
use crate::report::plain;
use crate::report::tally::Tally;

/// The most bytes that a result may have. Linux refuses an environment variable or argument over 128 KiB
/// (`MAX_ARG_STRLEN`), and that is how a workflow hands an output to a script.
pub const LIMIT: usize = 100 * 1024;
/// Longest name of a step, in characters.
const NAME: usize = 200;
/// Longest sentence of the builder, in characters.
const SENTENCE: usize = 500;

/// The result of one run of `mode: build`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BuildResult {
    /// Always 1.
    pub schema_version: u32,
    /// When the first image began, RFC 3339 in UTC.
    pub started_at: String,
    /// Wall time of all builds together.
    pub duration_seconds: f64,
    /// Whether the run was cancelled.
    pub cancelled: bool,
    /// Dockerfile steps of all images.
    pub steps_total: usize,
    /// How many of them came from a cache.
    pub steps_cached: usize,
    /// `builder`, `image`, `registry`, `mixed`, `none`.
    pub cache_source: &'static str,
    /// What it was compared with; absent if no build of its kind is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// What became of `fail-if-slower`; absent if it was not set, or the build failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// The engine that built.
    pub engine: Engine,
    /// The images, in the order of the Compose file.
    pub images: Vec<Image>,
    /// How many more images there were: they are left out where the result would pass [`LIMIT`].
    #[serde(skip_serializing_if = "is_zero")]
    pub images_omitted: usize,
    /// What would make the next build faster, most first: at most three pieces of advice.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<Advice>,
    /// The tags that were to be pushed, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pushes: Vec<Push>,
}

/// The engine that built.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Engine {
    /// As `28.5.2`; empty for a BuildKit daemon without an engine.
    pub version: String,
    /// Whether images live in the containerd image store.
    pub containerd_store: bool,
    /// `buildkit` or `classic`.
    pub builder: String,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Image {
    /// The Compose service or the first tag.
    pub name: String,
    /// Its names.
    pub tags: Vec<String>,
    /// How it ended.
    #[serde(flatten)]
    pub result: Ending,
    /// When its build began, from the run's start.
    pub offset_seconds: f64,
    /// Wall time of its build.
    pub duration_seconds: f64,
    /// Its Dockerfile steps.
    pub steps_total: usize,
    /// How many of them came from a cache.
    pub steps_cached: usize,
    /// `builder`, `image`, `registry`, `mixed`, `none`.
    pub cache_source: &'static str,
    /// Bytes of context that travelled to the builder.
    pub context_bytes: u64,
    /// Bytes of the image, if it was built: of its content where the engine has a containerd image store, else of its
    /// unpacked layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Bytes of the image that the build before made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_before_bytes: Option<u64>,
    /// The clear that this was the first build after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fresh_after: Option<FreshAfter>,
    /// Cache sources that could not be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unused_sources: Vec<UnusedSource>,
    /// The steps, in the order of the Dockerfile.
    pub steps: Vec<Step>,
    /// How many more steps there were: the fastest are left out where the result would pass [`LIMIT`].
    #[serde(skip_serializing_if = "is_zero")]
    pub steps_omitted: usize,
}

/// How an image ended, in the field `result`, with the fields that this ending has.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "result", rename_all = "lowercase")]
pub enum Ending {
    /// It was built.
    Built {
        /// The engine's id.
        image_id: String,
        /// The registry's digest, if it was pushed.
        #[serde(skip_serializing_if = "Option::is_none")]
        digest: Option<String>,
    },
    /// It failed.
    Failed {
        /// Why.
        failure: FailureDetail,
    },
    /// The run was cancelled before it was finished.
    Cancelled,
    /// It was not begun.
    Skipped {
        /// The name of what failed.
        because: String,
    },
}

/// Why an image failed. Its log is not in here.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FailureDetail {
    /// The builder's message.
    pub message: String,
    /// The name of the step that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The exit status of its process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The Dockerfile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The step's first line in it, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// The clear before this build.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FreshAfter {
    /// When, RFC 3339 in UTC; absent if nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleared_at: Option<String>,
    /// The run that did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_url: Option<String>,
    /// Whether the builder's records were removed as well.
    pub builder_cleared: bool,
    /// Whether a step came all the same from a cache that may be older than the clear.
    pub stale: bool,
}

/// A cache source that could not be used.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnusedSource {
    /// As it was written.
    pub source: String,
    /// The engine's reason.
    pub reason: String,
}

/// One Dockerfile step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// As the builder calls it.
    pub name: String,
    /// The stage's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Whether it came from a cache.
    pub cached: bool,
    /// Where it came from: `builder`, `image`, `registry`, `mixed`, `none`.
    pub source: &'static str,
    /// `done`, `failed`, `cancelled`, `not_run`.
    pub status: &'static str,
    /// Time spent on it.
    pub duration_seconds: f64,
    /// Why it was not cached, if it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Set if it would have to be faster for the build to be faster.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub critical: bool,
}

impl BuildResult {
    /// The result of an outcome, whole.
    pub fn of(outcome: &BuildOutcome) -> Self {
        let tally = Tally::of_build(outcome);
        Self {
            schema_version: 1,
            started_at: rfc3339(outcome.started_at),
            duration_seconds: seconds(outcome.duration),
            cancelled: outcome.cancelled,
            steps_total: tally.total,
            steps_cached: tally.cached,
            cache_source: tally.source.as_str(),
            baseline: outcome.baseline.as_ref().map(Baseline::of),
            gate: outcome.gate.as_ref().map(Gate::of),
            engine: Engine {
                version: outcome.engine.version.clone(),
                containerd_store: outcome.engine.containerd_store,
                builder: outcome.engine.builder.clone(),
            },
            images: outcome.images.iter().map(Image::of).collect(),
            images_omitted: 0,
            advice: outcome.advice.iter().map(Advice::of).collect(),
            pushes: outcome.pushes.tried().iter().flat_map(Push::of).collect(),
        }
    }

    /// The JSON text, of at most [`LIMIT`] bytes: the fastest steps are left out, then the last images.
    pub fn to_json(&self) -> String {
        let mut kept = self.images.iter().map(|image| image.steps.len()).max().unwrap_or_default();
        let mut images = self.images.len();
        loop {
            let text = self.reduced(images, kept);
            if text.len() <= LIMIT || (kept == 0 && images == 0) {
                return text;
            }
            if kept > 0 {
                kept /= 2;
            } else {
                images /= 2;
            }
        }
    }

    /// The text with so many images, and so many steps in each.
    fn reduced(&self, images: usize, steps: usize) -> String {
        let result = Self {
            images: self.images.iter().take(images).map(|image| image.with_slowest(steps)).collect(),
            images_omitted: self.images.len().saturating_sub(images),
            started_at: self.started_at.clone(),
            baseline: self.baseline.clone(),
            engine: self.engine.clone(),
            advice: self.advice.clone(),
            pushes: self.pushes.clone(),
            ..*self
        };
        // Strings, numbers and lists of them: there is nothing in here that could not be written.
        serde_json::to_string(&result).unwrap_or_default()
    }
}

impl Image {
    fn of(image: &ImageOutcome) -> Self {
        let tally = Tally::of_image(image);
        Self {
            name: short(&image.name, NAME),
            tags: image.tags.clone(),
            result: Ending::of(&image.result),
            offset_seconds: seconds(image.offset),
            duration_seconds: seconds(image.duration),
            steps_total: tally.total,
            steps_cached: tally.cached,
            cache_source: tally.source.as_str(),
            context_bytes: image.context_bytes,
            size_bytes: image.size,
            size_before_bytes: image.size_before,
            fresh_after: image.fresh_after.as_ref().map(|mark| FreshAfter {
                cleared_at: mark.cleared_at.map(rfc3339),
                run_url: mark.run_url.clone(),
                builder_cleared: mark.builder_cleared,
                stale: image.is_stale(),
            }),
            unused_sources: image
                .unused_sources
                .iter()
                .map(|unused| UnusedSource {
                    source: short(&unused.source, NAME),
                    reason: short(&unused.reason, SENTENCE),
                })
                .collect(),
            steps: image.steps.iter().map(Step::of).collect(),
            steps_omitted: 0,
        }
    }

    /// The image with its slowest steps, still in the order of the Dockerfile.
    fn with_slowest(&self, count: usize) -> Self {
        if self.steps.len() <= count {
            return self.clone();
        }
        let mut order: Vec<(usize, &Step)> = self.steps.iter().enumerate().collect();
        order.sort_by(|(_, one), (_, other)| other.duration_seconds.total_cmp(&one.duration_seconds));
        order.truncate(count);
        order.sort_by_key(|(index, _)| *index);
        Self {
            steps: order.iter().map(|(_, step)| (*step).clone()).collect(),
            steps_omitted: self.steps.len().saturating_sub(count),
            name: self.name.clone(),
            tags: self.tags.clone(),
            result: self.result.clone(),
            fresh_after: self.fresh_after.clone(),
            unused_sources: self.unused_sources.clone(),
            ..*self
        }
    }
}

impl Ending {
    fn of(result: &ImageResult) -> Self {
        match result {
            ImageResult::Built { image_id, digest } => {
                Self::Built { image_id: image_id.clone(), digest: digest.clone() }
            }
            ImageResult::Failed(failure) => Self::Failed { failure: FailureDetail::of(failure) },
            ImageResult::Cancelled => Self::Cancelled,
            ImageResult::Skipped { because } => Self::Skipped { because: short(because, NAME) },
        }
    }
}

impl FailureDetail {
    fn of(failure: &Failure) -> Self {
        Self {
            message: short(&failure.message, SENTENCE),
            step: failure.step.as_deref().map(|step| short(step, NAME)),
            exit_code: failure.exit_code,
            file: failure.location.as_ref().map(|place| short(&place.file, NAME)),
            line: failure.location.as_ref().map(|place| place.line),
        }
    }
}

impl Step {
    fn of(step: &StepOutcome) -> Self {
        Self {
            name: short(&step.name, NAME),
            stage: step.stage.as_deref().map(|stage| short(stage, NAME)),
            cached: step.cached,
            source: step.source.as_str(),
            status: match step.status {
                StepStatus::Done => "done",
                StepStatus::Failed => "failed",
                StepStatus::Cancelled => "cancelled",
                StepStatus::NotRun => "not_run",
            },
            duration_seconds: seconds(step.duration()),
            reason: step.reason.as_ref().map(Reason::of),
            critical: step.critical,
        }
    }
}

fn short(text: &str, limit: usize) -> String {
    plain::shorten(&plain::one_line(text), limit)
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Seconds with three decimals: the nearest number to whole milliseconds prints without a tail.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference to skip_serializing_if")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::{BuildResult, LIMIT};
    use crate::outcome::build::BuildOutcome;
    use crate::report::fixtures;

    fn check(name: &str, outcome: &BuildOutcome) {
        let text = BuildResult::of(outcome).to_json();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_json_snapshot!(name, value);
        });
    }

    #[test]
    fn version_1() {
        check("warm", &fixtures::warm());
        check("failed", &fixtures::failed());
        check("pushed_in_part", &fixtures::pushed_in_part());
        check("fresh", &fixtures::fresh());
    }

    #[test]
    fn is_one_line() {
        assert!(!BuildResult::of(&fixtures::hostile()).to_json().contains('\n'));
    }

    #[test]
    fn a_huge_build_keeps_its_slowest_steps() {
        let mut outcome = fixtures::two_hundred_steps();
        outcome.images[0].steps = outcome.images[0].steps.iter().cycle().take(5_000).cloned().collect();
        let text = BuildResult::of(&outcome).to_json();
        assert!(text.len() <= LIMIT);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let image = &value["images"][0];
        let steps = image["steps"].as_array().unwrap();
        assert_eq!(image["steps_total"], 5_000);
        assert_eq!(steps.len() as u64 + image["steps_omitted"].as_u64().unwrap(), 5_000);
        assert!(steps.len() > 100 && steps.iter().all(|step| step["cached"] == false), "{} steps", steps.len());
    }

    #[test]
    fn nothing_is_over_the_limit() {
        let text = BuildResult::of(&fixtures::huge()).to_json();
        assert!(text.len() <= LIMIT);
        assert!(serde_json::from_str::<serde_json::Value>(&text).unwrap()["steps_total"] == 15_000);
    }
}

//! What a build leaves behind for later ones to be compared with: plain data, kept inside its check run.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::baseline::{self, Kind};
use super::build::{BuildOutcome, EngineFacts, ImageOutcome};
use crate::cache::ledger::BuildKind;
use crate::image::ImageReference;

/// The version of the record that this program writes, and the only one that it reads.
pub const SCHEMA: u32 = 1;

/// One build. Within a schema version, fields are only added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When it began.
    pub at: DateTime<Utc>,
    /// The commit that was built.
    #[serde(default)]
    pub commit: Option<String>,
    /// The branch that was built; none for a pull request, a tag, or an event that anybody can cause.
    #[serde(default)]
    pub branch: Option<String>,
    /// The page of the run.
    #[serde(default)]
    pub run_url: Option<String>,
    /// What tells it from other builds of the same images: [`Subject::variant`](crate::report::check::Subject::variant).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The class of the runner: machines of one class are alike.
    pub runner: String,
    /// What built.
    pub engine: EngineRecord,
    /// Whether every image was built.
    pub built: bool,
    /// Whether there was anything to come from a cache.
    pub kind: BuildKind,
    /// Wall time.
    pub seconds: f64,
    /// Steps that came from a cache.
    pub cached: usize,
    /// All steps.
    pub total: usize,
    /// The images.
    pub images: Vec<ImageRecord>,
}

/// What built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EngineRecord {
    /// Its version.
    pub version: String,
    /// `containerd` or `graph-driver`.
    pub store: String,
    /// `buildkit` or `classic`.
    pub builder: String,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageRecord {
    /// The Compose service, or the repository of the first tag.
    pub name: String,
    /// Wall time.
    pub seconds: f64,
    /// Steps that came from a cache.
    pub cached: usize,
    /// All steps.
    pub total: usize,
    /// Bytes of the image.
    #[serde(default)]
    pub bytes: Option<u64>,
}

impl Record {
    /// The record of a build on this class of runner. What is known of the run is for the caller to add.
    pub fn of(outcome: &BuildOutcome, runner: &str) -> Self {
        let images: Vec<ImageRecord> = outcome
            .images
            .iter()
            .map(|image| ImageRecord {
                name: name(image),
                seconds: seconds(image.duration),
                cached: image.steps.iter().filter(|step| step.cached).count(),
                total: image.steps.len(),
                bytes: image.size,
            })
            .collect();
        Self {
            schema: SCHEMA,
            at: outcome.started_at,
            commit: None,
            branch: None,
            run_url: None,
            variant: None,
            runner: runner.to_owned(),
            engine: EngineRecord::of(&outcome.engine),
            built: baseline::is_good(outcome),
            kind: baseline::kind(outcome).into(),
            seconds: seconds(outcome.duration),
            cached: images.iter().map(|image| image.cached).sum(),
            total: images.iter().map(|image| image.total).sum(),
            images,
        }
    }

    /// Whether this was a build that another one can be compared with.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.built
            && self.kind() == other.kind()
            && self.runner == other.runner
            && self.variant == other.variant
            && self.engine.builder == other.engine.builder
            && self.names() == other.names()
    }

    /// What it may be compared with.
    pub(super) fn kind(&self) -> Kind {
        match self.kind {
            BuildKind::Cold => Kind::Cold,
            BuildKind::Warm if self.cached == self.total => Kind::Cached,
            BuildKind::Warm => Kind::Warm,
        }
    }

    /// Wall time; `None` if it is not a time.
    pub(super) fn duration(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.seconds).ok()
    }

    fn names(&self) -> BTreeSet<&str> {
        self.images.iter().map(|image| image.name.as_str()).collect()
    }
}

impl EngineRecord {
    fn of(engine: &EngineFacts) -> Self {
        let store = if engine.containerd_store { "containerd" } else { "graph-driver" };
        Self { version: engine.version.clone(), store: store.to_owned(), builder: engine.builder.clone() }
    }
}

/// The service, or the repository of the first tag: tags such as `pr-42` change, and the image is the same one.
fn name(image: &ImageOutcome) -> String {
    let tag = image.tags.first().filter(|tag| **tag == image.name);
    let repository = tag.and_then(|tag| tag.parse::<ImageReference>().ok()).map(|tag| tag.repository());
    repository.unwrap_or_else(|| image.name.clone())
}

/// Milliseconds are enough, and shorter.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::Record;
    use crate::report::fixtures;

    #[test]
    fn the_same_image_under_another_tag_is_the_same_image() {
        let mut outcome = fixtures::one_image();
        for (name, tags, expected) in [
            ("ghcr.io/org/app:pr-42", vec!["ghcr.io/org/app:pr-42"], "ghcr.io/org/app"),
            ("localhost:5000/app:1", vec!["localhost:5000/app:1"], "localhost:5000/app"),
            ("web", vec!["shop-web:latest"], "web"),
            ("image", vec![], "image"),
        ] {
            outcome.images[0].name = name.to_owned();
            outcome.images[0].tags = tags.into_iter().map(str::to_owned).collect();
            assert_eq!(Record::of(&outcome, "linux").images[0].name, expected);
        }
    }
}

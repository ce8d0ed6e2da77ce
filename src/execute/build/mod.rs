//! Carries out a build plan: all images at once, each as soon as what it builds on is there.

mod buildkit;
mod classic;
mod dockerfile;
mod shared;

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::buildkit::Connection;
use crate::buildkit::mask::Masks;
use crate::buildkit::session::Credentials;
use crate::buildkit::trace::Event;
use crate::engine::Engine;
use crate::outcome::build::{ClearMark, ImageOutcome, ImageResult};
use crate::plan::build::{BuildPlan, How, PlannedBuild};
use crate::project::dockerfile::Dockerfile;

/// Something that happened in one of the builds.
#[derive(Debug)]
pub struct Progress {
    /// The build's index in the plan.
    pub build: usize,
    /// What happened.
    pub event: Event,
    /// When, from the run's start.
    pub at: Duration,
}

/// What builds are carried out with.
pub struct Execution<'a> {
    /// The connection to BuildKit, where the plan needs one.
    pub connection: Option<&'a Connection>,
    /// The engine.
    pub engine: &'a Engine,
    /// Registry logins.
    pub credentials: &'a Credentials,
    /// What must not be shown of each build, by its index.
    pub masks: &'a [Masks],
    /// The marks that clears left, by the build's index.
    pub marks: &'a [Option<ClearMark>],
    /// The Dockerfile of each build, where it is known.
    pub dockerfiles: &'a [Option<Dockerfile>],
    /// The workspace, which paths in reports are relative to.
    pub workspace: &'a Path,
    /// Ends every build.
    pub cancelled: &'a CancellationToken,
    /// Where progress goes.
    pub progress: mpsc::UnboundedSender<Progress>,
    /// The run's start.
    pub started: Instant,
}

impl Execution<'_> {
    fn masks(&self, index: usize) -> &Masks {
        static NONE: Masks = Masks::NONE;
        self.masks.get(index).unwrap_or(&NONE)
    }
}

/// How far a build is, for those that wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    Built,
    NotBuilt,
}

/// Builds everything. A build that fails does not stop the others: what they finish is there for the next run, and a
/// person sees every failure at once. What needs the image of a failed build is skipped.
pub async fn execute(plan: &BuildPlan, with: &Execution<'_>) -> Vec<ImageOutcome> {
    let states: Vec<watch::Sender<State>> = plan.builds.iter().map(|_| watch::Sender::new(State::Pending)).collect();
    let builds = plan.builds.iter().enumerate().map(|(index, build)| {
        let states = &states;
        async move {
            let outcome = match blocked_by(build, plan, states).await {
                Some(because) => skipped(build, with, because),
                None => one(index, build, with).await,
            };
            let built = matches!(outcome.result, ImageResult::Built { .. });
            if let Some(state) = states.get(index) {
                state.send_replace(if built { State::Built } else { State::NotBuilt });
            }
            outcome
        }
    });
    let mut outcomes = join_all(builds).await;
    shared::attribute(&mut outcomes, plan);
    outcomes
}

/// Waits for everything that a build needs; gives the name of what failed.
async fn blocked_by(build: &PlannedBuild, plan: &BuildPlan, states: &[watch::Sender<State>]) -> Option<String> {
    for needed in &build.after {
        let mut state = states.get(*needed)?.subscribe();
        let ended = state.wait_for(|state| *state != State::Pending).await;
        if ended.is_ok_and(|state| *state == State::NotBuilt) {
            return plan.builds.get(*needed).map(|needed| needed.target.name.clone());
        }
    }
    None
}

async fn one(index: usize, build: &PlannedBuild, with: &Execution<'_>) -> ImageOutcome {
    let begun = with.started.elapsed();
    let mut outcome = match &build.how {
        How::BuildKit { request, locals, shared_key } => {
            buildkit::build(index, build, buildkit::Request { request, locals, shared_key }, with).await
        }
        How::Classic => classic::build(index, build, with).await,
    };
    if let Some(Some(parsed)) = with.dockerfiles.get(index) {
        dockerfile::add(&mut outcome, build, parsed, with.workspace);
    }
    outcome.offset = begun;
    outcome.duration = with.started.elapsed().saturating_sub(begun);
    outcome
}

fn skipped(build: &PlannedBuild, with: &Execution<'_>, because: String) -> ImageOutcome {
    let result = if with.cancelled.is_cancelled() { ImageResult::Cancelled } else { ImageResult::Skipped { because } };
    ImageOutcome { offset: with.started.elapsed(), ..blank(build, result) }
}

/// An outcome without steps.
fn blank(build: &PlannedBuild, result: ImageResult) -> ImageOutcome {
    ImageOutcome {
        name: build.target.name.clone(),
        tags: build.target.tags.iter().map(ToString::to_string).collect(),
        offset: Duration::ZERO,
        duration: Duration::ZERO,
        result,
        steps: Vec::new(),
        other: Vec::new(),
        unused_sources: Vec::new(),
        fresh_after: None,
        context_bytes: 0,
    }
}

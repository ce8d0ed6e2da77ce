//! Carries out a build plan: all images at once, each as soon as what it builds on is there.

mod buildkit;
mod cache_to;
mod cached;
mod classic;
mod dockerfile;
mod hits;
mod keep;
mod load;
mod push;
mod repeat;
mod shared;

pub use hits::has_any_since;
pub use keep::{Kept, keep_all_the_same};
pub use push::push;

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::buildkit::Connection;
use crate::buildkit::mask::Masks;
use crate::buildkit::session::Credentials;
use crate::buildkit::trace::Event;
use crate::buildkit::usage::Dated;
use crate::engine::Engine;
use crate::outcome::build::{ClearMark, ImageOutcome, ImageResult};
use crate::outcome::critical::of_run;
use crate::plan::build::{BuildPlan, How, PlannedBuild};
use crate::project::dockerfile::Dockerfile;
use crate::registry::{Layers, Registries};
use crate::survey::cache::registry::RemoteRecords;

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
    /// Clients of registries.
    pub registries: &'a Registries,
    /// The layers of the records that registries have.
    pub layers: &'a Layers,
    /// The records that registries have and the builder is offered, by the build's index.
    pub remote: &'a [Vec<RemoteRecords>],
    /// What the builder had before the run, if it told it.
    pub builder_before: Option<&'a [Dated]>,
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
    /// Hears of each image, by its index: once it is built or not, and once it is known where its steps came from.
    pub on_ended: &'a (dyn Fn(usize, &ImageOutcome) + Sync),
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

/// What became of one build.
#[derive(Debug, Clone)]
pub struct Built {
    /// What is told of it.
    pub outcome: ImageOutcome,
    /// What it left for the next one.
    pub kept: Kept,
    /// Whether the records that it was offered are any good.
    offer_served: bool,
    /// Why its cache is not in the registry, if it was to be.
    pub without_cache_to: Option<String>,
}

/// A build that has ended, and what it is known by for what follows.
struct Ended {
    outcome: ImageOutcome,
    /// Whether the records that it was offered are any good.
    offer_served: bool,
}

/// Builds everything. A build that fails does not stop the others: what they finish is there for the next run, and a
/// person sees every failure at once. What needs the image of a failed build is skipped.
pub async fn execute(plan: &BuildPlan, with: &Execution<'_>) -> Vec<Built> {
    let states: Vec<watch::Sender<State>> = plan.builds.iter().map(|_| watch::Sender::new(State::Pending)).collect();
    let builds = plan.builds.iter().enumerate().map(|(index, build)| {
        let states = &states;
        async move {
            let ended = |outcome: &ImageOutcome| {
                (with.on_ended)(index, outcome);
                let built = matches!(outcome.result, ImageResult::Built { .. });
                if let Some(state) = states.get(index) {
                    state.send_replace(if built { State::Built } else { State::NotBuilt });
                }
            };
            take_turn(build, states).await;
            match blocked_by(build, plan, states).await {
                Some(because) => {
                    let outcome = skipped(build, with, because);
                    ended(&outcome);
                    Ended { outcome, offer_served: false }
                }
                None => {
                    let all = one(index, build, with, ended).await;
                    (with.on_ended)(index, &all.outcome);
                    all
                }
            }
        }
    });
    let mut ended = join_all(builds).await;
    // First: what another image of the run ran is new to this one as well, and to be kept.
    shared::attribute(&mut ended.iter_mut().map(|ended| &mut ended.outcome).collect::<Vec<_>>(), plan);
    // What follows is little more than a question to the builder for each image; but while another build is at work, it
    // would be told of that one's steps, and they of it.
    let mut built = keep::keep_all(plan, ended, with).await;
    find_critical_path(plan, &mut built);
    built
}

/// Marks what the run waited for.
pub fn find_critical_path(plan: &BuildPlan, built: &mut [Built]) {
    of_run(&mut built.iter_mut().map(|built| &mut built.outcome).collect::<Vec<_>>(), &shared::relations(plan));
}

/// Waits for the builds that must not be at work at the same time.
async fn take_turn(build: &PlannedBuild, states: &[watch::Sender<State>]) {
    for earlier in build.turn_after.iter().filter_map(|earlier| states.get(*earlier)) {
        let _ = earlier.subscribe().wait_for(|state| *state != State::Pending).await;
    }
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

/// One build. `ended` is told how it ended before what follows it is done.
async fn one(index: usize, build: &PlannedBuild, with: &Execution<'_>, ended: impl FnOnce(&ImageOutcome)) -> Ended {
    let begun = with.started.elapsed();
    let finish = |outcome: &mut ImageOutcome| {
        if let Some(Some(parsed)) = with.dockerfiles.get(index) {
            dockerfile::add(outcome, build, parsed, with.workspace);
        }
        outcome.offset = begun;
        outcome.duration = with.started.elapsed().saturating_sub(begun);
    };
    match &build.how {
        How::BuildKit { request, locals, shared_key } => {
            let request = buildkit::Request { request, locals, shared_key };
            let finished = |outcome: &mut ImageOutcome| {
                finish(outcome);
                ended(outcome);
            };
            buildkit::build(index, build, request, with, finished).await
        }
        How::Classic => {
            let mut outcome = classic::build(index, build, with).await;
            finish(&mut outcome);
            ended(&outcome);
            Ended { outcome, offer_served: false }
        }
    }
}

fn skipped(build: &PlannedBuild, with: &Execution<'_>, because: String) -> ImageOutcome {
    let result = if with.cancelled.is_cancelled() { ImageResult::Cancelled } else { ImageResult::Skipped { because } };
    ImageOutcome { offset: with.started.elapsed(), ..blank(build, result) }
}

/// An outcome without steps.
pub fn blank(build: &PlannedBuild, result: ImageResult) -> ImageOutcome {
    let tags = build.target.tags.iter().map(ToString::to_string).collect();
    ImageOutcome::ended(build.target.name.clone(), tags, result)
}

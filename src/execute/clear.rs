//! Carries out the plan of a clear and surveys again: the second survey is the proof.

pub mod actions_cache;
pub mod builders;
mod github;
mod images;
mod marks;
pub mod packages;
pub mod registry;

use std::error::Error;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::buildkit::usage::{Pruned, Record};
use crate::engine::{Engine, EngineError, Image, ImageStore};
use crate::error::chain;
use crate::outcome::build::EngineFacts;
use crate::outcome::clear::{ClearOutcome, Fate, ItemOutcome, Place};
use crate::plan::clear::{self, ClearPlan, ClearRequest, PlannedBuilder, RecordSum};
use crate::survey::clear::ClearSurvey;
use marks::Marks;

/// A record that is freed may free the one that it was made from, so one prune is not always enough.
const PRUNE_ROUNDS: usize = 12;
/// How long records in use are waited for, and how often they are looked at.
const RELEASE: Duration = Duration::from_secs(2);
const RELEASE_PAUSE: Duration = Duration::from_millis(250);
/// Marks are tiny images, but many; after a signal there is little time: the runner kills after ten seconds, and what was
/// begun is to be ended first, and marked then. Both fit into the time that a run has for an orderly end (`run::PATIENCE`).
const ANY_TIME: Duration = Duration::from_secs(120);
const HURRY: Duration = Duration::from_secs(3);
const MARKS_IN_A_HURRY: Duration = Duration::from_millis(1500);
const CANCELLED: &str = "cancelled before it was done";

/// Why the builder could not do what it was asked for.
pub type BuilderError = Box<dyn Error + Send + Sync>;

/// The builder's cache, which is reached over another protocol than the images: two functions of the caller.
#[derive(Debug, Clone, Copy)]
pub struct BuilderCache<S, P> {
    /// Lists all records (`Control.DiskUsage`).
    pub survey: S,
    /// Removes every record that no build uses (`Control.Prune` with `all`).
    pub prune: P,
}

/// A clear that is surveyed and planned.
#[derive(Debug)]
pub struct Clear<'a, S, P> {
    /// The engine.
    pub engine: &'a Engine,
    /// What was asked for.
    pub request: &'a ClearRequest,
    /// What was there.
    pub survey: &'a ClearSurvey,
    /// What to do.
    pub plan: &'a ClearPlan,
    /// The builder's cache; `None` if the engine has no BuildKit.
    pub builder: Option<BuilderCache<S, P>>,
    /// The URL of this run, for the marks that it leaves.
    pub run_url: Option<String>,
    /// When the run began.
    pub started: Instant,
}

/// The outcome of a dry run: the plan, with nothing done.
pub fn dry_run(engine: &Engine, request: &ClearRequest, plan: &ClearPlan, started: Instant) -> ClearOutcome {
    let images = plan.images.iter().map(|image| images::item(image, Fate::WouldRemove));
    let builder = plan.builder.iter().flat_map(|builder| {
        let would_remove = (builder.remove.count > 0).then(|| builder_item(builder.remove, Fate::WouldRemove));
        would_remove.into_iter().chain(in_use_item(builder.in_use))
    });
    ClearOutcome {
        scope: request.scope,
        dry_run: true,
        items: images.chain(builder).collect(),
        freed_bytes: 0,
        verified: None,
        duration: started.elapsed(),
        engine: facts(engine),
        warnings: Vec::new(),
        cancelled: false,
    }
}

impl<S, SF, P, PF> Clear<'_, S, P>
where
    S: Fn() -> SF,
    SF: Future<Output = Result<Vec<Record>, BuilderError>>,
    P: Fn() -> PF,
    PF: Future<Output = Result<Pruned, BuilderError>>,
{
    /// Leaves the marks, because whatever happens from then on, the next build has to know; removes what the plan names, images
    /// first, then the builder's records; surveys again; leaves the marks once more, because a build may have taken one away
    /// that began before its images were gone.
    ///
    /// Items are independent: one that fails does not keep the others. `on_item` hears of each as it is done, and once more
    /// of one of which the second survey says something else.
    pub async fn apply(self, cancel: &CancellationToken, mut on_item: impl FnMut(&ItemOutcome)) -> ClearOutcome {
        let mut marks = Marks::new(&self);
        if !cancel.is_cancelled() {
            // What fails now may work in the end, which counts.
            let _ = finished(cancel, timeout(ANY_TIME, marks.leave(false))).await;
        }
        let mut items = images::remove(self.engine, self.plan, cancel, &mut on_item).await;
        if let (Some(planned), Some(cache)) = (self.plan.builder, &self.builder) {
            let cleared = cancel.run_until_cancelled(clear_builder(planned, cache)).await;
            let cleared = cleared
                .unwrap_or_else(|| vec![builder_item(planned.remove, Fate::Failed { why: CANCELLED.to_owned() })]);
            cleared.iter().for_each(&mut on_item);
            items.extend(cleared);
        }
        let proof = cancel.run_until_cancelled(self.prove()).await;
        let cancelled = proof.is_none();
        let mut proof = proof.unwrap_or_default();
        if let Some(after) = &proof.images {
            images::reconcile(&mut items, &self.plan.images, after, &mut on_item);
        }
        let unmarked = if cancelled {
            timeout(MARKS_IN_A_HURRY, marks.leave_what_is_true(&images::touched(&self.plan.images, &items))).await
        } else {
            timeout(ANY_TIME, marks.leave(proof.builder_cleared)).await
        };
        let unmarked = unmarked.unwrap_or_else(|_| vec!["the engine took too long to keep the marks".to_owned()]);
        // A build that does not know of the clear may take what another engine or a registry has still.
        proof.verified &= unmarked.is_empty();
        let unmarked = unmarked.into_iter();
        proof.warnings.extend(unmarked.map(|why| format!("the next build would not know of the clear: {why}")));
        // An engine collects garbage by itself as well: what goes between two looks is not freed by who removed nothing.
        let removed = items.iter().any(|item| item.fate == Fate::Removed);
        ClearOutcome {
            scope: self.request.scope,
            dry_run: false,
            items,
            freed_bytes: if removed { proof.freed_bytes } else { 0 },
            verified: (!cancelled).then_some(proof.verified),
            duration: self.started.elapsed(),
            engine: facts(self.engine),
            warnings: proof.warnings,
            cancelled,
        }
    }

    /// Surveys again. What the same request would still name is left over.
    async fn prove(&self) -> Proof {
        match self.survey_again().await {
            Ok((after, None)) => {
                let left = clear::plan_again(self.request, self.plan, &after).left();
                Proof {
                    freed_bytes: after.freed_since(self.survey),
                    verified: left.is_empty(),
                    builder_cleared: self.plan.builder.is_some() && after.builder.is_empty(),
                    warnings: left.into_iter().map(|left| format!("not cleared: {left}")).collect(),
                    images: Some(after.images),
                }
            }
            Ok((after, Some(unseen))) => {
                let left = clear::plan_again(self.request, self.plan, &after).left();
                let unseen = format!("the engine's builder could not be looked at again: {}", chain(unseen.as_ref()));
                Proof {
                    // What the builder holds still of what is gone, is not known.
                    freed_bytes: 0,
                    verified: left.is_empty() && self.plan.builder.is_none(),
                    builder_cleared: false,
                    warnings: left.into_iter().map(|left| format!("not cleared: {left}")).chain([unseen]).collect(),
                    images: Some(after.images),
                }
            }
            Err(error) => Proof {
                warnings: vec![format!("the clear could not be verified: {}", chain(&error))],
                ..Proof::default()
            },
        }
    }

    /// The images, and the builder's records or why there are none: the one place does not depend on the other.
    async fn survey_again(&self) -> Result<(ClearSurvey, Option<BuilderError>), EngineError> {
        let (builder, unseen) = match &self.builder {
            Some(cache) => match (cache.survey)().await {
                Ok(records) => (records, None),
                Err(error) => (Vec::new(), Some(error)),
            },
            None => (Vec::new(), None),
        };
        Ok((ClearSurvey::take(self.engine, self.survey.own.clone(), builder).await?, unseen))
    }
}

#[derive(Debug, Default)]
struct Proof {
    /// The images that there are; `None` if they could not be looked at.
    images: Option<Vec<Image>>,
    freed_bytes: u64,
    verified: bool,
    builder_cleared: bool,
    warnings: Vec<String>,
}

/// What was begun is not dropped at a signal, since nobody would know what became of it: it has a moment to end. `None` if
/// it did not.
async fn finished<T>(cancel: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    let patience = async {
        cancel.cancelled().await;
        tokio::time::sleep(HURRY).await;
    };
    tokio::select! {
        biased;
        done = work => Some(done),
        () = patience => None,
    }
}

/// Removes the records of the engine's builder.
async fn clear_builder<S, SF, P, PF>(planned: PlannedBuilder, cache: &BuilderCache<S, P>) -> Vec<ItemOutcome>
where
    S: Fn() -> SF,
    SF: Future<Output = Result<Vec<Record>, BuilderError>>,
    P: Fn() -> PF,
    PF: Future<Output = Result<Pruned, BuilderError>>,
{
    let Pruning { removed, left, failure } = prune(planned, cache).await;
    let removed = (removed.count > 0).then(|| builder_item(removed, Fate::Removed));
    let why = failure.unwrap_or_else(|| "the builder did not remove them".to_owned());
    let failed = (left.remove.count > 0).then(|| builder_item(left.remove, Fate::Failed { why }));
    removed.into_iter().chain(failed).chain(in_use_item(left.in_use)).collect()
}

/// What pruning a builder came to.
struct Pruning {
    removed: RecordSum,
    left: PlannedBuilder,
    /// Why it ended early.
    failure: Option<String>,
}

/// Prunes until nothing is left, or nothing more goes.
async fn prune<S, SF, P, PF>(planned: PlannedBuilder, cache: &BuilderCache<S, P>) -> Pruning
where
    S: Fn() -> SF,
    SF: Future<Output = Result<Vec<Record>, BuilderError>>,
    P: Fn() -> PF,
    PF: Future<Output = Result<Pruned, BuilderError>>,
{
    let mut pruning = Pruning { removed: RecordSum::default(), left: planned, failure: None };
    let begun = tokio::time::Instant::now();
    for _ in 0..PRUNE_ROUNDS {
        if pruning.left.remove.count == 0 {
            // A build that has just ended lets its records go a moment later.
            if pruning.left.in_use.count == 0 || begun.elapsed() > RELEASE {
                break;
            }
            tokio::time::sleep(RELEASE_PAUSE).await;
        }
        let round = async {
            let pruned = (cache.prune)().await?;
            Ok::<_, BuilderError>((pruned, PlannedBuilder::of(&(cache.survey)().await?)))
        };
        match round.await {
            Ok((pruned, now)) => {
                let removed = &mut pruning.removed;
                removed.count = removed.count.saturating_add(pruned.records);
                removed.bytes = removed.bytes.saturating_add(pruned.bytes);
                pruning.left = now;
                if pruned.records == 0 && pruning.left.remove.count > 0 {
                    break;
                }
            }
            Err(error) => {
                pruning.failure = Some(chain(error.as_ref()));
                break;
            }
        }
    }
    pruning
}

fn builder_item(sum: RecordSum, fate: Fate) -> ItemOutcome {
    let name = "builder cache".to_owned();
    ItemOutcome { place: Place::Builder, name, of: None, id: None, bytes: sum.bytes, count: sum.count, fate }
}

fn in_use_item(sum: RecordSum) -> Option<ItemOutcome> {
    (sum.count > 0).then(|| builder_item(sum, Fate::Kept { why: "in use by another build".to_owned() }))
}

fn facts(engine: &Engine) -> EngineFacts {
    let info = engine.info();
    EngineFacts {
        version: info.version.clone(),
        containerd_store: info.store == ImageStore::Containerd,
        builder: if info.has_buildkit { "buildkit" } else { "classic" }.to_owned(),
    }
}

/// The engine's own words where it said something; the item names what was asked for already.
fn message_of(error: &EngineError) -> String {
    match error {
        EngineError::Refused { message, .. } => message.clone(),
        other => chain(other),
    }
}

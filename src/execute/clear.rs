//! Carries out the plan of a clear and surveys again: the second survey is the proof.

pub mod actions_cache;
pub mod builders;
mod github;
pub mod packages;
pub mod registry;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::buildkit::usage::{Pruned, Record};
use crate::engine::{Engine, EngineError, ImageStore, Tombstone};
use crate::error::chain;
use crate::image::ImageReference;
use crate::outcome::build::EngineFacts;
use crate::outcome::clear::{ClearOutcome, Fate, ItemOutcome, Place};
use crate::plan::clear::{
    self, CacheKind, ClearPlan, ClearRequest, ImageAction, PlannedBuilder, PlannedImage, RecordSum,
};
use crate::survey::clear::ClearSurvey;

/// A record that is freed may free the one that it was made from, so one prune is not always enough.
const PRUNE_ROUNDS: usize = 12;
/// How long records in use are waited for, and how often they are looked at.
const RELEASE: Duration = Duration::from_secs(2);
const RELEASE_PAUSE: Duration = Duration::from_millis(250);
/// Marks are tiny images, but many; after a signal there is little time.
const ANY_TIME: Duration = Duration::from_secs(120);
const HURRY: Duration = Duration::from_secs(3);
/// So many images are removed at once: an engine collects the garbage of several in one go.
const AT_ONCE: usize = 8;
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
    let images = plan.images.iter().map(|image| image_item(image, Fate::WouldRemove));
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
    /// Removes what the plan names, images first, then the builder's records; surveys again; leaves the marks.
    ///
    /// Items are independent: one that fails does not keep the others. `on_item` hears of each as it is done.
    pub async fn apply(self, cancel: &CancellationToken, mut on_item: impl FnMut(&ItemOutcome)) -> ClearOutcome {
        let mut items = self.remove_images(cancel, &mut on_item).await;
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
        // Also after a clear that was cut short: what is gone is gone, and the next build of it has to know.
        let (repositories, time) = if cancelled {
            (self.plan.tombstones.intersection(&removed(&self.plan.images, &items)).cloned().collect(), HURRY)
        } else {
            (self.plan.tombstones.clone(), ANY_TIME)
        };
        let marks = tokio::time::timeout(time, self.leave_marks(&repositories, proof.builder_cleared)).await;
        proof.warnings.extend(marks.unwrap_or_else(|_| vec!["the engine took too long to keep the marks".to_owned()]));
        ClearOutcome {
            scope: self.request.scope,
            dry_run: false,
            items,
            freed_bytes: proof.freed_bytes,
            verified: (!cancelled).then_some(proof.verified),
            duration: self.started.elapsed(),
            engine: facts(self.engine),
            warnings: proof.warnings,
            cancelled,
        }
    }

    /// Removes images, several at once: kind after kind, and the names of one image one after another, because an engine
    /// that loses two at once may think twice that another is left.
    async fn remove_images(
        &self,
        cancel: &CancellationToken,
        on_item: &mut impl FnMut(&ItemOutcome),
    ) -> Vec<ItemOutcome> {
        let mut items = Vec::with_capacity(self.plan.images.len());
        let numbered: Vec<(usize, &PlannedImage)> = self.plan.images.iter().enumerate().collect();
        for kind in numbered.chunk_by(|(_, a), (_, b)| a.turn() == b.turn()) {
            let mut images: BTreeMap<&str, Vec<(usize, &PlannedImage)>> = BTreeMap::new();
            kind.iter().for_each(|(number, image)| images.entry(&image.id).or_default().push((*number, *image)));
            let removals = images.into_values().map(|names| Box::pin(self.remove_names(names, cancel)));
            let mut removals = stream::iter(removals).flatten_unordered(AT_ONCE);
            while let Some((number, item)) = removals.next().await {
                on_item(&item);
                items.push((number, item));
            }
        }
        items.sort_by_key(|(number, _)| *number);
        items.into_iter().map(|(_, item)| item).collect()
    }

    fn remove_names<'b>(
        &'b self,
        names: Vec<(usize, &'b PlannedImage)>,
        cancel: &'b CancellationToken,
    ) -> impl Stream<Item = (usize, ItemOutcome)> + 'b {
        stream::unfold(names.into_iter(), async move |mut names| {
            let (number, image) = names.next().filter(|_| !cancel.is_cancelled())?;
            let removal = cancel.run_until_cancelled(self.remove_image(image)).await;
            let fate = removal.unwrap_or_else(|| Fate::Failed { why: CANCELLED.to_owned() });
            Some(((number, image_item(image, fate)), names))
        })
    }

    async fn remove_image(&self, image: &PlannedImage) -> Fate {
        match &image.action {
            ImageAction::Keep(reason) => Fate::Kept { why: reason.to_string() },
            ImageAction::Remove | ImageAction::Untag { .. } => {
                match self.engine.remove_image(&image.name, self.plan.parents).await {
                    Ok(_) => Fate::Removed,
                    // Somebody else was faster; it is gone, which is what was asked for.
                    Err(error) if error.is_not_found() => Fate::Removed,
                    Err(error) => Fate::Failed { why: message_of(&error) },
                }
            }
        }
    }

    /// Surveys again. What the same request would still name is left over.
    async fn prove(&self) -> Proof {
        match self.survey_again().await {
            Ok(after) => {
                let left = clear::plan_again(self.request, self.plan, &after).left();
                Proof {
                    freed_bytes: after.freed_since(self.survey),
                    verified: left.is_empty(),
                    builder_cleared: self.plan.builder.is_some() && after.builder.is_empty(),
                    warnings: left.into_iter().map(|left| format!("not cleared: {left}")).collect(),
                }
            }
            Err(error) => Proof {
                warnings: vec![format!("the clear could not be verified: {}", chain(error.as_ref()))],
                ..Proof::default()
            },
        }
    }

    /// Leaves a mark for each of these repositories. A mark too few makes a later report poorer; it does not undo the clear.
    async fn leave_marks(&self, repositories: &BTreeSet<String>, builder_cleared: bool) -> Vec<String> {
        let mut warnings = Vec::new();
        for repository in repositories {
            let tombstone = Tombstone {
                repository: repository.clone(),
                cleared_at: self.request.now,
                run_url: self.run_url.clone(),
                builder_cleared,
            };
            if let Err(error) = self.engine.write_tombstone(&tombstone).await {
                warnings.push(chain(&error));
            }
        }
        warnings
    }

    async fn survey_again(&self) -> Result<ClearSurvey, BuilderError> {
        let builder = match &self.builder {
            Some(cache) => (cache.survey)().await?,
            None => Vec::new(),
        };
        Ok(ClearSurvey::take(self.engine, self.survey.own.clone(), builder).await?)
    }
}

#[derive(Debug, Default)]
struct Proof {
    freed_bytes: u64,
    verified: bool,
    builder_cleared: bool,
    warnings: Vec<String>,
}

/// Repositories of which an image, a stage image or a ledger is gone.
fn removed(images: &[PlannedImage], items: &[ItemOutcome]) -> BTreeSet<String> {
    let gone = items.iter().filter(|item| item.fate == Fate::Removed);
    let gone: BTreeSet<(Option<&str>, &str)> = gone.map(|item| (item.id.as_deref(), item.name.as_str())).collect();
    let images = images.iter().filter(|image| gone.contains(&(Some(image.id.as_str()), image.name.as_str())));
    images
        .filter_map(|image| match &image.cache {
            Some(cache) => cache.repository.clone(),
            None => image.name.parse::<ImageReference>().ok().map(|name| name.repository()),
        })
        .collect()
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

fn image_item(image: &PlannedImage, fate: Fate) -> ItemOutcome {
    let fate = match &image.action {
        ImageAction::Keep(reason) => Fate::Kept { why: reason.to_string() },
        ImageAction::Remove | ImageAction::Untag { .. } => fate,
    };
    ItemOutcome {
        place: match image.cache.as_ref().map(|cache| cache.kind) {
            None => Place::Images,
            Some(CacheKind::Stage | CacheKind::Capture) => Place::Stages,
            Some(CacheKind::Ledger) => Place::Ledgers,
        },
        name: image.name.clone(),
        of: image.cache.as_ref().map(|cache| cache.of.clone()).filter(|of| !of.is_empty()),
        id: Some(image.id.clone()),
        bytes: image.bytes,
        count: 1,
        fate,
    }
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

//! `mode: clear`: place after place, each surveyed, planned, printed, applied and surveyed again.
//!
//! The order: images, stage images and ledgers of the engine, then its builder (`engine`); its other builders
//! (`builders`); registries (`registry`), packages and Actions caches (`github`). Places are independent: one that fails is named,
//! and the others are cleared all the same.

mod builders;
mod engine;
mod github;
mod manifests;
mod registry;

use super::Run;
use crate::engine::Engine;
use crate::inputs::{ClearInputs, ClearScope, ClearSource};
use crate::outcome::clear::{ClearOutcome, Fate, ItemOutcome, Place, PlaceOutcome};
use crate::plan::clear::ProjectImages;
use crate::project::compose::{LoadRequest, load};
use crate::runner::ExitCode;

/// Clears what the inputs name.
pub(super) async fn clear(run: &Run, inputs: &ClearInputs) -> ExitCode {
    let mut outcome = match run.cancellation.token().run_until_cancelled(prepare(run, inputs)).await {
        Some(Ok(prepared)) => {
            run.console.group("Clear");
            let outcome = carry_out(run, inputs, prepared).await;
            run.console.end_group();
            outcome
        }
        Some(Err(code)) => return code,
        // A run that was stopped before anything was removed says so all the same.
        None => cancelled(inputs),
    };
    outcome.duration = run.started.elapsed();
    run.report_clear(&outcome, &inputs.common);
    exit_code(run, &outcome)
}

/// Tells of a cancelled run that does not end what is known: these items, and `why` there is no more.
pub(super) fn give_up(run: &Run, inputs: &ClearInputs, items: Vec<ItemOutcome>, why: &str) {
    let mut outcome = cancelled(inputs);
    // What the engine freed nobody has measured.
    let is_engines =
        |item: &ItemOutcome| matches!(item.place, Place::Images | Place::Stages | Place::Ledgers | Place::Builder);
    let (engines, elsewhere) = items.into_iter().partition(is_engines);
    outcome.items = engines;
    outcome.add(PlaceOutcome { items: elsewhere, ..PlaceOutcome::default() });
    outcome.warnings.push(why.to_owned());
    outcome.duration = run.started.elapsed();
    run.report_clear(&outcome, &inputs.common);
}

/// A run that was cancelled, and nothing else.
fn cancelled(inputs: &ClearInputs) -> ClearOutcome {
    let mut outcome = ClearOutcome::of_nothing(inputs.scope, inputs.dry_run);
    outcome.cancel();
    outcome
}

/// Everything that is known before anything is removed.
struct Prepared {
    project: ProjectImages,
    engine: Option<Engine>,
    /// Images and the builder; `None` if neither is in scope.
    on_engine: Option<engine::Prepared>,
    failures: Vec<PlaceOutcome>,
}

/// Finds out what is asked and what there is on the engine. What is wrong has been said when this fails.
///
/// Without an engine there is nothing to do, unless something else is in scope as well; its builder, its images and its
/// other builders do not depend on each other.
async fn prepare(run: &Run, inputs: &ClearInputs) -> Result<Prepared, ExitCode> {
    let engine = run.engine().await;
    let project = project_images(run, &inputs.source, engine.as_ref().ok()).await?;
    if inputs.scope.registry && registry::selectors(inputs, &project).is_empty() {
        run.explain(
            "the scope `registry` is to be cleared, and neither `images` nor `cache-to` nor a tag of the project, as far as a \
             pattern of `images` names it, names a registry",
            "set `cache-to` as the builds do, or name the tags in `images`, as `registry=ghcr.io/org/app:*-cache`; or leave \
             `registry` out of `scope`",
        );
        return Err(ExitCode::BadInputs);
    }
    let mut prepared = Prepared { project, engine: None, on_engine: None, failures: Vec::new() };
    if !inputs.scope.is_on_engine() {
        return Ok(prepared);
    }
    let engine = match engine {
        Ok(engine) => engine,
        Err(error) => {
            let code = run.no_engine(&error, &inputs.common.builder);
            if !inputs.scope.is_elsewhere() {
                return Err(code);
            }
            prepared.failures.push(PlaceOutcome::failed("the engine", "it could not be reached"));
            return Ok(prepared);
        }
    };
    if inputs.scope.images || inputs.scope.builder {
        match engine::prepare(run, inputs, &engine, &prepared.project).await {
            Ok(on_engine) => prepared.on_engine = Some(on_engine),
            // The error was said; what is in other places can be cleared without.
            Err(_) if inputs.scope.builders || inputs.scope.is_elsewhere() => {
                prepared
                    .failures
                    .push(PlaceOutcome::failed("the engine's images and builder", "it could not be looked at"));
            }
            Err(code) => return Err(code),
        }
    }
    prepared.engine = Some(engine);
    Ok(prepared)
}

/// Every place in its order. A signal ends it between two of them, and inside of each.
async fn carry_out(run: &Run, inputs: &ClearInputs, prepared: Prepared) -> ClearOutcome {
    let Prepared { project, engine, on_engine, failures } = prepared;
    let mut outcome = match on_engine {
        Some(on_engine) => on_engine.carry_out(run, inputs).await,
        None => ClearOutcome::of_nothing(inputs.scope, inputs.dry_run),
    };
    failures.into_iter().for_each(|failure| outcome.add(failure));
    let ClearScope { builders, registry, packages, actions_cache, .. } = inputs.scope;
    let mut add = |place| add(run, &mut outcome, place);
    if let Some(engine) = engine.filter(|_| builders) {
        add(until_cancelled(run, builders::clear(run, inputs, &engine)).await);
    }
    if registry {
        add(until_cancelled(run, registry::clear(run, inputs, &project)).await);
    }
    if packages {
        add(until_cancelled(run, github::packages(run, inputs)).await);
    }
    if actions_cache {
        add(until_cancelled(run, github::actions_cache(run, inputs)).await);
    }
    if outcome.cancelled {
        // Also where a place that could not be looked at said that nothing is proven: after a signal nobody knows.
        outcome.cancel();
    }
    outcome
}

/// The place's outcome; `None` if a signal came before it began. Each heeds a later one by itself, so that it can tell what
/// is gone by then.
async fn until_cancelled(run: &Run, place: impl Future<Output = PlaceOutcome>) -> Option<PlaceOutcome> {
    if run.cancellation.is_cancelled() { None } else { Some(place.await) }
}

/// Adds what became of a place. One that a signal kept from its end is not verified, and nor is the rest.
fn add(run: &Run, outcome: &mut ClearOutcome, place: Option<PlaceOutcome>) {
    let Some(place) = place else { return outcome.cancel() };
    let cut_short = run.cancellation.is_cancelled() && !place.left.is_empty();
    outcome.add(place);
    if cut_short {
        outcome.cancel();
    }
}

/// The project's own images, by its Compose files or tags.
async fn project_images(run: &Run, source: &ClearSource, engine: Option<&Engine>) -> Result<ProjectImages, ExitCode> {
    let (files, services) = match source {
        ClearSource::Unknown => return Ok(ProjectImages::OfLedgers),
        ClearSource::Tags(tags) => return Ok(ProjectImages::Named(tags.clone())),
        ClearSource::Compose { files, services } => (files, services),
    };
    let directory_name = run.directory_name(engine).await;
    let loaded = load(&LoadRequest {
        files,
        environment: run.environment.variables(),
        services,
        profiles: &[],
        directory_name: &directory_name,
        working_directory: &run.context.workspace,
    });
    match loaded {
        Ok(project) => {
            project.warnings.iter().for_each(|warning| run.console.warning(warning));
            Ok(ProjectImages::Named(project.images))
        }
        Err(errors) => {
            run.explain(&errors.to_string(), "");
            Err(ExitCode::BadInputs)
        }
    }
}

/// Tells what became of an item, as soon as it is known. Names come from whoever made them.
fn tell(run: &Run, item: &ItemOutcome) {
    run.console.passthrough(&progress(item));
    let items = &mut run.so_far().items;
    // Of an image the second survey may say something else.
    let told_before =
        |told: &&mut ItemOutcome| (told.place, &told.name, &told.id) == (item.place, &item.name, &item.id);
    match items.iter_mut().filter(|_| item.id.is_some()).find(told_before) {
        Some(told) => told.clone_from(item),
        None => items.push(item.clone()),
    }
}

/// The outcome of a dry run, told.
fn told(run: &Run, outcome: PlaceOutcome) -> PlaceOutcome {
    outcome.items.iter().for_each(|item| tell(run, item));
    outcome
}

fn progress(item: &ItemOutcome) -> String {
    let of = item.of.as_deref().map(|of| format!(" ({of})")).unwrap_or_default();
    let name = format!("{}{of}", item.name);
    match &item.fate {
        Fate::Removed => format!("removed {name}"),
        Fate::WouldRemove => format!("would remove {name}"),
        Fate::Kept { why } => format!("kept {name}: {why}"),
        Fate::Failed { why } => format!("could not remove {name}: {why}"),
    }
}

fn exit_code(run: &Run, outcome: &ClearOutcome) -> ExitCode {
    let failed = outcome.items.iter().any(|item| matches!(item.fate, Fate::Failed { .. }));
    match run.cancellation.signal() {
        Some(signal) if outcome.cancelled => signal.exit_code(),
        _ if failed || outcome.verified == Some(false) => ExitCode::ClearedInPart,
        _ => ExitCode::Done,
    }
}

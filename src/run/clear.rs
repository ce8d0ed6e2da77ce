//! `mode: clear`: survey, plan, print, apply, survey again.

use chrono::Utc;
use futures_util::TryFutureExt;

use super::Run;
use super::engine::buildkit;
use crate::buildkit::{BuildKitError, Connection, usage};
use crate::engine::Engine;
use crate::error::chain;
use crate::execute::clear::{BuilderCache, BuilderError, Clear, dry_run};
use crate::inputs::{ClearInputs, ClearSource};
use crate::outcome::build::EngineFacts;
use crate::outcome::clear::{ClearOutcome, Fate, ItemOutcome};
use crate::plan::clear::{ClearRequest, ProjectImages, plan};
use crate::project::compose::{LoadRequest, load};
use crate::runner::{ExitCode, Signal};
use crate::survey::clear::ClearSurvey;

/// Something is wrong with the inputs, and has been said.
struct Said;

/// Everything that is known before anything is removed.
struct Prepared {
    request: ClearRequest,
    engine: Engine,
    /// Absent on an engine without BuildKit.
    connection: Option<Connection>,
    survey: ClearSurvey,
}

/// Clears what the inputs name.
pub(super) async fn clear(run: &Run, inputs: &ClearInputs) -> ExitCode {
    let prepared = match run.cancellation.token().run_until_cancelled(prepare(run, inputs)).await {
        Some(Ok(prepared)) => prepared,
        Some(Err(code)) => return code,
        None => return cancelled_early(run, inputs),
    };
    let Prepared { request, engine, connection, survey } = &prepared;
    let plan = plan(request, survey);
    run.console.group("Clear");
    // Image names and container names come from whoever made them.
    plan.to_string().lines().for_each(|line| run.console.passthrough(line));
    let outcome = if inputs.dry_run {
        dry_run(engine, &plan, run.started)
    } else {
        let builder = connection.as_ref().map(|connection| BuilderCache {
            survey: || usage::records(connection).map_err(BuilderError::from),
            prune: || usage::prune_all(connection).map_err(BuilderError::from),
        });
        let clear = Clear {
            engine,
            request,
            survey,
            plan: &plan,
            builder,
            run_url: run.context.run_url.clone(),
            started: run.started,
        };
        clear.apply(run.cancellation.token(), |item| run.console.passthrough(&progress(item))).await
    };
    run.console.end_group();
    run.report_clear(&outcome, &inputs.common);
    exit_code(run, &outcome)
}

/// Finds out what is asked and what there is. What is wrong has been said when this fails.
async fn prepare(run: &Run, inputs: &ClearInputs) -> Result<Prepared, ExitCode> {
    let engine = run.engine().await;
    let request = request(run, inputs, engine.as_ref().ok()).await.map_err(|Said| ExitCode::BadInputs)?;
    let engine = engine.map_err(|error| run.no_engine(&error))?;
    let connection = connection(&engine).await.map_err(|error| run.no_buildkit(&error))?;
    let survey = survey(&engine, connection.as_ref()).await.map_err(|error| {
        run.explain(&format!("find out what there is: {}", chain(error.as_ref())), "look at the engine's own log");
        ExitCode::NoEngine
    })?;
    Ok(Prepared { request, engine, connection, survey })
}

/// A run that was stopped before anything was removed says so all the same.
fn cancelled_early(run: &Run, inputs: &ClearInputs) -> ExitCode {
    let outcome = ClearOutcome {
        dry_run: inputs.dry_run,
        items: Vec::new(),
        freed_bytes: 0,
        verified: None,
        duration: run.started.elapsed(),
        engine: EngineFacts::default(),
        warnings: Vec::new(),
        cancelled: true,
    };
    run.report_clear(&outcome, &inputs.common);
    run.cancellation.signal().map_or(ExitCode::ClearedInPart, Signal::exit_code)
}

/// What is asked: the patterns, and the project's own images where there are none.
async fn request(run: &Run, inputs: &ClearInputs, engine: Option<&Engine>) -> Result<ClearRequest, Said> {
    let project = project_images(run, &inputs.source, engine).await?;
    Ok(ClearRequest {
        images: inputs.images.clone(),
        project,
        repository: run.context.repository.clone(),
        keep: inputs.keep.clone(),
        scope: inputs.scope,
        now: Utc::now(),
    })
}

async fn project_images(run: &Run, source: &ClearSource, engine: Option<&Engine>) -> Result<ProjectImages, Said> {
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
            Err(Said)
        }
    }
}

async fn connection(engine: &Engine) -> Result<Option<Connection>, BuildKitError> {
    if engine.info().has_buildkit { buildkit(engine).await.map(Some) } else { Ok(None) }
}

async fn survey(engine: &Engine, connection: Option<&Connection>) -> Result<ClearSurvey, BuilderError> {
    let builder = match connection {
        Some(connection) => usage::records(connection).await?,
        None => Vec::new(),
    };
    let own = engine.own_container().await?;
    Ok(ClearSurvey::take(engine, own, builder).await?)
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

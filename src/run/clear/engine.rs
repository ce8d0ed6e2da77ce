//! The engine's images, with the stage images and ledgers of the image cache, and its builder.

use chrono::Utc;
use futures_util::TryFutureExt;

use super::{Run, progress};
use crate::buildkit::{BuildKitError, Connection, usage};
use crate::engine::Engine;
use crate::error::chain;
use crate::execute::clear::{BuilderCache, BuilderError, Clear, dry_run};
use crate::inputs::ClearInputs;
use crate::outcome::clear::ClearOutcome;
use crate::plan::clear::{ClearRequest, ProjectImages, plan};
use crate::run::engine::buildkit;
use crate::runner::ExitCode;
use crate::survey::clear::ClearSurvey;

/// Everything that is known before anything is removed.
pub(super) struct Prepared {
    request: ClearRequest,
    engine: Engine,
    /// Absent on an engine without BuildKit.
    connection: Option<Connection>,
    survey: ClearSurvey,
}

/// Finds out what there is. What is wrong has been said when this fails.
pub(super) async fn prepare(
    run: &Run,
    inputs: &ClearInputs,
    engine: &Engine,
    project: &ProjectImages,
) -> Result<Prepared, ExitCode> {
    let request = ClearRequest {
        images: inputs.images.clone(),
        project: project.clone(),
        repository: run.context.repository.clone(),
        keep: inputs.keep.clone(),
        scope: inputs.scope,
        now: Utc::now(),
    };
    let connection = connection(engine).await.map_err(|error| run.no_buildkit(&error))?;
    let survey = survey(engine, connection.as_ref()).await.map_err(|error| {
        run.explain(&format!("find out what there is: {}", chain(error.as_ref())), "look at the engine's own log");
        ExitCode::NoEngine
    })?;
    Ok(Prepared { request, engine: engine.clone(), connection, survey })
}

impl Prepared {
    /// Plans, prints the plan, and carries it out unless this is a dry run.
    pub(super) async fn carry_out(&self, run: &Run, inputs: &ClearInputs) -> ClearOutcome {
        let Self { request, engine, connection, survey } = self;
        let plan = plan(request, survey);
        // Image names and container names come from whoever made them.
        plan.to_string().lines().for_each(|line| run.console.passthrough(line));
        if inputs.dry_run {
            return dry_run(engine, request, &plan, run.started);
        }
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

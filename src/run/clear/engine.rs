//! The engine's images, with the stage images and ledgers of the image cache, and its builder.

use chrono::Utc;
use futures_util::TryFutureExt;

use super::{Run, tell};
use crate::buildkit::usage::Record;
use crate::buildkit::{BuildKitError, Connection, usage};
use crate::engine::{Engine, EngineError};
use crate::error::chain;
use crate::execute::clear::{BuilderCache, BuilderError, Clear, dry_run};
use crate::inputs::{BuilderChoice, ClearInputs};
use crate::outcome::clear::{ClearOutcome, PlaceOutcome};
use crate::plan::clear::{ClearRequest, ProjectImages, plan};
use crate::run::engine::buildkit;
use crate::runner::ExitCode;
use crate::survey::clear::ClearSurvey;

/// Everything that is known before anything is removed.
pub(super) struct Prepared {
    request: ClearRequest,
    engine: Engine,
    /// Absent on an engine without BuildKit, and if it does not answer.
    connection: Option<Connection>,
    survey: ClearSurvey,
    /// Why the builder is not cleared: images do not depend on it.
    builder_failure: Option<String>,
}

/// Finds out what there is. What is wrong has been said when this fails.
pub(super) async fn prepare(
    run: &Run,
    inputs: &ClearInputs,
    engine: &Engine,
    project: &ProjectImages,
) -> Result<Prepared, ExitCode> {
    let (connection, records, builder_failure) = match builder(run, inputs, engine).await? {
        Ok(Some((connection, records))) => (Some(connection), records, None),
        Ok(None) => (None, Vec::new(), None),
        Err(error) if inputs.scope.images => (None, Vec::new(), Some(format!("{}; {}", chain(&error), error.help()))),
        Err(error) => {
            run.explain(&chain(&error), error.help());
            return Err(ExitCode::NoEngine);
        }
    };
    let mut scope = inputs.scope;
    scope.builder &= builder_failure.is_none();
    let request = ClearRequest {
        images: inputs.images.clone(),
        project: project.clone(),
        repository: run.context.repository.clone(),
        keep: inputs.keep.clone(),
        scope,
        now: Utc::now(),
    };
    let survey = survey(engine, records).await.map_err(|error| {
        run.explain(&format!("find out what there is: {}", chain(&error)), "look at the engine's own log");
        ExitCode::NoEngine
    })?;
    Ok(Prepared { request, engine: engine.clone(), connection, survey, builder_failure })
}

impl Prepared {
    /// Plans, prints the plan, and carries it out unless this is a dry run.
    pub(super) async fn carry_out(self, run: &Run, inputs: &ClearInputs) -> ClearOutcome {
        let mut outcome = self.clear(run, inputs).await;
        if let Some(why) = self.builder_failure {
            outcome.scope = inputs.scope;
            // What the builder holds still of what is gone, is not known.
            outcome.freed_bytes = 0;
            if inputs.scope.builder {
                outcome.add(PlaceOutcome::failed("the engine's builder", &why));
            } else {
                outcome.warnings.push(format!("what was freed is not known, the engine's builder did not tell: {why}"));
            }
        }
        outcome
    }

    async fn clear(&self, run: &Run, inputs: &ClearInputs) -> ClearOutcome {
        let Self { request, engine, connection, survey, .. } = self;
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
        clear.apply(run.cancellation.token(), |item| tell(run, item)).await
    }
}

/// The builder whose cache is cleared, and its records: the engine's own, also where images are built by the classic builder
/// (`None` if it has no BuildKit), or the remote one that the inputs name.
async fn builder(
    run: &Run,
    inputs: &ClearInputs,
    engine: &Engine,
) -> Result<Result<Option<(Connection, Vec<Record>)>, BuildKitError>, ExitCode> {
    let connection = match &inputs.common.builder {
        // Somebody named it: that it is not there is said at once.
        remote @ BuilderChoice::Remote(_) => run.builder(remote, engine).await?.connection,
        BuilderChoice::Auto | BuilderChoice::BuildKit | BuilderChoice::Classic if !engine.info().has_buildkit => None,
        BuilderChoice::Auto | BuilderChoice::BuildKit | BuilderChoice::Classic => match buildkit(engine).await {
            Ok(connection) => Some(connection),
            Err(error) => return Ok(Err(error)),
        },
    };
    let Some(connection) = connection else { return Ok(Ok(None)) };
    let records = usage::records(&connection).await;
    Ok(records.map(|records| Some((connection, records))))
}

async fn survey(engine: &Engine, records: Vec<Record>) -> Result<ClearSurvey, EngineError> {
    let own = engine.own_container().await?;
    ClearSurvey::take(engine, own, records).await
}

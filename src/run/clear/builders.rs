//! The other builders of the engine, those that `docker buildx create` made.

use super::{Run, tell, told};
use crate::engine::Engine;
use crate::error::chain;
use crate::execute::clear::builders::{apply, dry_run};
use crate::inputs::ClearInputs;
use crate::outcome::clear::PlaceOutcome;
use crate::plan::clear::builders::BuildersPlan;
use crate::survey::clear::builders::BuildersSurvey;

/// Empties every builder of the engine that is not at work, and removes the volumes that former ones left.
pub(super) async fn clear(run: &Run, inputs: &ClearInputs, engine: &Engine) -> PlaceOutcome {
    let survey = match run.cancellation.token().run_until_cancelled(BuildersSurvey::take(engine)).await {
        Some(Ok(survey)) => survey,
        Some(Err(error)) => return PlaceOutcome::failed("builders", &chain(&error)),
        None => return PlaceOutcome::failed("builders", "cancelled before they were looked at"),
    };
    let plan = BuildersPlan::new(&survey, &inputs.keep);
    plan.to_string().lines().for_each(|line| run.console.passthrough(line));
    if inputs.dry_run {
        return told(run, dry_run(&plan));
    }
    apply(engine, &plan, &inputs.keep, run.cancellation.token(), |item| tell(run, item)).await
}

//! What the Dockerfile adds to what the builder told: the order of its steps, and the place of the one that failed.

use std::path::Path;

use crate::buildkit::trace::{Kind, StepName, parse_name};
use crate::outcome::build::{ImageOutcome, ImageResult, SourceLocation};
use crate::plan::build::{How, PlannedBuild};
use crate::project::dockerfile::Dockerfile;
use crate::project::target::Dockerfile as Source;

/// Puts the steps into the Dockerfile's order, and adds the place to a failure that has none.
pub(super) fn add(outcome: &mut ImageOutcome, build: &PlannedBuild, parsed: &Dockerfile, workspace: &Path) {
    // The classic builder goes through the file from the top, and has numbers of its own.
    let How::BuildKit { .. } = &build.how else { return };
    // The builder tells stages in the order in which it comes upon them, newer ones the last stage first.
    outcome.steps.sort_by_key(|step| {
        parsed.locate_step(step.stage.as_deref(), step.position, step.of, &step.instruction).unwrap_or((u32::MAX, 0))
    });
    let ImageResult::Failed(failure) = &mut outcome.result else { return };
    let Some(Kind::Step(step)) = failure.step.as_deref().map(parse_name) else { return };
    let Some(found) = lines(parsed, &step).and_then(|lines| location(build, lines, workspace)) else { return };
    failure.location.get_or_insert(found);
}

/// Lines of the Dockerfile as a place, if it is a file.
pub(super) fn location(build: &PlannedBuild, (line, end_line): (u32, u32), workspace: &Path) -> Option<SourceLocation> {
    let Source::File(path) = &build.target.dockerfile else { return None };
    // Annotations stand only at files of the workspace; elsewhere the whole path at least says which file it is.
    let file = path.strip_prefix(workspace).unwrap_or(path).to_string_lossy().into_owned();
    Some(SourceLocation { file, line, end_line })
}

fn lines(parsed: &Dockerfile, step: &StepName) -> Option<(u32, u32)> {
    parsed.locate_step(step.stage.as_deref(), step.position, step.of, &step.instruction)
}

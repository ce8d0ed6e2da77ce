//! Finds the place of a failed step in its Dockerfile.

use std::path::Path;

use crate::buildkit::trace::{Kind, parse_name};
use crate::outcome::build::{ImageOutcome, ImageResult, SourceLocation};
use crate::plan::build::{How, PlannedBuild};
use crate::project::dockerfile::Dockerfile;
use crate::project::target::Dockerfile as Source;

/// Adds the place to a failure that has none, where the Dockerfile is known and the step's name says its place.
pub(super) fn add(outcome: &mut ImageOutcome, build: &PlannedBuild, parsed: Option<&Dockerfile>, workspace: &Path) {
    // The classic builder numbers its steps in a way of its own.
    let (ImageResult::Failed(failure), Some(parsed), How::BuildKit { .. }) = (&mut outcome.result, parsed, &build.how)
    else {
        return;
    };
    let Some(Kind::Step(step)) = failure.step.as_deref().map(parse_name) else { return };
    let found = find(build, parsed, workspace, step.stage.as_deref(), step.position);
    failure.location = failure.location.take().or(found);
}

/// The place of a step, by the stage and the position that BuildKit names.
pub(super) fn find(
    build: &PlannedBuild,
    parsed: &Dockerfile,
    workspace: &Path,
    stage: Option<&str>,
    position: u32,
) -> Option<SourceLocation> {
    let Source::File(path) = &build.target.dockerfile else { return None };
    let (line, end_line) = parsed.locate(stage, position)?;
    // Annotations stand only at files of the workspace; elsewhere the whole path at least says which file it is.
    let file = path.strip_prefix(workspace).unwrap_or(path).to_string_lossy().into_owned();
    Some(SourceLocation { file, line, end_line })
}

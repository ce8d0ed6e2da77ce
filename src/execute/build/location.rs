//! Finds the place of a failed step in its Dockerfile.

use std::path::Path;

use crate::buildkit::trace::{Kind, parse_name};
use crate::outcome::build::{ImageOutcome, ImageResult, SourceLocation};
use crate::plan::build::PlannedBuild;
use crate::project::dockerfile::Dockerfile;
use crate::project::target::Dockerfile as Source;

/// Adds the place to a failure that has none, where the Dockerfile is known.
pub(super) fn add(outcome: &mut ImageOutcome, build: &PlannedBuild, parsed: Option<&Dockerfile>, workspace: &Path) {
    let (ImageResult::Failed(failure), Some(parsed), Source::File(path)) =
        (&mut outcome.result, parsed, &build.target.dockerfile)
    else {
        return;
    };
    let Some(Kind::Step(step)) = failure.step.as_deref().map(parse_name) else { return };
    let Some((line, end_line)) = parsed.locate(step.stage.as_deref(), step.position) else { return };
    // Annotations stand only at files of the workspace; elsewhere the whole path at least says which file it is.
    let file = path.strip_prefix(workspace).unwrap_or(path).to_string_lossy().into_owned();
    failure.location.get_or_insert(SourceLocation { file, line, end_line });
}

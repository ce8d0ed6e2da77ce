//! Places on GitHub: its packages and its Actions caches.
//!
//! Each function surveys, plans, applies and proves its place, or stops after the plan in a dry run; it heeds the run's
//! cancellation, and never fails as a whole: what it could not do is in its outcome.

use super::Run;
use crate::inputs::ClearInputs;
use crate::outcome::clear::PlaceOutcome;

const NOT_YET: &str = "it is not cleared in this release";

/// Versions of GitHub packages.
pub(super) async fn packages(_run: &Run, _inputs: &ClearInputs) -> PlaceOutcome {
    std::future::ready(PlaceOutcome::failed("packages", NOT_YET)).await
}

/// Caches of GitHub Actions.
pub(super) async fn actions_cache(_run: &Run, _inputs: &ClearInputs) -> PlaceOutcome {
    std::future::ready(PlaceOutcome::failed("actions-cache", NOT_YET)).await
}

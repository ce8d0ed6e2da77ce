//! The other builders of the engine, those that `docker buildx create` made.

use super::Run;
use crate::engine::Engine;
use crate::inputs::ClearInputs;
use crate::outcome::clear::PlaceOutcome;

/// Clears every builder of the engine that is not at work, and the volumes that former ones left.
pub(super) async fn clear(_run: &Run, _inputs: &ClearInputs, _engine: &Engine) -> PlaceOutcome {
    std::future::ready(PlaceOutcome::failed("builders", "they are not cleared in this release")).await
}

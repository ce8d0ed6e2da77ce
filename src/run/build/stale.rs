//! The gate `fail-if-stale`: the first build after a clear takes no step from a cache.

use crate::outcome::build::{BuildOutcome, ImageOutcome};
use crate::run::Run;
use crate::runner::ExitCode;

/// Images that were cleared, and took steps from a cache all the same. A step that another image of this run ran does not
/// count: it is cached for none (`docs/decisions/0005-shared-steps.md`).
fn stale(outcome: &BuildOutcome) -> Vec<&ImageOutcome> {
    outcome.images.iter().filter(|image| image.is_stale()).collect()
}

/// Whether there is such an image.
pub(super) fn is_stale(outcome: &BuildOutcome) -> bool {
    !stale(outcome).is_empty()
}

impl Run {
    /// The exit status of a build whose gate is `fail-if-stale`. A failure that is worse goes before.
    pub(super) fn stale_gate(&self, outcome: &BuildOutcome, code: ExitCode) -> ExitCode {
        if !outcome.stale {
            return code;
        }
        self.explain(
            &message(&stale(outcome)),
            "clear with `scope: images, builder`, and build again; until then this gate holds",
        );
        if code == ExitCode::Done { ExitCode::GateNotMet } else { code }
    }
}

fn message(stale: &[&ImageOutcome]) -> String {
    let images = stale.iter().map(|image| {
        let cached = image.steps.iter().filter(|step| step.cached).count();
        format!("{} took {cached} of {} steps", image.name, image.steps.len())
    });
    let images: Vec<String> = images.collect();
    format!("fail-if-stale: {} from a cache, in the first build after a clear", images.join(", "))
}

//! The gate `fail-if-stale`: the first build after a clear takes no step from a cache.

use crate::outcome::build::{BuildOutcome, ImageOutcome};
use crate::run::Run;
use crate::runner::ExitCode;

/// Images that were cleared, and took steps from a cache all the same. A step that another image of this run ran does not
/// count: it is cached for none (`docs/decisions/0005-shared-steps.md`).
pub(super) fn stale(outcome: &BuildOutcome) -> Vec<&ImageOutcome> {
    let is_stale = |image: &&ImageOutcome| image.fresh_after.is_some() && image.steps.iter().any(|step| step.cached);
    outcome.images.iter().filter(is_stale).collect()
}

impl Run {
    /// The exit status of a build whose gate is `fail-if-stale`. A failure that is worse goes before.
    pub(super) fn stale_gate(&self, stale: &[&ImageOutcome], code: ExitCode) -> ExitCode {
        if stale.is_empty() {
            return code;
        }
        self.explain(
            &message(stale),
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

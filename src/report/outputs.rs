//! The action's outputs, as names and values.
//!
//! An output that a run has nothing to say about is the empty string, which is also what a workflow reads for an output
//! that was never set. A value has no line ends.

use std::time::Duration;

use crate::inputs::Output;
use crate::outcome::build::{BuildOutcome, ImageResult};
use crate::outcome::clear::ClearOutcome;
use crate::report::clear_tally::ClearTally;
use crate::report::json::v1::BuildResult;
use crate::report::tally::Tally;

/// The outputs of a build, also of one that failed or was cancelled.
///
/// `duration-seconds` has three decimals; `cache-hit-percent` is a whole number rounded down, so that 100 means that
/// every step was cached, and 0 where there are no steps; `image-id` and `digest` are the first image's.
pub fn of_build(outcome: &BuildOutcome) -> Vec<(Output, String)> {
    let tally = Tally::of_build(outcome);
    let (image_id, digest) = match outcome.images.first().map(|image| &image.result) {
        Some(ImageResult::Built { image_id, digest }) => (image_id.clone(), digest.clone().unwrap_or_default()),
        Some(ImageResult::Failed(_) | ImageResult::Cancelled | ImageResult::Skipped { .. }) | None => {
            (String::new(), String::new())
        }
    };
    vec![
        (Output::DurationSeconds, seconds(outcome.duration)),
        (Output::StepsTotal, tally.total.to_string()),
        (Output::StepsCached, tally.cached.to_string()),
        (Output::CacheHitPercent, tally.hit_percent().to_string()),
        (Output::CacheSource, tally.source.as_str().to_owned()),
        (
            Output::BaselineSeconds,
            outcome.baseline.as_ref().map(|baseline| seconds(baseline.median)).unwrap_or_default(),
        ),
        (Output::ImageId, image_id),
        (Output::Digest, digest),
        (Output::Result, BuildResult::of(outcome).to_json()),
    ]
}

/// The outputs of a clear. A dry run removes nothing, so its counts are 0 and `verified` is empty.
pub fn of_clear(outcome: &ClearOutcome) -> Vec<(Output, String)> {
    let removed = ClearTally::of(outcome).removed;
    vec![
        (Output::DurationSeconds, seconds(outcome.duration)),
        (Output::FreedBytes, outcome.freed_bytes.to_string()),
        (Output::ImagesRemoved, removed.all_images().to_string()),
        (Output::CacheRecordsRemoved, removed.records().to_string()),
        (Output::Verified, outcome.verified.map(|verified| verified.to_string()).unwrap_or_default()),
    ]
}

/// Seconds with three decimals, without the detour over a floating-point number.
fn seconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::{of_build, of_clear};
    use crate::inputs::Output;
    use crate::outcome::baseline::{Baseline, BaselineSource, Kind};
    use crate::outcome::build::BuildOutcome;
    use crate::report::fixtures;

    fn without_result(outcome: &BuildOutcome) -> String {
        let outputs = of_build(outcome).into_iter().filter(|(output, _)| *output != Output::Result);
        outputs.map(|(output, value)| format!("{}={value}", output.name())).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn of_builds() {
        let mut warm = fixtures::warm();
        warm.images.swap(0, 1);
        insta::assert_snapshot!(without_result(&warm), @r"
        duration-seconds=12.400
        steps-total=13
        steps-cached=8
        cache-hit-percent=61
        cache-source=mixed
        baseline-seconds=19.100
        image-id=sha256:f71428806887f67df71428806887f67df71428806887f67df71428806887f67d
        digest=
        ");
        let mut failed = fixtures::failed();
        failed.images.remove(0);
        insta::assert_snapshot!(without_result(&failed), @r"
        duration-seconds=18.900
        steps-total=6
        steps-cached=1
        cache-hit-percent=16
        cache-source=builder
        baseline-seconds=
        image-id=
        digest=
        ");
    }

    #[test]
    fn a_baseline_is_told_in_seconds() {
        let source = BaselineSource::Ledger;
        let baseline = Baseline { median: fixtures::at(61.25), builds: 3, kind: Kind::Warm, source };
        let outcome = BuildOutcome { baseline: Some(baseline), ..fixtures::warm() };
        assert!(without_result(&outcome).contains("\nbaseline-seconds=61.250\n"));
    }

    #[test]
    fn a_build_of_nothing_has_every_output() {
        let empty = BuildOutcome { images: vec![], ..fixtures::warm() };
        insta::assert_snapshot!(without_result(&empty), @r"
        duration-seconds=12.400
        steps-total=0
        steps-cached=0
        cache-hit-percent=0
        cache-source=none
        baseline-seconds=19.100
        image-id=
        digest=
        ");
    }

    #[test]
    fn of_clears() {
        let values = |outcome| of_clear(&outcome).into_iter().map(|(_, value)| value).collect::<Vec<_>>();
        assert_eq!(values(fixtures::cleared()), ["4.800", "1234000000", "3", "48", "true"]);
        assert_eq!(values(fixtures::cleared_in_part()), ["4.800", "412000000", "2", "46", "false"]);
        assert_eq!(values(fixtures::dry_run()), ["4.800", "0", "0", "0", ""]);
    }

    #[test]
    fn values_are_one_line() {
        for (output, value) in of_build(&fixtures::hostile()) {
            assert!(!value.contains(['\n', '\r']), "{}", output.name());
        }
    }
}

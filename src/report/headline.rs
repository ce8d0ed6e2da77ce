//! The one sentence that a person reads first, in words that the summary and the log share.

use crate::outcome::baseline::{Gate, kind};
use crate::outcome::build::ClearMark;
use crate::outcome::build::{BuildOutcome, CacheSource, ImageOutcome, ImageResult};
use crate::outcome::clear::ClearOutcome;
use crate::report::clear_tally::ClearTally;
use crate::report::tally::{Results, Tally};
use crate::report::{units, words};

/// Says how a build ended, how long it took and how much of it was cached.
///
/// `name` writes the name of an image or of a step for the place where the sentence goes: escaped, or as it is.
pub(super) fn of_build(outcome: &BuildOutcome, name: impl Fn(&str) -> String) -> String {
    let images = outcome.images.len();
    let results = Results::of(outcome);
    let time = units::duration(outcome.duration);
    let what = match outcome.images.as_slice() {
        [one] => name(&one.name),
        _ => units::count(images, "image"),
    };
    if outcome.cancelled || (results.failed == 0 && results.cancelled > 0) {
        let built = match (results.built, images) {
            (0, _) => "nothing was built".to_owned(),
            (built, _) if built == images => "every image was built already".to_owned(),
            (1, images) => format!("1 of {images} images was built"),
            (built, images) => format!("{built} of {images} images were built"),
        };
        return format!("Cancelled after {time}, {built}{}", words::push::headline(&outcome.pushes));
    }
    match failed(outcome).as_slice() {
        [] if images == 0 => format!("Built nothing in {time}: there was no image to build"),
        [] => {
            let compared = compared(outcome, &name).map(|words| format!(", {words}")).unwrap_or_default();
            let cached = cached(Tally::of_build(outcome));
            let pushed = words::push::headline(&outcome.pushes);
            format!("{} {what} in {time}{compared}, {cached}{pushed}", built(outcome))
        }
        [one] => format!("Failed after {time}: {}{}", name(&one.name), failed_step(one, name)),
        _ => format!("Failed after {time}: {} of {images} images failed", results.failed),
    }
}

/// That it was built, and what is wrong with it all the same.
fn built(outcome: &BuildOutcome) -> &'static str {
    match (&outcome.gate, outcome.stale) {
        (_, true) => "Not fresh: built",
        (Some(Gate::Missed { .. }), false) => "Too slow: built",
        (_, false) => "Built",
    }
}

/// How it compares with the builds before it, and that there are none where they were looked for.
fn compared(outcome: &BuildOutcome, name: impl Fn(&str) -> String) -> Option<String> {
    let none = outcome.without_builds.as_deref().map(&name);
    match (&outcome.baseline, none) {
        (Some(baseline), None) => Some(words::baseline::compared(outcome.duration, baseline, name)),
        (Some(baseline), Some(branch)) => {
            let compared = words::baseline::compared(outcome.duration, baseline, name);
            Some(format!("{compared} (none of {branch} is known)"))
        }
        (None, Some(branch)) => {
            Some(format!("no earlier {} build of {branch} is known", words::baseline::kind(kind(outcome))))
        }
        (None, None) => None,
    }
}

/// How much was cached and from where: `11 of 13 steps cached (from the builder)`.
pub(super) fn cached(tally: Tally) -> String {
    match (tally.cached, tally.total) {
        (_, 0) => "no steps to cache".to_owned(),
        (0, total) => format!("none of {} cached", units::count(total, "step")),
        (1, 1) => format!("its only step cached ({})", origin(tally.source)),
        (cached, total) if cached == total => format!("all {total} steps cached ({})", origin(tally.source)),
        (cached, total) => format!("{cached} of {total} steps cached ({})", origin(tally.source)),
    }
}

/// Where cached steps came from, as a phrase.
pub(super) fn origin(source: CacheSource) -> &'static str {
    match source {
        CacheSource::None => "from no cache",
        CacheSource::Builder => "from the builder",
        CacheSource::Image => "from the previous image",
        CacheSource::Registry => "from the registry",
        CacheSource::Mixed => "from several caches",
    }
}

/// Says what a clear did, or would do.
pub(super) fn of_clear(outcome: &ClearOutcome) -> String {
    let tally = ClearTally::of(outcome);
    if outcome.dry_run {
        return match tally.would_remove.words() {
            Some(what) => format!("Dry run: would remove {what} ({})", units::size(tally.would_remove.bytes)),
            None => "Dry run: there is nothing to remove".to_owned(),
        };
    }
    let removed = match tally.removed.words() {
        Some(what) => format!("{what}, {} freed", units::size(outcome.freed_bytes)),
        None => "nothing".to_owned(),
    };
    if outcome.cancelled {
        return format!("Clear cancelled after {}, removed {removed}", units::duration(outcome.duration));
    }
    let left = tally.failed.words().map(|what| format!("{what} could not be removed"));
    match (left, outcome.verified) {
        (Some(left), _) => format!("Cleared in part: {left}"),
        (None, Some(false)) => "Cleared in part: something was left, or came back".to_owned(),
        (None, Some(true)) if tally.removed.is_empty() => "Nothing to clear: verified, nothing was there".to_owned(),
        (None, None) if tally.removed.is_empty() => "Nothing was cleared, and nothing verified it".to_owned(),
        (None, Some(true)) => format!("Cleared {removed}, verified"),
        (None, None) => format!("Cleared {removed}, not verified"),
    }
}

fn failed(outcome: &BuildOutcome) -> Vec<&ImageOutcome> {
    outcome.images.iter().filter(|image| matches!(image.result, ImageResult::Failed(_))).collect()
}

fn failed_step(image: &ImageOutcome, name: impl Fn(&str) -> String) -> String {
    match &image.result {
        ImageResult::Failed(failure) => {
            let step = failure.step.as_deref().map(|step| format!(" at {}", name(step))).unwrap_or_default();
            let code = failure.exit_code.map(|code| format!(" (exit code {code})")).unwrap_or_default();
            step + &code
        }
        ImageResult::Built { .. } | ImageResult::Cancelled | ImageResult::Skipped { .. } => String::new(),
    }
}

/// `at 2026-03-14 11:18 UTC`, as far as it is known.
pub(super) fn when(mark: &ClearMark) -> String {
    match mark.cleared_at {
        Some(time) => time.format("at %Y-%m-%d %H:%M UTC").to_string(),
        None => "at a time that its mark does not tell".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{of_build, of_clear};
    use crate::outcome::build::BuildOutcome;
    use crate::outcome::clear::ClearOutcome;
    use crate::report::fixtures;

    fn build(outcome: &BuildOutcome) -> String {
        of_build(outcome, |name| format!("'{name}'"))
    }

    #[test]
    fn of_builds() {
        for (outcome, sentence) in [
            (
                fixtures::warm(),
                "Built 2 images in 12.4 s, 35 % faster than the median of 5 warm builds of 'main', 8 of 13 steps cached (from several caches)",
            ),
            (
                fixtures::cold(),
                "Built 2 images in 1 min 20 s, 8 % slower than the median of 3 cold builds of 'main', none of 13 steps cached",
            ),
            (
                fixtures::one_image(),
                "Built 'app:latest' in 0.84 s, as fast as the median of 3 fully cached builds of 'main', all 5 steps cached (from the builder)",
            ),
            (fixtures::failed(), "Failed after 18.9 s: 'frontend' at '[build 4/5] RUN npm run build' (exit code 2)"),
            (fixtures::cancelled(), "Cancelled after 9.1 s, 1 of 3 images was built"),
            (
                fixtures::slower(),
                "Too slow: built 2 images in 1 min 16 s, 4.0 times as long as the median of 5 warm builds of 'main', 6 of 13 steps cached (from several caches)",
            ),
            (
                fixtures::stale(),
                "Not fresh: built 2 images in 12.4 s, 35 % faster than the median of 5 warm builds of 'main', 8 of 13 steps cached (from the builder), not pushed",
            ),
            (
                fixtures::first(),
                "Built 2 images in 1 min 20 s, no earlier cold build of 'main' is known, none of 13 steps cached",
            ),
            (
                fixtures::unbased(),
                "Built 2 images in 12.4 s, 35 % faster than the median of the last 4 warm builds on this engine (none of 'main' is known), 8 of 13 steps cached (from several caches)",
            ),
            (
                BuildOutcome { images: vec![], ..fixtures::warm() },
                "Built nothing in 12.4 s: there was no image to build",
            ),
        ] {
            assert_eq!(build(&outcome), sentence);
        }
    }

    #[test]
    fn a_cancelled_run_names_the_cancel_before_a_failure() {
        let outcome = BuildOutcome { cancelled: true, ..fixtures::failed() };
        assert_eq!(build(&outcome), "Cancelled after 18.9 s, 1 of 3 images was built");
    }

    #[test]
    fn of_clears() {
        let nothing = ClearOutcome { items: vec![], freed_bytes: 0, ..fixtures::cleared() };
        for (outcome, sentence) in [
            (fixtures::cleared(), "Cleared 2 images, 1 stage image and 48 builder records, 1.23 GB freed, verified"),
            (fixtures::dry_run(), "Dry run: would remove 2 images, 1 stage image and 48 builder records (1.30 GB)"),
            (fixtures::cleared_in_part(), "Cleared in part: 1 stage image and 2 builder records could not be removed"),
            (nothing.clone(), "Nothing to clear: verified, nothing was there"),
            (ClearOutcome { dry_run: true, verified: None, ..nothing.clone() }, "Dry run: there is nothing to remove"),
            (ClearOutcome { verified: Some(false), ..nothing }, "Cleared in part: something was left, or came back"),
            (
                ClearOutcome { cancelled: true, verified: None, ..fixtures::cleared() },
                "Clear cancelled after 4.8 s, removed 2 images, 1 stage image and 48 builder records, 1.23 GB freed",
            ),
        ] {
            assert_eq!(of_clear(&outcome), sentence);
        }
    }
}

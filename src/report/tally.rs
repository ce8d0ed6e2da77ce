//! Counts of a build: steps, cached steps and where they came from, of one image or of all.

use crate::outcome::build::{BuildOutcome, CacheSource, ImageOutcome, ImageResult, StepOutcome};

/// Steps of one image, or of all images of a build.
///
/// Every Dockerfile step counts, also one that was never begun because another failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    /// Number of steps.
    pub(super) total: usize,
    /// How many of them came from a cache.
    pub(super) cached: usize,
    /// Where the cached ones came from.
    pub(super) source: CacheSource,
}

impl Tally {
    /// Counts one image.
    pub(super) fn of_image(image: &ImageOutcome) -> Self {
        Self::of_steps(image.steps.iter())
    }

    /// Counts all images of a build.
    pub(super) fn of_build(outcome: &BuildOutcome) -> Self {
        Self::of_steps(outcome.images.iter().flat_map(|image| &image.steps))
    }

    /// Cached steps in percent, rounded down so that 100 means every step; 0 if there are no steps.
    pub(super) fn hit_percent(self) -> usize {
        (self.cached * 100).checked_div(self.total).unwrap_or_default()
    }

    /// `11/13`, or nothing to show if there are no steps.
    pub(super) fn ratio(self) -> Option<String> {
        (self.total > 0).then(|| format!("{}/{}", self.cached, self.total))
    }

    fn of_steps<'a>(steps: impl Iterator<Item = &'a StepOutcome>) -> Self {
        steps.fold(Self { total: 0, cached: 0, source: CacheSource::None }, |tally, step| {
            let total = tally.total + 1;
            if !step.cached {
                return Self { total, ..tally };
            }
            Self { total, cached: tally.cached + 1, source: join(tally.source, step.source) }
        })
    }
}

/// Where two cached things came from together.
fn join(one: CacheSource, other: CacheSource) -> CacheSource {
    match (one, other) {
        (CacheSource::None, source) | (source, CacheSource::None) => source,
        (one, other) if one == other => one,
        _ => CacheSource::Mixed,
    }
}

/// How many images ended in which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Results {
    /// Images that were built.
    pub(super) built: usize,
    /// Images that failed.
    pub(super) failed: usize,
    /// Images that were begun or waiting when the run was cancelled.
    pub(super) cancelled: usize,
    /// Images that were not begun, because what they need failed.
    pub(super) skipped: usize,
}

impl Results {
    /// Counts a build's images.
    pub(super) fn of(outcome: &BuildOutcome) -> Self {
        outcome.images.iter().fold(Self::default(), |mut results, image| {
            match image.result {
                ImageResult::Built { .. } => results.built += 1,
                ImageResult::Failed(_) => results.failed += 1,
                ImageResult::Cancelled => results.cancelled += 1,
                ImageResult::Skipped { .. } => results.skipped += 1,
            }
            results
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{CacheSource, Tally, join};
    use crate::report::fixtures;

    #[test]
    fn counts_steps_and_joins_sources() {
        let warm = Tally::of_build(&fixtures::warm());
        assert_eq!((warm.cached, warm.total, warm.source, warm.hit_percent()), (8, 13, CacheSource::Mixed, 61));
        let cold = Tally::of_build(&fixtures::cold());
        assert_eq!((cold.cached, cold.total, cold.source, cold.hit_percent()), (0, 13, CacheSource::None, 0));
    }

    #[test]
    fn no_steps_are_no_percent() {
        let none = Tally { total: 0, cached: 0, source: CacheSource::None };
        assert_eq!((none.hit_percent(), none.ratio()), (0, None));
    }

    #[test]
    fn sources_that_differ_are_mixed() {
        use CacheSource::{Builder, Image, Mixed, None};
        for (one, other, both) in
            [(None, Image, Image), (Builder, None, Builder), (Image, Image, Image), (Image, Builder, Mixed)]
        {
            assert_eq!(join(one, other), both);
        }
    }
}

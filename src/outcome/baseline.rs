//! What a build is compared with, and whether it is too slow.

use std::cmp::Reverse;
use std::time::Duration;

use super::build::{BuildOutcome, ImageOutcome, ImageResult};
use super::record::Record;
use crate::cache::ledger::{BuildKind, BuildRecord};

/// So many builds make a baseline at most: the newest.
pub const BUILDS: usize = 5;

/// The builds that this one is compared with: of the same images and of the same kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    /// The median of their wall times.
    pub median: Duration,
    /// How many there were.
    pub builds: u32,
    /// Which kind they were of.
    pub kind: Kind,
    /// Where they are known from.
    pub source: BaselineSource,
}

/// Builds of one kind are compared with each other: the time of one that built nothing says nothing about one that did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No step came from a cache.
    Cold,
    /// Some steps came from a cache, and others ran.
    Warm,
    /// Every step came from a cache.
    Cached,
}

impl Kind {
    /// The kind of a build of so many steps.
    pub fn of(cached: usize, total: usize) -> Self {
        match cached {
            0 => Self::Cold,
            _ if cached == total => Self::Cached,
            _ => Self::Warm,
        }
    }

    /// The kind of an earlier build of one image.
    pub fn of_image(build: &BuildRecord) -> Self {
        match build.kind {
            BuildKind::Cold => Self::Cold,
            BuildKind::Warm if build.cached == build.total => Self::Cached,
            BuildKind::Warm => Self::Warm,
        }
    }

    /// `cold`, `warm`, `cached`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Warm => "warm",
            Self::Cached => "cached",
        }
    }
}

impl From<Kind> for BuildKind {
    /// As records tell builds apart, next to their counts.
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Cold => Self::Cold,
            Kind::Warm | Kind::Cached => Self::Warm,
        }
    }
}

/// Where a baseline comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaselineSource {
    /// Check runs of this branch: the base branch of a pull request, else the branch itself.
    Branch(String),
    /// The history that the images' own ledgers keep.
    Ledger,
}

/// How much slower than its baseline a build may be: the input `fail-if-slower`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowerThan {
    /// In percent of the baseline.
    pub percent: u32,
    /// In time. Both limits must be passed: a fast build varies by many percent, a slow one by many seconds.
    pub by: Duration,
}

/// What became of `fail-if-slower`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// The build is not slower than it may be.
    Met,
    /// It is: by more than both limits.
    Missed {
        /// How much slower it is, in percent of the baseline.
        percent: u64,
        /// How much slower it is.
        by: Duration,
    },
    /// There is nothing to compare with.
    NoBaseline,
}

/// Whether every image was built: only then its time says anything.
pub fn is_good(outcome: &BuildOutcome) -> bool {
    !outcome.images.is_empty() && outcome.images.iter().all(|image| matches!(image.result, ImageResult::Built { .. }))
}

/// The kind of a build, by the steps of all its images.
pub fn kind(outcome: &BuildOutcome) -> Kind {
    let steps = || outcome.images.iter().flat_map(|image| &image.steps);
    Kind::of(steps().filter(|step| step.cached).count(), steps().count())
}

/// Compares with earlier builds that were told to GitHub, the newest first: those of the first of `branches` that has any of
/// the same kind, the same images and the same class of runner.
pub fn of_branch(now: &Record, past: &[Record], branches: &[String]) -> Option<Baseline> {
    branches.iter().find_map(|branch| {
        let alike = past.iter().filter(|record| record.branch.as_ref() == Some(branch) && record.is_like(now));
        let times = alike.filter_map(Record::duration);
        baseline(times, now.kind(), BaselineSource::Branch(branch.clone()))
    })
}

/// Compares with the images' own histories.
///
/// A run has left a record with each image that it made anew, and in each how long it took as a whole. An image that it took
/// from the cache as a whole leaves its ledger alone, and so has no record of it.
pub fn of_ledgers(outcome: &BuildOutcome) -> Option<Baseline> {
    let kind = kind(outcome);
    let runs = runs(&outcome.images).into_iter().filter_map(|run| {
        let seconds = run.first().and_then(|(_, record)| record.run_seconds)?;
        let time = Duration::try_from_secs_f64(seconds).ok()?;
        (kind_of_run(&run, outcome.images.len()) == Some(kind)).then_some(time)
    });
    baseline(runs, kind, BaselineSource::Ledger)
}

/// Whether these are so many builds of one kind that more would not change a baseline.
pub fn is_enough(past: &[Record], branches: &[String]) -> bool {
    let counts = |kind: Kind| {
        let alike = past.iter().filter(|record| record.built && record.kind() == kind);
        alike.filter(|record| record.branch.as_ref().is_some_and(|branch| branches.contains(branch))).count()
    };
    [Kind::Cold, Kind::Warm, Kind::Cached].into_iter().any(|kind| counts(kind) >= BUILDS)
}

/// The kind of a run of so many images. Where one is missing, it may have been cached as a whole or not have been built:
/// then nobody knows whether a run without hits was a cold one.
fn kind_of_run(run: &[(usize, &BuildRecord)], images: usize) -> Option<Kind> {
    let all = |kind: Kind| run.iter().all(|(_, record)| Kind::of_image(record) == kind);
    if all(Kind::Cold) {
        return (run.len() == images).then_some(Kind::Cold);
    }
    Some(if all(Kind::Cached) { Kind::Cached } else { Kind::Warm })
}

/// The records of images, each with the image's number, by the run that wrote them; the newest run first.
fn runs(images: &[ImageOutcome]) -> Vec<Vec<(usize, &BuildRecord)>> {
    let of_image = |(number, image): (usize, _)| -> Vec<(usize, &BuildRecord)> {
        let image: &ImageOutcome = image;
        image.history.iter().map(|record| (number, record)).collect()
    };
    let mut records: Vec<_> = images.iter().enumerate().flat_map(of_image).collect();
    records.sort_by_key(|(_, record)| Reverse(record.at));
    let mut runs: Vec<Vec<(usize, &BuildRecord)>> = Vec::new();
    for (number, record) in records {
        let same_run = |run: &&mut Vec<(usize, &BuildRecord)>| {
            record.run.is_some() && run.iter().all(|(other, before)| *other != number && before.run == record.run)
        };
        match runs.iter_mut().find(same_run) {
            Some(run) => run.push((number, record)),
            None => runs.push(vec![(number, record)]),
        }
    }
    runs
}

/// Whether a build is slower than it may be. Pure; a build that failed is not asked about.
///
/// One earlier build is enough: cold ones are so few that a gate with a minimum would never hold for them, and how many there
/// were is said. That two builds differ by chance is what the limit in time is for.
pub fn gate(limit: SlowerThan, duration: Duration, baseline: Option<&Baseline>) -> Gate {
    let Some(Baseline { median, .. }) = baseline else { return Gate::NoBaseline };
    let by = duration.saturating_sub(*median);
    // In nanoseconds: no rounding decides.
    let over_percent = by.as_nanos() * 100 > median.as_nanos() * u128::from(limit.percent);
    if !over_percent || by <= limit.by {
        return Gate::Met;
    }
    let percent = (by.as_nanos() * 100).checked_div(median.as_nanos()).unwrap_or(u128::MAX);
    Gate::Missed { percent: u64::try_from(percent).unwrap_or(u64::MAX), by }
}

fn baseline(times: impl Iterator<Item = Duration>, kind: Kind, source: BaselineSource) -> Option<Baseline> {
    let times: Vec<Duration> = times.take(BUILDS).collect();
    let builds = u32::try_from(times.len()).unwrap_or(u32::MAX);
    Some(Baseline { median: median(times)?, builds, kind, source })
}

/// The one in the middle, or the mean of both.
fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    let upper = times.get(times.len() / 2)?;
    let lower = times.get(times.len().checked_sub(1)? / 2)?;
    Some((*lower + *upper) / 2)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::{DateTime, TimeDelta};
    use proptest::prelude::*;

    use super::{Baseline, BaselineSource, Gate, Kind, SlowerThan, gate, is_enough, median, of_branch, of_ledgers};
    use crate::cache::ledger::{BuildKind, BuildRecord};
    use crate::outcome::build::BuildOutcome;
    use crate::outcome::record::Record;
    use crate::report::fixtures::{self, at};

    fn record(seconds: f64, change: impl FnOnce(&mut Record)) -> Record {
        let mut record = Record { seconds, branch: Some("main".into()), ..Record::of(&fixtures::warm(), "linux") };
        change(&mut record);
        record
    }

    #[test]
    fn only_builds_of_the_same_sort_count() {
        let now = record(1.0, |_| {});
        let past = [
            record(100.0, |record| record.kind = BuildKind::Cold),
            record(100.5, |record| record.variant = Some("target worker".into())),
            // Nothing was built.
            record(0.3, |record| record.cached = record.total),
            record(101.0, |record| record.runner = "windows".into()),
            record(102.0, |record| drop(record.images.pop())),
            record(103.0, |record| record.built = false),
            record(104.0, |record| record.branch = Some("other".into())),
            record(105.0, |record| record.branch = None),
            record(106.0, |record| record.engine.builder = "classic".into()),
            record(-1.0, |_| {}),
            record(f64::NAN, |_| {}),
            record(12.0, |record| record.images.reverse()),
            record(10.0, |_| {}),
        ];
        let of = |branches: &[&str]| {
            let branches: Vec<String> = branches.iter().map(|branch| (*branch).to_owned()).collect();
            of_branch(&now, &past, &branches)
        };
        let found = |seconds, builds, branch: &str| {
            let source = BaselineSource::Branch(branch.into());
            Some(Baseline { median: at(seconds), builds, kind: Kind::Warm, source })
        };
        assert_eq!(of(&["main"]), found(11.0, 2, "main"));
        assert_eq!(of(&["feature", "main"]), found(11.0, 2, "main"));
        assert_eq!(of(&["other", "main"]), found(104.0, 1, "other"));
        assert_eq!(of(&["feature"]), None);
        let unchanged = record(0.2, |record| record.cached = record.total);
        let baseline = of_branch(&unchanged, &past, &["main".to_owned()]).unwrap();
        assert_eq!((baseline.median, baseline.kind), (at(0.3), Kind::Cached));
    }

    #[test]
    fn the_newest_five_count() {
        let past: Vec<Record> = [9.0, 1.0, 3.0, 2.0, 4.0, 100.0, 200.0].map(|seconds| record(seconds, |_| {})).into();
        let baseline = of_branch(&record(1.0, |_| {}), &past, &["main".to_owned()]).unwrap();
        assert_eq!((baseline.median, baseline.builds), (at(3.0), 5));
    }

    fn built(minute: i64, commit: &str, seconds: f64, kind: BuildKind) -> BuildRecord {
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::minutes(minute);
        BuildRecord {
            at,
            commit: Some(commit.into()),
            seconds,
            run_seconds: Some(100.0 + minute as f64),
            cached: 0,
            total: 6,
            kind,
            image_bytes: None,
            cache_times: None,
            run: Some(minute.to_string()),
        }
    }

    #[test]
    fn ledgers_tell_of_runs() {
        use BuildKind::{Cold, Warm};
        let mut outcome = fixtures::warm();
        // The newest last. At minute 30 one image may have come from the cache as a whole, at minute 40 nothing did; at
        // minute 41 the same commit was built once more.
        let history = |seconds: [f64; 5]| {
            vec![
                built(0, "a", seconds[0], Warm),
                built(10, "b", seconds[1], Cold),
                built(20, "c", seconds[2], Warm),
                built(40, "d", seconds[3], Cold),
                built(41, "d", seconds[4], Warm),
            ]
        };
        outcome.images[0].history = history([1.0, 5.0, 2.0, 90.0, 7.0]);
        outcome.images[0].history.insert(3, built(30, "x", 70.0, Cold));
        outcome.images[1].history = history([4.0, 1.0, 3.0, 80.0, 8.0]);
        outcome.images[1].history[1].kind = Warm;
        // Of the runs and not of their images; what this run takes besides its images changes nothing.
        let baseline = of_ledgers(&outcome).unwrap();
        assert_eq!(baseline.median, at(115.0));
        assert_eq!(of_ledgers(&BuildOutcome { duration: at(900.0), ..outcome.clone() }), Some(baseline.clone()));
        assert_eq!((baseline.builds, baseline.kind, baseline.source), (4, Kind::Warm, BaselineSource::Ledger));

        let mut cold = fixtures::cold();
        for (image, like) in cold.images.iter_mut().zip(&outcome.images) {
            image.history.clone_from(&like.history);
        }
        let baseline = of_ledgers(&cold).unwrap();
        assert_eq!((baseline.median, baseline.builds, baseline.kind), (at(140.0), 1, Kind::Cold));
        // Ledgers of before it was kept do not tell how long a run took.
        cold.images.iter_mut().flat_map(|image| &mut image.history).for_each(|build| build.run_seconds = None);
        assert_eq!(of_ledgers(&cold), None);

        let mut unchanged = fixtures::one_image();
        unchanged.images[0].history = vec![built(0, "a", 9.0, Warm), built(1, "b", 8.0, Cold)];
        assert_eq!(of_ledgers(&unchanged), None, "of builds that built something");
        unchanged.images[0].history.push(BuildRecord { cached: 6, ..built(2, "c", 0.5, Warm) });
        assert_eq!(of_ledgers(&unchanged).map(|baseline| (baseline.builds, baseline.kind)), Some((1, Kind::Cached)));

        let mut unknown = fixtures::warm();
        unknown.images.iter_mut().for_each(|image| image.history.clear());
        assert_eq!(of_ledgers(&unknown), None);
        assert_eq!(of_ledgers(&BuildOutcome { images: vec![], ..fixtures::warm() }), None);
    }

    #[test]
    fn five_of_one_kind_are_enough() {
        let of = |count: usize, branch: &str| {
            let past: Vec<Record> =
                (0..count).map(|_| record(1.0, |record| record.branch = Some(branch.into()))).collect();
            is_enough(&past, &["main".to_owned()])
        };
        assert_eq!([of(0, "main"), of(4, "main"), of(5, "main"), of(9, "other")], [false, false, true, false]);
        let mixed: Vec<Record> = (0..8)
            .map(|number| record(1.0, |record| record.cached = if number % 2 == 0 { record.total } else { 1 }))
            .collect();
        assert!(!is_enough(&mixed, &["main".to_owned()]));
    }

    #[test]
    fn a_gate_needs_both_limits_passed() {
        let limit = SlowerThan { percent: 25, by: Duration::from_secs(30) };
        let baseline =
            |seconds| Baseline { median: at(seconds), builds: 5, kind: Kind::Warm, source: BaselineSource::Ledger };
        for (now, before, missed) in [
            (10.0, 100.0, None),
            (100.0, 100.0, None),
            (125.0, 100.0, None),
            (129.0, 100.0, None),
            (130.0, 100.0, None),
            (131.0, 100.0, Some((31, 31.0))),
            (20.0, 10.0, None),
            (41.0, 10.0, Some((310, 31.0))),
            (1031.0, 1000.0, None),
            (1250.0, 1000.0, None),
            (1251.0, 1000.0, Some((25, 251.0))),
            (31.0, 0.0, Some((u64::MAX, 31.0))),
        ] {
            let expected = missed.map_or(Gate::Met, |(percent, by)| Gate::Missed { percent, by: at(by) });
            assert_eq!(gate(limit, at(now), Some(&baseline(before))), expected, "{now} {before}");
        }
        assert_eq!(gate(limit, at(1.0), None), Gate::NoBaseline);
    }

    proptest! {
        #[test]
        fn half_are_not_above_the_median_and_half_not_below(seconds in prop::collection::vec(0_u64..1000, 1..9)) {
            let times: Vec<Duration> = seconds.into_iter().map(Duration::from_secs).collect();
            let middle = median(times.clone()).unwrap();
            prop_assert!(times.iter().filter(|time| **time <= middle).count() >= times.len() / 2);
            prop_assert!(times.iter().filter(|time| **time >= middle).count() >= times.len() / 2);
            prop_assert!(times.iter().min() <= Some(&middle) && times.iter().max() >= Some(&middle));
        }
    }
}

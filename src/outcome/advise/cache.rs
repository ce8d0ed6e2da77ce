//! The cache takes longer than the steps that it spares.

use std::time::Duration;

use super::Subject;
use crate::cache::ledger::{BuildRecord, CacheTimes, StepFact};
use crate::outcome::advice::{Advice, AdviceKind};
use crate::outcome::build::{
    ImageOutcome, Interval, OperationKind, OperationOutcome, StepOutcome, StepStatus, time_of,
};
use crate::outcome::reason::MissReason;

/// Builds that have to be known before anything is said.
const FEWEST: usize = 3;
/// Builds that are looked at: the last ones.
const LAST: usize = 10;
/// A cached step that is reported for less has been looked up; what takes longer is its layer, fetched and unpacked.
const LOOK_UP: Duration = Duration::from_millis(10);

/// The name of the operation in which an image is kept as a cache (`execute/build/keep`).
pub const KEEPING: &str = "keep the image as a cache for the next build";

/// Advice where the cache has cost twice the time that it spared, or more, over the last builds.
///
/// Twice, because it is not only the last builds that it is for: those that find everything as it was leave no record. Only
/// where less can be kept, and where the run waited for the image.
pub(super) fn advice(subject: &Subject<'_>) -> Option<Advice> {
    if subject.kept.is_empty() || !is_waited_for(subject.image) {
        return None;
    }
    let now = times(subject.image, steps_before(subject));
    let before = subject.image.history.iter().rev().map(|build: &BuildRecord| build.cache_times);
    let known: Vec<CacheTimes> = std::iter::once(now).chain(before).take(LAST).flatten().collect();
    if known.len() < FEWEST {
        return None;
    }
    let sum = |of: fn(&CacheTimes) -> f64| Duration::try_from_secs_f64(known.iter().map(of).sum()).ok();
    let (costs, spares) = (sum(|times| times.costs)?, sum(|times| times.spares)?);
    let builds = u32::try_from(known.len()).ok()?;
    (costs >= spares * 2).then(|| Advice {
        image: subject.image.name.clone(),
        location: None,
        saves: costs.saturating_sub(spares) / builds,
        kind: AdviceKind::CacheCostsMore { costs, spares, builds, without: subject.kept.to_vec() },
    })
}

fn is_waited_for(image: &ImageOutcome) -> bool {
    image.steps.iter().any(|step| step.critical) || image.other.iter().any(|operation| operation.critical)
}

fn steps_before<'a>(subject: &Subject<'a>) -> &'a [StepFact] {
    subject.known.previous.map(|ledger| ledger.steps.as_slice()).unwrap_or_default()
}

/// What the cache cost a build and what it spared it; `None` where nobody knows how long a cached step takes to run.
///
/// `before` are the steps of the build before. Costs are time in which records were imported, layers of cached steps were
/// unpacked, a cache was exported or the image was kept, what was done at the same time counted once. A step spares all its
/// time, also where it would have run beside others. A build that had no cache to begin with says nothing of it.
pub fn times(image: &ImageOutcome, before: &[StepFact]) -> Option<CacheTimes> {
    let had_none = |step: &StepOutcome| {
        matches!(step.reason, Some(MissReason::FirstBuild | MissReason::Cleared | MissReason::Asked))
    };
    if image.steps.iter().any(had_none) {
        return None;
    }
    let spared = image.steps.iter().filter(|step| step.cached).map(|step| ran_seconds(step, before));
    let spares = spared.sum::<Option<f64>>()?;
    let is_cost = |operation: &&OperationOutcome| match operation.kind {
        OperationKind::CacheImport => true,
        OperationKind::Export => operation.name.contains(" cache"),
        OperationKind::Other => operation.name == KEEPING,
        OperationKind::Internal | OperationKind::Base => false,
    };
    let operations = image.other.iter().filter(is_cost).flat_map(|operation| &operation.intervals);
    let restored = image.steps.iter().filter(|step| step.cached).flat_map(|step| &step.intervals);
    let costs: Vec<Interval> =
        operations.chain(restored.filter(|interval| interval.length() >= LOOK_UP)).copied().collect();
    Some(CacheTimes { costs: time_of(&costs).as_secs_f64(), spares })
}

/// How long a step took when it last ran: in this build, or as the build before knows it.
pub fn ran_seconds(step: &StepOutcome, before: &[StepFact]) -> Option<f64> {
    let ran = !step.cached && step.status == StepStatus::Done && !step.intervals.is_empty();
    let is_same = |fact: &&StepFact| fact.stage == step.stage && fact.instruction == step.instruction;
    // The same instruction may stand twice in a stage.
    let nearest = || before.iter().filter(is_same).min_by_key(|fact| fact.position.abs_diff(step.position));
    if ran { Some(step.duration().as_secs_f64()) } else { nearest()?.ran_seconds }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{KEEPING, times};
    use crate::cache::ledger::{CacheTimes, StepFact};
    use crate::outcome::advice::{AdviceKind, KeptCache};
    use crate::outcome::advise::tests::Scene;
    use crate::outcome::build::{CacheSource, ImageOutcome, Interval, OperationKind, OperationOutcome};
    use crate::outcome::reason::MissReason;

    const DOCKERFILE: &str = "FROM a\nRUN one\nRUN two\n";

    fn interval(start: u64, end: u64) -> Interval {
        Interval { start: Duration::from_millis(start), end: Duration::from_millis(end) }
    }

    fn operation(kind: OperationKind, name: &str, start: u64, end: u64) -> OperationOutcome {
        let intervals = vec![interval(start, end)];
        OperationOutcome { name: name.to_owned(), kind, intervals, error: None, critical: false }
    }

    fn fact(position: u32, instruction: &str, ran_seconds: Option<f64>) -> StepFact {
        let (stage, instruction) = (None, instruction.to_owned());
        StepFact { stage, position, instruction, cached: true, source: CacheSource::Image, seconds: 0.0, ran_seconds }
    }

    /// The first step came from the cache and was unpacked.
    fn warm() -> ImageOutcome {
        let steps = [("RUN one", 0.0, MissReason::Unknown), ("RUN two", 4.0, MissReason::Unknown)];
        let mut image = Scene::new(DOCKERFILE, &steps).image;
        image.steps[0].cached = true;
        image.steps[0].intervals = vec![interval(100, 104), interval(200, 2200), interval(200, 1200)];
        image.other = vec![
            operation(OperationKind::CacheImport, "importing cache manifest from x", 0, 500),
            operation(OperationKind::Export, "exporting cache to registry", 7000, 8000),
            operation(OperationKind::Other, KEEPING, 7500, 9000),
            operation(OperationKind::Export, "exporting to image", 6000, 7000),
            operation(OperationKind::Internal, "[internal] load build context", 0, 700),
        ];
        image
    }

    #[test]
    fn time_is_counted_once() {
        // 0–0.5 the import, 0.2–2.2 a layer, 7–9 the export and the keeping.
        let found = times(&warm(), &[fact(5, "RUN one", Some(30.0)), fact(2, "RUN one", Some(12.5))]);
        assert_eq!(found, Some(CacheTimes { costs: 4.2, spares: 12.5 }));
        for before in [&[][..], &[fact(2, "RUN one", None)], &[fact(2, "RUN other", Some(1.0))]] {
            assert_eq!(times(&warm(), before), None, "nobody knows what was spared");
        }
        let mut first = warm();
        first.steps[1].reason = Some(MissReason::FirstBuild);
        assert_eq!(times(&first, &[fact(2, "RUN one", Some(12.5))]), None);
    }

    #[test]
    fn three_builds_at_least_and_twice_the_time() {
        let cheap = CacheTimes { costs: 9.0, spares: 2.0 };
        for (own, history, expected) in [
            (1.0, &[Some(cheap), Some(cheap)][..], Some((22_200, 5_000, 3))),
            (1.0, &[Some(cheap), None, Some(cheap)], Some((22_200, 5_000, 3))),
            (1.0, &[Some(cheap)], None),
            (1.0, &[Some(cheap), Some(CacheTimes { costs: 1.0, spares: 5.0 })], None),
            (30.0, &[Some(cheap), Some(cheap)], None),
        ] {
            let mut scene = Scene::new(DOCKERFILE, &[]).with_facts(vec![fact(2, "RUN one", Some(own))]);
            scene.image = warm();
            let kept = [KeptCache::Stages];
            scene = scene.with_history(history).with_kept(&kept);
            let advice = scene.advice();
            let found = advice.first().map(|advice| match &advice.kind {
                AdviceKind::CacheCostsMore { costs, spares, builds, without } if *without == kept => {
                    (costs.as_millis(), spares.as_millis(), *builds)
                }
                _ => panic!("{advice:?}"),
            });
            assert_eq!(found, expected, "{history:?}");
        }
    }

    #[test]
    fn only_what_would_change_something_is_said() {
        let costly = Some(CacheTimes { costs: 30.0, spares: 2.0 });
        let mut scene = Scene::new(DOCKERFILE, &[]);
        scene.image = warm();
        let mut scene = scene.with_history(&[costly, costly, costly]).with_kept(&[KeptCache::Registry]);
        assert_eq!(scene.advice().len(), 1);
        let nothing_to_leave_out = scene.with_kept(&[]);
        assert_eq!(nothing_to_leave_out.advice(), []);
        scene = nothing_to_leave_out.with_kept(&[KeptCache::Registry]);
        scene.image.steps.iter_mut().for_each(|step| step.critical = false);
        assert_eq!(scene.advice(), [], "the run waited for another image");
    }
}

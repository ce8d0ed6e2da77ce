//! The critical path of a run of several images.
//!
//! Images are built at the same time, each with a path of its own ([`critical`](super::critical)). The run is over when the
//! last of them is: only its path counts, and before that the path of the image that it began after. A step that one of these
//! images shares with another, and that the other one ran, was waited for there. What is kept as a cache afterwards is waited
//! for as well.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::outcome::advise::KEEPING;
use crate::outcome::build::{ImageOutcome, Interval, StepOutcome, StepStatus};

/// What the images of a run have to do with each other.
#[derive(Debug, Clone, Default)]
pub struct Relations {
    /// For each image those that it waited for before it began.
    pub after: Vec<Vec<usize>>,
    /// Images of the same number have the same steps where these have the same names.
    pub group: Vec<usize>,
}

/// Leaves the mark on what is critical for the run, of all that is critical for its image.
pub fn of_run(images: &mut [&mut ImageOutcome], relations: &Relations) {
    let chain = chain(images, relations);
    let elsewhere: BTreeSet<(usize, usize)> =
        chain.iter().flat_map(|index| waited_for_elsewhere(*index, images, relations)).collect();
    let keeping = keeping(images);
    for (index, image) in images.iter_mut().enumerate() {
        let is_on_it = chain.contains(&index);
        for (number, step) in image.steps.iter_mut().enumerate() {
            step.critical = (step.critical && is_on_it) || elsewhere.contains(&(index, number));
        }
        for (number, operation) in image.other.iter_mut().enumerate() {
            operation.critical = (operation.critical && is_on_it) || keeping.contains(&(index, number));
        }
    }
}

/// The image that ends last, the last one of those that it began after, and so on.
fn chain(images: &[&mut ImageOutcome], relations: &Relations) -> BTreeSet<usize> {
    let end = |index: &usize| images.get(*index).map(|image| image.offset.saturating_add(image.duration));
    let mut chain = BTreeSet::new();
    let mut next = (0..images.len()).max_by_key(end);
    while let Some(index) = next.filter(|index| chain.insert(*index)) {
        next = relations.after.get(index).and_then(|after| after.iter().copied().max_by_key(end));
    }
    chain
}

/// Steps of other images that an image on the chain waited for, because it has them too and did not run them itself.
fn waited_for_elsewhere(index: usize, images: &[&mut ImageOutcome], relations: &Relations) -> Vec<(usize, usize)> {
    let Some(image) = images.get(index) else { return Vec::new() };
    let not_run_here =
        |step: &&StepOutcome| !step.cached && step.status == StepStatus::Done && step.duration().is_zero();
    let names: BTreeSet<&str> = image.steps.iter().filter(not_run_here).map(|step| step.name.as_str()).collect();
    let group = |index: usize| relations.group.get(index);
    let others = images.iter().enumerate().filter(|(other, _)| *other != index && group(*other) == group(index));
    let ran: Vec<(usize, usize, &StepOutcome)> = others
        .flat_map(|(other, image)| image.steps.iter().enumerate().map(move |(number, step)| (other, number, step)))
        .filter(|(.., step)| names.contains(step.name.as_str()) && !step.duration().is_zero())
        .collect();
    let Some((last, until)) =
        ran.iter().map(|(other, number, step)| ((*other, *number), end_of(step))).max_by_key(|(_, end)| *end)
    else {
        return Vec::new();
    };
    // While something of its own was at work on its path, it waited for that.
    if own_path(image).any(|interval| interval.start < until && interval.end >= until) {
        return Vec::new();
    }
    // The image that ran them knows which of them it waited for itself.
    let on_the_way = ran.iter().filter(|(.., step)| step.critical && end_of(step) <= until);
    on_the_way.map(|(other, number, _)| (*other, *number)).chain([last]).collect()
}

fn own_path(image: &ImageOutcome) -> impl Iterator<Item = &Interval> {
    let steps = image.steps.iter().filter(|step| step.critical).flat_map(|step| &step.intervals);
    steps.chain(image.other.iter().filter(|operation| operation.critical).flat_map(|operation| &operation.intervals))
}

fn end_of(step: &StepOutcome) -> Duration {
    step.intervals.iter().map(|interval| interval.end).max().unwrap_or_default()
}

/// Of what was kept as a cache after all builds: what ended last, what it waited for, and so on. Some is kept one after the
/// other.
fn keeping(images: &[&mut ImageOutcome]) -> BTreeSet<(usize, usize)> {
    let mut all = Vec::new();
    for (index, image) in images.iter().enumerate() {
        let kept = image.other.iter().enumerate().filter(|(_, operation)| operation.name == KEEPING);
        all.extend(
            kept.flat_map(|(number, operation)| operation.intervals.iter().map(move |at| ((index, number), *at))),
        );
    }
    let mut path = BTreeSet::new();
    let mut next = all.iter().max_by_key(|(_, interval)| interval.end);
    while let Some((place, interval)) = next.filter(|(place, _)| path.insert(*place)) {
        let before = all.iter().filter(|(other, at)| other != place && at.end <= interval.start);
        next = before.max_by_key(|(_, at)| at.end);
    }
    path
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{KEEPING, Relations, of_run};
    use crate::outcome::build::{
        CacheSource, ImageOutcome, ImageResult, Interval, OperationKind, OperationOutcome, StepOutcome, StepStatus,
    };

    fn interval(span: &str) -> Interval {
        let (start, end) = span.split_once('-').unwrap();
        let at = |text: &str| Duration::from_secs(text.parse().unwrap());
        Interval { start: at(start), end: at(end) }
    }

    /// `a 0-9`: a step, on its image's path with `!` in front; without a span another image has run it. `>` is an operation.
    fn image(name: &str, from: u64, seconds: u64, lines: &[&str]) -> ImageOutcome {
        let result = ImageResult::Built { image_id: String::new(), digest: None };
        let mut image = ImageOutcome::ended(name.to_owned(), Vec::new(), result);
        (image.offset, image.duration) = (Duration::from_secs(from), Duration::from_secs(seconds));
        for line in lines {
            let critical = line.starts_with('!');
            let line = line.trim_start_matches('!');
            let (name, span) = line.split_once(' ').unwrap_or((line, ""));
            let intervals: Vec<Interval> = (!span.is_empty()).then(|| interval(span)).into_iter().collect();
            match name.strip_prefix('>') {
                Some(name) => {
                    let name = if name == "keep" { KEEPING } else { name }.to_owned();
                    image.other.push(OperationOutcome {
                        name,
                        kind: OperationKind::Other,
                        intervals,
                        error: None,
                        critical,
                    });
                }
                None => image.steps.push(StepOutcome {
                    name: name.to_owned(),
                    stage: None,
                    position: 2,
                    of: 9,
                    instruction: name.to_owned(),
                    cached: false,
                    source: CacheSource::None,
                    status: StepStatus::Done,
                    intervals,
                    reason: None,
                    critical,
                }),
            }
        }
        image
    }

    /// What has a mark, as `image.step`.
    #[track_caller]
    fn check(mut images: Vec<ImageOutcome>, after: &[&[usize]], group: &[usize], expected: &str) {
        let relations = Relations { after: after.iter().map(|after| after.to_vec()).collect(), group: group.to_vec() };
        of_run(&mut images.iter_mut().collect::<Vec<_>>(), &relations);
        let mut marked = Vec::new();
        for image in &images {
            let steps = image.steps.iter().filter(|step| step.critical).map(|step| &step.name);
            let operations = image.other.iter().filter(|operation| operation.critical).map(|operation| &operation.name);
            marked.extend(steps.chain(operations).map(|name| format!("{}.{name}", image.name)));
        }
        assert_eq!(marked.join(" ").replace(KEEPING, "keep"), expected);
    }

    #[test]
    fn of_images_that_are_built_at_once_the_one_that_ends_last() {
        let fast = image("fast", 0, 11, &["!a 0-10", "!>export 10-11"]);
        let slow = image("slow", 0, 75, &["!a 0-60", "b 0-9", "!>export 60-75"]);
        check(vec![fast.clone(), slow.clone()], &[&[], &[]], &[0, 1], "slow.a slow.export");
        check(vec![slow, fast], &[], &[], "slow.a slow.export");
        check(vec![], &[], &[], "");
    }

    #[test]
    fn and_the_images_that_it_began_after() {
        let images = vec![
            image("base", 0, 10, &["!a 0-10"]),
            image("other", 0, 4, &["!b 0-4"]),
            image("beside", 0, 20, &["!c 0-20"]),
            image("last", 10, 12, &["!d 10-22"]),
        ];
        check(images, &[&[], &[], &[], &[0, 1]], &[0, 1, 2, 3], "base.a last.d");
        // Nobody waits for each other in a circle; if somebody did, the path would end.
        let circle = vec![image("a", 0, 1, &["!a 0-1"]), image("b", 1, 1, &["!b 1-2"])];
        check(circle, &[&[1], &[0]], &[0, 1], "a.a b.b");
    }

    #[test]
    fn a_step_that_another_image_ran_is_waited_for_there() {
        let api = || image("api", 0, 63, &["!install 0-60", "own 0-61", "!api 60-62"]);
        let worker = |own: &'static str| image("worker", 0, 70, &["install", own]);
        check(vec![api(), worker("!worker 60-70")], &[], &[0, 0], "api.install worker.worker");
        // A step of that name in another Dockerfile is another step.
        check(vec![api(), worker("!worker 60-70")], &[], &[0, 1], "worker.worker");
        // What it did itself took longer.
        check(vec![api(), worker("!fetch 1-70")], &[], &[0, 0], "worker.fetch");
        // On the way to the end of the image that ran it, it was not waited for.
        let beside = image("api", 0, 63, &["install 0-60", "!own 0-61", "!api 61-63"]);
        check(vec![beside, worker("!worker 60-70")], &[], &[0, 0], "api.install worker.worker");
    }

    #[test]
    fn what_is_kept_afterwards_is_waited_for() {
        let images = vec![
            image("a", 0, 9, &["!a 0-9", ">keep 10-12"]),
            image("b", 0, 10, &["!b 0-10", ">keep 12-15"]),
            image("c", 0, 5, &[">keep 10-11"]),
        ];
        check(images, &[], &[0, 1, 2], "a.keep b.b b.keep");
    }
}

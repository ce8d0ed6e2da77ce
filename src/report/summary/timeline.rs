//! The steps over time, as a mermaid Gantt chart in a fold.
//!
//! The syntax is mermaid's (<https://mermaid.js.org/syntax/gantt.html>). GitHub draws at most 50,000 characters of it, and
//! a page has room for some sixty bars; the tables carry the same facts.

use std::cmp::Reverse;
use std::time::Duration;

use crate::outcome::build::{BuildOutcome, ImageOutcome, Interval, StepStatus};
use crate::report::summary::document::Document;
use crate::report::summary::escape;
use crate::report::summary::time::BRIEF;
use crate::report::units;
use crate::report::words;

/// So many bars are drawn: the longest.
const BARS: usize = 60;
/// A bar shorter than this part of the whole cannot be seen.
const VISIBLE: u32 = 200;
/// Longest label, in characters: what fits beside a bar.
const LABEL: usize = 48;
/// The longest time that the chart's clock has: a day, less a millisecond.
const DAY: Duration = Duration::from_millis(24 * 3600 * 1000 - 1);

/// Part of a step or of an operation, as it is drawn.
#[derive(Clone, Copy)]
struct Bar<'a> {
    image: &'a ImageOutcome,
    name: &'a str,
    failed: bool,
    critical: bool,
    /// How mermaid draws what is not red: `done` or `active`, or as an ordinary task.
    look: Option<&'static str>,
    interval: Interval,
}

impl Bar<'_> {
    /// Mermaid's tags, each with its comma.
    fn tags(&self) -> String {
        let red = (self.failed || self.critical).then_some("crit");
        [red, self.look].into_iter().flatten().map(|tag| format!("{tag}, ")).collect()
    }
}

/// Appends the chart. A build without a visible bar has none, nor has one that is over at once.
pub(super) fn timeline(document: &mut Document, outcome: &BuildOutcome) {
    let visible = outcome.duration / VISIBLE;
    let all: Vec<Bar> = outcome.images.iter().flat_map(|image| bars(image, visible)).collect();
    let mut longest: Vec<usize> = (0..all.len()).collect();
    let length = |index: &usize| all.get(*index).map(|bar| bar.interval.length()).unwrap_or_default();
    longest.retain(|index| length(index) > visible);
    longest.sort_by_key(|index| Reverse(length(index)));
    longest.truncate(BARS);
    longest.sort_unstable();
    let left_out = all.len() - longest.len();
    let shown: Vec<&Bar> = longest.iter().filter_map(|index| all.get(*index)).collect();
    if shown.is_empty() || outcome.duration < BRIEF {
        return;
    }
    document.details("Timeline", |document| {
        document.fenced(&chart(&shown, outcome));
        document.block(&legend(&shown, left_out));
    });
}

fn chart(bars: &[&Bar], outcome: &BuildOutcome) -> Vec<String> {
    let axis = match outcome.duration.as_secs() {
        0..10 => "%S.%L",
        10..3600 => "%M:%S",
        _ => "%H:%M:%S",
    };
    let mut lines = ["```mermaid", "gantt", "dateFormat HH:mm:ss.SSS"].map(str::to_owned).to_vec();
    lines.extend([format!("axisFormat {axis}"), "todayMarker off".to_owned()]);
    let mut section = None;
    for bar in bars {
        if section != Some(&bar.image.name) {
            section = Some(&bar.image.name);
            lines.push(format!("section {}", escape::chart(&bar.image.name, LABEL)));
        }
        let (start, end) = (clock(bar.interval.start), clock(bar.interval.end));
        lines.push(format!("{} :{}{start}, {end}", escape::chart(&words::step::short(bar.name), LABEL), bar.tags()));
    }
    lines.push("```".to_owned());
    lines
}

fn legend(shown: &[&Bar], left_out: usize) -> String {
    let has = |look: &str| shown.iter().any(|bar| bar.look == Some(look));
    let mut parts = vec!["Time from the start of the build.".to_owned()];
    let (failed, critical) = (shown.iter().any(|bar| bar.failed), shown.iter().any(|bar| bar.critical));
    parts.extend(match (failed, critical) {
        (true, true) => Some("Red: failed, or on the critical path.".to_owned()),
        (true, false) => Some("Red: failed.".to_owned()),
        (false, true) => Some("Red: on the critical path.".to_owned()),
        (false, false) => None,
    });
    parts.extend(has("done").then(|| "Grey: from a cache.".to_owned()));
    parts.extend(has("active").then(|| "Pale: preparation, base images, export.".to_owned()));
    parts.extend((left_out > 0).then(|| format!("{} left out.", units::count(left_out, "shorter bar"))));
    parts.join(" ")
}

fn bars<'a>(image: &'a ImageOutcome, gap: Duration) -> Vec<Bar<'a>> {
    let bar = |name: &'a str, critical: bool, look| Bar {
        image,
        name,
        failed: false,
        critical,
        look,
        interval: Interval { start: Duration::ZERO, end: Duration::ZERO },
    };
    let steps = image.steps.iter().map(|step| {
        let whole = bar(&step.name, step.critical, step.cached.then_some("done"));
        (Bar { failed: step.status == StepStatus::Failed, ..whole }, &step.intervals)
    });
    let operations =
        image.other.iter().map(|other| (bar(&other.name, other.critical, Some("active")), &other.intervals));
    let parts = steps.chain(operations).flat_map(|(whole, intervals)| {
        joined(intervals, gap).into_iter().map(move |interval| Bar { interval, ..whole })
    });
    let mut bars: Vec<Bar> = parts.collect();
    bars.sort_by_key(|bar| (bar.interval.start, bar.interval.end));
    bars
}

/// Intervals with what overlaps, or is parted by no more than `gap`, as one. Those without a length are no bars.
fn joined(intervals: &[Interval], gap: Duration) -> Vec<Interval> {
    let mut ordered: Vec<Interval> =
        intervals.iter().filter(|interval| !interval.length().is_zero()).copied().collect();
    ordered.sort_unstable_by_key(|interval| (interval.start, interval.end));
    let mut joined: Vec<Interval> = Vec::with_capacity(ordered.len());
    for interval in ordered {
        match joined.last_mut() {
            Some(last) if interval.start <= last.end + gap => last.end = last.end.max(interval.end),
            Some(_) | None => joined.push(interval),
        }
    }
    joined
}

/// A time of day: the chart knows no other clock.
fn clock(time: Duration) -> String {
    let millis = time.min(DAY).as_millis();
    let (seconds, millis) = (millis / 1000, millis % 1000);
    format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BARS, clock, joined, timeline};
    use crate::outcome::build::{BuildOutcome, Interval};
    use crate::report::fixtures;
    use crate::report::summary::document::Document;

    fn drawn(outcome: &BuildOutcome) -> String {
        let mut document = Document::new(100_000);
        timeline(&mut document, outcome);
        document.finish()
    }

    #[test]
    fn times_are_of_one_day() {
        let of = |millis| clock(Duration::from_millis(millis));
        assert_eq!([0, 12_400, 3_725_001].map(of), ["00:00:00.000", "00:00:12.400", "01:02:05.001"]);
        assert_eq!(of(u64::MAX), "23:59:59.999");
    }

    #[test]
    fn what_overlaps_or_nearly_meets_is_one_bar() {
        let at = |start, end| Interval { start: Duration::from_secs(start), end: Duration::from_secs(end) };
        let intervals = [at(8, 9), at(0, 4), at(1, 2), at(5, 6), at(7, 7)];
        assert_eq!(joined(&intervals, Duration::from_secs(1)), [at(0, 6), at(8, 9)]);
    }

    #[test]
    fn there_are_no_more_bars_than_can_be_seen() {
        let chart = drawn(&fixtures::two_hundred_steps());
        let bars = chart.lines().filter(|line| line.contains(" :")).count();
        assert!(bars > 40 && bars <= BARS, "{bars}");
        assert!(chart.contains("left out."), "{chart}");
        assert_eq!(drawn(&BuildOutcome { images: vec![], ..fixtures::warm() }), "");
        assert!(drawn(&fixtures::huge()).len() < 50_000);
    }
}

//! What the classic builder's stream becomes: events in, outcome out.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Counted, Ended, Reader, Stages};
use crate::buildkit::mask::Masks;
use crate::buildkit::trace::Event;
use crate::engine::ClassicEvent;
use crate::outcome::build::{CacheSource, Interval, OperationKind, OperationOutcome, StepOutcome, StepStatus};

fn step(number: u32, of: u32, instruction: &str) -> ClassicEvent {
    ClassicEvent::Step { number, of, instruction: instruction.to_owned() }
}

fn layer() -> ClassicEvent {
    ClassicEvent::Layer { id: "0123456789ab".to_owned() }
}

fn log(line: &str) -> ClassicEvent {
    ClassicEvent::Log { line: line.to_owned() }
}

fn image() -> ClassicEvent {
    ClassicEvent::Image { id: "sha256:ba98".to_owned() }
}

fn masks() -> Masks {
    Masks::new(&BTreeMap::from([("KEY".to_owned(), "k3y-value".to_owned())]), [])
}

/// What came of a build.
struct Seen {
    events: Vec<Event>,
    ended: Ended,
    failed: Option<(String, String, u32)>,
    tail: Vec<String>,
    steps: Vec<StepOutcome>,
    other: Vec<OperationOutcome>,
}

/// One event a second, the upload first.
fn read(events: Vec<ClassicEvent>, cut_short: Option<Ended>) -> Seen {
    let masks = masks();
    let mut reader = Reader::new(&masks);
    let mut told = vec![reader.begin_upload(Duration::ZERO)];
    let mut at = Duration::ZERO;
    for event in events {
        at += Duration::from_secs(1);
        told.extend(reader.read(event, 7, at));
    }
    let ended = cut_short.unwrap_or_else(|| reader.ended());
    told.extend(reader.end(&ended, None, at + Duration::from_secs(1)));
    let failed = reader.failed_step().map(|step| (step.name.clone(), step.stage.clone(), step.position));
    let tail = reader.tail();
    let (steps, other) = reader.into_outcome();
    Seen { events: told, ended, failed, tail, steps, other }
}

fn seconds(start: u64, end: u64) -> Vec<Interval> {
    vec![Interval { start: Duration::from_secs(start), end: Duration::from_secs(end) }]
}

#[test]
fn steps_are_what_buildkit_counts_and_the_rest_is_kept_apart() {
    let seen = read(
        vec![
            step(1, 4, "FROM busybox AS build"),
            layer(),
            step(2, 4, "COPY k3y-value /"),
            ClassicEvent::Cached,
            layer(),
            step(3, 4, "ENV A=1"),
            layer(),
            step(4, 4, "run make"),
            log("with k3y-value"),
            layer(),
            image(),
        ],
        None,
    );
    assert!(matches!(seen.ended, Ended::Built { image_id } if image_id == "sha256:ba98"));
    let [copy, run] = seen.steps.as_slice() else { panic!("{:?}", seen.steps) };
    assert_eq!((copy.name.as_str(), copy.stage.as_deref()), ("[build 2/4] COPY $KEY /", Some("build")));
    assert_eq!((copy.cached, copy.source, copy.status), (true, CacheSource::Image, StepStatus::Done));
    assert_eq!((run.position, run.of, run.instruction.as_str()), (4, 4, "run make"));
    assert_eq!((run.cached, run.source, &run.intervals), (false, CacheSource::None, &seconds(8, 10)));
    let other: Vec<_> = seen.other.iter().map(|other| (other.name.as_str(), other.kind, &other.intervals)).collect();
    assert_eq!(
        other,
        [
            ("[internal] load build context", OperationKind::Internal, &seconds(0, 1)),
            ("[build 1/4] FROM busybox AS build", OperationKind::Base, &seconds(1, 2)),
            ("[build 3/4] ENV A=1", OperationKind::Other, &seconds(6, 7)),
        ]
    );
    assert_eq!(
        seen.events[..3],
        [
            Event::Started { number: 1, name: "[internal] load build context".to_owned(), executes: false },
            Event::Progress { number: 1, id: "transferring context".to_owned(), current: 7, total: 0, completed: true },
            Event::Finished {
                number: 1,
                name: "[internal] load build context".to_owned(),
                cached: false,
                duration: Duration::from_secs(1),
                error: None
            },
        ]
    );
    assert!(seen.events.contains(&Event::Log { number: 5, line: "with $KEY".to_owned() }));
    let hits: Vec<bool> = seen.events.iter().filter_map(finished).map(|(cached, _)| cached).collect();
    assert_eq!(hits, [false, false, true, false, false]);
}

fn finished(event: &Event) -> Option<(bool, Option<&str>)> {
    match event {
        Event::Finished { cached, error, .. } => Some((*cached, error.as_deref())),
        _ => None,
    }
}

#[test]
fn a_failing_step_has_its_last_lines_and_its_place() {
    let mut events = vec![step(1, 3, "FROM busybox"), layer(), step(2, 3, "ENV A=1"), layer(), step(3, 3, "RUN x")];
    events.extend((1..=50).map(|number| log(&format!("line {number}"))));
    events.push(ClassicEvent::Failed { message: "k3y-value is wrong".to_owned(), code: Some(42) });
    let seen = read(events, None);
    assert!(matches!(seen.ended, Ended::Failed { code: Some(42), .. }));
    assert_eq!(seen.failed, Some(("[3/3] RUN x".to_owned(), "stage-0".to_owned(), 2)));
    assert_eq!((seen.tail.len(), seen.tail[0].as_str(), seen.tail[19].as_str()), (20, "line 31", "line 50"));
    assert_eq!(seen.steps[0].status, StepStatus::Failed);
    assert_eq!(finished(seen.events.last().unwrap()), Some((false, Some("$KEY is wrong"))));
}

#[test]
fn what_fails_outside_of_a_step_is_no_step() {
    let failed = ClassicEvent::Failed { message: "pull access denied".to_owned(), code: None };
    let seen = read(vec![step(1, 2, "FROM nobody/has-this"), failed], None);
    assert_eq!(seen.failed, None);
    assert!(seen.steps.is_empty());
    assert_eq!(seen.other[1].error.as_deref(), Some("pull access denied"));
}

#[test]
fn what_is_cut_short_is_cancelled_and_what_says_nothing_failed() {
    let events = || vec![step(1, 2, "FROM busybox"), layer(), step(2, 2, "RUN sleep 9")];
    let cancelled = read(events(), Some(Ended::Cancelled));
    assert_eq!(cancelled.steps[0].status, StepStatus::Cancelled);
    let silent = read(events(), None);
    assert!(matches!(silent.ended, Ended::Silent));
    assert_eq!(silent.steps[0].status, StepStatus::Failed);
}

#[test]
fn a_pull_is_told_by_its_layers() {
    let pull = |layer: Option<&str>, status: &str, current, total| ClassicEvent::Pull {
        layer: layer.map(str::to_owned),
        status: status.to_owned(),
        current,
        total,
    };
    let seen = read(
        vec![
            step(1, 1, "FROM busybox"),
            pull(Some("1.36"), "Pulling from library/busybox", 0, 0),
            pull(Some("abc"), "Waiting", 0, 0),
            pull(Some("abc"), "Downloading", 5, 9),
            pull(Some("abc"), "Extracting", 1, 9),
            pull(Some("abc"), "Pull complete", 0, 0),
            pull(None, "Digest: sha256:0", 0, 0),
            layer(),
            image(),
        ],
        None,
    );
    let progress =
        |current, completed| Event::Progress { number: 2, id: "abc".to_owned(), current, total: 9, completed };
    let line = |line: &str| Event::Log { number: 2, line: line.to_owned() };
    assert_eq!(
        seen.events[4..8],
        [line("Pulling from library/busybox"), progress(5, false), progress(9, true), line("Digest: sha256:0")]
    );
}

#[test]
fn positions_are_those_that_buildkit_gives() {
    let mut stages = Stages::default();
    let seen: Vec<_> = [
        "ARG VERSION=1",
        "FROM --platform=linux/amd64 busybox AS build",
        "RUN a",
        "ENV A=1",
        "WORKDIR /",
        "workdir /src",
        "FROM Build",
        "COPY a b",
        "FROM scratch as last",
        "ADD x y",
    ]
    .iter()
    .map(|instruction| (stages.read(instruction), stages.label(), stages.position))
    .collect();
    let of = |counted, stage: &str, position| (counted, stage.to_owned(), position);
    assert_eq!(
        seen[1..],
        [
            of(Counted::Base, "build", 1),
            of(Counted::Step, "build", 2),
            of(Counted::No, "build", 2),
            of(Counted::No, "build", 2),
            of(Counted::Step, "build", 3),
            of(Counted::Base, "stage-1", 0),
            of(Counted::Step, "stage-1", 1),
            of(Counted::Base, "last", 0),
            of(Counted::Step, "last", 1),
        ]
    );
    assert_eq!(seen[0].0, Counted::No);
}

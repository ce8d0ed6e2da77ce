//! A builder's trace as an outcome: steps, operations, the failure.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use regex::Regex;

use super::build::{
    CacheSource, Failure, Interval, OperationKind, OperationOutcome, StepOutcome, StepStatus, UnusedSource,
};
use super::critical::critical;
use crate::buildkit::trace::{Kind, Span, StepName, Trace, Vertex};

/// How many of the failed step's last lines are shown.
pub(crate) const SHOWN_LINES: usize = 20;
pub(super) const CANCELLED: &str = "context canceled";

/// A trace, with what is needed to read it.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// The trace.
    pub trace: &'a Trace,
    /// When the solve began, from the run's start.
    pub offset: Duration,
    /// Where its cached steps came from.
    pub source: CacheSource,
}

impl Reading<'_> {
    /// The Dockerfile steps.
    pub fn steps(&self) -> Vec<StepOutcome> {
        let begin = self.begin();
        let critical = critical(self.trace);
        let step = |(vertex, name): (&Vertex, &StepName)| StepOutcome {
            critical: critical.contains(vertex.digest.as_str()),
            ..self.step(vertex, name, begin)
        };
        self.trace.steps().map(step).collect()
    }

    /// Everything that is not a Dockerfile step.
    pub fn operations(&self) -> Vec<OperationOutcome> {
        let begin = self.begin();
        let critical = critical(self.trace);
        let operation = |vertex: &Vertex| {
            let kind = match vertex.kind {
                Kind::Step(_) => return None,
                Kind::Internal => OperationKind::Internal,
                Kind::Base => OperationKind::Base,
                Kind::CacheImport { .. } => OperationKind::CacheImport,
                Kind::Export => OperationKind::Export,
                Kind::Other => OperationKind::Other,
            };
            let intervals = self.intervals(vertex, begin);
            let (name, error) = (vertex.name.clone(), vertex.error.clone());
            let critical = critical.contains(vertex.digest.as_str());
            Some(OperationOutcome { name, kind, intervals, error, critical })
        };
        self.trace.vertices.iter().filter_map(operation).collect()
    }

    /// Cache sources that could not be read. The build went on without them.
    pub fn unused_sources(&self) -> Vec<UnusedSource> {
        let unused = |vertex: &Vertex| match (&vertex.kind, &vertex.error) {
            (Kind::CacheImport { from }, Some(reason)) if !reason.contains(CANCELLED) => {
                Some(UnusedSource { source: from.clone(), reason: reason.clone() })
            }
            _ => None,
        };
        self.trace.vertices.iter().filter_map(unused).collect()
    }

    /// Why it failed. `message` is the builder's answer to the solve.
    pub fn failure(&self, message: &str) -> Failure {
        let failed = self.trace.failed(message);
        let step = failed.filter(|vertex| matches!(vertex.kind, Kind::Step(_)));
        let mut log_tail = failed.map(|vertex| vertex.tail.clone()).unwrap_or_default();
        let surplus = log_tail.len().saturating_sub(SHOWN_LINES);
        log_tail.drain(..surplus);
        Failure {
            message: message.to_owned(),
            step: step.map(|vertex| vertex.name.clone()),
            exit_code: exit_code(message).or_else(|| step?.error.as_deref().and_then(exit_code)),
            log_tail,
            location: None,
            help: help(message).map(str::to_owned),
        }
    }

    /// Bytes of build context that travelled: what the builder itself counted.
    pub fn context_bytes(&self) -> u64 {
        let contexts = self.trace.vertices.iter().filter(|vertex| vertex.name.contains("load build context"));
        contexts.map(|vertex| vertex.transferred).sum()
    }

    fn step(&self, vertex: &Vertex, name: &StepName, begin: Option<SystemTime>) -> StepOutcome {
        let status = match &vertex.error {
            Some(error) if error.contains(CANCELLED) => StepStatus::Cancelled,
            Some(_) => StepStatus::Failed,
            None if vertex.cached || vertex.intervals.iter().any(|span| span.end.is_some()) => StepStatus::Done,
            None if vertex.intervals.is_empty() => StepStatus::NotRun,
            None => StepStatus::Cancelled,
        };
        StepOutcome {
            name: vertex.name.clone(),
            stage: name.stage.clone(),
            position: name.position,
            of: name.of,
            instruction: name.instruction.clone(),
            cached: vertex.cached,
            source: if vertex.cached { self.source } else { CacheSource::None },
            status,
            intervals: self.intervals(vertex, begin),
            reason: None,
            critical: false,
        }
    }

    /// The builder's clock may differ from ours, so its first report stands for the solve's beginning.
    fn begin(&self) -> Option<SystemTime> {
        self.trace.vertices.iter().flat_map(|vertex| &vertex.intervals).map(|span| span.start).min()
    }

    fn intervals(&self, vertex: &Vertex, begin: Option<SystemTime>) -> Vec<Interval> {
        let Some(begin) = begin else { return Vec::new() };
        let from_start = |time: SystemTime| self.offset + time.duration_since(begin).unwrap_or_default();
        let ended = |span: &Span| span.end.or(self.trace.broke_off).unwrap_or(span.start).max(span.start);
        let interval = |span: &Span| Interval { start: from_start(span.start), end: from_start(ended(span)) };
        vertex.intervals.iter().map(interval).collect()
    }
}

static EXIT_CODE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"exit code: (\d+)").ok());

/// The process's exit status: engines write `executor failed running [..]: exit code: 3` or
/// `process "..." did not complete successfully: exit code: 3`.
pub(crate) fn exit_code(message: &str) -> Option<i32> {
    EXIT_CODE.as_ref()?.captures(message)?.get(1)?.as_str().parse().ok()
}

/// What to do about failures that are not the Dockerfile author's own.
pub(crate) fn help(message: &str) -> Option<&'static str> {
    let has = |text: &str| message.contains(text);
    if has("pull access denied") || has("401 Unauthorized") || has("authorization failed") {
        Some(
            "a private image needs a login: a container action does not see the host's `docker login`, give `registry-auth`",
        )
    } else if has("failed to resolve source metadata") || has("failed to do request") || has("dial tcp") {
        Some(
            "the base image's registry was not reached: check the name; an image that the engine has is used unless `pull` is set",
        )
    } else if has("no space left on device") {
        Some("the engine's disk is full: `mode: clear` frees the builder's cache")
    } else if has("is not allowed") && has("granted") {
        Some("the step needs an entitlement: name it in `allow`")
    } else if has("unknown instruction") || has("dockerfile parse error") || has("Dockerfile parse error") {
        Some("correct the Dockerfile at the line that the message names")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{Reading, exit_code};
    use crate::buildkit::trace::{Span, Trace, Vertex, parse_name};
    use crate::outcome::build::{CacheSource, StepStatus};

    fn vertex(name: &str, cached: bool, span: Option<(u64, Option<u64>)>, error: Option<&str>) -> Vertex {
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1000 + seconds);
        Vertex {
            digest: name.to_owned(),
            inputs: Vec::new(),
            name: name.to_owned(),
            kind: parse_name(name),
            cached,
            intervals: span.map(|(start, end)| Span { start: at(start), end: end.map(at) }).into_iter().collect(),
            error: error.map(str::to_owned),
            tail: (0..30).map(|n| format!("line {n}")).collect(),
            transferred: 7,
        }
    }

    #[test]
    fn steps_have_a_status_a_source_and_times_from_the_runs_start() {
        let trace = Trace {
            vertices: vec![
                vertex("[internal] load build context", false, Some((0, Some(1))), None),
                vertex("[2/6] RUN a", true, None, None),
                vertex("[3/6] RUN b", false, Some((2, Some(5))), None),
                vertex("[4/6] RUN c", false, Some((5, Some(6))), Some("exit code: 3")),
                vertex("[5/6] RUN d", false, Some((5, None)), Some("context canceled: context canceled")),
                vertex("[6/6] RUN e", false, None, None),
                vertex("importing cache manifest from app:old", false, None, Some("not found")),
            ],
            broke_off: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1009)),
        };
        let reading = Reading { trace: &trace, offset: Duration::from_secs(10), source: CacheSource::Builder };
        let steps = reading.steps();
        let statuses: Vec<StepStatus> = steps.iter().map(|step| step.status).collect();
        use StepStatus::{Cancelled, Done, Failed, NotRun};
        assert_eq!(statuses, [Done, Done, Failed, Cancelled, NotRun]);
        assert_eq!((steps[0].source, steps[1].source), (CacheSource::Builder, CacheSource::None));
        assert_eq!(steps[1].duration(), Duration::from_secs(3));
        assert_eq!(steps[1].intervals[0].start, Duration::from_secs(12));
        // It was at work until the build broke off.
        assert_eq!(steps[3].duration(), Duration::from_secs(4));
        let finished = Trace { broke_off: None, ..trace.clone() };
        assert_eq!(Reading { trace: &finished, ..reading }.steps()[3].duration(), Duration::ZERO);

        let failure = reading.failure("process \"x\" did not complete successfully: exit code: 3");
        assert_eq!((failure.step.as_deref(), failure.exit_code), (Some("[4/6] RUN c"), Some(3)));
        assert_eq!(failure.log_tail.first().map(String::as_str), Some("line 10"));
        assert_eq!(reading.unused_sources()[0].source, "app:old");
        assert_eq!(reading.context_bytes(), 7);
        assert_eq!(reading.operations().len(), 2);
    }

    #[test]
    fn exit_codes_of_both_engines() {
        assert_eq!(exit_code("executor failed running [/bin/sh -c x]: exit code: 127"), Some(127));
        assert_eq!(exit_code("failed to compute cache key"), None);
    }
}

//! Gathers `StatusResponse`s: gives events at once, and the whole trace at the end.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1 as api;

use super::log::LineBuffer;
use super::{Event, Kind, Span, TAIL_LINES, Trace, Vertex, name};
use crate::buildkit::mask::Masks;

/// Characters of a line that are kept and told.
const LONGEST_SHOWN: usize = 16 << 10;

/// Gathers the status of one solve.
#[derive(Default)]
pub struct Collector {
    masks: Masks,
    by_digest: HashMap<String, usize>,
    vertices: Vec<Gathered>,
    clock: Clock,
}

struct Gathered {
    vertex: Vertex,
    number: u32,
    started: bool,
    finished: bool,
    line: LineBuffer,
    tail: VecDeque<String>,
    transfers: HashMap<String, u64>,
}

impl Collector {
    /// A collector that masks what it keeps and tells.
    pub fn new(masks: Masks) -> Self {
        Self { masks, ..Self::default() }
    }

    /// Takes one status message and gives its events in order.
    pub fn take(&mut self, status: &api::StatusResponse) -> Vec<Event> {
        let mut events = Vec::new();
        for vertex in &status.vertexes {
            self.clock.read(vertex.started.as_ref().into_iter().chain(&vertex.completed).filter_map(time));
            self.begin(vertex, &mut events);
        }
        for progress in &status.statuses {
            self.progress(progress, &mut events);
        }
        for log in &status.logs {
            self.log(log, &mut events);
        }
        for vertex in &status.vertexes {
            self.end(vertex, &mut events);
        }
        for warning in &status.warnings {
            events.push(Event::Warning {
                short: self.masks.apply(&String::from_utf8_lossy(&warning.short)).into_owned(),
                url: Some(warning.url.clone()).filter(|url| !url.is_empty()),
                line: warning.ranges.first().and_then(|range| range.start).and_then(|p| u32::try_from(p.line).ok()),
            });
        }
        events
    }

    /// Everything that was told of a solve that broke off at that moment.
    pub fn break_off(self, at: Instant) -> Trace {
        let broke_off = self.clock.at(at);
        Trace { broke_off, ..self.finish() }
    }

    /// Everything that was told of a solve.
    pub fn finish(self) -> Trace {
        let mut vertices: Vec<Vertex> = Vec::with_capacity(self.vertices.len());
        for mut gathered in self.vertices {
            if gathered.line.is_pending() {
                gathered.keep_line(&self.masks);
            }
            gathered.vertex.tail = gathered.tail.into();
            gathered.vertex.transferred = gathered.transfers.values().sum();
            vertices.push(gathered.vertex);
        }
        let mut vertices = merge_steps(vertices);
        sort(&mut vertices);
        Trace { vertices, broke_off: None }
    }

    fn begin(&mut self, report: &api::Vertex, events: &mut Vec<Event>) {
        let index = self.index_of(report);
        let Some(gathered) = self.vertices.get_mut(index) else { return };
        gathered.vertex.cached |= report.cached;
        if !report.error.is_empty() {
            gathered.vertex.error = Some(self.masks.apply(&report.error).into_owned());
        }
        if let Some(start) = report.started.as_ref().and_then(time) {
            record(&mut gathered.vertex.intervals, start, report.completed.as_ref().and_then(time));
            if !gathered.started {
                gathered.started = true;
                let Vertex { name, kind, inputs, cached, .. } = &gathered.vertex;
                let executes = matches!(kind, Kind::Step(_)) && !inputs.is_empty() && !cached;
                events.push(Event::Started { number: gathered.number, name: name.clone(), executes });
            }
        }
    }

    fn end(&mut self, report: &api::Vertex, events: &mut Vec<Event>) {
        let index = self.index_of(report);
        let Some(gathered) = self.vertices.get_mut(index) else { return };
        // A step is told as finished once: its layer's unpacking afterwards is not the step again.
        if gathered.finished || (report.completed.is_none() && !report.cached) {
            return;
        }
        gathered.finished = true;
        if gathered.line.is_pending()
            && let Some(line) = gathered.keep_line(&self.masks)
        {
            events.push(Event::Log { number: gathered.number, line });
        }
        events.push(Event::Finished {
            number: gathered.number,
            name: gathered.vertex.name.clone(),
            cached: gathered.vertex.cached,
            duration: gathered.vertex.duration(),
            error: gathered.vertex.error.clone(),
        });
    }

    fn progress(&mut self, report: &api::VertexStatus, events: &mut Vec<Event>) {
        let Some(gathered) = self.by_digest.get(&report.vertex).and_then(|i| self.vertices.get_mut(*i)) else { return };
        let current = u64::try_from(report.current).unwrap_or_default();
        if report.id.starts_with("transferring ") {
            gathered.transfers.insert(report.id.clone(), current);
        }
        events.push(Event::Progress {
            number: gathered.number,
            id: self.masks.apply(&report.id).into_owned(),
            current,
            total: u64::try_from(report.total).unwrap_or_default(),
            completed: report.completed.is_some(),
        });
    }

    fn log(&mut self, report: &api::VertexLog, events: &mut Vec<Event>) {
        let Some(gathered) = self.by_digest.get(&report.vertex).and_then(|i| self.vertices.get_mut(*i)) else { return };
        for line in gathered.line.push(&report.msg) {
            let line = gathered.keep(&self.masks, &line);
            events.push(Event::Log { number: gathered.number, line });
        }
    }

    fn index_of(&mut self, report: &api::Vertex) -> usize {
        if let Some(index) = self.by_digest.get(&report.digest) {
            return *index;
        }
        let index = self.vertices.len();
        self.by_digest.insert(report.digest.clone(), index);
        self.vertices.push(Gathered::new(report, &self.masks, index));
        index
    }
}

impl Gathered {
    fn new(report: &api::Vertex, masks: &Masks, index: usize) -> Self {
        let vertex = Vertex {
            digest: report.digest.clone(),
            inputs: report.inputs.clone(),
            name: masked_name(&report.name, masks),
            // What the vertex is, its position above all, is read before anything is replaced in it.
            kind: masked_kind(name::parse(&report.name), masks),
            cached: false,
            intervals: Vec::new(),
            error: None,
            tail: Vec::new(),
            transferred: 0,
        };
        let number = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
        Self {
            vertex,
            number,
            started: false,
            finished: false,
            line: LineBuffer::default(),
            tail: VecDeque::new(),
            transfers: HashMap::new(),
        }
    }

    fn keep_line(&mut self, masks: &Masks) -> Option<String> {
        let line = self.line.finish()?;
        Some(self.keep(masks, &line))
    }

    fn keep(&mut self, masks: &Masks, line: &str) -> String {
        let line = shortened(masks.apply(line).into_owned());
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line.clone());
        line
    }
}

/// A line as long as a person may want to read.
fn shortened(mut line: String) -> String {
    if let Some((end, _)) = line.char_indices().nth(LONGEST_SHOWN) {
        line.truncate(end);
        line.push_str(" […]");
    }
    line
}

/// The name with its instruction masked; the bracket with stage and position stays as it is.
fn masked_name(text: &str, masks: &Masks) -> String {
    match (name::parse(text), text.split_once("] ")) {
        (Kind::Step(_) | Kind::Base, Some((bracket, instruction))) => {
            format!("{bracket}] {}", masks.apply(instruction))
        }
        _ => masks.apply(text).into_owned(),
    }
}

fn masked_kind(kind: Kind, masks: &Masks) -> Kind {
    match kind {
        Kind::Step(mut step) => {
            step.instruction = masks.apply(&step.instruction).into_owned();
            Kind::Step(step)
        }
        Kind::CacheImport { from } => Kind::CacheImport { from: masks.apply(&from).into_owned() },
        kind @ (Kind::Internal | Kind::Base | Kind::Export | Kind::Other) => kind,
    }
}

/// The builder's clock, which may differ from ours: the latest time that it told, and when that was.
#[derive(Default)]
struct Clock(Option<(SystemTime, Instant)>);

impl Clock {
    fn read(&mut self, told: impl Iterator<Item = SystemTime>) {
        // What was longest on its way is furthest behind.
        let here = Instant::now();
        let ahead = told.max().filter(|told| self.at(here).is_none_or(|now| now < *told));
        self.0 = ahead.map(|told| (told, here)).or(self.0);
    }

    /// What it says at a moment of ours; never less than it told.
    fn at(&self, moment: Instant) -> Option<SystemTime> {
        self.0.and_then(|(told, at)| told.checked_add(moment.saturating_duration_since(at)))
    }
}

/// One span for each start; a later report of the same start brings its end.
fn record(intervals: &mut Vec<Span>, start: SystemTime, end: Option<SystemTime>) {
    match intervals.iter_mut().find(|span| span.start == start) {
        Some(span) => span.end = end.or(span.end),
        None => intervals.push(Span { start, end }),
    }
}

fn time(timestamp: &Timestamp) -> Option<SystemTime> {
    let seconds = u64::try_from(timestamp.seconds).ok()?;
    let nanos = u32::try_from(timestamp.nanos).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
}

/// One vertex for each step of the Dockerfile.
///
/// Builds that run at the same time and share steps are one graph for BuildKit. It may then report a step under the
/// digest that the *other* build has for it, besides this one's: the same step twice, once of them never begun.
fn merge_steps(vertices: Vec<Vertex>) -> Vec<Vertex> {
    let mut merged: Vec<Vertex> = Vec::with_capacity(vertices.len());
    for vertex in vertices {
        let twin = matches!(vertex.kind, Kind::Step(_))
            .then(|| merged.iter_mut().find(|other| other.kind == vertex.kind))
            .flatten();
        let Some(twin) = twin else {
            merged.push(vertex);
            continue;
        };
        twin.cached |= vertex.cached;
        for span in vertex.intervals {
            record(&mut twin.intervals, span.start, span.end);
        }
        twin.inputs.extend(vertex.inputs);
        twin.error = twin.error.take().or(vertex.error);
        twin.tail.extend(vertex.tail);
        let surplus = twin.tail.len().saturating_sub(TAIL_LINES);
        twin.tail.drain(..surplus);
        twin.transferred = twin.transferred.saturating_add(vertex.transferred);
    }
    merged
}

/// Engines report in the order of discovery, newer ones the last step first: steps are put in the Dockerfile's order.
fn sort(vertices: &mut Vec<Vertex>) {
    let mut stages: Vec<(Option<String>, Option<String>)> = Vec::new();
    let mut keyed: Vec<(usize, usize, Vertex)> = Vec::with_capacity(vertices.len());
    for (index, vertex) in vertices.drain(..).enumerate() {
        let key = match &vertex.kind {
            Kind::Step(step) => {
                let stage = (step.platform.clone(), step.stage.clone());
                let place = stages.iter().position(|known| *known == stage).unwrap_or_else(|| {
                    stages.push(stage);
                    stages.len() - 1
                });
                (place + 1, usize::try_from(step.position).unwrap_or(usize::MAX))
            }
            Kind::Export => (usize::MAX, index),
            Kind::Internal | Kind::Base | Kind::CacheImport { .. } | Kind::Other => (0, index),
        };
        keyed.push((key.0, key.1, vertex));
    }
    keyed.sort_by_key(|(group, place, _)| (*group, *place));
    vertices.extend(keyed.into_iter().map(|(_, _, vertex)| vertex));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::{Duration, Instant};

    use bollard_buildkit_proto::google::protobuf::Timestamp;
    use bollard_buildkit_proto::moby::buildkit::v1 as api;

    use super::Collector;
    use crate::buildkit::mask::Masks;
    use crate::buildkit::trace::{Event, Trace};

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos: 0 })
    }

    fn vertex(digest: &str, name: &str, cached: bool, span: (Option<Timestamp>, Option<Timestamp>)) -> api::Vertex {
        api::Vertex {
            digest: digest.to_owned(),
            name: name.to_owned(),
            cached,
            started: span.0,
            completed: span.1,
            ..Default::default()
        }
    }

    fn status(vertexes: Vec<api::Vertex>) -> api::StatusResponse {
        api::StatusResponse { vertexes, ..Default::default() }
    }

    fn log(vertex: &str, text: &[u8]) -> api::StatusResponse {
        let log = api::VertexLog { vertex: vertex.to_owned(), msg: text.to_vec(), stream: 1, timestamp: None };
        api::StatusResponse { logs: vec![log], ..Default::default() }
    }

    fn gather(messages: &[api::StatusResponse]) -> (Vec<Event>, Trace) {
        let args = BTreeMap::from([("SHA".to_owned(), "0a1b2c3d".to_owned())]);
        let mut collector = Collector::new(Masks::new(&args, []));
        let events = messages.iter().flat_map(|message| collector.take(message)).collect();
        (events, collector.finish())
    }

    #[test]
    fn a_hit_stays_a_hit_while_its_layer_is_unpacked() {
        let (events, trace) = gather(&[
            status(vec![vertex("a", "[2/3] RUN x", true, (at(1), at(1)))]),
            status(vec![vertex("a", "[2/3] RUN x", false, (at(5), None))]),
            status(vec![vertex("a", "[2/3] RUN x", false, (at(5), at(8)))]),
        ]);
        assert!(trace.vertices[0].cached);
        assert_eq!(trace.vertices[0].intervals.len(), 2);
        assert_eq!(trace.vertices[0].duration(), Duration::from_secs(3));
        assert_eq!(events.iter().filter(|event| matches!(event, Event::Finished { .. })).count(), 1);
    }

    #[test]
    fn a_solve_that_breaks_off_ends_by_the_builders_clock() {
        let mut collector = Collector::default();
        let begun = Instant::now();
        collector.take(&status(vec![vertex("a", "[2/3] RUN x", false, (at(5), None))]));
        std::thread::sleep(Duration::from_millis(20));
        // Old news does not turn the clock back.
        collector.take(&status(vec![vertex("b", "[3/3] RUN y", false, (at(1), at(2)))]));
        let ended = Instant::now();
        // What is still on its way then takes no part in it.
        std::thread::sleep(Duration::from_millis(20));
        let trace = collector.break_off(ended);
        let after = trace.broke_off.unwrap().duration_since(trace.vertices[0].intervals[0].start).unwrap();
        assert!(
            (Duration::from_millis(20)..=begun.elapsed().saturating_sub(Duration::from_millis(20))).contains(&after),
            "{after:?}"
        );
        assert_eq!(Collector::default().break_off(ended).broke_off, None);
    }

    #[test]
    fn a_step_under_two_digests_is_one_step() {
        let (_, trace) = gather(&[
            status(vec![
                vertex("mine", "[2/3] RUN x", false, (None, None)),
                vertex("other", "[3/3] RUN x", false, (None, None)),
            ]),
            status(vec![vertex("theirs", "[2/3] RUN x", true, (at(1), at(1)))]),
        ]);
        let steps: Vec<(u32, bool)> = trace.steps().map(|(vertex, step)| (step.position, vertex.cached)).collect();
        assert_eq!(steps, [(2, true), (3, false)]);
    }

    #[test]
    fn a_step_that_begins_executes_unless_it_is_cached_or_may_only_be_looked_up() {
        let with_input = |name, cached| api::Vertex {
            inputs: vec!["input".to_owned()],
            ..vertex(name, name, cached, (at(1), None))
        };
        for (report, expected) in [
            (with_input("[2/3] RUN a", false), true),
            (with_input("[2/3] RUN a", true), false),
            (with_input("exporting layers", false), false),
            (with_input("[internal] load build context", false), false),
            (vertex("[1/2] WORKDIR /a", "[1/2] WORKDIR /a", false, (at(1), None)), false),
        ] {
            let (events, _) = gather(&[status(vec![report.clone()])]);
            let [Event::Started { executes, .. }, ..] = events.as_slice() else { panic!("{events:?}") };
            assert_eq!(*executes, expected, "{report:?}");
        }
    }

    #[test]
    fn steps_stand_in_the_order_of_the_dockerfile_and_only_steps_count() {
        let (_, trace) = gather(&[status(vec![
            vertex("i", "[internal] load build definition from Dockerfile", false, (None, None)),
            vertex("e", "exporting to image", false, (None, None)),
            vertex("d", "[stage-1 3/3] RUN b", false, (None, None)),
            vertex("c", "[stage-1 2/3] RUN a", false, (None, None)),
            vertex("f", "[build 1/2] FROM docker.io/library/busybox", false, (None, None)),
            vertex("b", "[build 2/2] RUN c", false, (None, None)),
        ])]);
        let steps: Vec<&str> = trace.steps().map(|(vertex, _)| vertex.name.as_str()).collect();
        assert_eq!(steps, ["[stage-1 2/3] RUN a", "[stage-1 3/3] RUN b", "[build 2/2] RUN c"]);
        assert_eq!(trace.vertices.last().map(|v| v.name.as_str()), Some("exporting to image"));
    }

    #[test]
    fn values_are_masked_in_names_errors_and_lines_split_anywhere() {
        let mut failed = vertex("a", "[2/2] RUN echo 0a1b2c3d", false, (at(1), at(2)));
        failed.error = "process \"echo 0a1b2c3d\" failed".to_owned();
        let (events, trace) = gather(&[
            status(vec![vertex("a", "[2/2] RUN echo 0a1b2c3d", false, (at(1), None))]),
            log("a", b"commit 0a1b"),
            log("a", b"2c3d\nlast 0a1b2c3d"),
            status(vec![failed]),
        ]);
        assert!(!format!("{events:?}{trace:?}").contains("0a1b2c3d"));
        assert_eq!(trace.vertices[0].tail, ["commit $SHA", "last $SHA"]);
        assert_eq!(trace.failed("").map(|vertex| vertex.name.as_str()), Some("[2/2] RUN echo $SHA"));
        let last: Vec<_> = events.iter().rev().take(2).collect();
        assert!(matches!(last[1], Event::Log { .. }) && matches!(last[0], Event::Finished { .. }));
    }

    #[test]
    fn a_position_is_not_an_argument() {
        let args = BTreeMap::from([("N".to_owned(), "2".to_owned())]);
        let mut collector = Collector::new(Masks::new(&args, []));
        collector.take(&status(vec![vertex("a", "[2/2] RUN seq 2", false, (None, None))]));
        let trace = collector.finish();
        assert_eq!(trace.vertices[0].name, "[2/2] RUN seq $N");
        assert_eq!(trace.steps().next().map(|(_, step)| step.position), Some(2));
    }
}

//! The critical path: which steps and operations would have to be faster for an image's build to be faster.
//!
//! It is walked from the end of the build back to its beginning, from each vertex to what it waited for: of all that it
//! is made from, the work that ended last. Three things have no edge in the builder's graph and are waited for all the
//! same:
//!
//! - Everything waits for what the frontend does before there is a graph (the Dockerfile, the ignore file, metadata of
//!   base images); steps and base images for the import of cache records, in which they are looked up. Nothing is made
//!   from either.
//! - An export has no inputs, and waits for everything.
//! - The layer of a cached step or base image is fetched and unpacked only when somebody needs it: between what it is made
//!   from and the step that needs it, or in the middle of that step or of the export.
//!
//! An image that waits for another image of the run has a path of its own from its own beginning. A step that another
//! image's build ran and that took no time here is not on the path here. What of all that is critical for the run is found
//! afterwards ([`of_run`]).

mod run;

pub use run::{Relations, of_run};

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, SystemTime};

use super::from_trace::CANCELLED;
use crate::buildkit::trace::{Kind, Trace, Vertex};

/// A cached step is reported for some milliseconds when it is looked up. What takes longer is its layer, which is fetched
/// and unpacked.
const LOOK_UP: Duration = Duration::from_millis(10);

/// The digests of the vertices on the critical path.
///
/// Where a step failed, it is the path to that failure. A build that was cancelled has none: it ended when a person said
/// so. What took no time is never on it.
pub fn critical(trace: &Trace) -> BTreeSet<&str> {
    let graph = Graph::new(&trace.vertices);
    let path = graph.end().map(|last| graph.back_from(last)).unwrap_or_default();
    path.into_iter().filter_map(|index| trace.vertices.get(index)).map(|vertex| vertex.digest.as_str()).collect()
}

/// One span of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Work {
    vertex: usize,
    start: SystemTime,
    end: SystemTime,
}

struct Graph<'a> {
    vertices: &'a [Vertex],
    /// Inputs of each vertex by their place, as far as they are known.
    inputs: Vec<Vec<usize>>,
    /// Operations that nothing is made from: everything waits for them.
    before_all: Vec<usize>,
}

impl<'a> Graph<'a> {
    fn new(vertices: &'a [Vertex]) -> Self {
        let places: HashMap<&str, usize> =
            vertices.iter().enumerate().map(|(index, vertex)| (vertex.digest.as_str(), index)).collect();
        let inputs: Vec<Vec<usize>> = vertices
            .iter()
            .map(|vertex| vertex.inputs.iter().filter_map(|input| places.get(input.as_str())).copied().collect())
            .collect();
        let used: BTreeSet<usize> = inputs.iter().flatten().copied().collect();
        let is_before_all = |(index, vertex): &(usize, &Vertex)| match vertex.kind {
            Kind::CacheImport { .. } => true,
            Kind::Internal | Kind::Other => vertex.inputs.is_empty() && !used.contains(index),
            Kind::Step(_) | Kind::Base | Kind::Export => false,
        };
        let before_all = vertices.iter().enumerate().filter(is_before_all).map(|(index, _)| index).collect();
        Self { vertices, inputs, before_all }
    }

    fn kind(&self, index: usize) -> Option<&Kind> {
        self.vertices.get(index).map(|vertex| &vertex.kind)
    }

    /// Whether it is the work on a layer of a base image or a cached step, after that was looked up.
    fn is_fetched_when_needed(&self, work: Work) -> bool {
        let Some(vertex) = self.vertices.get(work.vertex) else { return false };
        match vertex.kind {
            Kind::Base => true,
            Kind::Step(_) => vertex.cached && vertex.intervals.iter().any(|span| span.start < work.start),
            Kind::CacheImport { .. } | Kind::Internal | Kind::Other | Kind::Export => false,
        }
    }

    /// Spans in which a vertex was at work.
    fn work(&self, index: usize) -> impl Iterator<Item = Work> + '_ {
        let vertex = self.vertices.get(index);
        let is_hit = vertex.is_some_and(|vertex| vertex.cached && matches!(vertex.kind, Kind::Step(_)));
        let shortest = if is_hit { LOOK_UP } else { Duration::from_nanos(1) };
        vertex.into_iter().flat_map(|vertex| &vertex.intervals).filter_map(move |span| {
            let work = Work { vertex: index, start: span.start, end: span.end? };
            (span.length() >= shortest).then_some(work)
        })
    }

    /// The work with which the build ended.
    fn end(&self) -> Option<Work> {
        let is_import = |vertex: &Vertex| matches!(vertex.kind, Kind::CacheImport { .. });
        let error = |index: &usize| {
            let vertex = self.vertices.get(*index).filter(|vertex| !is_import(vertex));
            vertex.and_then(|vertex| vertex.error.as_deref())
        };
        let all = || 0..self.vertices.len();
        let failed = all().filter(|index| error(index).is_some_and(|error| !error.contains(CANCELLED)));
        // What fails afterwards is a consequence.
        if let Some(failed) = failed.filter_map(|index| self.work(index).max_by_key(|work| work.end)).min_by_key(by_end)
        {
            return Some(failed);
        }
        let is_cut = |vertex: &Vertex| {
            let unfinished = !vertex.cached && vertex.intervals.iter().all(|span| span.end.is_none());
            matches!(vertex.kind, Kind::Step(_)) && !vertex.intervals.is_empty() && unfinished
        };
        if self.vertices.iter().any(is_cut) || all().any(|index| error(&index).is_some()) {
            return None;
        }
        all().flat_map(|index| self.work(index)).max_by_key(last_and_longest)
    }

    fn back_from(&self, last: Work) -> BTreeSet<usize> {
        let mut path = BTreeSet::from([last.vertex]);
        let mut waiting = last;
        let mut waited_for = self.waited_for(last.vertex);
        let mut until = last.end;
        loop {
            let ended = waited_for.iter().filter(|work| work.end <= until && **work != waiting);
            let Some(next) = ended.max_by_key(|work| last_and_longest(work)).copied() else { return path };
            path.insert(next.vertex);
            if next.start < waiting.start && !self.is_fetched_when_needed(next) {
                waiting = next;
                waited_for = self.waited_for(next.vertex);
                until = next.end;
            } else {
                // A layer that what waits needs, right before it or in its middle. It was fetched when everything else was
                // there, also what it is not made from itself.
                until = next.start;
            }
        }
    }

    /// All that a vertex may have waited for, and the vertex itself: it may be reported several times.
    fn waited_for(&self, index: usize) -> Vec<Work> {
        if self.kind(index) == Some(&Kind::Export) {
            return (0..self.vertices.len()).flat_map(|index| self.work(index)).collect();
        }
        let is_looked_up = !matches!(self.kind(index), Some(Kind::Internal | Kind::Other));
        let waits_for = |before: &usize| is_looked_up || !matches!(self.kind(*before), Some(Kind::CacheImport { .. }));
        let mut found: BTreeSet<usize> = self.before_all.iter().copied().filter(waits_for).collect();
        let mut open = vec![index];
        let mut seen = BTreeSet::new();
        while let Some(index) = open.pop() {
            if seen.insert(index) {
                open.extend(self.inputs.get(index).into_iter().flatten());
            }
        }
        found.extend(seen);
        found.into_iter().flat_map(|index| self.work(index)).collect()
    }
}

fn by_end(work: &Work) -> SystemTime {
    work.end
}

fn last_and_longest(work: &Work) -> (SystemTime, Reverse<SystemTime>) {
    (work.end, Reverse(work.start))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::critical;
    use crate::buildkit::trace::{Span, Trace, Vertex, parse_name};

    /// What is read out of `name` is written in front of it: `~` cached, `!` failed, `?` cancelled, and which it is made
    /// from; behind it stand the spans in milliseconds.
    fn vertex(line: &str) -> Vertex {
        let (name, spans) = line.split_once(" | ").unwrap();
        let (mark, name) = name.split_at(name.find(|c: char| c.is_alphanumeric() || c == '[').unwrap());
        let (name, inputs) = name.split_once(" < ").unwrap_or((name, ""));
        let at = |text: &str| SystemTime::UNIX_EPOCH + Duration::from_millis(10_000 + text.parse::<u64>().unwrap());
        let span = |text: &str| {
            let (start, end) = text.split_once('-').unwrap();
            Span { start: at(start), end: (!end.is_empty()).then(|| at(end)) }
        };
        Vertex {
            digest: instruction(name).to_owned(),
            inputs: inputs.split_whitespace().map(str::to_owned).collect(),
            name: name.to_owned(),
            kind: parse_name(name),
            cached: mark.contains('~'),
            intervals: spans.split_whitespace().map(span).collect(),
            error: match mark {
                "!" => Some("exit code: 1".to_owned()),
                "?" => Some("context canceled: context canceled".to_owned()),
                _ => None,
            },
            tail: Vec::new(),
            transferred: 0,
        }
    }

    /// The last word: `a` of `[build 2/5] RUN a`, `context` of `[internal] load build context`.
    fn instruction(name: &str) -> &str {
        name.rsplit(' ').next().unwrap()
    }

    #[track_caller]
    fn check(lines: &[&str], expected: &str) {
        let trace = Trace { vertices: lines.iter().map(|line| vertex(line)).collect(), ..Trace::default() };
        let found = critical(&trace);
        let marked = trace.vertices.iter().filter(|vertex| found.contains(vertex.digest.as_str()));
        let marked: Vec<&str> = marked.map(|vertex| vertex.digest.as_str()).collect();
        assert_eq!(marked.join(" "), expected, "{lines:#?}");
    }

    const BEGINNING: [&str; 3] =
        ["[internal] load definition | 0-0 0-30", "[internal] load metadata | 40-75", "[1/9] FROM base | 110-112"];

    fn after_beginning<'a>(lines: &[&'a str]) -> Vec<&'a str> {
        BEGINNING.iter().chain(lines).copied().collect()
    }

    #[test]
    fn of_parallel_stages_the_slower_one() {
        // As Docker 28 reports it, on both image stores.
        let stages = after_beginning(&[
            "[internal] load build context | 110-110 124-153",
            "[a 2/2] RUN a < base | 157-1832",
            "[b 2/2] RUN b < base | 157-2653",
            "[c 2/5] COPY --from=a copy-a < base a | 1894-1931",
            "[c 3/5] COPY context copy-f < copy-a context | 1932-1969",
            "[c 4/5] COPY --from=b copy-b < copy-f b | 2660-2714",
            "[c 5/5] RUN c < copy-b | 2717-3509",
            "exporting to image | 3523-4185",
        ]);
        check(&stages, "definition metadata base b copy-b c image");
        let a_is_slower: Vec<String> = stages.iter().map(|line| line.replace("157-2653", "157-1000")).collect();
        let a_is_slower: Vec<&str> = a_is_slower.iter().map(String::as_str).collect();
        check(&a_is_slower, "definition metadata base a copy-a copy-f copy-b c image");
    }

    #[test]
    fn of_a_diamond_one_side() {
        check(
            &after_beginning(&[
                "[2/9] RUN top < base | 120-1000",
                "[3/9] RUN left < top | 1010-4000",
                "[3/9] RUN right < top | 1010-2000",
                "[4/9] COPY bottom < left right | 4010-4100",
                "exporting to image | 4110-4200",
            ]),
            "definition metadata base top left bottom image",
        );
    }

    #[test]
    fn a_context_that_is_long_in_coming_is_waited_for() {
        check(
            &after_beginning(&[
                "[internal] load build context | 110-5000",
                "[2/9] RUN a < base | 120-1000",
                "[3/9] COPY b < a context | 5010-5100",
                "exporting to image | 5110-5200",
            ]),
            "definition metadata context b image",
        );
    }

    #[test]
    fn a_hit_counts_only_with_the_time_that_its_layer_takes() {
        let hits = |restored: &'static str, step: &'static str| {
            after_beginning(&[
                "importing cache manifest from local:1 | 80-115",
                "[internal] load build context | 110-125",
                "~[2/9] RUN a < base | 126-126",
                restored,
                step,
                "exporting to image | 9000-9200",
            ])
        };
        // Looked up only: the context was waited for.
        check(
            &hits("~[3/9] RUN b < a | 126-133", "[4/9] COPY c < b context | 140-8990"),
            "definition metadata context c image",
        );
        // Unpacked before the step, reported as a whole and in parts.
        check(
            &hits("~[3/9] RUN b < a | 126-4438 130-1386 1395-4420", "[4/9] COPY c < b context | 4439-8990"),
            "definition metadata local:1 b c image",
        );
        // Unpacked in the middle of it, and then what it waited for before.
        check(
            &hits("~[3/9] RUN b < a | 126-126 300-4438", "[4/9] COPY c < b context | 140-8990"),
            "definition metadata context b c image",
        );
        // Unpacked by the export.
        check(
            &hits("~[3/9] RUN b < a | 126-126 9010-9190", "[4/9] COPY c < b context | 140-8990"),
            "definition metadata context b c image",
        );
    }

    #[test]
    fn a_layer_that_is_fetched_at_last_does_not_hide_what_came_before_it() {
        let build = |fetched: &'static str| {
            after_beginning(&[
                "[stage-2 1/2] FROM server | 112-114 1940-1950",
                "~[stage-2 2/3] RUN x < server | 115-115",
                "[build 1/1] RUN make < base | 190-1935",
                fetched,
                "exporting to image | 1980-2080",
            ])
        };
        check(&build("[stage-2 2/2] COPY y < server make | 1955-1970"), "definition metadata base server make y image");
    }

    #[test]
    fn records_that_are_long_in_coming_are_waited_for_by_everything() {
        check(
            &after_beginning(&[
                "importing cache manifest from registry | 80-3000",
                "[2/9] RUN a < base | 3010-4000",
                "exporting to image | 4010-4200",
            ]),
            "definition metadata registry a image",
        );
    }

    #[test]
    fn what_another_build_ran_takes_no_time_here() {
        // Told as a hit when the other build was done with it, or not told at all.
        for shared in ["~[2/9] RUN shared < base | 5000-5000", "[2/9] RUN shared < base | "] {
            check(
                &after_beginning(&[shared, "[3/9] RUN own < shared | 5010-6000", "exporting to image | 6010-6100"]),
                "definition metadata base own image",
            );
        }
    }

    #[test]
    fn an_input_under_a_digest_that_is_not_known_does_not_end_the_path() {
        check(
            &after_beginning(&["[2/9] RUN a < lost | 120-900", "exporting to image | 910-990"]),
            "definition metadata a image",
        );
    }

    #[test]
    fn a_failed_build_has_the_path_to_its_failure() {
        check(
            &after_beginning(&[
                "[2/9] RUN a < base | 120-1000",
                "![3/9] RUN b < a | 1010-2000",
                "[x 2/2] RUN x < base | 120-1990",
                "?[x 3/9] RUN y < x | 1995-2010",
                "[x 4/9] RUN z < y | ",
            ]),
            "definition metadata base a b",
        );
        check(&["![internal] load metadata | 0-70"], "metadata");
        // Without its cache source a build goes on.
        check(&["!importing cache manifest from registry | 0-90", "[2/2] RUN a | 95-200"], "registry a");
    }

    #[test]
    fn a_cancelled_build_has_none() {
        check(&after_beginning(&["[2/9] RUN a < base | 120-1000", "?[3/9] RUN b < a | 1010-2000"]), "");
        check(&after_beginning(&["[2/9] RUN a < base | 120-1000", "[3/9] RUN b < a | 1010-"]), "");
        check(&[], "");
    }

    proptest! {
        /// Where every step begins as soon as all that it is made from is there, the path leaves no time out: its steps
        /// together take as long as the build.
        #[test]
        fn the_path_is_as_long_as_the_build(steps in prop::collection::vec((1_u64..1000, any::<u16>()), 1..12)) {
            let mut ends: Vec<u64> = Vec::new();
            let mut vertices = Vec::new();
            for (number, (length, made_from)) in steps.iter().enumerate() {
                let inputs: Vec<usize> = (0..number).filter(|input| made_from & (1 << input) != 0).collect();
                let start = inputs.iter().map(|input| ends[*input]).max().unwrap_or(0);
                ends.push(start + length);
                let inputs: Vec<String> = inputs.iter().map(|input| format!("s{input}")).collect();
                vertices.push(vertex(&format!(
                    "[{}/99] RUN s{number} < {} | {start}-{}", number + 2, inputs.join(" "), start + length
                )));
            }
            let trace = Trace { vertices, ..Trace::default() };
            let found = critical(&trace);
            let on_path = trace.vertices.iter().filter(|vertex| found.contains(vertex.digest.as_str()));
            let length: Duration = on_path.map(Vertex::duration).sum();
            prop_assert_eq!(length, Duration::from_millis(ends.into_iter().max().unwrap()));
        }
    }
}

//! Live progress of builds that run side by side, in the manner of `--progress=plain`.
//!
//! The lines are those of BuildKit's plain printer (`util/progress/progressui/printer.go` in moby/buildkit): a vertex is
//! introduced by its number and name, and again when the lines of another one came between. Numbers are counted over all
//! targets, and a name says its target where there are several, as `buildx bake` does.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::buildkit::trace::Event;
use crate::report::plain;

/// A transfer is told again after so long; its end always is.
const QUIET: Duration = Duration::from_secs(5);

/// Whether lines have colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// For files, pipes and whoever sets `NO_COLOR`.
    Never,
    /// For terminals and for GitHub's log, which draws ANSI colours.
    Always,
}

/// Turns the events of a run into lines to print.
#[derive(Debug)]
pub struct Progress {
    several: bool,
    colour: Colour,
    vertices: BTreeMap<(String, u32), Vertex>,
    /// The vertex whose lines were printed last.
    current: Option<(String, u32)>,
}

#[derive(Debug)]
struct Vertex {
    /// Its number over all targets, from 1.
    index: usize,
    name: String,
    started: Duration,
    ended: Option<Ended>,
    transfers: BTreeMap<String, Transfer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Done,
    Cached,
    Failed,
}

#[derive(Debug)]
struct Transfer {
    began: Duration,
    told: Duration,
    complete: bool,
}

impl Progress {
    /// For a run of so many targets: with more than one, names say which target they belong to.
    pub fn new(targets: usize, colour: Colour) -> Self {
        Self { several: targets > 1, colour, vertices: BTreeMap::new(), current: None }
    }

    /// The lines to print for an event of a target, `at` from the run's start. Often none.
    pub fn lines(&mut self, target: &str, event: &Event, at: Duration) -> Vec<String> {
        match event {
            Event::Started { number, name, .. } => self.started(target, *number, name, at),
            Event::Log { number, line } => {
                let stamp = seconds(at.saturating_sub(self.vertex(target, *number, "", at).started));
                let mut lines = vec![];
                for text in self.log(line) {
                    lines.extend(self.say(target, *number, &format!("{stamp} {text}")));
                }
                lines
            }
            Event::Finished { number, name, cached, duration, error } => self.finished(
                target,
                *number,
                name,
                at,
                &End { cached: *cached, duration: *duration, error: error.as_deref() },
            ),
            Event::Progress { number, id, current, total, completed } => {
                let moved = Moved { id, current: *current, total: *total, completed: *completed };
                match self.transfer(target, *number, &moved, at) {
                    Some(text) => self.say(target, *number, &text),
                    None => vec![],
                }
            }
            Event::Warning { short, url, line } => vec![self.warning(target, short, url.as_deref(), *line)],
        }
    }

    fn started(&mut self, target: &str, number: u32, name: &str, at: Duration) -> Vec<String> {
        let known = self.vertices.contains_key(&(target.to_owned(), number));
        let vertex = self.vertex(target, number, name, at);
        if known {
            // Its lines came first, or the builder takes it up again; a cached one that is only unpacked stays cached.
            if vertex.ended.is_none() {
                vertex.started = vertex.started.min(at);
            }
            return vec![];
        }
        self.introduce(target, number)
    }

    fn finished(&mut self, target: &str, number: u32, name: &str, at: Duration, end: &End) -> Vec<String> {
        let vertex = self.vertex(target, number, name, at);
        let ended = match (end.error, end.cached) {
            (Some(_), _) => Ended::Failed,
            (None, true) => Ended::Cached,
            (None, false) => Ended::Done,
        };
        // The containerd store reports a cached step a second time, as done, while it unpacks its layer.
        if vertex.ended.replace(ended).is_some_and(|before| before == ended || ended != Ended::Failed) {
            return vec![];
        }
        let text = match end.error {
            Some(error) => self.paint(RED, &format!("ERROR: {}", plain::one_line(error))),
            None if end.cached => self.paint(GREEN, "CACHED"),
            None => self.paint(DIM, &format!("DONE {:.1}s", end.duration.as_secs_f64())),
        };
        self.say(target, number, &text)
    }

    /// What to tell of a transfer now, if anything.
    fn transfer(&mut self, target: &str, number: u32, moved: &Moved, at: Duration) -> Option<String> {
        let vertex = self.vertex(target, number, "", at);
        let transfer =
            vertex.transfers.entry(moved.id.to_owned()).or_insert(Transfer { began: at, told: at, complete: false });
        let is_due = moved.completed || at.saturating_sub(transfer.told) >= QUIET;
        if transfer.complete || !is_due {
            return None;
        }
        transfer.told = at;
        transfer.complete = moved.completed;
        let elapsed = at.saturating_sub(transfer.began).as_secs_f64();
        let amount = match (moved.current, moved.total) {
            (0, 0) => String::new(),
            (current, 0) => format!(" {}", bytes(current)),
            (current, total) => format!(" {} / {}", bytes(current), bytes(total)),
        };
        let done = if moved.completed { " done" } else { "" };
        Some(format!("{}{amount} {elapsed:.1}s{done}", plain::one_line(moved.id).trim_end_matches(':')))
    }

    fn warning(&self, target: &str, short: &str, url: Option<&str>, line: Option<u32>) -> String {
        let of = if self.several { format!("[{target}] ") } else { String::new() };
        let place = line.map(|line| format!(" (line {line})")).unwrap_or_default();
        let url = url.map(|url| format!(", see {}", plain::one_line(url))).unwrap_or_default();
        self.paint(YELLOW, &format!("WARN: {of}{}{place}{url}", plain::one_line(short)))
    }

    /// A line of a vertex, behind its name if the lines of another one came between.
    fn say(&mut self, target: &str, number: u32, text: &str) -> Vec<String> {
        let mut lines = self.introduce(target, number);
        if let Some(vertex) = self.vertices.get(&(target.to_owned(), number)) {
            lines.push(format!("#{} {text}", vertex.index).trim_end().to_owned());
        }
        lines
    }

    /// Switches to a vertex: an empty line, its number and name; nothing if it is the current one.
    fn introduce(&mut self, target: &str, number: u32) -> Vec<String> {
        let key = (target.to_owned(), number);
        let before = self.current.replace(key.clone());
        if before.as_ref() == Some(&key) {
            return vec![];
        }
        let mut lines = vec![];
        if let Some(left) = before.and_then(|key| self.vertices.get(&key)) {
            if left.ended.is_none() {
                lines.push(format!("#{} ...", left.index));
            }
            lines.push(String::new());
        }
        if let Some(vertex) = self.vertices.get(&key) {
            let name =
                plain::one_line(&if self.several { with_target(target, &vertex.name) } else { vertex.name.clone() });
            lines.push(format!("#{} {}", vertex.index, self.paint(BOLD, &name)));
        }
        lines
    }

    fn vertex(&mut self, target: &str, number: u32, name: &str, at: Duration) -> &mut Vertex {
        let index = self.vertices.len() + 1;
        let vertex = self.vertices.entry((target.to_owned(), number)).or_insert_with(|| Vertex {
            index,
            name: name.to_owned(),
            started: at,
            ended: None,
            transfers: BTreeMap::new(),
        });
        if vertex.name.is_empty() {
            name.clone_into(&mut vertex.name);
        }
        vertex
    }

    /// A line of a log as it may be printed: with colours its own ones stay, everything else that moves a cursor goes.
    fn log(&self, line: &str) -> Vec<String> {
        match self.colour {
            Colour::Never => plain::log_lines(line),
            Colour::Always => plain::coloured_log_lines(line),
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        match self.colour {
            Colour::Never => text.to_owned(),
            Colour::Always => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }
}

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const BOLD: &str = "1";
const DIM: &str = "2";

/// How a vertex ended.
struct End<'a> {
    cached: bool,
    duration: Duration,
    error: Option<&'a str>,
}

/// How far a transfer is.
struct Moved<'a> {
    id: &'a str,
    current: u64,
    total: u64,
    completed: bool,
}

/// `[build 2/5] RUN make` of `backend` is `[backend build 2/5] RUN make`; a name without brackets gets some.
fn with_target(target: &str, name: &str) -> String {
    match name.strip_prefix('[') {
        Some(rest) => format!("[{target} {rest}"),
        None => format!("[{target}] {name}"),
    }
}

/// `0.512`, as the plain printer stamps a log line.
fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

/// `12.30MB`, as the plain printer writes bytes.
#[expect(clippy::cast_precision_loss, reason = "a size is shown with a few digits")]
fn bytes(count: u64) -> String {
    let sizes = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match sizes.into_iter().find(|(_, size)| count >= *size) {
        Some((unit, size)) => format!("{:.2}{unit}", count as f64 / size as f64),
        None => format!("{count}B"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Colour, Progress};
    use crate::buildkit::trace::Event;
    use crate::report::fixtures::at;

    fn started(number: u32, name: &str) -> Event {
        Event::Started { number, name: name.into(), executes: false }
    }

    fn log(number: u32, line: &str) -> Event {
        Event::Log { number, line: line.into() }
    }

    fn finished(number: u32, name: &str, cached: bool, seconds: f64, error: Option<&str>) -> Event {
        Event::Finished { number, name: name.into(), cached, duration: at(seconds), error: error.map(Into::into) }
    }

    fn moved(id: &str, current: u64, total: u64, completed: bool) -> Event {
        Event::Progress { number: 1, id: id.into(), current, total, completed }
    }

    fn print(targets: usize, colour: Colour, events: &[(&str, f64, Event)]) -> String {
        let mut progress = Progress::new(targets, colour);
        let lines = events.iter().flat_map(|(target, seconds, event)| progress.lines(target, event, at(*seconds)));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn one_target_reads_as_the_plain_printer() {
        let text = print(
            1,
            Colour::Never,
            &[
                ("app", 0.1, started(1, "[internal] load build definition from Dockerfile")),
                ("app", 0.1, finished(1, "[internal] load build definition from Dockerfile", false, 0.04, None)),
                ("app", 0.2, finished(2, "[1/3] WORKDIR /app", true, 0.0, None)),
                ("app", 0.3, started(3, "[2/3] RUN make")),
                ("app", 0.812, log(3, "cc main.c")),
                ("app", 1.5, log(3, "10%\r100%")),
                ("app", 1.6, finished(3, "[2/3] RUN make", false, 1.3, None)),
                ("app", 1.7, started(4, "exporting to image")),
                ("app", 1.9, finished(4, "exporting to image", false, 0.2, Some("no space left\non device"))),
            ],
        );
        insta::assert_snapshot!(text, @r"
        #1 [internal] load build definition from Dockerfile
        #1 DONE 0.0s

        #2 [1/3] WORKDIR /app
        #2 CACHED

        #3 [2/3] RUN make
        #3 0.512 cc main.c
        #3 1.200 100%
        #3 DONE 1.3s

        #4 exporting to image
        #4 ERROR: no space left on device
        ");
    }

    #[test]
    fn several_targets_are_told_apart() {
        let text = print(
            2,
            Colour::Never,
            &[
                ("backend", 0.0, started(1, "[build 2/5] RUN make")),
                ("frontend", 0.5, started(1, "[stage-0 2/3] RUN npm ci")),
                ("backend", 0.7, log(1, "cc main.c")),
                ("frontend", 2.0, finished(1, "[stage-0 2/3] RUN npm ci", false, 1.5, None)),
                ("backend", 2.5, finished(1, "[build 2/5] RUN make", false, 2.5, None)),
                ("frontend", 2.6, started(2, "exporting to image")),
                (
                    "frontend",
                    2.7,
                    Event::Warning {
                        short: "FromAsCasing: casing does not match".into(),
                        url: Some("https://docs.docker.com/x".into()),
                        line: Some(3),
                    },
                ),
            ],
        );
        insta::assert_snapshot!(text, @r"
        #1 [backend build 2/5] RUN make
        #1 ...

        #2 [frontend stage-0 2/3] RUN npm ci
        #2 ...

        #1 [backend build 2/5] RUN make
        #1 0.700 cc main.c
        #1 ...

        #2 [frontend stage-0 2/3] RUN npm ci
        #2 DONE 1.5s

        #1 [backend build 2/5] RUN make
        #1 DONE 2.5s

        #3 [frontend] exporting to image
        WARN: [frontend] FromAsCasing: casing does not match (line 3), see https://docs.docker.com/x
        ");
    }

    #[test]
    fn a_transfer_is_told_now_and_then_and_at_its_end() {
        let mut events = vec![("app", 0.0, started(1, "[internal] load build context"))];
        events.extend((1_u32..=130).map(|tick| {
            ("app", f64::from(tick) / 10.0, moved("transferring context:", u64::from(tick) * 100_000, 0, false))
        }));
        events.push(("app", 13.1, moved("transferring context:", 13_100_000, 0, true)));
        events.push(("app", 13.2, moved("transferring context:", 13_100_000, 0, true)));
        events.push(("app", 13.3, moved("sha256:abc", 500, 2_000, true)));
        insta::assert_snapshot!(print(1, Colour::Never, &events), @r"
        #1 [internal] load build context
        #1 transferring context 5.10MB 5.0s
        #1 transferring context 10.10MB 10.0s
        #1 transferring context 13.10MB 13.0s done
        #1 sha256:abc 500B / 2.00kB 0.0s done
        ");
    }

    #[test]
    fn a_cached_step_that_is_unpacked_stays_cached() {
        let text = print(
            1,
            Colour::Never,
            &[
                ("app", 0.0, finished(1, "[2/3] RUN make", true, 0.0, None)),
                ("app", 0.1, started(1, "[2/3] RUN make")),
                ("app", 0.4, finished(1, "[2/3] RUN make", false, 0.3, None)),
            ],
        );
        assert_eq!(text, "#1 [2/3] RUN make\n#1 CACHED");
    }

    #[test]
    fn an_error_after_all_is_told() {
        let text = print(
            1,
            Colour::Never,
            &[
                ("app", 0.0, finished(1, "[2/3] RUN make", true, 0.0, None)),
                ("app", 0.4, finished(1, "[2/3] RUN make", false, 0.3, Some("content not found"))),
            ],
        );
        assert_eq!(text, "#1 [2/3] RUN make\n#1 CACHED\n#1 ERROR: content not found");
    }

    #[test]
    fn colours_end_where_their_line_ends() {
        let text = print(
            1,
            Colour::Always,
            &[
                ("app", 0.0, started(1, "RUN x")),
                ("app", 0.0, log(1, "\u{1b}[2K\u{1b}[31mred")),
                ("app", 0.0, log(1, "plain\u{1b}]0;title\u{7}")),
                ("app", 0.0, finished(1, "RUN x", true, 0.0, None)),
            ],
        );
        assert_eq!(
            text,
            "#1 \u{1b}[1mRUN x\u{1b}[0m\n#1 0.000 \u{1b}[31mred\u{1b}[0m\n#1 0.000 plain\n#1 \u{1b}[32mCACHED\u{1b}[0m"
        );
    }

    #[test]
    fn no_line_of_a_build_can_begin_a_line_of_ours() {
        let events = [
            started(1, "a\n::error::x"),
            log(1, "::add-mask::\n::error::x"),
            finished(1, "a", false, 0.0, Some("x\n::error::y")),
        ];
        let mut progress = Progress::new(1, Colour::Never);
        for line in events.iter().flat_map(|event| progress.lines("app", event, Duration::ZERO)) {
            assert!(line.is_empty() || line.starts_with('#'), "{line}");
        }
    }
}

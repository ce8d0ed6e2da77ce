//! The classic builder's events as progress while it builds, and as steps at the end. Times are our own clock's: the
//! builder tells none.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::buildkit::mask::Masks;
use crate::buildkit::trace::{Event, TAIL_LINES};
use crate::engine::{ClassicEvent, EngineError};
use crate::outcome::build::{CacheSource, Interval, OperationKind, OperationOutcome, StepOutcome, StepStatus};
use crate::outcome::from_trace::SHOWN_LINES;

/// How BuildKit calls it, so that reports of both read alike.
const LOAD_CONTEXT: &str = "[internal] load build context";
const TRANSFER: &str = "transferring context";
const UPLOAD: u32 = 1;
/// BuildKit's word for what was cut short.
const CANCELLED: &str = "context canceled";

/// How a build ended.
#[derive(Debug)]
pub(super) enum Ended {
    Built { image_id: String },
    Failed { message: String, code: Option<i64> },
    Broken(EngineError),
    Silent,
    Cancelled,
}

/// A step in the terms by which BuildKit names its place: the stage, and the position that counts only what BuildKit
/// counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// As in [`StepOutcome::name`].
    pub(super) name: String,
    /// Its name, else `stage-N`.
    pub(super) stage: String,
    /// As BuildKit counts.
    pub(super) position: u32,
}

/// Reads one build.
pub(super) struct Reader<'a> {
    masks: &'a Masks,
    running: Option<Running>,
    /// The last thing that ran, if it failed.
    failed: Option<Running>,
    stages: Stages,
    ended: Option<Ended>,
    steps: Vec<StepOutcome>,
    other: Vec<OperationOutcome>,
}

/// What is being done.
#[derive(Debug)]
struct Running {
    number: u32,
    name: String,
    what: What,
    cached: bool,
    begun: Duration,
    tail: VecDeque<String>,
    /// Sizes of the base image's layers: not every message of a pull has them.
    layers: BTreeMap<String, u64>,
}

#[derive(Debug)]
enum What {
    /// A step that BuildKit counts as well, which makes the figures of both comparable.
    Step {
        position: u32,
        of: u32,
        instruction: String,
        step: Step,
        stage: Option<String>,
    },
    Operation(OperationKind),
}

impl<'a> Reader<'a> {
    pub(super) fn new(masks: &'a Masks) -> Self {
        Self {
            masks,
            running: None,
            failed: None,
            stages: Stages::default(),
            ended: None,
            steps: Vec::new(),
            other: Vec::new(),
        }
    }

    /// The context is being sent. The builder begins when it has all of it.
    pub(super) fn begin_upload(&mut self, at: Duration) -> Event {
        let what = What::Operation(OperationKind::Internal);
        self.begin(UPLOAD, LOAD_CONTEXT.to_owned(), what, at)
    }

    /// So much of the context has been sent.
    pub(super) fn uploading(&self, bytes: u64) -> Option<Event> {
        self.is_uploading().then(|| transfer(bytes, false))
    }

    /// Takes in what the builder told; gives what there is to tell.
    pub(super) fn read(&mut self, event: ClassicEvent, uploaded: u64, at: Duration) -> Vec<Event> {
        let mut events = Vec::new();
        if self.is_uploading() {
            events.push(transfer(uploaded, true));
            events.extend(self.finish(None, at));
        }
        match event {
            ClassicEvent::Step { number, of, instruction } => {
                events.extend(self.finish(None, at));
                events.push(self.begin_step(number, of, &instruction, at));
            }
            ClassicEvent::Cached => {
                if let Some(running) = &mut self.running {
                    running.cached = true;
                }
            }
            ClassicEvent::Layer { .. } => events.extend(self.finish(None, at)),
            ClassicEvent::Log { line } => events.extend(self.log(&line)),
            ClassicEvent::Pull { layer, status, current, total } => {
                events.extend(self.pull(layer, &status, current, total));
            }
            ClassicEvent::Image { id } => self.ended = Some(Ended::Built { image_id: id }),
            ClassicEvent::Failed { message, code } => self.ended = Some(Ended::Failed { message, code }),
        }
        events
    }

    /// What the builder said of the end, once it says nothing more.
    pub(super) fn ended(&mut self) -> Ended {
        self.ended.take().unwrap_or(Ended::Silent)
    }

    /// The end, however it came; `context` is what went wrong with the context.
    pub(super) fn end(&mut self, ended: &Ended, context: Option<&str>, at: Duration) -> Option<Event> {
        let error = match (ended, context) {
            (Ended::Cancelled, _) => Some(CANCELLED.to_owned()),
            (_, Some(context)) => Some(context.to_owned()),
            (Ended::Failed { message, .. }, None) => Some(message.clone()),
            (Ended::Broken(error), None) => Some(crate::error::chain(error)),
            (Ended::Silent, None) => Some("the engine said nothing more".to_owned()),
            (Ended::Built { .. }, None) => None,
        };
        let error = error.map(|error| self.masks.apply(&error).into_owned());
        self.finish(error.as_deref(), at)
    }

    /// The step that failed, if it was a step.
    pub(super) fn failed_step(&self) -> Option<&Step> {
        match &self.failed.as_ref()?.what {
            What::Step { step, .. } => Some(step),
            What::Operation(_) => None,
        }
    }

    /// The last lines of what failed.
    pub(super) fn tail(&self) -> Vec<String> {
        let Some(failed) = &self.failed else { return Vec::new() };
        let surplus = failed.tail.len().saturating_sub(SHOWN_LINES);
        failed.tail.iter().skip(surplus).cloned().collect()
    }

    /// The steps, and everything else.
    pub(super) fn into_outcome(self) -> (Vec<StepOutcome>, Vec<OperationOutcome>) {
        (self.steps, self.other)
    }

    fn is_uploading(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.number == UPLOAD)
    }

    fn begin_step(&mut self, number: u32, of: u32, instruction: &str, at: Duration) -> Event {
        let counted = self.stages.read(instruction);
        let instruction = self.masks.apply(instruction).into_owned();
        let stage = self.stages.name.clone();
        let name = match &stage {
            Some(stage) => format!("[{stage} {number}/{of}] {instruction}"),
            None => format!("[{number}/{of}] {instruction}"),
        };
        let what = match counted {
            Counted::Step => {
                let step = Step { name: name.clone(), stage: self.stages.label(), position: self.stages.position };
                What::Step { position: number, of, instruction, step, stage }
            }
            Counted::Base => What::Operation(OperationKind::Base),
            Counted::No => What::Operation(OperationKind::Other),
        };
        self.begin(number.saturating_add(UPLOAD), name, what, at)
    }

    fn begin(&mut self, number: u32, name: String, what: What, begun: Duration) -> Event {
        let started = Event::Started { number, name: name.clone(), executes: false };
        let (tail, layers) = (VecDeque::new(), BTreeMap::new());
        self.running = Some(Running { number, name, what, cached: false, begun, tail, layers });
        started
    }

    fn log(&mut self, line: &str) -> Option<Event> {
        let line = self.masks.apply(line).into_owned();
        let running = self.running.as_mut()?;
        if running.tail.len() == TAIL_LINES {
            running.tail.pop_front();
        }
        running.tail.push_back(line.clone());
        Some(Event::Log { number: running.number, line })
    }

    fn pull(&mut self, layer: Option<String>, status: &str, current: u64, total: u64) -> Option<Event> {
        let running = self.running.as_mut()?;
        let completed = matches!(status, "Pull complete" | "Already exists");
        match layer {
            Some(id) if completed => {
                let size = running.layers.remove(&id).unwrap_or(0);
                Some(Event::Progress { number: running.number, id, current: size, total: size, completed })
            }
            Some(id) if status == "Downloading" => {
                running.layers.insert(id.clone(), total);
                Some(Event::Progress { number: running.number, id, current, total, completed })
            }
            // Waiting, verifying, extracting: too much to tell.
            Some(_) if !status.starts_with("Pulling from ") => None,
            Some(_) | None => self.log(status),
        }
    }

    /// Ends what is running.
    fn finish(&mut self, error: Option<&str>, at: Duration) -> Option<Event> {
        let running = self.running.take()?;
        let interval = Interval { start: running.begun, end: at };
        let event = Event::Finished {
            number: running.number,
            name: running.name.clone(),
            cached: running.cached,
            duration: interval.length(),
            error: error.map(str::to_owned),
        };
        let name = running.name.clone();
        match &running.what {
            What::Step { position, of, instruction, stage, .. } => self.steps.push(StepOutcome {
                name,
                stage: stage.clone(),
                position: *position,
                of: *of,
                instruction: instruction.clone(),
                cached: running.cached,
                // The builder has no records beside the images: an image is what its cache finds.
                source: if running.cached { CacheSource::Image } else { CacheSource::None },
                status: match error {
                    None => StepStatus::Done,
                    Some(CANCELLED) => StepStatus::Cancelled,
                    Some(_) => StepStatus::Failed,
                },
                intervals: vec![interval],
                reason: None,
                critical: false,
            }),
            What::Operation(kind) => {
                let error = error.map(str::to_owned);
                let intervals = vec![interval];
                self.other.push(OperationOutcome { name, kind: *kind, intervals, error, critical: false });
            }
        }
        self.failed = error.is_some().then_some(running);
        Some(event)
    }
}

fn transfer(bytes: u64, completed: bool) -> Event {
    Event::Progress { number: UPLOAD, id: TRANSFER.to_owned(), current: bytes, total: 0, completed }
}

/// Keeps track of the stage, and of the positions that BuildKit would give.
#[derive(Debug, Default)]
struct Stages {
    /// The names of all so far.
    names: Vec<Option<String>>,
    /// The current one's.
    name: Option<String>,
    position: u32,
}

/// What an instruction counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    Step,
    Base,
    No,
}

impl Stages {
    fn read(&mut self, instruction: &str) -> Counted {
        let mut words = instruction.split_whitespace();
        let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
        match keyword.as_str() {
            "FROM" => {
                let mut words = words.skip_while(|word| word.starts_with("--"));
                let base = words.next().unwrap_or_default();
                let named = words.next().is_some_and(|word| word.eq_ignore_ascii_case("AS"));
                // BuildKit has no step of its own for these.
                self.position = u32::from(base != "scratch" && !self.is_stage(base));
                self.name = words.next().filter(|_| named).map(str::to_owned);
                self.names.push(self.name.clone());
                Counted::Base
            }
            "WORKDIR" if words.eq(["/"]) => Counted::No,
            "RUN" | "COPY" | "ADD" | "WORKDIR" => {
                self.position += 1;
                Counted::Step
            }
            _ => Counted::No,
        }
    }

    fn is_stage(&self, base: &str) -> bool {
        self.names.iter().flatten().any(|name| name.eq_ignore_ascii_case(base))
    }

    /// As BuildKit calls the current stage.
    fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("stage-{}", self.names.len().saturating_sub(1)))
    }
}

#[cfg(test)]
mod tests;

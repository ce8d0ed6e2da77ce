//! The builder's progress (`Control.Status`): events as they happen, vertices and steps at the end.

mod collector;
mod event;
mod log;
mod name;

pub use collector::Collector;
pub use event::Event;
pub use name::{Kind, StepName, parse as parse_name};

use std::time::{Duration, SystemTime};

/// How many of its last lines are kept of each vertex.
pub const TAIL_LINES: usize = 40;

/// Everything that the builder told about one solve, texts masked, vertices in a stable order: stages in the order in
/// which they were first reported, steps by their position, everything else where it was first reported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// The vertices.
    pub vertices: Vec<Vertex>,
    /// When a solve that was not finished broke off, by the builder's clock: what was at work then has no other end.
    pub broke_off: Option<SystemTime>,
}

/// One vertex, all reports of its digest merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vertex {
    /// Its digest: the same operation with the same inputs has the same digest in every solve.
    pub digest: String,
    /// Digests of the vertices it needs.
    pub inputs: Vec<String>,
    /// The builder's name of it, masked.
    pub name: String,
    /// What the name says that it is.
    pub kind: Kind,
    /// Whether **any** report said that it came from a cache. On the containerd image store a cached step is reported
    /// again with `cached=false` while its layer is unpacked.
    pub cached: bool,
    /// Every time span in which it ran. An end that was never reported is absent.
    pub intervals: Vec<Span>,
    /// Its error, masked.
    pub error: Option<String>,
    /// Its last lines, masked.
    pub tail: Vec<String>,
    /// Bytes of its transfers, if it had any (`transferring context`, …).
    pub transferred: u64,
}

/// A span of the builder's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// When it began.
    pub start: SystemTime,
    /// When it ended, if it did.
    pub end: Option<SystemTime>,
}

impl Span {
    /// Its length; nothing for one that never ended.
    pub fn length(&self) -> Duration {
        self.end.and_then(|end| end.duration_since(self.start).ok()).unwrap_or_default()
    }
}

impl Vertex {
    /// Time that it ran, all spans together.
    pub fn duration(&self) -> Duration {
        self.intervals.iter().map(Span::length).sum()
    }
}

impl Trace {
    /// The Dockerfile steps: what counts. Internal operations, base images, imports and exports do not.
    pub fn steps(&self) -> impl Iterator<Item = (&Vertex, &StepName)> {
        self.vertices.iter().filter_map(|vertex| match &vertex.kind {
            Kind::Step(step) => Some((vertex, step)),
            Kind::Internal | Kind::Base | Kind::CacheImport { .. } | Kind::Export | Kind::Other => None,
        })
    }

    /// Whether a cache import could be read.
    pub fn has_import(&self) -> bool {
        let read = |vertex: &Vertex| matches!(vertex.kind, Kind::CacheImport { .. }) && vertex.error.is_none();
        self.vertices.iter().any(read)
    }

    /// The vertex that failed, if one did: the one whose error the solve's `message` tells, else the first whose error
    /// is its own and not a consequence.
    pub fn failed(&self, message: &str) -> Option<&Vertex> {
        let own = |vertex: &&Vertex| {
            let error = vertex.error.as_deref().filter(|error| !error.contains("context canceled"));
            error.is_some() && !matches!(vertex.kind, Kind::CacheImport { .. })
        };
        let told = |vertex: &&Vertex| vertex.error.as_deref().is_some_and(|error| message.contains(error));
        self.vertices.iter().filter(own).find(told).or_else(|| self.vertices.iter().find(own))
    }
}

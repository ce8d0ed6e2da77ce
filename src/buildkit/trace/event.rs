//! The builder's progress (`Control.Status`), turned into events as they happen and into steps at the end.

use std::time::Duration;

/// Something that happened in a build, in the order in which the builder told it. Texts are masked already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A vertex began.
    Started {
        /// Its number in this build, from 1, in the order of first report (as `#3` in `--progress=plain`).
        number: u32,
        /// Its name, as `[build 2/5] RUN make`.
        name: String,
        /// Whether it is a step of the Dockerfile that the builder now executes, instead of taking it from a cache.
        ///
        /// Not said of a step without inputs, as `COPY <<EOF /file` right after `FROM scratch`: the builder reports
        /// such a step as begun whenever it computes its cache key (`sharedOp.CacheMap`). The classic builder, which tells it afterwards, never says it.
        executes: bool,
    },
    /// A vertex printed a line.
    Log {
        /// Its number.
        number: u32,
        /// The line, without its end.
        line: String,
    },
    /// A vertex ended.
    Finished {
        /// Its number.
        number: u32,
        /// Its name.
        name: String,
        /// Whether it came from a cache.
        cached: bool,
        /// Time that it ran.
        duration: Duration,
        /// Its error, if it had one.
        error: Option<String>,
    },
    /// A part of a vertex moved on: bytes of a transfer, a layer of an export.
    Progress {
        /// The vertex's number.
        number: u32,
        /// What moved: `transferring context`, `sha256:… `.
        id: String,
        /// Units done.
        current: u64,
        /// Units in all, 0 if unknown.
        total: u64,
        /// Whether it is complete.
        completed: bool,
    },
    /// The Dockerfile frontend warned about something.
    Warning {
        /// The short text.
        short: String,
        /// URL of an explanation.
        url: Option<String>,
        /// First line in the Dockerfile, from 1.
        line: Option<u32>,
    },
}

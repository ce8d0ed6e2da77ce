//! The GitHub runner's protocol: context and event, workflow commands, file commands, signals.
//!
//! Nothing here decides anything about builds. Everything works without a runner too: at a terminal commands become
//! readable lines, and what the runner's files would hold is printed.

mod class;
mod commands;
mod context;
mod debug;
mod environment;
mod escape;
mod exit;
mod files;
mod git;
mod masking;
mod signals;

pub use class::class;
pub use commands::{Annotation, Console, Level, Mode};
pub use context::{Context, RunnerKind};
pub use debug::trace_to;
pub use environment::Environment;
pub use exit::ExitCode;
pub use files::{FileCommandError, FileCommands, MAX_SUMMARY_BYTES, Sink};
pub use masking::{mask, secrets};
pub use signals::{Cancellation, Signal};

//! The job summary: one screen of Markdown that says how long, how much was cached, and what was slow.

mod build;
mod clear;
mod document;
mod escape;
mod failure;
mod hints;
mod images;
mod time;
mod timeline;
mod trend;

pub use build::{build, for_check};
pub use clear::clear;

/// The largest summary in bytes. GitHub drops a step's summary whole if it is over 1 MiB
/// (`CreateStepSummaryCommand` in actions/runner), and masking a secret can make it longer after us.
pub const LIMIT: usize = 900 * 1024;

/// The largest text of a check run or a comment. GitHub takes 65,535 characters of either (`output.summary` and
/// `output.text` in its OpenAPI description); a character has at least one byte.
pub const CHECK_LIMIT: usize = 65_535;

/// Longest name of a step in a table, in characters: what fits a line of GitHub's page, twice.
const STEP_NAME: usize = 120;

/// Longest name of a step in a table with a column of words beside it, in characters.
const NAME_IN_TABLE: usize = 80;

/// Longest sentence of somebody else's (an error, a reason, a warning), in characters.
const SENTENCE: usize = 600;

/// A sentence from outside, escaped.
fn sentence(raw: &str) -> String {
    escape::text(&crate::report::plain::shorten(&crate::report::plain::one_line(raw), SENTENCE))
}

/// A name from outside (an image, a step, a file) as inline code.
fn name(raw: &str) -> String {
    escape::code(raw, STEP_NAME)
}

#[cfg(test)]
mod tests;

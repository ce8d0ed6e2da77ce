//! What a person and a machine read afterwards: summary, outputs, annotations, progress.
//!
//! Every report is a pure function of the outcome; what writes them, and what happens if that fails, is not decided here.

pub mod annotation;
pub mod check;
mod clear_tally;
pub mod console;
#[cfg(test)]
pub(crate) mod fixtures;
mod headline;
pub mod hidden;
pub mod json;
pub mod outputs;
mod plain;
pub mod progress;
pub mod summary;
mod tally;
pub mod units;
pub mod unreported;
pub(crate) mod words;

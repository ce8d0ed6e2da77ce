//! Builds Docker images with the previous images as the cache, clears every cache provably, and reports where the time went.
//!
//! The flow, and the order in which to read this crate:
//!
//! ```text
//! inputs + runner + project (what to build) -> survey (what exists) -> plan -> execute -> outcome -> report
//! ```
//!
//! Data is typed at every arrow, decisions are pure functions, effects sit at the edge.

pub mod address;
pub mod buildkit;
pub mod cache;
pub mod engine;
pub mod error;
pub mod execute;
pub mod github;
pub mod image;
pub mod inputs;
pub mod outcome;
pub mod patterns;
pub mod plan;
pub mod project;
pub mod registry;
pub mod report;
pub mod run;
pub mod runner;
pub mod secret;
pub mod survey;

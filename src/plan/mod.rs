//! Plans: pure functions from what is asked and what exists to what will be done.

pub mod build;
pub mod clear;

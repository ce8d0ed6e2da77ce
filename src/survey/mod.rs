//! What exists now: on the engine and in its builder.

pub mod cache;
pub mod clear;
pub mod packages;

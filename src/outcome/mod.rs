//! What happened: plain data that every report is made from, and nothing else is.
//!
//! Nothing in here holds a secret: texts that came from a build are masked before they are put in.

pub mod advice;
pub mod advise;
pub mod baseline;
pub mod build;
pub mod clear;
pub mod critical;
pub mod from_trace;
pub mod known;
pub mod push;
pub mod reason;
pub mod record;
pub mod why;

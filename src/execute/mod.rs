//! Carries out plans.

pub mod build;
pub mod clear;

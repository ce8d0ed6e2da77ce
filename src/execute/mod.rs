//! Carries out plans.

pub mod clear;

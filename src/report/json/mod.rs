//! The machine-readable result: versioned, so that what reads it can tell what it reads.

pub mod v1;

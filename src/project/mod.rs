//! What to build: Compose files or a Dockerfile, read into [`target::Target`]s.

pub mod compose;
pub mod dockerfile;
pub mod target;

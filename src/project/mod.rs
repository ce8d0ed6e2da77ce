//! What to build: Compose files or a Dockerfile, read into [`target::Target`]s.

pub mod compose;
pub mod context_tar;
pub mod dockerfile;
mod error;
mod resolve;
pub mod target;

pub use error::ProjectError;
pub use resolve::{Request, resolve};

use crate::project::target::Target;
use dockerfile::Dockerfile;

/// A project: what there is to build.
#[derive(Debug, Clone)]
pub struct Project {
    /// The images to build.
    pub targets: Vec<Target>,
    /// The Dockerfile of each, where it could be read beforehand.
    pub dockerfiles: Vec<Option<Dockerfile>>,
    /// Other images of the project, which this run does not build: two of one repository are told apart by their services.
    pub others: Vec<Target>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

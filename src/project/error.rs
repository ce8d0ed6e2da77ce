//! What makes a project impossible to build, found before any engine is asked.

use std::io;
use std::path::PathBuf;

use super::compose::ComposeErrors;
use super::dockerfile::DockerfileError;

/// Why a project cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// The Compose files are wrong, in one or more places.
    #[error(transparent)]
    Compose(#[from] ComposeErrors),
    /// The context is not a directory.
    #[error("build {target}: the context '{}' {problem}", path.display())]
    Context {
        /// The target.
        target: String,
        /// The path.
        path: PathBuf,
        /// `does not exist`, `is not a directory`.
        problem: &'static str,
    },
    /// The Dockerfile cannot be read.
    #[error("build {target}: read the Dockerfile '{}'", path.display())]
    Dockerfile {
        /// The target.
        target: String,
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The Dockerfile cannot be understood.
    #[error("build {target}: {}", path.display())]
    Syntax {
        /// The target.
        target: String,
        /// The Dockerfile.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: DockerfileError,
    },
    /// The Dockerfile has no such stage.
    #[error("build {target}: the stage '{stage}' is not in the Dockerfile, which has {}", list(known))]
    Stage {
        /// The target.
        target: String,
        /// The stage that was asked for.
        stage: String,
        /// Those that there are.
        known: Vec<String>,
    },
}

impl ProjectError {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::Compose(_) => String::new(),
            Self::Context { .. } => {
                "name a directory: `context` is relative to the workspace, a Compose file's to that file; \
                 is the repository checked out?"
                    .to_owned()
            }
            Self::Dockerfile { .. } => {
                "`file` is relative to the workspace, Compose's `dockerfile` to its context".to_owned()
            }
            Self::Syntax { .. } => "correct the Dockerfile".to_owned(),
            Self::Stage { .. } => "set `target` to one of these, or leave it out to build the last one".to_owned(),
        }
    }
}

fn list(stages: &[String]) -> String {
    match stages {
        [] => "no named stages".to_owned(),
        stages => stages.join(", "),
    }
}

//! Why a context cannot be sent, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::patterns::{PatternError, WalkError};

/// Why a context cannot be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    /// The Dockerfile, or the context itself, is not there.
    #[error("find '{}'", path.display())]
    FindDockerfile {
        /// Its path.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The ignore file is there and cannot be read.
    #[error("read ignore file '{}'", path.display())]
    ReadIgnoreFile {
        /// Its path.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A pattern of the ignore file is broken.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The tree could not be walked.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// A file could not be read.
    #[error("read context file '{}'", path.display())]
    ReadFile {
        /// Relative to the context.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// It was there when its directory was listed.
    #[error("context file '{}' was removed while it was sent", path.display())]
    Removed {
        /// Relative to the context.
        path: PathBuf,
    },
    /// It is something else now.
    #[error("context file '{}' was replaced while it was sent", path.display())]
    Replaced {
        /// Relative to the context.
        path: PathBuf,
    },
    /// It has fewer bytes than were announced.
    #[error("context file '{}' became shorter while it was sent", path.display())]
    Shortened {
        /// Relative to the context.
        path: PathBuf,
    },
}

impl ContextError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::FindDockerfile { .. } => "Check `context` and `file`: the path must be inside the workspace.",
            Self::Pattern(source) => source.help(),
            Self::Walk(source) => source.help(),
            Self::ReadIgnoreFile { .. } => "Make it a readable file.",
            Self::ReadFile { .. } => {
                "Make it readable for the user that builds, or exclude it in the .dockerignore file."
            }
            Self::Removed { .. } | Self::Replaced { .. } | Self::Shortened { .. } => {
                "Let nothing write into the build context during a build, or exclude the file in the .dockerignore file."
            }
        }
    }
}

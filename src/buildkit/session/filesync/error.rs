//! Why a directory could not be sent.

use std::error::Error;
use std::io;

use tonic::Status;

use crate::patterns::{PatternError, WalkError};

/// Why a directory could not be sent. Its text, causes included, is what the builder shows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The builder asked for a directory that this build has not offered.
    #[error("no access allowed to dir \"{name}\"")]
    UnknownDirectory {
        /// Its `dir-name`.
        name: String,
    },
    /// A pattern of the ignore file or of the builder is broken.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The tree could not be walked.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// A path that the Dockerfile names could not be looked at.
    #[error("follow context path '{path}'")]
    FollowLink {
        /// Relative to the context.
        path: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The wire format has no place for it.
    #[error("send context file '{name}': its name is not UTF-8")]
    NameNotUtf8 {
        /// With replacement characters.
        name: String,
    },
    /// Likewise for what a symbolic link holds.
    #[error("send context file '{name}': the target of this symbolic link is not UTF-8")]
    TargetNotUtf8 {
        /// The link.
        name: String,
    },
    /// Its target could not be read.
    #[error("read symbolic link '{path}'")]
    ReadLink {
        /// Relative to the context.
        path: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Its extended attributes could not be listed.
    #[error("read extended attributes of '{path}'")]
    ReadAttributes {
        /// Relative to the context.
        path: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// It was there when the tree was walked.
    #[error("context file '{path}' was removed while it was sent")]
    Removed {
        /// Relative to the context.
        path: String,
    },
    /// It is something else now.
    #[error("context file '{path}' was replaced while it was sent")]
    Replaced {
        /// Relative to the context.
        path: String,
    },
    /// Its content could not be read.
    #[error("read context file '{path}'")]
    ReadFile {
        /// Relative to the context.
        path: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The builder asked for something that it was not told of, or twice.
    #[error("invalid file id {id}")]
    InvalidRequest {
        /// The number it asked for.
        id: u32,
    },
    /// The builder gave up.
    #[error("the builder could not receive the context: {message}")]
    Receiver {
        /// Its own words.
        message: String,
    },
    /// The builder went away before the end.
    #[error("the builder stopped receiving the context")]
    Closed,
}

impl SyncError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::UnknownDirectory { .. } => "Name the directory in additional_contexts or build-contexts.",
            Self::Pattern(source) => source.help(),
            Self::Walk(source) => source.help(),
            Self::NameNotUtf8 { .. } | Self::TargetNotUtf8 { .. } => {
                "Rename it, or exclude it in the .dockerignore file."
            }
            Self::Removed { .. } | Self::Replaced { .. } => {
                "Let nothing write into the build context during a build, or exclude the file in the .dockerignore file."
            }
            Self::FollowLink { .. } | Self::ReadLink { .. } | Self::ReadAttributes { .. } | Self::ReadFile { .. } => {
                "Make it readable for the user that builds, or exclude it in the .dockerignore file."
            }
            Self::InvalidRequest { .. } | Self::Receiver { .. } | Self::Closed => {
                "See the engine's log; its disk may be full."
            }
        }
    }

    /// The error and its causes in one line.
    pub(super) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }

    /// `Unknown`, as Go's servers answer with a plain error: builders try another session on some other codes.
    pub(super) fn status(&self) -> Status {
        match self {
            Self::UnknownDirectory { .. } => Status::not_found(self.chain()),
            _ => Status::unknown(self.chain()),
        }
    }
}

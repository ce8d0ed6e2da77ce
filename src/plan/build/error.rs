//! What makes a build impossible before it begins.

/// Why a target cannot be built as it is described.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Targets need each other.
    #[error("build {}: each needs the image of the next", cycle.join(" -> "))]
    Cycle {
        /// Their names, the first one again at the end.
        cycle: Vec<String>,
    },
    /// Something that this engine or builder cannot do.
    #[error("build {target}: {what} {why}")]
    Unsupported {
        /// The target.
        target: String,
        /// The input or key.
        what: &'static str,
        /// Why not.
        why: String,
        /// The way out.
        help: &'static str,
    },
    /// A value that no engine accepts.
    #[error("build {target}: {what} '{value}' {why}")]
    Invalid {
        /// The target.
        target: String,
        /// The input or key.
        what: &'static str,
        /// The value.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// `push` is set, and no image has a name to be pushed by.
    #[error("push: no image has a name to be pushed by")]
    NothingToPush,
}

impl PlanError {
    /// What to do about it.
    pub fn help(&self) -> &str {
        match self {
            Self::Cycle { .. } => "let one of them build on an image that is not built in the same run",
            Self::Unsupported { help, .. } => help,
            Self::Invalid { .. } => "correct the value",
            Self::NothingToPush => {
                "give the image a name with its registry, as `tags: ghcr.io/org/app:1`; in a Compose file, `image:`"
            }
        }
    }
}

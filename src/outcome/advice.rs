//! What would make the next build faster, where that is sure.

use std::time::Duration;

use super::build::SourceLocation;

/// At most so many are given in one report: the ones that save the most.
pub const MOST: usize = 3;

/// One piece of advice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// The image that it is about, as in [`ImageOutcome::name`](super::build::ImageOutcome::name).
    pub image: String,
    /// Where in the Dockerfile to change something.
    pub location: Option<SourceLocation>,
    /// Time that a build would be shorter by, as far as the last builds tell.
    pub saves: Duration,
    /// What it is.
    pub kind: AdviceKind,
}

/// What can be better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdviceKind {
    /// The commit is declared above steps that it makes run again and that do not need it.
    CommitAboveSteps {
        /// The build argument.
        argument: String,
        /// Names of the steps.
        steps: Vec<String>,
    },
    /// All sources are copied before the dependencies are installed.
    CopyAboveInstall {
        /// The name of the step that copies.
        copy: String,
        /// The name of the step that installs.
        install: String,
        /// The files that the installation needs, as `package.json`.
        needs: Vec<String>,
    },
    /// The cache takes longer than the steps that it spares.
    CacheCostsMore {
        /// Time for import, export and unpacking over the builds.
        costs: Duration,
        /// Time of the steps that were cached over the builds.
        spares: Duration,
        /// How many builds that was.
        builds: u32,
        /// What need not be kept.
        without: Vec<KeptCache>,
    },
    /// Much is sent that no step uses.
    ContextUnused {
        /// Bytes that the context has.
        sent: u64,
        /// Bytes that steps took from it.
        used: u64,
        /// What is largest of what was not used, with its bytes.
        largest: Vec<(String, u64)>,
    },
}

/// What is kept as a cache besides the image itself, because an input says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptCache {
    /// Intermediate stages (`cache-stages`).
    Stages,
    /// All of it in a registry (`cache-to`).
    Registry,
}

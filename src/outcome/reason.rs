//! Why a step was not cached, as far as it is known.

/// Why a step ran although it might have come from a cache, with the evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MissReason {
    /// No earlier build of this image is known.
    FirstBuild,
    /// It is the first build after a clear.
    Cleared,
    /// The person asked for it: `no-cache`, or `no-cache-filters` with this stage.
    Asked,
    /// The image that the earlier build left as a cache is gone, and the builder does not hold the step either.
    CacheImageAbsent {
        /// The image's name.
        image: String,
    },
    /// A cache source could not be read.
    SourceUnreadable {
        /// As the person wrote it.
        source: String,
        /// Why, in the engine's words.
        reason: String,
    },
    /// The stage is built on another image than before, or the step copies from another.
    BaseChanged {
        /// Its name as the Dockerfile writes it.
        reference: String,
        /// Its digest in the earlier build.
        before: String,
        /// Its digest now.
        now: String,
    },
    /// The instruction is another one, or new at its place.
    InstructionChanged,
    /// What the step is done with is another: its `FROM`, or an `ENV`, `USER` or `SHELL` above it.
    SettingChanged {
        /// The instruction's keyword: `ENV`.
        keyword: String,
    },
    /// A build argument that the step uses has another value.
    ArgumentChanged {
        /// Its name.
        name: String,
    },
    /// Files that the step takes from its context have another content, are new or are gone.
    FilesChanged(ChangedFiles),
    /// The content of these files is the same; only their mode or owner is another.
    ModeChanged(ChangedFiles),
    /// A step that this one builds on ran, in its own stage or in one that it takes from.
    EarlierStep {
        /// The name of the first step of them that ran, as in [`StepOutcome::name`](super::build::StepOutcome::name).
        step: String,
    },
    /// Nothing that is known explains it.
    Unknown,
}

/// Files that differ from the earlier build's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangedFiles {
    /// At most five of them, relative to their context.
    pub names: Vec<String>,
    /// How many more there are.
    pub more: usize,
    /// How many besides are gone: a ledger does not know the names of files.
    pub gone: usize,
}

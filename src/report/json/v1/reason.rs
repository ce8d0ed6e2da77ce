//! Why a step was not cached.

use serde::Serialize;

use super::{NAME, SENTENCE, short};
use crate::outcome::reason::{ChangedFiles, MissReason};

/// Why a step was not cached: a `kind`, with the fields that this kind has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Reason {
    /// No earlier build of the image is known.
    FirstBuild,
    /// It is the first build after a clear.
    Cleared,
    /// `no-cache` or `no-cache-filters`.
    Asked,
    /// The image that held its layer is gone.
    CacheImageAbsent {
        /// The image's name.
        image: String,
    },
    /// A cache source could not be read.
    SourceUnreadable {
        /// As it was written.
        source: String,
        /// Why.
        reason: String,
    },
    /// What it is built on, or copies from, is another image.
    BaseChanged {
        /// As the Dockerfile writes it.
        reference: String,
        /// Its digest in the earlier build.
        before: String,
        /// Its digest now.
        now: String,
    },
    /// The instruction is another one, or new at its place.
    InstructionChanged,
    /// An instruction above, which is no step, is another one.
    SettingChanged {
        /// Its keyword: `FROM`, `ENV`, `USER`, `SHELL`.
        keyword: String,
    },
    /// A build argument has another value.
    ArgumentChanged {
        /// Its name.
        name: String,
    },
    /// Files have another content, are new or are gone.
    FilesChanged(Files),
    /// Files have another mode or owner, and the same content.
    ModeChanged(Files),
    /// A step that it builds on ran.
    EarlierStep {
        /// That step's name.
        step: String,
    },
    /// Nothing that is known explains it.
    Unknown,
}

/// Files that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Files {
    /// At most five, relative to their context.
    pub files: Vec<String>,
    /// How many more.
    pub more: usize,
    /// How many besides are gone.
    pub gone: usize,
}

impl Reason {
    /// The reason of an outcome.
    pub(super) fn of(reason: &MissReason) -> Self {
        match reason {
            MissReason::FirstBuild => Self::FirstBuild,
            MissReason::Cleared => Self::Cleared,
            MissReason::Asked => Self::Asked,
            MissReason::CacheImageAbsent { image } => Self::CacheImageAbsent { image: short(image, NAME) },
            MissReason::SourceUnreadable { source, reason } => {
                Self::SourceUnreadable { source: short(source, NAME), reason: short(reason, SENTENCE) }
            }
            MissReason::BaseChanged { reference, before, now } => Self::BaseChanged {
                reference: short(reference, NAME),
                before: short(before, NAME),
                now: short(now, NAME),
            },
            MissReason::InstructionChanged => Self::InstructionChanged,
            MissReason::SettingChanged { keyword } => Self::SettingChanged { keyword: short(keyword, NAME) },
            MissReason::ArgumentChanged { name } => Self::ArgumentChanged { name: short(name, NAME) },
            MissReason::FilesChanged(files) => Self::FilesChanged(Files::of(files)),
            MissReason::ModeChanged(files) => Self::ModeChanged(Files::of(files)),
            MissReason::EarlierStep { step } => Self::EarlierStep { step: short(step, NAME) },
            MissReason::Unknown => Self::Unknown,
        }
    }
}

impl Files {
    fn of(files: &ChangedFiles) -> Self {
        let names = files.names.iter().map(|name| short(name, NAME)).collect();
        Self { files: names, more: files.more, gone: files.gone }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Reason;
    use crate::outcome::reason::{ChangedFiles, MissReason};

    #[test]
    fn every_reason_has_a_kind_and_its_evidence() {
        let files = || ChangedFiles { names: vec!["src/a".into(), "b\nc".into()], more: 2, gone: 1 };
        for (reason, expected) in [
            (MissReason::FirstBuild, json!({"kind": "first-build"})),
            (MissReason::Cleared, json!({"kind": "cleared"})),
            (MissReason::Asked, json!({"kind": "asked"})),
            (
                MissReason::CacheImageAbsent { image: "app:1".into() },
                json!({"kind": "cache-image-absent", "image": "app:1"}),
            ),
            (
                MissReason::SourceUnreadable { source: "r.io/app".into(), reason: "401".into() },
                json!({"kind": "source-unreadable", "source": "r.io/app", "reason": "401"}),
            ),
            (
                MissReason::BaseChanged { reference: "node:$TAG".into(), before: "1".into(), now: "2".into() },
                json!({"kind": "base-changed", "reference": "node:$TAG", "before": "1", "now": "2"}),
            ),
            (MissReason::InstructionChanged, json!({"kind": "instruction-changed"})),
            (
                MissReason::SettingChanged { keyword: "ENV".into() },
                json!({"kind": "setting-changed", "keyword": "ENV"}),
            ),
            (MissReason::ArgumentChanged { name: "A".into() }, json!({"kind": "argument-changed", "name": "A"})),
            (
                MissReason::FilesChanged(files()),
                json!({"kind": "files-changed", "files": ["src/a", "b c"], "more": 2, "gone": 1}),
            ),
            (
                MissReason::ModeChanged(files()),
                json!({"kind": "mode-changed", "files": ["src/a", "b c"], "more": 2, "gone": 1}),
            ),
            (
                MissReason::EarlierStep { step: "[2/3] RUN x".into() },
                json!({"kind": "earlier-step", "step": "[2/3] RUN x"}),
            ),
            (MissReason::Unknown, json!({"kind": "unknown"})),
        ] {
            assert_eq!(serde_json::to_value(Reason::of(&reason)).unwrap(), expected);
        }
    }
}

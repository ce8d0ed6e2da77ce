//! Evidence: what went into a build, as digests, so that the next one can say what changed.
//!
//! A ledger keeps it beside the records. It names no value and no file: values, instructions and contents are digests
//! under the ledger's [`Salt`], cut short; the names of files that changed come from the tree of the build that asks.
//! What it cannot know it says ([`FileChanges::listed`], [`FileChanges::unknown`]) instead of guessing.

mod arguments;
mod changes;
mod contexts;
mod instructions;
mod keyed;
mod pinned;
mod sources;
mod tree;
mod walk;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use arguments::{Declaration, arguments, bases, declarations};
pub use changes::{BaseChange, Changes, StageChange, changes, earlier_stage};
pub use contexts::{MAIN_CONTEXT, contexts, ignored};
pub use instructions::{StageEvidence, instructions};
pub use keyed::{InvalidSalt, Keyed, Salt};
pub use pinned::pinned;
pub use sources::{Taken, taken};
pub use tree::{ContextFiles, FileChanges};

use crate::project::dockerfile::Dockerfile;
use crate::project::target::Target;

/// What went into one build of one image.
///
/// Secrets are not in it in any form: their ids are part of the instructions that use them, and the cache key of a
/// step does not know their values either.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Build arguments by name: what was passed, or the default of an `ARG` above the first `FROM`.
    pub arguments: BTreeMap<String, Keyed>,
    /// Base images by their name as the Dockerfile writes it: the engine's id, `sha256:…`.
    pub bases: BTreeMap<String, String>,
    /// Base images by the same names: the manifest digest that the builder pinned them to, where it did.
    #[serde(default)]
    pub pinned: BTreeMap<String, String>,
    /// The Dockerfile's stages, in their order; none if it could not be read.
    pub stages: Vec<StageEvidence>,
    /// Local contexts by name; the main one is [`MAIN_CONTEXT`].
    pub contexts: BTreeMap<String, ContextFiles>,
}

impl Evidence {
    /// What is known without the engine and without the files: `bases`, `pinned` and `contexts` are empty.
    ///
    /// `dockerfile` comes with the text that it was parsed from.
    pub fn new(salt: &Salt, target: &Target, dockerfile: Option<(&Dockerfile, &str)>) -> Self {
        Self {
            arguments: arguments(salt, target, dockerfile.map(|(dockerfile, _)| dockerfile)),
            stages: dockerfile.map(|(dockerfile, text)| instructions(salt, dockerfile, text)).unwrap_or_default(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests;

//! What can be wrong with an input, and the way out of it.

use std::fmt;

use crate::error::chain;
use crate::image::pattern::PatternError;
use crate::image::{RESERVED_NAMESPACE, ReferenceError};
use crate::inputs::builder::BuilderError;
use crate::inputs::docker_config::DockerConfigError;
use crate::inputs::raw::Origin;
use crate::inputs::selector;
use crate::plan::clear::actions_cache::CacheSelectorError;
use crate::plan::clear::packages::PackageSelectorError;
use crate::registry::RegistrySelectorError;

/// One problem with one input. Its text never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} `{input}`{shown}: {problem}", origin.word())]
pub struct InputError {
    /// The input's name.
    pub input: &'static str,
    /// Where its value came from.
    pub origin: Origin,
    /// What of the value may be shown.
    pub(super) shown: Shown,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What an error shows of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shown {
    /// All of it.
    Value(String),
    /// Only which entry of a list it is, from 1.
    Entry(usize),
    /// Nothing.
    Nothing,
}

impl Shown {
    /// Shows a value as one line that is not too long.
    pub(super) fn value(text: &str) -> Self {
        const LONGEST: usize = 200;
        let line: String = text.escape_debug().take(LONGEST).collect();
        let line = line.replace("\\\"", "\"").replace("\\'", "'");
        Self::Value(if text.chars().count() > LONGEST { line + "…" } else { line })
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(text) => write!(f, ", `{text}`"),
            Self::Entry(number) => write!(f, ", entry {number}"),
            Self::Nothing => Ok(()),
        }
    }
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not one of the spellings of a boolean.
    #[error("is not a boolean")]
    NotBoolean,
    /// Not one of the words that the input takes.
    #[error("is not one of {allowed}")]
    NotOneOf {
        /// The words, each in backticks.
        allowed: String,
    },
    /// Declared so that it is not ignored in silence; it cannot be done, or not yet.
    #[error("{why}")]
    Refused {
        /// Why not.
        why: &'static str,
        /// What to do instead.
        way_out: &'static str,
    },
    /// Another input says the opposite.
    #[error("cannot be combined with `{with}`")]
    Conflict {
        /// The other input.
        with: &'static str,
        /// Which to leave out, and when.
        way_out: &'static str,
    },
    /// It needs another input.
    #[error("means nothing without `{needs}`")]
    Needs {
        /// The other input.
        needs: &'static str,
    },
    /// The list syntax is broken.
    #[error("the quote that opens on line {line} is never closed")]
    UnclosedQuote {
        /// The line of the value, from 1.
        line: usize,
    },
    /// The text does not have the form that it must have.
    #[error("is not {what}")]
    Malformed {
        /// What it should be, with its article.
        what: &'static str,
        /// An example or a pattern.
        form: &'static str,
    },
    /// Not an image reference.
    #[error("is not an image reference: {0}")]
    Reference(ReferenceError),
    /// Not a pattern of images.
    #[error("is not a pattern of images: {0}")]
    Pattern(PatternError),
    /// Not an entry for a package.
    #[error("does not name versions of a package: {0}")]
    Package(PackageSelectorError),
    /// Not an entry for Actions caches.
    #[error("does not name Actions caches: {0}")]
    ActionsCache(CacheSelectorError),
    /// A name that this program keeps for itself.
    #[error("lies in the namespace `{RESERVED_NAMESPACE}/`, which holds this action's own images")]
    Reserved,
    /// A digest names what is built already.
    #[error("has a digest, which only a registry gives to an image")]
    DigestInTag,
    /// The id of a secret is given twice.
    #[error("its id was given before")]
    DuplicateId,
    /// An environment variable that should hold the value is not set.
    #[error("the environment variable `{name}` is not set")]
    UnsetVariable {
        /// Its name.
        name: String,
    },
    /// An agent was asked for and there is none.
    #[error("there is no SSH agent: the environment variable `SSH_AUTH_SOCK` is not set")]
    NoAgent,
    /// A Docker configuration that cannot be used.
    #[error("{0}")]
    DockerConfig(DockerConfigError),
    /// A builder that cannot be used.
    #[error("{0}")]
    Builder(BuilderError),
    /// Not tags of a registry.
    #[error("does not name tags of a registry: {}", chain(.0))]
    Registry(RegistrySelectorError),
    /// A clear of a place that names nothing there.
    #[error("`{scope}` is to be cleared, and nothing says what of it")]
    NothingNamed {
        /// The word of `scope`.
        scope: &'static str,
    },
    /// A clear of images that names none.
    #[error("the images are to be cleared, and nothing says which")]
    NothingToClear,
}

impl InputError {
    /// What to do about it.
    pub fn help(&self) -> String {
        self.problem.help()
    }
}

impl Problem {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::NotBoolean => "write `true` or `false`".to_owned(),
            Self::NotOneOf { allowed } => format!("write one of {allowed}, or leave it unset"),
            Self::Refused { way_out, .. } | Self::Conflict { way_out, .. } => (*way_out).to_owned(),
            Self::Needs { needs } => format!("leave it unset, or set `{needs}` as well"),
            Self::UnclosedQuote { .. } => {
                "close it, and write a quote inside of a quoted entry twice (`\"\"`)".to_owned()
            }
            Self::Malformed { form, .. } => format!("write it as {form}"),
            Self::Reference(_) => "write it as `[host/]name[:tag]`, in lower case".to_owned(),
            Self::Pattern(error) => error.help().to_owned(),
            Self::Package(error) => error.help().to_owned(),
            Self::ActionsCache(error) => error.help().to_owned(),
            Self::Reserved => "choose another name".to_owned(),
            Self::DigestInTag => "leave the part from `@` on out".to_owned(),
            Self::DuplicateId => "give every secret an id of its own, over all inputs for secrets".to_owned(),
            Self::UnsetVariable { name } => {
                format!("set `{name}` in the `env:` of the step, or leave the entry out")
            }
            Self::NoAgent => {
                "name a key file inside the workspace, as `default=path`; a container action does not see an agent of the host"
                    .to_owned()
            }
            Self::DockerConfig(error) => error.help().to_owned(),
            Self::Builder(error) => error.help(),
            Self::Registry(error) => error.help().to_owned(),
            Self::NothingNamed { scope } => format!("name it in `images`, as `{}`, or leave it out", selector::example(scope)),
            Self::NothingToClear => {
                "set `compose-file`, `tags` or `images`; or `scope: builder`, to clear the builder cache alone".to_owned()
            }
        }
    }
}

/// Words in backticks, with commas.
pub(super) fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

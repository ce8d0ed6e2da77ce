//! What became of the pushes: each image's tags, one by one.

mod cause;

pub use cause::{Cause, Login, help};

use super::build::Interval;

/// What became of `push`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Pushes {
    /// It was not asked for.
    #[default]
    NotAsked,
    /// It was asked for, and nothing was pushed.
    Withheld(Withheld),
    /// These images were pushed, or should have been, in the order of the build.
    Tried(Vec<ImagePush>),
}

/// Why nothing was pushed. What is pushed together is meant to be used together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withheld {
    /// Not every image was built.
    NotBuilt,
    /// `fail-if-stale` is set, and a cache served the first build after a clear.
    Stale,
}

/// What became of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePush {
    /// What the person calls it, as in the build's outcome.
    pub image: String,
    /// When it was pushed, from the run's start.
    pub interval: Interval,
    /// Its tags, in the order in which they were pushed.
    pub tags: Vec<TagPush>,
}

/// What became of one tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagPush {
    /// The tag with its repository: `ghcr.io/org/app:1`.
    pub tag: String,
    /// The registry's digest (`sha256:…`), or why there is none.
    pub result: Result<String, NotPushed>,
}

/// Why a tag is not in its registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotPushed {
    /// The push failed.
    Failed(PushProblem),
    /// It was not tried, because another tag of its repository was not pushed: the layers are the same, and so is the answer.
    NotTried {
        /// The other tag.
        because: String,
    },
    /// The run was cancelled before.
    Cancelled,
}

/// Why a push failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushProblem {
    /// In the engine's words, without secrets.
    pub message: String,
    /// What to do about it, where that is known.
    pub help: Option<String>,
}

impl Pushes {
    /// The images that were tried.
    pub fn tried(&self) -> &[ImagePush] {
        match self {
            Self::Tried(images) => images,
            Self::NotAsked | Self::Withheld(_) => &[],
        }
    }

    /// The tags that should be in their registry and are not, with the reason.
    pub fn missing(&self) -> impl Iterator<Item = (&str, &NotPushed)> {
        let tags = self.tried().iter().flat_map(|image| &image.tags);
        tags.filter_map(|tag| Some((tag.tag.as_str(), tag.result.as_ref().err()?)))
    }

    /// Those of them whose push failed.
    pub fn problems(&self) -> impl Iterator<Item = (&str, &PushProblem)> {
        self.missing().filter_map(|(tag, why)| match why {
            NotPushed::Failed(problem) => Some((tag, problem)),
            NotPushed::NotTried { .. } | NotPushed::Cancelled => None,
        })
    }

    /// The tags that are in their registry, with their digest.
    pub fn pushed(&self) -> impl Iterator<Item = (&str, &str)> {
        let tags = self.tried().iter().flat_map(|image| &image.tags);
        tags.filter_map(|tag| Some((tag.tag.as_str(), tag.result.as_ref().ok()?.as_str())))
    }

    /// Whether something that was built is not in its registry, although it was asked for.
    pub fn failed(&self) -> bool {
        self.missing().next().is_some()
    }
}

impl ImagePush {
    /// The registry's digest of the image, if a tag of it was pushed.
    pub fn digest(&self) -> Option<&str> {
        self.tags.iter().find_map(|tag| tag.result.as_deref().ok())
    }
}

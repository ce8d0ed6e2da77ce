//! What no clear removes, whatever it is asked: images that something uses, and why an image stays.

use std::fmt;

use super::label::LabelError;
use crate::engine::Image;
use crate::image::ImageReference;
use crate::survey::clear::ClearSurvey;

/// Why an image stays that the request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeepReason {
    /// This program runs from it.
    OwnImage,
    /// The runner built it for an action of this job.
    OtherAction,
    /// Containers, running or stopped, are made from it.
    UsedBy {
        /// The name of the first.
        container: String,
        /// How many more.
        others: usize,
    },
    /// An image that stays was made from it.
    ParentOf {
        /// That image.
        image: String,
    },
    /// A pattern of `keep` matches.
    Pattern(String),
    /// An image without a name that this clear's ledgers name, and one that stays as well.
    NamedBy {
        /// The ledger that stays.
        ledger: String,
    },
    /// An image of the cache for what is cleared, and nothing says that it is this repository's.
    Unclear,
    /// An image of the cache whose label is not understood.
    Label(LabelError),
    /// An image of the cache of a `cache-key`, and nothing tells that it is for what is cleared; or an image that only
    /// such a ledger names.
    CacheKey,
}

impl KeepReason {
    /// Whether the image could still serve as a cache, so that the clear is not complete. What the request itself or the
    /// job excludes does not count, nor what is not known to be of the images that are cleared, nor what no version of this
    /// program wrote: none reads it. What a newer version wrote, that version may well read.
    pub(super) fn leaves_cache(&self) -> bool {
        match self {
            Self::UsedBy { .. } | Self::ParentOf { .. } | Self::Label(LabelError::Schema(_)) => true,
            Self::OwnImage
            | Self::OtherAction
            | Self::Pattern(_)
            | Self::NamedBy { .. }
            | Self::Unclear
            | Self::Label(LabelError::Missing | LabelError::Unreadable)
            | Self::CacheKey => false,
        }
    }
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnImage => write!(f, "this action runs from it"),
            Self::OtherAction => write!(f, "the runner built it for an action of this job"),
            Self::UsedBy { container, others: 0 } => write!(f, "used by container {container}"),
            Self::UsedBy { container, others } => write!(f, "used by container {container} and {others} more"),
            Self::ParentOf { image } => write!(f, "image {image} was made from it"),
            Self::Pattern(pattern) => write!(f, "keep: {pattern}"),
            Self::NamedBy { ledger } => write!(f, "{ledger} names it as well"),
            Self::Unclear => write!(f, "its label does not say that it is of this repository"),
            Self::Label(error) => error.fmt(f),
            Self::CacheKey => write!(f, "it belongs to a cache-key, and nothing says that it is meant"),
        }
    }
}

/// Why an image must not go, whatever the request says.
pub(super) fn protection(survey: &ClearSurvey, image: &Image) -> Option<KeepReason> {
    if survey.own.as_ref().is_some_and(|own| own.image_id == image.id || is_named(image, &own.image)) {
        return Some(KeepReason::OwnImage);
    }
    let mut users = survey
        .containers
        .iter()
        .filter(|container| container.image_id == image.id || is_named(image, &container.image));
    if let Some(first) = users.next() {
        return Some(KeepReason::UsedBy { container: first.name.clone(), others: users.count() });
    }
    image.tags.iter().any(|tag| is_runner_built(tag)).then_some(KeepReason::OtherAction)
}

/// Whether a container's word for its image means this one, by name or by (a beginning of) its id.
fn is_named(image: &Image, word: &str) -> bool {
    let id = image.id.strip_prefix("sha256:").unwrap_or(&image.id);
    let short = word.strip_prefix("sha256:").unwrap_or(word);
    if short.len() >= 12 && id.starts_with(short) {
        return true;
    }
    let reference = word.parse::<ImageReference>().ok();
    image
        .tags
        .iter()
        .chain(&image.digests)
        .any(|name| name == word || reference.is_some() && name.parse().ok() == reference)
}

/// The runner names the images that it builds `<6 hexadecimal digits>:<guid>` (actions/runner, `DockerUtil.cs`).
fn is_runner_built(tag: &str) -> bool {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    tag.split_once(':').is_some_and(|(name, tag)| name.len() == 6 && is_hex(name) && tag.len() == 32 && is_hex(tag))
}

/// The engine removes no image by its id while others were made from it by the classic builder.
pub(super) fn child_that_stays(survey: &ClearSurvey, image: &Image) -> Option<KeepReason> {
    let child = survey.images.iter().find(|child| child.parent.as_ref() == Some(&image.id))?;
    Some(KeepReason::ParentOf { image: child.tags.first().unwrap_or(&child.id).clone() })
}

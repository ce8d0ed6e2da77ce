//! What became of each tag.

use serde::Serialize;

use super::{NAME, SENTENCE, short};
use crate::outcome::push::{ImagePush, NotPushed, TagPush};

/// One tag that was to be pushed: it has a digest or an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Push {
    /// The image, as in [`Image::name`](super::Image::name).
    pub image: String,
    /// The tag with its repository.
    pub tag: String,
    /// The registry's digest, if it was pushed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Why it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Push {
    pub(super) fn of(push: &ImagePush) -> impl Iterator<Item = Self> {
        push.tags.iter().map(|TagPush { tag, result }| Self {
            image: short(&push.image, NAME),
            tag: short(tag, NAME),
            digest: result.as_ref().ok().cloned(),
            error: result.as_ref().err().map(reason),
        })
    }
}

fn reason(why: &NotPushed) -> String {
    match why {
        NotPushed::Failed(problem) => short(&problem.message, SENTENCE),
        NotPushed::NotTried { because } => format!("not tried after {}", short(because, NAME)),
        NotPushed::Cancelled => "cancelled".to_owned(),
    }
}

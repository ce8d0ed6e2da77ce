//! Entries of the input `images`: patterns of images, and selectors of what is not on the engine.

use crate::image::pattern::Pattern;
use crate::inputs::error::Problem;
use crate::inputs::raw::RawInputs;

/// What a clear is asked to remove that is not on the engine.
///
/// Input names are fixed, so these stand in `images` beside the patterns, each with the prefix of its place. No image
/// reference has a `=`, so no pattern looks like one. Options inside follow after `;`, because a comma ends an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteSelector {
    /// `registry=host/repository:tag-pattern`.
    Registry(String),
    /// `package=owner/name[:tag-pattern][;untagged][;older-than=30d][;keep-latest=5]`.
    Package(String),
    /// `actions-cache=key-or-prefix*[;ref=refs/pull/12/merge]`.
    ActionsCache(String),
}

/// One entry of `images`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selector {
    Image(Pattern),
    Remote(RemoteSelector),
}

impl RemoteSelector {
    /// The word of `scope` that it belongs to.
    pub fn scope(&self) -> &'static str {
        match self {
            Self::Registry(_) => "registry",
            Self::Package(_) => "packages",
            Self::ActionsCache(_) => "actions-cache",
        }
    }
}

/// A selector for a word of `scope`, to be shown.
pub(super) fn example(scope: &str) -> &'static str {
    match scope {
        "registry" => "registry=ghcr.io/org/app:*-cache",
        "packages" => "package=org/app:pr-*;older-than=30d",
        _ => "actions-cache=buildkit-*;ref=refs/pull/12/merge",
    }
}

/// Reads one entry of `images`.
pub(super) fn read(_: &RawInputs, entry: &str) -> Result<Selector, Problem> {
    let (prefix, rest) = entry.split_once('=').unwrap_or((entry, ""));
    let selector = match prefix {
        "registry" => RemoteSelector::Registry(rest.trim().to_owned()),
        "package" => RemoteSelector::Package(rest.trim().to_owned()),
        "actions-cache" => RemoteSelector::ActionsCache(rest.trim().to_owned()),
        _ => return entry.parse().map(Selector::Image).map_err(Problem::Pattern),
    };
    if rest.trim().is_empty() {
        return Err(Problem::Malformed { what: "a selector", form: example(selector.scope()) });
    }
    Ok(Selector::Remote(selector))
}

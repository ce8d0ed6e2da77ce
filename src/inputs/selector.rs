//! Entries of the input `images`: patterns of images, and selectors of what is not on the engine.

use crate::image::pattern::Pattern;
use crate::inputs::error::Problem;
use crate::inputs::raw::RawInputs;
use crate::plan::clear::actions_cache::CacheSelector;
use crate::plan::clear::packages::PackageSelector;
use crate::registry::RegistrySelector;

/// What a clear is asked to remove that is not on the engine.
///
/// Input names are fixed, so these stand in `images` beside the patterns, each with the prefix of its place. No image
/// reference has a `=`, so no pattern looks like one. Options inside follow after `;`, because a comma ends an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteSelector {
    /// `registry=host/repository:tag-pattern`.
    Registry(RegistrySelector),
    /// `package=owner/name[:tag-pattern][;untagged][;older-than=30d][;keep-latest=5]`.
    Package(PackageSelector),
    /// `actions-cache=key-or-prefix*[;ref=refs/pull/12/merge][;older-than=7d]`.
    ActionsCache(CacheSelector),
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

impl RemoteSelector {
    /// The Actions caches that it names, if it names any.
    pub(super) fn into_cache(self) -> Option<CacheSelector> {
        match self {
            Self::ActionsCache(selector) => Some(selector),
            Self::Registry(_) | Self::Package(_) => None,
        }
    }
}

/// A selector for a word of `scope`, to be shown.
pub(super) fn example(scope: &str) -> &'static str {
    match scope {
        "images" => "app:*",
        "registry" => "registry=ghcr.io/org/app:*-cache",
        "packages" => "package=org/app:pr-*;older-than=30d",
        _ => "actions-cache=buildkit-*;ref=refs/pull/12/merge",
    }
}

/// Reads one entry of `images`.
pub(super) fn read(_: &RawInputs, entry: &str) -> Result<Selector, Problem> {
    // Without it the word is the name of an image: `registry` is a common one.
    let Some((prefix, rest)) = entry.split_once('=') else {
        return entry.parse().map(Selector::Image).map_err(Problem::Pattern);
    };
    let rest = rest.trim();
    let empty = |scope| Problem::Malformed { what: "a selector", form: example(scope) };
    let selector = match prefix {
        "registry" if rest.is_empty() => return Err(empty("registry")),
        "registry" => RemoteSelector::Registry(rest.parse().map_err(Problem::Registry)?),
        "package" if rest.is_empty() => return Err(empty("packages")),
        "package" => RemoteSelector::Package(rest.parse().map_err(Problem::Package)?),
        "actions-cache" if rest.is_empty() => return Err(empty("actions-cache")),
        "actions-cache" => RemoteSelector::ActionsCache(rest.parse().map_err(Problem::ActionsCache)?),
        _ => return entry.parse().map(Selector::Image).map_err(Problem::Pattern),
    };
    Ok(Selector::Remote(selector))
}

/// Reads one entry of `keep`: a pattern of images, which holds for packages under their names in the registry, or Actions
/// caches.
pub(super) fn keep(raw: &RawInputs, entry: &str) -> Result<Selector, Problem> {
    match read(raw, entry)? {
        Selector::Remote(RemoteSelector::Registry(_) | RemoteSelector::Package(_)) => Err(Problem::Refused {
            why: "what is kept in a registry has the name of an image",
            way_out: "write it as `ghcr.io/org/app:1.*`",
        }),
        selector => Ok(selector),
    }
}

//! Where a build's cache is in a registry: which tag a run writes, which it reads, and what has to be asked for.

use super::Facts;
use super::keep::internal;
use crate::buildkit::solve::{CacheEntry, SolveRequest};
use crate::cache::ledger::{Access, Scope};
use crate::image::ImageReference;
use crate::registry::Repository;
use crate::registry::cache_tag::{Author, cache_tag, is_cache_tag, layers_tag};

/// The tags of one image's cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachePlace {
    /// The one that this run writes, if a later run would read it.
    pub write: Option<ImageReference>,
    /// Those that it reads, its own first. What a pull request wrote is read by itself alone.
    pub read: Vec<ImageReference>,
}

/// What follows a build so that its cache is in a registry.
#[derive(Debug, Clone)]
pub struct CacheTo {
    /// The tag.
    pub reference: ImageReference,
    /// Who writes it.
    pub by: WrittenBy,
}

/// Who writes a cache to a registry.
#[derive(Debug, Clone)]
pub enum WrittenBy {
    /// BuildKit itself, which can do so on the containerd image store.
    Solve(SolveRequest),
    /// On a graph driver, which exports no cache, the engine sends the layers and we write the records.
    Engine {
        /// The tag under which it sends them: an engine pushes no layers but those of an image, and no image without a tag.
        layers: ImageReference,
    },
}

impl CachePlace {
    /// The tags for `cache-to: reference`. A `service` of a Compose file has tags of its own, also if it is the only one
    /// that is built: the next run may build others. `None` if there is no such tag, which is too long then.
    pub fn new(reference: &ImageReference, service: Option<&str>, access: &Access) -> Option<Self> {
        let repository = Repository::of(reference);
        let tag = reference.tag()?;
        let named = |author| {
            let tag = cache_tag(tag, service, author);
            repository.tagged(&layers_tag(&tag)).and_then(|_fits| repository.tagged(&tag))
        };
        let base = named(Author::Trusted)?;
        let Scope::Untrusted { reference, .. } = &access.own else {
            return Some(Self { write: Some(base.clone()), read: vec![base] });
        };
        if access.own.is_of_one_run() {
            return Some(Self { write: None, read: vec![base] });
        }
        let own = match reference.split_once('/') {
            Some(("pull", number)) if number.parse::<u64>().is_ok() => Author::PullRequest(number.parse().ok()?),
            Some((event, about)) => Author::Untrusted { event, about },
            None => Author::Untrusted { event: "unknown", about: reference },
        };
        let own = named(own)?;
        Some(Self { write: Some(own.clone()), read: vec![own, base] })
    }

    /// The tag at which the cache of `cache-to: reference` is, if that is not it already.
    pub fn beside(reference: &ImageReference) -> Option<ImageReference> {
        let tag = reference.tag().filter(|tag| !is_cache_tag(tag) && reference.digest().is_none())?;
        Repository::of(reference).tagged(&cache_tag(tag, None, Author::Trusted))
    }
}

/// What follows the build `request` if its cache is to be written at `reference`.
pub(super) fn plan(reference: Option<&ImageReference>, request: &SolveRequest, facts: &Facts) -> Option<CacheTo> {
    let reference = reference?.clone();
    let by = if facts.containerd_store {
        let attributes = [
            ("ref", reference.canonical()),
            ("mode", "max".to_owned()),
            ("image-manifest", "true".to_owned()),
            ("oci-mediatypes", "true".to_owned()),
            ("compression", "gzip".to_owned()),
            // A layer that the image has uncompressed would go there as it is.
            ("force-compression", "true".to_owned()),
        ];
        let attributes = attributes.map(|(key, value)| (key.to_owned(), value)).into();
        let cache_exports = vec![CacheEntry { kind: "registry".to_owned(), attributes }];
        WrittenBy::Solve(SolveRequest { cache_exports, ..internal(request) })
    } else {
        WrittenBy::Engine { layers: Repository::of(&reference).tagged(&layers_tag(reference.tag()?))? }
    };
    Some(CacheTo { reference, by })
}

#[cfg(test)]
mod tests {
    use super::{CachePlace, ImageReference};
    use crate::cache::ledger::{Access, Scope};

    fn reference(text: &str) -> ImageReference {
        text.parse().unwrap()
    }

    fn run_of(own: Scope) -> Access {
        Access { reads: vec![own.clone()], own, default_branch: None }
    }

    #[test]
    fn tags() {
        let push = run_of(Scope::Trusted { repository: "o/r".into(), reference: "refs/heads/main".into() });
        let untrusted =
            |reference: &str| run_of(Scope::Untrusted { repository: Some("o/r".into()), reference: reference.into() });
        let (pull_request, target) = (untrusted("pull/42"), untrusted("pull_request_target/pull/42"));
        for (text, service, access, expected) in [
            ("h.io/a:main", None, &push, &["h.io/a:main-cache"][..]),
            ("h.io/a:main-cache", None, &push, &["h.io/a:main-cache"]),
            ("h.io/a", None, &run_of(Scope::Local), &["h.io/a:latest-cache"]),
            ("h.io/a:main", Some("web"), &push, &["h.io/a:main-web-cache"]),
            ("h.io/a:main", None, &pull_request, &["h.io/a:main-pr-42-cache", "h.io/a:main-cache"]),
            ("h.io/a:x-cache", Some("w"), &pull_request, &["h.io/a:x-w-pr-42-cache", "h.io/a:x-w-cache"]),
            // Not what pull request 42 of `main` wrote.
            ("h.io/a:main", Some("pr-42"), &push, &["h.io/a:main-pr-42_-cache"]),
            ("h.io/a:main-pr-42-cache", None, &push, &["h.io/a:main-pr-42_-cache"]),
            ("h.io/a:1", None, &target, &["h.io/a:1-pull_request_target-9f34edc9e1-untrusted-cache", "h.io/a:1-cache"]),
        ] {
            let place = CachePlace::new(&reference(text), service, access).unwrap();
            let read: Vec<String> = place.read.iter().map(ToString::to_string).collect();
            assert_eq!(read, expected, "{text}");
            assert_eq!(place.write.map(|write| write.to_string()).as_deref(), Some(expected[0]), "{text}");
        }
        let long = reference(&format!("h.io/a:{}", "x".repeat(116)));
        assert_eq!(CachePlace::new(&long, None, &push), None);
        // Nobody would read what a merge queue's run wrote.
        let queue = untrusted("merge_group/refs/heads/gh-readonly-queue/main/pr-42-0123");
        let place = CachePlace::new(&reference("h.io/a:1"), None, &queue).unwrap();
        assert_eq!((place.write, place.read), (None, vec![reference("h.io/a:1-cache")]));
    }

    #[test]
    fn the_cache_beside_an_image() {
        assert_eq!(CachePlace::beside(&reference("h.io/a:1")), Some(reference("h.io/a:1-cache")));
        assert_eq!(CachePlace::beside(&reference("h.io/a:1-cache")), None);
        // That of a pull request is not beside an image that is called like it.
        assert_eq!(CachePlace::beside(&reference("h.io/a:1-pr-7")), Some(reference("h.io/a:1-pr-7_-cache")));
    }
}

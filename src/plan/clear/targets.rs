//! What a clear is about: found out from all images together before anything is decided about one.
//!
//! Images of the cache go with the repository that they are for, so the repositories come first; untagged predecessors go
//! with the ledgers that name them, so the ledgers come before those.

use std::collections::{BTreeMap, BTreeSet};

use super::label::{CacheKind, Label, LabelError, Whose};
use super::protection::{KeepReason, protection};
use super::{ClearRequest, Name, ProjectImages, candidate, names_of};
use crate::cache::ledger::Identity;
use crate::engine::Image;
use crate::image::ImageReference;
use crate::image::pattern::Pattern;
use crate::survey::clear::ClearSurvey;

/// Image ids, each with the repositories under whose names the ledgers mean it; `None` for a ledger of a `cache-key`.
type NamedImages = BTreeMap<String, BTreeSet<Option<String>>>;

/// What only the ledgers said. They are gone after a clear, and the second survey still has to know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remembered {
    /// Repositories whose cache is cleared.
    pub(super) repositories: BTreeSet<String>,
    images: NamedImages,
    /// Those that go once they have no name: what the builds of these ledgers made, but for images of the cache, which go by
    /// theirs. What they made before the last one is somebody's if it has a name.
    predecessors: NamedImages,
    /// Identities of the `cache-key` ledgers.
    identities: BTreeSet<Identity>,
}

/// What to do about an image under one of its names; the reason if it stays.
pub(super) type Decision = Result<(), KeepReason>;

/// An image of the cache under one of its names.
pub(super) struct CacheImage<'a> {
    image: &'a Image,
    name: Name,
    pub(super) kind: CacheKind,
    pub(super) label: Result<Label, LabelError>,
}

/// How a request means an image under one of its names.
enum Meant {
    ByRequest,
    /// It has no name any more, and a ledger that goes knows it.
    Predecessor,
    /// Only a ledger of a `cache-key` names it, which does not say under what name.
    InDoubt,
}

pub(super) struct Targets<'a> {
    request: &'a ClearRequest,
    survey: &'a ClearSurvey,
    caches: Vec<CacheImage<'a>>,
    /// What this repository's ledgers name, for a clear that goes by them.
    of_ledgers: NamedImages,
    /// What is cleared, and what the ledgers named that go.
    pub(super) going: Remembered,
    /// Ids of the images that the request takes, or would but for what uses them.
    chosen: BTreeSet<&'a str>,
    /// Ids that ledgers name which stay, each with the name of one.
    staying: BTreeMap<String, String>,
}

impl<'a> Targets<'a> {
    /// `before` is what an earlier plan of the same clear knew.
    pub(super) fn new(request: &'a ClearRequest, survey: &'a ClearSurvey, before: &Remembered) -> Self {
        let mut targets = Self {
            request,
            survey,
            caches: survey.images.iter().flat_map(caches_of).collect(),
            of_ledgers: NamedImages::new(),
            going: before.clone(),
            chosen: BTreeSet::new(),
            staying: BTreeMap::new(),
        };
        if request.goes_by_ledgers() {
            let mut named = before.images.clone();
            let ours = targets.caches.iter().filter_map(|cache| targets.ours(cache));
            ours.for_each(|label| note(&mut named, &label.images, label));
            targets.of_ledgers = named;
        }
        targets.choose();
        targets.sort_ledgers();
        targets
    }

    /// The repositories whose cache goes: those that lose an image or would, and the project's own and those of ledgers
    /// and stage images that the request names, because their cache may lie where no image of theirs shows it.
    fn choose(&mut self) {
        let mut repositories = BTreeSet::new();
        for image in &self.survey.images {
            for name in &names_of(image) {
                let Some(reference) = name.reference.as_ref().filter(|reference| !reference.is_reserved()) else {
                    continue;
                };
                if self.decide(image, Some(name)).as_ref().is_some_and(clears) {
                    repositories.insert(reference.repository());
                    self.chosen.insert(&image.id);
                }
            }
        }
        let by_age = self.request.images.iter().any(Pattern::is_restriction);
        let project = self.request.project.named().iter().filter(|reference| !by_age && self.request.covers(reference));
        repositories.extend(project.filter(|reference| !reference.is_reserved()).map(ImageReference::repository));
        let ours = self.caches.iter().filter_map(|cache| self.ours(cache)?.image_repository.as_ref());
        repositories.extend(ours.filter(|name| self.request.names_repository(name)).cloned());
        self.going.repositories.extend(repositories);
    }

    /// Which ledgers go and what they name, and what the others name.
    fn sort_ledgers(&mut self) {
        let (mut going, mut staying) = (Remembered::default(), BTreeMap::new());
        let named = self.survey.images.iter().filter(|image| !image.tags.is_empty()).map(|image| image.id.as_str());
        let named: BTreeSet<&str> = named.collect();
        let of_cache: BTreeSet<&str> = self.caches.iter().map(|cache| cache.image.id.as_str()).collect();
        for cache in self.caches.iter().filter(|cache| cache.kind == CacheKind::Ledger) {
            let Ok(label) = &cache.label else { continue };
            if label.image_repository.is_none() && self.ours(cache).is_some() && self.means_cache_key(cache, label) {
                going.identities.insert(label.identity.clone());
            }
            if self.decide_cache(cache) == Some(Ok(())) {
                note(&mut going.images, &label.images, label);
                let last = label.images.iter().filter(|id| !of_cache.contains(id.as_str()));
                let before = label.superseded.iter().filter(|id| !named.contains(id.as_str()));
                note(&mut going.predecessors, last.chain(before), label);
            } else {
                let made = label.images.iter().chain(&label.superseded);
                staying.extend(made.map(|id| (id.clone(), cache.name.text.clone())));
            }
        }
        // What was pushed to several repositories has a digest of each, and its ledger knows one of them.
        for image in self.survey.images.iter().filter(|image| image.tags.is_empty()) {
            let Some(repositories) = going.predecessors.get_mut(&image.id) else { continue };
            let digests = names_of(image).into_iter().filter_map(|name| Some(name.reference?.repository()));
            repositories.extend(digests.filter(|name| self.going.repositories.contains(name)).map(Some));
        }
        let predecessors = (&mut self.going.predecessors, going.predecessors);
        for (of, noted) in [(&mut self.going.images, going.images), predecessors] {
            for (id, repositories) in noted {
                of.entry(id).or_default().extend(repositories);
            }
        }
        self.going.identities.extend(going.identities);
        self.staying = staying;
    }

    /// What becomes of an image under one of its names, or without any; `None` if the request does not mean it.
    pub(super) fn decide(&self, image: &Image, name: Option<&Name>) -> Option<Decision> {
        if let Some(cache) = self.cache(image, name) {
            return self.decide_cache(cache);
        }
        let meant = self.meant(image, name)?;
        Some(match meant {
            Meant::InDoubt => Err(KeepReason::CacheKey),
            Meant::ByRequest => self.unprotected(image, name),
            Meant::Predecessor => self.unprotected(image, name).and_then(|()| match self.staying.get(&image.id) {
                Some(ledger) => Err(KeepReason::NamedBy { ledger: ledger.clone() }),
                None => Ok(()),
            }),
        })
    }

    /// The image of the cache that has this name.
    pub(super) fn cache(&self, image: &Image, name: Option<&Name>) -> Option<&CacheImage<'a>> {
        let name = name?;
        self.caches.iter().find(|cache| cache.image.id == image.id && cache.name == *name)
    }

    fn unprotected(&self, image: &Image, name: Option<&Name>) -> Decision {
        let kept = || {
            let pattern = self.request.keep.iter().find(|it| it.matches(&candidate(image, name), self.request.now))?;
            Some(KeepReason::Pattern(pattern.to_string()))
        };
        protection(self.survey, image).or_else(kept).map_or(Ok(()), Err)
    }

    fn meant(&self, image: &Image, name: Option<&Name>) -> Option<Meant> {
        let reference = match name {
            // A name that cannot be read is one that no request means.
            Some(name) => Some(name.reference.as_ref().filter(|reference| !reference.is_reserved())?),
            None => None,
        };
        if self.request.selects(image, name) {
            return Some(Meant::ByRequest);
        }
        let candidate = candidate(image, name);
        let mut restrictions = self.request.images.iter().filter(|pattern| pattern.is_restriction());
        if !restrictions.all(|pattern| pattern.matches(&candidate, self.request.now)) {
            return None;
        }
        let repository = reference.map(ImageReference::repository);
        if image.tags.is_empty() {
            let repositories = self.going.predecessors.get(&image.id)?;
            return (repository.is_none() || repositories.contains(&repository)).then_some(Meant::Predecessor);
        }
        let repositories = self.of_ledgers.get(&image.id)?;
        if repositories.contains(&repository) {
            return Some(Meant::ByRequest);
        }
        repositories.contains(&None).then_some(Meant::InDoubt)
    }

    fn decide_cache(&self, cache: &CacheImage<'_>) -> Option<Decision> {
        let label = match &cache.label {
            Ok(label) => label,
            Err(error) => return Some(Err(KeepReason::Label(error.clone()))),
        };
        let whose = label.whose(self.request.repository.as_deref());
        match (whose, &label.image_repository) {
            (Whose::Another, _) => None,
            (Whose::Unclear, Some(name)) => (self.going.repositories.contains(name)
                || self.request.names_repository(name))
            .then_some(Err(KeepReason::Unclear)),
            (Whose::Unclear, None) => Some(Err(KeepReason::Unclear)),
            (Whose::Ours, Some(name)) if !self.going.repositories.contains(name) => None,
            (Whose::Ours, None) if !self.means_cache_key(cache, label) => Some(Err(KeepReason::CacheKey)),
            (Whose::Ours, _) => Some(self.unprotected(cache.image, Some(&cache.name))),
        }
    }

    /// Whether the request means a cache that does not say for which repository it is.
    fn means_cache_key(&self, cache: &CacheImage<'_>, label: &Label) -> bool {
        self.request.goes_by_ledgers()
            || self.request.selects(cache.image, Some(&cache.name))
            || self.going.identities.contains(&label.identity)
            || self.going.images.contains_key(&cache.image.id)
            || label.images.iter().any(|id| self.chosen.contains(id.as_str()))
    }

    /// The label of an image of the cache that is this repository's.
    fn ours<'c>(&self, cache: &'c CacheImage<'_>) -> Option<&'c Label> {
        let label = cache.label.as_ref().ok()?;
        (label.whose(self.request.repository.as_deref()) == Whose::Ours).then_some(label)
    }
}

impl ClearRequest {
    /// Whether nothing but this repository's ledgers says what to clear.
    fn goes_by_ledgers(&self) -> bool {
        self.project == ProjectImages::OfLedgers && self.images.iter().all(Pattern::is_restriction)
    }

    /// Whether the request names images of this repository, whatever their tags: the cache is of all of them.
    fn names_repository(&self, repository: &str) -> bool {
        let Ok(reference) = repository.parse::<ImageReference>() else { return false };
        let (restrictions, selectors): (Vec<_>, Vec<_>) = self.images.iter().partition(|it| it.is_restriction());
        let named = match &self.project {
            _ if !selectors.is_empty() => selectors.iter().any(|pattern| pattern.names_repository_of(&reference)),
            ProjectImages::Named(images) => images.iter().any(|image| image.repository() == repository),
            ProjectImages::OfLedgers => true,
        };
        // How old the images were that the cache is of, it does not say.
        named && restrictions.is_empty() && !self.keep.iter().any(|pattern| pattern.names_all_of(&reference))
    }
}

/// Whether a decision takes an image away, or would but for what uses it.
fn clears(decision: &Decision) -> bool {
    decision.as_ref().err().is_none_or(KeepReason::leaves_cache)
}

fn caches_of(image: &Image) -> impl Iterator<Item = CacheImage<'_>> {
    names_of(image).into_iter().filter_map(move |name| {
        let kind = CacheKind::of(name.reference.as_ref()?)?;
        Some(CacheImage { image, name, kind, label: Label::read(kind, &image.labels) })
    })
}

/// Notes images that a ledger with this label names.
fn note<'a>(images: &mut NamedImages, ids: impl IntoIterator<Item = &'a String>, label: &Label) {
    for id in ids {
        images.entry(id.clone()).or_default().insert(label.image_repository.clone());
    }
}

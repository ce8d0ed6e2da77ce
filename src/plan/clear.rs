//! The plan of a clear: what goes, what stays and why.
//!
//! A pure function of what is asked and what exists. When in doubt an image stays.

pub mod actions_cache;
pub mod builders;
mod label;
mod options;
pub mod packages;
mod print;
mod protection;
pub mod registry;
mod targets;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::buildkit::usage::Record;
use crate::engine::{Image, Parents};
use crate::image::ImageReference;
use crate::image::pattern::{Candidate, Pattern};
use crate::inputs::ClearScope;
use crate::survey::clear::ClearSurvey;

pub use label::{CacheKind, LabelError};
pub use protection::KeepReason;
use protection::child_that_stays;
pub use targets::Remembered;
use targets::{CacheImage, Targets};

/// What a clear is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearRequest {
    /// The input `images`. Names, ids and labels select, each by itself; ages narrow down what is selected. If nothing
    /// selects, the project's own images are.
    pub images: Vec<Pattern>,
    /// The project's own images.
    pub project: ProjectImages,
    /// `GITHUB_REPOSITORY`: whose ledgers and stage images go with their images. `None` at a terminal, where those go that
    /// were written at one.
    pub repository: Option<String>,
    /// The input `keep`: what one of these matches stays.
    pub keep: Vec<Pattern>,
    /// The input `scope`.
    pub scope: ClearScope,
    /// The time that ages are counted from.
    pub now: DateTime<Utc>,
}

/// The images that a clear is about if nothing else names any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectImages {
    /// Those of the Compose file or the tags.
    Named(Vec<ImageReference>),
    /// There is neither: the images whose ids this repository's ledgers hold, under their names in the ledger's
    /// repository. It needs no checkout.
    OfLedgers,
}

/// What a clear will do. [`std::fmt::Display`] is the text of a dry run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearPlan {
    /// Every image that the request names, by each of its names, in the order in which to take them.
    pub images: Vec<PlannedImage>,
    /// What becomes of the untagged images that a removed one was made from.
    pub parents: Parents,
    /// The builder's cache; `None` if it is out of scope.
    pub builder: Option<PlannedBuilder>,
    /// Repositories whose next build shall know that they were cleared.
    pub tombstones: BTreeSet<String>,
    /// What the ledgers said that go, for the plan that proves it.
    pub remembered: Remembered,
}

/// An image under one of its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedImage {
    /// The name, or the id of an image without names: what the engine is asked to remove.
    pub name: String,
    /// The engine's id of the image.
    pub id: String,
    /// Bytes that no other image shares, 0 if the image stays under another name.
    pub bytes: u64,
    /// What to do.
    pub action: ImageAction,
    /// Set if it is one of the image cache's own.
    pub cache: Option<PlannedCache>,
}

/// An image that the image cache made for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedCache {
    /// What it is.
    pub kind: CacheKind,
    /// The repository that it is for, if it says one.
    pub repository: Option<String>,
    /// What it is of, as a phrase: `build of app, refs/heads/main`; empty if that is not known.
    pub of: String,
}

/// What to do with an image under one of its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageAction {
    /// Remove the name, and the image with it.
    Remove,
    /// Remove the name; the image stays for others.
    Untag {
        /// A name that it keeps.
        remains: String,
    },
    /// Leave it alone.
    Keep(KeepReason),
}

/// What to do with the builder's cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlannedBuilder {
    /// What goes.
    pub remove: RecordSum,
    /// What stays, because another build uses it.
    pub in_use: RecordSum,
}

/// A number of builder records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordSum {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl PlannedBuilder {
    /// Adds records up by whether they can go.
    pub fn of(records: &[Record]) -> Self {
        let sum = |in_use: bool| {
            records.iter().filter(|record| record.in_use == in_use).fold(RecordSum::default(), |sum, record| {
                RecordSum { count: sum.count.saturating_add(1), bytes: sum.bytes.saturating_add(record.size) }
            })
        };
        Self { remove: sum(false), in_use: sum(true) }
    }
}

impl ClearPlan {
    /// Whether nothing would be removed.
    pub fn is_empty(&self) -> bool {
        self.images.iter().all(|image| matches!(image.action, ImageAction::Keep(_)))
            && self.builder.is_none_or(|builder| builder.remove.count == 0)
    }

    /// What is left, if this is the plan that one would make *after* a clear: each a phrase with its reason. Empty means
    /// that the clear is proven.
    pub fn left(&self) -> Vec<String> {
        let images = self.images.iter().filter_map(|image| match &image.action {
            ImageAction::Remove | ImageAction::Untag { .. } => {
                Some(format!("{} {} is still there", image.noun(), image.name))
            }
            ImageAction::Keep(reason) => {
                reason.leaves_cache().then(|| format!("{} {} stays: {reason}", image.noun(), image.name))
            }
        });
        let builder = self.builder.iter().flat_map(|builder| {
            let counted = |sum: RecordSum, what: &str| (sum.count > 0).then(|| format!("{sum} {what}"));
            [counted(builder.remove, "still there"), counted(builder.in_use, "in use by another build")]
        });
        images.chain(builder.flatten()).collect()
    }
}

/// Decides what a clear does.
pub fn plan(request: &ClearRequest, survey: &ClearSurvey) -> ClearPlan {
    plan_knowing(request, survey, &Remembered::default())
}

/// The plan that one would make after a clear, still knowing what the ledgers said that went with it. Empty means that
/// nothing is left.
pub fn plan_again(request: &ClearRequest, first: &ClearPlan, survey: &ClearSurvey) -> ClearPlan {
    plan_knowing(request, survey, &first.remembered)
}

fn plan_knowing(request: &ClearRequest, survey: &ClearSurvey, before: &Remembered) -> ClearPlan {
    let (mut images, mut remembered) = (Vec::new(), Remembered::default());
    if request.scope.images {
        let targets = Targets::new(request, survey, before);
        images.extend(survey.images.iter().flat_map(|image| plan_image(&targets, survey, image)));
        remembered = targets.going;
    }
    images.sort_by(|a, b| a.order().cmp(&b.order()));
    let by_name_only = request.keep.iter().all(Pattern::is_by_name);
    ClearPlan {
        tombstones: remembered.repositories.clone(),
        remembered,
        images,
        // A parent has no name and is not in the survey: where `keep` could mean it all the same, it stays.
        parents: if by_name_only { Parents::Remove } else { Parents::Keep },
        builder: request.scope.builder.then(|| PlannedBuilder::of(&survey.builder)),
    }
}

fn plan_image(targets: &Targets<'_>, survey: &ClearSurvey, image: &Image) -> Vec<PlannedImage> {
    let names = names_of(image);
    let planned = |name: &str, bytes, action, cache| PlannedImage {
        name: name.to_owned(),
        id: image.id.clone(),
        bytes,
        action,
        cache,
    };
    let unique = image.size.saturating_sub(image.shared_size.unwrap_or(0));
    if names.is_empty() {
        let action = match targets.decide(image, None) {
            None => return Vec::new(),
            Some(Err(reason)) => ImageAction::Keep(reason),
            Some(Ok(())) => child_that_stays(survey, image).map_or(ImageAction::Remove, ImageAction::Keep),
        };
        return vec![planned(&image.id, unique, action, None)];
    }
    let decisions: Vec<_> = names.iter().map(|name| (name, targets.decide(image, Some(name)))).collect();
    let remains = decisions.iter().find(|(_, decision)| *decision != Some(Ok(()))).map(|(name, _)| name.text.clone());
    let mut bytes = unique;
    decisions
        .into_iter()
        .filter_map(|(name, decision)| {
            let (bytes, action) = match (decision?, &remains) {
                (Err(reason), _) => (unique, ImageAction::Keep(reason)),
                (Ok(()), Some(remains)) => (0, ImageAction::Untag { remains: remains.clone() }),
                // All its names go, and the image goes once.
                (Ok(()), None) => (std::mem::take(&mut bytes), ImageAction::Remove),
            };
            Some(planned(&name.text, bytes, action, targets.cache(image, Some(name)).map(PlannedCache::of)))
        })
        .collect()
}

impl PlannedImage {
    /// What it is, in a word or two.
    fn noun(&self) -> &'static str {
        match self.cache.as_ref().map(|cache| cache.kind) {
            None => "image",
            Some(CacheKind::Stage | CacheKind::Capture) => "stage image",
            Some(CacheKind::Ledger) => "ledger",
        }
    }

    /// When it is its turn: the engine removes none without a name while another was made from it, and the ledgers are
    /// last, because they tell what there is to clear if this clear is cut short.
    pub fn turn(&self) -> (Option<CacheKind>, bool) {
        (self.cache.as_ref().map(|cache| cache.kind), self.name == self.id)
    }

    fn order(&self) -> (Option<CacheKind>, bool, &str) {
        let (kind, is_nameless) = self.turn();
        (kind, is_nameless, &self.name)
    }
}

impl PlannedCache {
    fn of(image: &CacheImage<'_>) -> Self {
        let label = image.label.as_ref().ok();
        Self {
            kind: image.kind,
            repository: label.and_then(|label| label.image_repository.clone()),
            of: label.map(ToString::to_string).unwrap_or_default(),
        }
    }
}

impl ProjectImages {
    /// Those that are named, if anything but the ledgers names them.
    pub fn named(&self) -> &[ImageReference] {
        match self {
            Self::Named(images) => images,
            Self::OfLedgers => &[],
        }
    }
}

impl ClearRequest {
    /// Whether the request names this image under this name.
    fn selects(&self, image: &Image, name: Option<&Name>) -> bool {
        if name.is_some_and(|name| name.reference.is_none()) {
            return false;
        }
        let candidate = candidate(image, name);
        let (restrictions, selectors): (Vec<_>, Vec<_>) = self.images.iter().partition(|p| p.is_restriction());
        let selected = if selectors.is_empty() {
            name.and_then(|name| name.reference.as_ref())
                .is_some_and(|reference| self.project.named().contains(reference))
        } else {
            selectors.iter().any(|pattern| pattern.matches(&candidate, self.now))
        };
        selected && restrictions.iter().all(|pattern| pattern.matches(&candidate, self.now))
    }
}

/// A name of an image, as the plan looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    /// The engine's text of it, which is what a removal must say.
    text: String,
    /// The same, read. `None` for a text that we cannot read: no request selects it, so it keeps its image.
    reference: Option<ImageReference>,
}

/// An image under one of its names, as patterns look at it (`None`: an image without names).
fn candidate<'a>(image: &'a Image, name: Option<&'a Name>) -> Candidate<'a> {
    Candidate {
        name: name.and_then(|name| name.reference.as_ref()),
        id: &image.id,
        digests: &image.digests,
        labels: &image.labels,
        created: image.created,
    }
}

/// The names of an image: its tags, and its digests where no tag names the same repository. (With the last tag of a
/// repository the engine takes the digests away as well.)
fn names_of(image: &Image) -> Vec<Name> {
    let read = |text: &String| Name { text: text.clone(), reference: text.parse().ok() };
    let repository = |name: &Name| name.reference.as_ref().map(ImageReference::repository);
    let tags: Vec<Name> = image.tags.iter().map(read).collect();
    let tagged: BTreeSet<_> = tags.iter().filter_map(repository).collect();
    let digests = image.digests.iter().map(read);
    let digests = digests.filter(|name| repository(name).is_none_or(|repository| !tagged.contains(&repository)));
    let mut names: Vec<Name> = digests.collect();
    names.splice(0..0, tags);
    names
}

impl ClearRequest {
    /// Whether the request would clear an image of this name, if there were one.
    fn covers(&self, reference: &ImageReference) -> bool {
        let nothing = Image {
            id: String::new(),
            tags: Vec::new(),
            digests: Vec::new(),
            created: None,
            size: 0,
            shared_size: None,
            labels: std::collections::BTreeMap::new(),
            parent: None,
        };
        let name = Name { text: reference.to_string(), reference: Some(reference.clone()) };
        self.selects(&nothing, Some(&name))
            && !self.keep.iter().any(|pattern| pattern.matches(&candidate(&nothing, Some(&name)), self.now))
    }
}

#[cfg(test)]
mod tests;

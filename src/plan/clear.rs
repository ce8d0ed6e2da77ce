//! The plan of a clear: what goes, what stays and why.
//!
//! A pure function of what is asked and what exists. When in doubt an image stays.

mod print;

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Utc};

use crate::buildkit::usage::Record;
use crate::engine::{Image, Parents};
use crate::image::ImageReference;
use crate::image::pattern::{Candidate, Pattern};
use crate::inputs::ClearScope;
use crate::survey::clear::ClearSurvey;

/// What a clear is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearRequest {
    /// The input `images`. Names, ids and labels select, each by itself; ages narrow down what is selected. If nothing
    /// selects, the project's own images are.
    pub images: Vec<Pattern>,
    /// The project's own images.
    pub project: Vec<ImageReference>,
    /// The input `keep`: what one of these matches stays.
    pub keep: Vec<Pattern>,
    /// The input `scope`.
    pub scope: ClearScope,
    /// The time that ages are counted from.
    pub now: DateTime<Utc>,
}

/// What a clear will do. [`fmt::Display`] is the text of a dry run.
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

impl KeepReason {
    /// Whether the image could still serve as a cache, so that the clear is not complete. What the request itself or the
    /// job excludes does not count.
    fn leaves_cache(&self) -> bool {
        match self {
            Self::UsedBy { .. } | Self::ParentOf { .. } => true,
            Self::OwnImage | Self::OtherAction | Self::Pattern(_) => false,
        }
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
            ImageAction::Remove | ImageAction::Untag { .. } => Some(format!("image {} is still there", image.name)),
            ImageAction::Keep(reason) => reason.leaves_cache().then(|| format!("image {} stays: {reason}", image.name)),
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
    let mut images: Vec<PlannedImage> = if request.scope.images {
        survey.images.iter().flat_map(|image| plan_image(request, survey, image)).collect()
    } else {
        Vec::new()
    };
    // Images without names come last: the engine removes none while another was made from it.
    images.sort_by(|a, b| (a.name == a.id, &a.name).cmp(&(b.name == b.id, &b.name)));
    let by_name_only = request.keep.iter().all(Pattern::is_by_name);
    ClearPlan {
        tombstones: tombstones(request, &images),
        images,
        // A parent has no name and is not in the survey: where `keep` could mean it all the same, it stays.
        parents: if by_name_only { Parents::Remove } else { Parents::Keep },
        builder: request.scope.builder.then(|| PlannedBuilder::of(&survey.builder)),
    }
}

fn plan_image(request: &ClearRequest, survey: &ClearSurvey, image: &Image) -> Vec<PlannedImage> {
    let names = names_of(image);
    if names.iter().any(|name| name.reference.as_ref().is_some_and(ImageReference::is_reserved)) {
        return Vec::new();
    }
    let protection = protection(survey, image);
    let decide = |name: Option<&Name>| -> Option<Result<(), KeepReason>> {
        if !request.selects(image, name) {
            return None;
        }
        let kept = || request.keep.iter().find(|pattern| pattern.matches(&candidate(image, name), request.now));
        Some(match protection.clone().or_else(|| kept().map(|pattern| KeepReason::Pattern(pattern.to_string()))) {
            Some(reason) => Err(reason),
            None => Ok(()),
        })
    };
    let planned =
        |name: &str, bytes, action| PlannedImage { name: name.to_owned(), id: image.id.clone(), bytes, action };
    let unique = image.size.saturating_sub(image.shared_size.unwrap_or(0));
    if names.is_empty() {
        let action = match decide(None) {
            None => return Vec::new(),
            Some(Err(reason)) => ImageAction::Keep(reason),
            Some(Ok(())) => child_that_stays(survey, image).map_or(ImageAction::Remove, ImageAction::Keep),
        };
        return vec![planned(&image.id, unique, action)];
    }
    let decisions: Vec<_> = names.iter().map(|name| (name, decide(Some(name)))).collect();
    let remains = decisions.iter().find(|(_, decision)| *decision != Some(Ok(()))).map(|(name, _)| name.text.clone());
    let mut bytes = unique;
    decisions
        .into_iter()
        .filter_map(|(name, decision)| {
            Some(match (decision?, &remains) {
                (Err(reason), _) => planned(&name.text, unique, ImageAction::Keep(reason)),
                (Ok(()), Some(remains)) => planned(&name.text, 0, ImageAction::Untag { remains: remains.clone() }),
                // All its names go, and the image goes once.
                (Ok(()), None) => planned(&name.text, std::mem::take(&mut bytes), ImageAction::Remove),
            })
        })
        .collect()
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
            name.and_then(|name| name.reference.as_ref()).is_some_and(|reference| self.project.contains(reference))
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

/// Why an image must not go, whatever the request says.
fn protection(survey: &ClearSurvey, image: &Image) -> Option<KeepReason> {
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
fn child_that_stays(survey: &ClearSurvey, image: &Image) -> Option<KeepReason> {
    let child = survey.images.iter().find(|child| child.parent.as_ref() == Some(&image.id))?;
    Some(KeepReason::ParentOf { image: child.tags.first().unwrap_or(&child.id).clone() })
}

/// The repositories to mark: those that lose an image or would, and the project's own that the request covers, because
/// their cache may lie in the builder or in a registry where no image shows it.
fn tombstones(request: &ClearRequest, images: &[PlannedImage]) -> BTreeSet<String> {
    if !request.scope.images {
        return BTreeSet::new();
    }
    let cleared = images.iter().filter(|image| match &image.action {
        ImageAction::Remove | ImageAction::Untag { .. } => true,
        ImageAction::Keep(reason) => reason.leaves_cache(),
    });
    let repositories =
        cleared.filter_map(|image| image.name.parse::<ImageReference>().ok().filter(|_| image.name != image.id));
    let by_age = request.images.iter().any(Pattern::is_restriction);
    let own = request.project.iter().filter(|reference| !by_age && request.covers(reference));
    repositories
        .chain(own.cloned())
        .filter(|reference| !reference.is_reserved())
        .map(|reference| reference.repository())
        .collect()
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

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnImage => write!(f, "this action runs from it"),
            Self::OtherAction => write!(f, "the runner built it for an action of this job"),
            Self::UsedBy { container, others: 0 } => write!(f, "used by container {container}"),
            Self::UsedBy { container, others } => write!(f, "used by container {container} and {others} more"),
            Self::ParentOf { image } => write!(f, "image {image} was made from it"),
            Self::Pattern(pattern) => write!(f, "keep: {pattern}"),
        }
    }
}

#[cfg(test)]
mod tests;

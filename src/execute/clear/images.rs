//! Removes images, and tells of each what became of it: by what the engine says, and by what is there afterwards.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{Stream, StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::{CANCELLED, finished, message_of};
use crate::engine::{Engine, EngineError, Image, ImageDetails};
use crate::image::ImageReference;
use crate::outcome::clear::{Fate, ItemOutcome, Place};
use crate::plan::clear::{CacheKind, ClearPlan, ImageAction, PlannedImage};

/// So many images are removed at once: an engine collects the garbage of several in one go.
const AT_ONCE: usize = 8;

/// Removes images, several at once: kind after kind, and the names of one image one after another, because an engine that
/// loses two at once may think twice that another is left.
pub(super) async fn remove(
    engine: &Engine,
    plan: &ClearPlan,
    cancel: &CancellationToken,
    on_item: &mut impl FnMut(&ItemOutcome),
) -> Vec<ItemOutcome> {
    let work = Work { engine, plan, cancel };
    let mut items = Vec::with_capacity(plan.images.len());
    let numbered: Vec<(usize, &PlannedImage)> = plan.images.iter().enumerate().collect();
    for kind in numbered.chunk_by(|(_, a), (_, b)| a.turn() == b.turn()) {
        let mut images: BTreeMap<&str, Vec<(usize, &PlannedImage)>> = BTreeMap::new();
        kind.iter().for_each(|(number, image)| images.entry(&image.id).or_default().push((*number, *image)));
        let removals = images.into_values().map(|names| Box::pin(work.names(names)));
        let mut removals = stream::iter(removals).flatten_unordered(AT_ONCE);
        while let Some((number, item)) = removals.next().await {
            on_item(&item);
            items.push((number, item));
        }
    }
    items.sort_by_key(|(number, _)| *number);
    items.into_iter().map(|(_, item)| item).collect()
}

struct Work<'a> {
    engine: &'a Engine,
    plan: &'a ClearPlan,
    cancel: &'a CancellationToken,
}

impl Work<'_> {
    fn names<'b>(&'b self, names: Vec<(usize, &'b PlannedImage)>) -> impl Stream<Item = (usize, ItemOutcome)> + 'b {
        stream::unfold(names.into_iter(), async move |mut names| {
            let (number, image) = names.next().filter(|_| !self.cancel.is_cancelled())?;
            let fate = finished(self.cancel, self.one(image)).await;
            let fate = fate.unwrap_or_else(|| Fate::Failed { why: CANCELLED.to_owned() });
            Some(((number, item(image, fate)), names))
        })
    }

    async fn one(&self, image: &PlannedImage) -> Fate {
        if let ImageAction::Keep(reason) = &image.action {
            return Fate::Kept { why: reason.to_string() };
        }
        // An engine knows no removal with a condition, so this is as late as one can look.
        let failure = match self.engine.look_at_image(&image.name).await {
            Ok(now) => match now.and_then(|now| kept_by_a_build(image, &now)) {
                Some(why) => return Fate::Kept { why },
                None => match self.engine.remove_image(&image.name, self.plan.parents).await {
                    Ok(_) => return Fate::Removed,
                    // Somebody else was faster; it is gone, which is what was asked for.
                    Err(error) if error.is_no_such_image() => return Fate::Removed,
                    Err(error) => error,
                },
            },
            Err(error) => error,
        };
        self.after(image, &failure).await
    }

    /// What became of an image whose removal failed: an engine may fail at what it has done, and another may have done it.
    async fn after(&self, image: &PlannedImage, failure: &EngineError) -> Fate {
        match self.engine.look_at_image(&image.name).await {
            Ok(None) => Fate::Removed,
            Ok(Some(now)) => match kept_by_a_build(image, &now) {
                Some(why) => Fate::Kept { why },
                None => Fate::Failed { why: message_of(failure) },
            },
            Err(_) => Fate::Failed { why: message_of(failure) },
        }
    }
}

/// Why an image must not be removed any more, if a build was at work since the survey: it gave the name to another image,
/// or the image without one a name; or a name by digest, which takes every tag of its repository along, a tag beside it.
fn kept_by_a_build(image: &PlannedImage, now: &ImageDetails) -> Option<String> {
    if now.id != image.id {
        return Some("built again meanwhile".to_owned());
    }
    let tag = if image.name == image.id {
        now.tags.iter().chain(&now.digests).next()
    } else {
        let (repository, _) = image.name.split_once('@')?;
        let of_it = |tag: &&String| tag.rsplit_once(':').is_some_and(|(of, _)| of == repository);
        now.tags.iter().find(of_it)
    };
    tag.map(|tag| format!("named {tag} meanwhile"))
}

/// What the second survey says goes before what the engine said to a removal.
pub(super) fn reconcile(
    items: &mut [ItemOutcome],
    planned: &[PlannedImage],
    after: &[Image],
    on_item: &mut impl FnMut(&ItemOutcome),
) {
    let names: BTreeMap<&str, BTreeSet<&str>> = after
        .iter()
        .map(|image| {
            let names = image.tags.iter().chain(&image.digests).chain([&image.id]);
            (image.id.as_str(), names.map(String::as_str).collect())
        })
        .collect();
    let is_there = |planned: &PlannedImage| {
        names.get(planned.id.as_str()).is_some_and(|names| names.contains(planned.name.as_str()))
    };
    for item in items {
        let of_it = |planned: &&PlannedImage| planned.name == item.name && item.id.as_ref() == Some(&planned.id);
        let Some(planned) = planned.iter().find(of_it) else { continue };
        item.fate = match (&item.fate, is_there(planned)) {
            (Fate::Removed, true) => Fate::Failed { why: "the engine still lists it".to_owned() },
            (Fate::Failed { .. }, false) => Fate::Removed,
            (Fate::Removed | Fate::Failed { .. } | Fate::Kept { .. } | Fate::WouldRemove, _) => continue,
        };
        on_item(item);
    }
}

/// Repositories of which the removal of an image, a stage image or a ledger was begun.
pub(super) fn touched(images: &[PlannedImage], items: &[ItemOutcome]) -> BTreeSet<String> {
    let begun = items.iter().filter(|item| matches!(item.fate, Fate::Removed | Fate::Failed { .. }));
    let begun: BTreeSet<(Option<&str>, &str)> = begun.map(|item| (item.id.as_deref(), item.name.as_str())).collect();
    let images = images.iter().filter(|image| begun.contains(&(Some(image.id.as_str()), image.name.as_str())));
    images
        .filter_map(|image| match &image.cache {
            Some(cache) => cache.repository.clone(),
            None => image.name.parse::<ImageReference>().ok().map(|name| name.repository()),
        })
        .collect()
}

/// The outcome of an image under one of its names.
pub(super) fn item(image: &PlannedImage, fate: Fate) -> ItemOutcome {
    let fate = match &image.action {
        ImageAction::Keep(reason) => Fate::Kept { why: reason.to_string() },
        ImageAction::Remove | ImageAction::Untag { .. } => fate,
    };
    ItemOutcome {
        place: match image.cache.as_ref().map(|cache| cache.kind) {
            None => Place::Images,
            Some(CacheKind::Stage | CacheKind::Capture) => Place::Stages,
            Some(CacheKind::Ledger) => Place::Ledgers,
        },
        name: image.name.clone(),
        of: image.cache.as_ref().map(|cache| cache.of.clone()).filter(|of| !of.is_empty()),
        id: Some(image.id.clone()),
        bytes: image.bytes,
        count: 1,
        fate,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Fate, Image, ImageAction, ImageDetails, PlannedImage, item, kept_by_a_build, reconcile, touched};

    fn planned(name: &str, id: &str) -> PlannedImage {
        PlannedImage { name: name.into(), id: id.into(), bytes: 1, action: ImageAction::Remove, cache: None }
    }

    fn image(id: &str, tags: &[&str]) -> Image {
        Image {
            id: id.into(),
            tags: tags.iter().map(ToString::to_string).collect(),
            digests: vec![],
            created: None,
            size: 1,
            shared_size: None,
            labels: BTreeMap::new(),
            parent: None,
        }
    }

    #[test]
    fn the_second_survey_has_the_last_word() {
        let failed = || Fate::Failed { why: "500".into() };
        let kept = || Fate::Kept { why: "used".into() };
        let listed = || Fate::Failed { why: "the engine still lists it".into() };
        let after = [image("sha256:a", &["app:1"]), image("sha256:b", &["app:2"]), image("sha256:n", &[])];
        for (name, id, said, expected) in [
            ("app:1", "sha256:a", Fate::Removed, listed()),
            ("app:1", "sha256:a", failed(), failed()),
            ("app:1", "sha256:a", kept(), kept()),
            // Its name is another image's by now.
            ("app:2", "sha256:c", Fate::Removed, Fate::Removed),
            ("app:2", "sha256:c", failed(), Fate::Removed),
            ("gone:1", "sha256:c", failed(), Fate::Removed),
            ("gone:1", "sha256:c", kept(), kept()),
            ("sha256:n", "sha256:n", Fate::Removed, listed()),
            ("sha256:c", "sha256:c", failed(), Fate::Removed),
        ] {
            let planned = [planned(name, id)];
            let mut items = [item(&planned[0], said.clone())];
            let mut told = 0;
            reconcile(&mut items, &planned, &after, &mut |_| told += 1);
            assert_eq!(items[0].fate, expected, "{name} {id}");
            assert_eq!(told, usize::from(said != expected), "{name} {id}");
        }
    }

    #[test]
    fn what_was_begun_is_marked() {
        let images = [planned("app:1", "sha256:a"), planned("web:1", "sha256:b"), planned("kept:1", "sha256:c")];
        let items = [
            item(&images[0], Fate::Removed),
            item(&images[1], Fate::Failed { why: "cancelled".into() }),
            item(&images[2], Fate::Kept { why: "used".into() }),
        ];
        assert_eq!(touched(&images, &items).into_iter().collect::<Vec<_>>(), ["app", "web"]);
    }

    #[test]
    fn what_a_build_took_up_meanwhile_stays() {
        let now = |id: &str, tags: &[&str]| ImageDetails {
            id: id.into(),
            layers: vec![],
            labels: BTreeMap::new(),
            tags: tags.iter().map(ToString::to_string).collect(),
            digests: vec![],
            size: 1,
            platform: None,
        };
        let digest = "app@sha256:a";
        for (name, found, expected) in [
            ("app:1", now("sha256:a", &["app:1"]), None),
            ("app:1", now("sha256:b", &["app:1"]), Some("built again meanwhile")),
            ("sha256:a", now("sha256:a", &[]), None),
            ("sha256:a", now("sha256:a", &["app:2"]), Some("named app:2 meanwhile")),
            (digest, now("sha256:a", &[digest]), None),
            (digest, now("sha256:a", &[digest, "web:1"]), None),
            (digest, now("sha256:a", &[digest, "app:2"]), Some("named app:2 meanwhile")),
        ] {
            let why = kept_by_a_build(&planned(name, "sha256:a"), &found);
            assert_eq!(why.as_deref(), expected, "{name} {found:?}");
        }
    }
}

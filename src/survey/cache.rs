//! What the image cache has for a build: ledgers and images that are in the engine now.
//!
//! A ledger says which records an image has; only what the engine has as well is worth offering. Whatever cannot be read
//! is named and left out: a build without a record is slow, a build with a wrong one is wrong.

mod bases;
mod foreign;
pub mod registry;
mod seen;

pub use seen::Seen;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use tokio::sync::OnceCell;

use crate::buildkit::Connection;
use crate::buildkit::usage::{self, Dated};
use crate::cache::ledger::{Access, Identity, Ledger, LedgerKey, Role};
use crate::cache::records::Records;
use crate::engine::{Engine, ImageDetails, ImageStore};
use crate::error::chain;
use crate::image::ImageReference;
use crate::outcome::build::UnusedSource;
use crate::plan::build::{Complete, ImageCache};
use crate::project::dockerfile::Dockerfile;
use crate::project::target::{CacheSource, Target};
use crate::registry::Registries;
use registry::{Look, RemoteRecords};

use crate::plan::build::cache_to::CachePlace;

/// Where and how far to look.
#[derive(Debug, Clone, Copy)]
pub struct Lookup<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// What was seen of its images; the targets of a run have most of them in common.
    pub seen: &'a Seen<'a>,
    /// Its BuildKit.
    pub connection: &'a Connection,
    /// What it holds, which is to be known before anything is asked of it that it keeps.
    pub holds: &'a Holds<'a>,
    /// What this run may read.
    pub access: &'a Access,
    /// Records made before are not offered.
    pub oldest: Option<DateTime<Utc>>,
    /// The registries.
    pub registries: &'a Registries,
}

/// What the builder holds, if it tells it: asked once, by whoever needs to know it first.
#[derive(Debug)]
pub struct Holds<'a> {
    connection: &'a Connection,
    told: OnceCell<Option<Vec<Dated>>>,
}

impl<'a> Holds<'a> {
    /// Of a builder that was not asked yet.
    pub fn of(connection: &'a Connection) -> Self {
        Self { connection, told: OnceCell::new() }
    }

    /// Waits until it is known.
    pub async fn ask(&self) {
        self.told.get_or_init(async || usage::dated(self.connection).await.ok()).await;
    }

    /// What was told.
    #[must_use]
    pub fn told(self) -> Option<Vec<Dated>> {
        self.told.into_inner().flatten()
    }
}

/// What was found for one target.
#[derive(Debug, Default)]
pub struct Found {
    /// The ledger of the build before this one: that of the run's own ref, which it will replace, or the nearest of those
    /// that it reads.
    pub previous: Option<Previous>,
    /// Records whose layers are in the engine, of each source the most trusted first.
    pub records: Vec<Records>,
    /// What there is to keep.
    pub cache: ImageCache,
    /// Records in registries, whose layers are there.
    pub remote: Vec<RemoteRecords>,
    /// Cache sources in BuildKit's own terms: it asks for them itself.
    pub elsewhere: Vec<CacheSource>,
    /// What is offered, a line for each source, for the log.
    pub sources: Vec<String>,
}

/// A ledger and the image that it is in.
#[derive(Debug, Clone)]
pub struct Previous {
    /// The ledger.
    pub ledger: Ledger,
    /// The engine's id of its image.
    pub image_id: String,
    /// Images that the engine had before the build, by their ids: of those that ledgers and cache sources name.
    pub present: BTreeSet<String>,
}

/// Records and the image that must be there for them.
struct Candidate {
    /// What the person is told of it.
    source: String,
    image_id: String,
    records: Records,
}

impl Lookup<'_> {
    /// Looks for everything that a target can take steps from, at `place` in a registry as well.
    pub async fn find(
        &self,
        target: &Target,
        dockerfile: Option<&Dockerfile>,
        identity: Option<&Identity>,
        place: Option<&CachePlace>,
    ) -> Found {
        let keys = identity.map(|identity| self.access.keys(identity)).unwrap_or_default();
        let (ledgers, (images, elsewhere, mut unused), bases, ()) = tokio::join!(
            self.ledgers(&keys),
            self.images(target),
            self.bases(target, dockerfile),
            self.foresee_stages(keys.first(), target, dockerfile),
        );
        let (elsewhere, named) = in_registries(elsewhere);
        let (remote, without) = self.remote(place, &named).await;
        unused.extend(without);
        let mut readable = Vec::new();
        for (key, ledger) in keys.iter().zip(ledgers) {
            match ledger {
                Ok(Some(ledger)) => readable.push(ledger),
                Ok(None) => {}
                Err(reason) => unused.push(UnusedSource { source: key.name(), reason }),
            }
        }
        let mut candidates: Vec<Candidate> = readable.iter().flat_map(|found| candidates(&found.ledger)).collect();
        let own = |found: &Previous| keys.first() == Some(&found.ledger.key);
        // They are in the order of the keys, the run's own first.
        let previous = readable.into_iter().next();
        for (reference, details) in images {
            if candidates.iter().any(|candidate| candidate.image_id == details.id) {
                continue;
            }
            // An image that nobody named is looked at in vain without a word.
            let named = !target.cache_from.is_empty();
            match self.foreign(&reference, &details, named).await {
                Ok(found) => candidates.extend(found),
                Err(reason) if named => unused.push(UnusedSource { source: reference.to_string(), reason }),
                Err(_) => {}
            }
        }
        let present = self.present(&candidates).await;
        let complete = previous.as_ref().filter(|found| own(found)).and_then(|found| complete(&found.ledger, &present));
        let previous = previous.map(|found| Previous { present: present.keys().cloned().collect(), ..found });
        let mut sources = Vec::new();
        let mut records = Vec::new();
        for candidate in candidates {
            let Some(details) = present.get(&candidate.image_id) else { continue };
            let usable = usable(candidate.records, details, &self.engine.info().store);
            let count = self.young(&usable);
            if count > 0 {
                sources.push(format!("{count} from {}", candidate.source));
                records.push(usable.with_bases(&bases));
            }
        }
        for remote in &remote {
            sources.push(format!("{} from {}", remote.records.count_with_results(), remote.reference));
        }
        let ledger = keys.into_iter().next().filter(|key| !key.scope.is_of_one_run());
        let cache_to = place.and_then(|place| place.write.clone());
        let cache = ImageCache { ledger, complete, unused, cache_to, bases, ..ImageCache::default() };
        Found { previous, records, remote, cache, elsewhere, sources }
    }

    /// Records in registries, if not all of them are too old.
    async fn remote(
        &self,
        place: Option<&CachePlace>,
        named: &[ImageReference],
    ) -> (Vec<RemoteRecords>, Vec<UnusedSource>) {
        let look = Look { registries: self.registries, platform: &self.engine.info().platform };
        let (mut found, unused) = look.find(place, named).await;
        found.retain(|remote| self.young(&remote.records) > 0);
        (found, unused)
    }

    /// How many results are not too old. Those that are stay until all sources are merged: how old a stage is may be known
    /// to another source than the one that has what was built upon it.
    fn young(&self, records: &Records) -> usize {
        match self.oldest {
            Some(oldest) => records.clone().younger_than(oldest).count_with_results(),
            None => records.count_with_results(),
        }
    }

    /// The ledgers of these keys, as far as there are any.
    async fn ledgers(&self, keys: &[LedgerKey]) -> Vec<Result<Option<Previous>, String>> {
        join_all(keys.iter().map(|key| self.ledger(key))).await
    }

    async fn ledger(&self, key: &LedgerKey) -> Result<Option<Previous>, String> {
        let found = self.engine.read_ledger(&key.name()).await.map_err(|error| chain(&error))?;
        let Some(found) = found else { return Ok(None) };
        let ledger = Ledger::open(&found.content, key).map_err(|error| chain(&error))?;
        Ok(Some(Previous { ledger, image_id: found.id.unwrap_or_default(), present: BTreeSet::new() }))
    }

    /// Images of the engine among the cache sources, the first tag if none was named; and the other sources.
    async fn images(
        &self,
        target: &Target,
    ) -> (Vec<(ImageReference, Arc<ImageDetails>)>, Vec<CacheSource>, Vec<UnusedSource>) {
        let implied = target.tags.first().filter(|_| target.cache_from.is_empty()).cloned().map(CacheSource::Image);
        let sources = target.cache_from.iter().cloned().chain(implied.clone());
        let looked_up = sources.map(|source| async {
            match &source {
                CacheSource::Image(reference) => match self.seen.image(&reference.to_string()).await {
                    Some(details) => Ok((reference.clone(), details)),
                    None => Err(source),
                },
                CacheSource::BuildKit(_) => Err(source),
            }
        });
        let (mut images, mut elsewhere, mut absent) = (Vec::new(), Vec::new(), Vec::new());
        for found in join_all(looked_up).await {
            match found {
                Ok(image) => images.push(image),
                // Nobody asked for a request to a registry.
                Err(source) if Some(&source) == implied.as_ref() => {}
                // Names without an owner are the official images' on Docker Hub: nobody's cache is there.
                Err(CacheSource::Image(reference)) if reference.canonical().starts_with("docker.io/library/") => {
                    let reason = "the engine has no such image yet".to_owned();
                    absent.push(UnusedSource { source: reference.to_string(), reason });
                }
                Err(source) => elsewhere.push(source),
            }
        }
        (images, elsewhere, absent)
    }

    /// Looks at the images of stages that the run's own ledger will name, if there is one: by then they have been seen.
    async fn foresee_stages(&self, own: Option<&LedgerKey>, target: &Target, dockerfile: Option<&Dockerfile>) {
        let stages = dockerfile.map(|dockerfile| target.intermediate_stages(dockerfile)).unwrap_or_default();
        let names = own.into_iter().flat_map(|own| stages.iter().map(|stage| own.stage_name(&stage.target())));
        join_all(names.map(|name| async move { self.seen.image(&name).await })).await;
    }

    /// The candidates' images that the engine has, by id.
    async fn present(&self, candidates: &[Candidate]) -> BTreeMap<String, Arc<ImageDetails>> {
        let ids: BTreeSet<&str> = candidates.iter().map(|candidate| candidate.image_id.as_str()).collect();
        let looked_up =
            ids.into_iter().map(|id| async move { Some((id.to_owned(), self.seen.image_with_id(id).await?)) });
        join_all(looked_up).await.into_iter().flatten().collect()
    }
}

/// Records whose layers are in the engine, in this image.
fn usable(records: Records, image: &ImageDetails, store: &ImageStore) -> Records {
    let own: BTreeSet<&str> = image.layers.iter().map(String::as_str).collect();
    records.keep(|result| {
        let layers: Vec<String> = result.layers().iter().map(|layer| layer.diff_id.to_string()).collect();
        match store {
            // The store names an image by what is in it: where the image is, its layers are. But an export tells of every
            // layer that happens to be there as a blob, and some are another image's.
            ImageStore::Containerd => layers.iter().all(|layer| own.contains(layer.as_str())),
            // A graph driver asks for a missing chain for almost a minute.
            ImageStore::GraphDriver(_) => image.layers.iter().take(layers.len()).eq(&layers),
        }
    })
}

/// What BuildKit is asked to import, and images that we look for ourselves.
fn in_registries(sources: Vec<CacheSource>) -> (Vec<CacheSource>, Vec<ImageReference>) {
    let (mut imports, mut images) = (Vec::new(), Vec::new());
    for source in sources {
        match source {
            CacheSource::Image(reference) => images.push(reference),
            CacheSource::BuildKit(_) => imports.push(source),
        }
    }
    (imports, images)
}

fn candidates(ledger: &Ledger) -> impl Iterator<Item = Candidate> {
    let of = ledger.key.name();
    ledger.images.iter().map(move |image| Candidate {
        source: match &image.role {
            Role::Final => format!("{} ({of})", image.reference),
            Role::Stage { name } => format!("stage {name} ({of})"),
        },
        image_id: image.id.to_string(),
        records: image.records.clone(),
    })
}

/// What of a ledger is there, if the image itself is.
fn complete(ledger: &Ledger, present: &BTreeMap<String, Arc<ImageDetails>>) -> Option<Complete> {
    let there = || ledger.images.iter().filter(|image| present.contains_key(image.id.as_str()));
    let image_id = there().find(|image| image.role == Role::Final)?.id.to_string();
    let stages = there().filter_map(|image| match &image.role {
        Role::Final => None,
        Role::Stage { name } => Some(name.clone()),
    });
    Some(Complete { image_id, stages: stages.collect() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::usable;
    use crate::cache::records::{Digest, Records};
    use crate::engine::{ImageDetails, ImageStore};

    fn layer(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    /// Two steps upon a base image, each with a layer.
    fn records() -> Records {
        let names = ["base", "first", "second"];
        let layers: Vec<_> = names.iter().map(|name| layer(name)).collect();
        let at = "2026-11-01T10:00:00Z";
        let records = json!([
            {"digest": layer("op 1"), "layers": [{"layer": 1, "createdAt": at}]},
            {"digest": layer("op 2"), "inputs": [[{"link": 0}]], "layers": [{"layer": 2, "createdAt": at}]},
        ]);
        let config = json!({
            "moby.buildkit.cache.v0": base64(&records.to_string()),
            "rootfs": {"type": "layers", "diff_ids": layers},
            "history": names.map(|_| json!({"created": at})),
        });
        Records::from_image_config(config.to_string().as_bytes()).unwrap().unwrap()
    }

    fn base64(text: &str) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(text)
    }

    fn image(layers: &[&str]) -> ImageDetails {
        ImageDetails {
            id: layer("image").to_string(),
            layers: layers.iter().map(|name| layer(name).to_string()).collect(),
            labels: BTreeMap::new(),
            tags: Vec::new(),
            digests: Vec::new(),
            size: 1,
            platform: None,
        }
    }

    #[test]
    fn a_ledger_offers_no_layer_that_its_image_does_not_own() {
        let results = |image: &ImageDetails, store: &ImageStore| usable(records(), image, store).count_with_results();
        let graph = ImageStore::GraphDriver("overlay2".to_owned());
        for store in [&graph, &ImageStore::Containerd] {
            assert_eq!(results(&image(&["base", "first", "second"]), store), 2, "{store:?}");
            assert_eq!(results(&image(&["base", "first"]), store), 1, "{store:?}");
            assert_eq!(results(&image(&["other"]), store), 0, "{store:?}");
            // An image whose content is gone.
            assert_eq!(results(&image(&[]), store), 0, "{store:?}");
        }
        // The same layers upon another one are another chain.
        assert_eq!(results(&image(&["other", "base", "first", "second"]), &graph), 0);
    }
}

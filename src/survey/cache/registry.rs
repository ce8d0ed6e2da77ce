//! What registries have for a build: caches that runs wrote there, and records inside images.
//!
//! Only manifests and configs are read here; the builder asks for layers when it needs them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::cache::records::{Records, Subject};
use crate::error::chain;
use crate::image::ImageReference;
use crate::outcome::build::UnusedSource;
use crate::plan::build::cache_to::CachePlace;
use crate::registry::{Digest, Registries, Registry, RegistryError, RemoteLayer, Repository};

/// How long a source is looked at. A build that waits for a registry which does not answer is slower than one without it.
const LOOK: Duration = Duration::from_secs(15);

/// What one run finds in registries.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// Who is asked.
    pub registries: &'a Registries,
    /// The platform of the engine, `linux/amd64`: whose image of an index is looked at.
    pub platform: &'a str,
}

/// Records in a registry, and who has their layers.
#[derive(Debug, Clone)]
pub struct RemoteRecords {
    /// The tag.
    pub reference: ImageReference,
    /// The records; each result has all its layers in the manifest.
    pub records: Records,
    registry: Arc<Registry>,
}

impl RemoteRecords {
    /// The layers by their digests, for whoever is asked for them.
    pub fn layers(&self) -> impl Iterator<Item = (String, RemoteLayer)> {
        let repository = Repository::of(&self.reference);
        self.records.layers().iter().map(move |layer| {
            let (registry, repository) = (Arc::clone(&self.registry), repository.clone());
            (layer.blob.to_string(), RemoteLayer { registry, repository, size: layer.size })
        })
    }
}

/// Why a source gives nothing.
#[derive(Debug, thiserror::Error)]
enum Nothing {
    #[error("there is no such tag")]
    Absent,
    #[error("it is an image without records")]
    NoRecords,
    #[error("it is an index without an image for {0}")]
    NoPlatform(String),
    #[error("it names {0}, which the registry does not have")]
    Lost(String),
    #[error("no answer within {} s", LOOK.as_secs())]
    TimedOut,
    #[error("its records cannot be used")]
    Records(#[from] crate::cache::records::RecordsError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Whether the cache beside an image is one of `own`.
fn has_its_cache_at(own: &[&ImageReference], image: &ImageReference) -> bool {
    CachePlace::beside(image).is_some_and(|beside| own.contains(&&beside))
}

impl Look<'_> {
    /// Looks at the caches at `place`, and at the images that were named as sources, or the caches beside them. What was
    /// named and gives nothing is said; that there is no cache at `place` yet is not.
    pub async fn find(
        &self,
        place: Option<&CachePlace>,
        named: &[ImageReference],
    ) -> (Vec<RemoteRecords>, Vec<UnusedSource>) {
        let own: Vec<&ImageReference> = place.iter().flat_map(|place| &place.read).collect();
        let named: Vec<&ImageReference> = named.iter().filter(|reference| !own.contains(reference)).collect();
        let beside = |reference: &ImageReference| CachePlace::beside(reference).filter(|beside| !own.contains(&beside));
        let (at_place, elsewhere) = tokio::join!(
            join_all(own.iter().map(|reference| self.look(reference))),
            join_all(named.iter().map(|reference| async {
                let beside = beside(reference);
                let cache = async {
                    match &beside {
                        Some(beside) => self.look(beside).await,
                        None => Err(Nothing::Absent),
                    }
                };
                // The image itself is of no use where it has a cache beside it.
                match tokio::join!(cache, self.look(reference)) {
                    (Ok(found), _) | (Err(_), Ok(found)) => Ok(found),
                    (Err(_), Err(nothing)) => Err(nothing),
                }
            }))
        );
        let (mut found, mut unused) = (Vec::new(), Vec::new());
        for (reference, looked) in own.iter().copied().zip(at_place).chain(named.into_iter().zip(elsewhere)) {
            match looked {
                Ok(records) => found.push(records),
                Err(Nothing::Absent) if own.contains(&reference) => {
                    tracing::debug!(%reference, "there is no cache yet");
                }
                // Its cache is looked at all the same, and a first build has none.
                Err(Nothing::Absent | Nothing::NoRecords) if has_its_cache_at(&own, reference) => {
                    tracing::debug!(%reference, "the image has no records in it");
                }
                Err(nothing) => {
                    unused.push(UnusedSource { source: reference.to_string(), reason: chain(&nothing) });
                }
            }
        }
        (found, unused)
    }

    async fn look(&self, reference: &ImageReference) -> Result<RemoteRecords, Nothing> {
        let looked = tokio::time::timeout(LOOK, self.read(reference)).await;
        looked.unwrap_or(Err(Nothing::TimedOut))
    }

    async fn read(&self, reference: &ImageReference) -> Result<RemoteRecords, Nothing> {
        let registry = self.registries.client(reference.host())?;
        let repository = Repository::of(reference);
        let name = reference.digest().or(reference.tag()).unwrap_or_default();
        let mut manifest = registry.manifest(&repository, name).await?.ok_or(Nothing::Absent)?;
        let mut subject = Subject::of(&manifest.bytes)?;
        if let Subject::Index(children) = &subject {
            let own =
                |platform: &str| platform == self.platform || platform.starts_with(&format!("{}/", self.platform));
            let child = children.iter().find(|child| own(&child.platform));
            let child = child.ok_or_else(|| Nothing::NoPlatform(self.platform.to_owned()))?.digest.to_string();
            manifest = registry.manifest(&repository, &child).await?.ok_or(Nothing::Lost(child))?;
            subject = Subject::of(&manifest.bytes)?;
        }
        let (config, is_cache) = match subject {
            Subject::Cache { config } => (config, true),
            Subject::Image { config } => (config, false),
            Subject::Index(_) => return Err(Nothing::NoRecords),
        };
        let config = config.to_string();
        let lost = || Nothing::Lost(config.clone());
        let digest: Digest = config.parse().map_err(|_| lost())?;
        let content = registry.blob(&repository, &digest).await?.ok_or_else(lost)?;
        let records = if is_cache {
            Records::from_export(&manifest.bytes, &content)?
        } else {
            Records::from_registry_image(&manifest.bytes, &content)?.ok_or(Nothing::NoRecords)?
        };
        Ok(RemoteRecords { reference: reference.clone(), records, registry })
    }
}

//! After a build: its cache, written to a tag of a registry, for runners that have nothing.
//!
//! On the containerd image store BuildKit writes it, layers and all, in one more solve in which everything is cached. A
//! graph driver's engine exports no cache but pushes images: it pushes ours under a tag beside that of the cache, one after
//! the other, and the registry's manifests tell under which digests their layers are there now. What is written last, and
//! alone at the cache's own tag, is a manifest of the records with all these layers. So the tag names at every moment the
//! cache of before or the new one, whatever becomes of the run, and whoever else writes.

use std::collections::HashMap;
use std::time::Duration;

use super::Execution;
use super::buildkit::{directories, import, offered, services};
use super::cached::{Cached, NotSolved};
use super::keep::Kept;
use crate::buildkit::session::filesync::FileSyncService;
use crate::buildkit::session::{Missing, Session, SshError};
use crate::buildkit::solve::{SolveError, SolveRequest};
use crate::buildkit::{BuildKitError, Connection};
use crate::cache::ledger::CachedImage;
use crate::cache::records::{Blob, CacheImage, Digest, Offer, Records, RecordsError, Subject, blobs, of_its_own};
use crate::engine::{EngineError, Parents};
use crate::error::chain;
use crate::image::ImageReference;
use crate::outcome::build::{ImageOutcome, ImageResult};
use crate::plan::build::cache_to::WrittenBy;
use crate::plan::build::{How, Local, PlannedBuild};
use crate::registry::cache_tag::is_untrusted;
use crate::registry::{MediaType, Registry, RegistryError, Repository};

/// How long another run's steps are waited for.
const AGAIN: Duration = Duration::from_millis(500);
/// How often an image is pushed. Another run on this engine that writes the same cache may have given its name away.
const PUSHES: usize = 3;

/// Why a cache is not in the registry.
#[derive(Debug, thiserror::Error)]
enum CacheToError {
    #[error("the run was cancelled")]
    Cancelled,
    #[error("its steps are not all in the cache any more")]
    NotCached,
    #[error("open a session for it")]
    Session(#[source] BuildKitError),
    #[error("offer its SSH agents")]
    Ssh(#[source] SshError),
    #[error("let the builder write it")]
    Solve(#[source] SolveError),
    #[error("layer {} is asked for here, and {}", .0.digest, .0.registry.as_deref().unwrap_or("is only in the engine"))]
    NotServed(Missing),
    #[error("its records could not be read")]
    NoRecords,
    #[error("it is too large to be read again")]
    TooLarge,
    #[error("name the image for it")]
    Tag(#[source] EngineError),
    #[error("push its layers")]
    Push(#[source] EngineError),
    #[error("read what was pushed")]
    Pushed(#[source] RegistryError),
    #[error("what was pushed is not there")]
    Gone,
    #[error("what was pushed is no image")]
    NoImage,
    #[error("other runs on this engine write it at the same time")]
    Overtaken,
    #[error("what was pushed cannot be read")]
    Unreadable(#[source] RecordsError),
    #[error("write the records")]
    Write(#[source] RegistryError),
}

impl From<NotSolved> for CacheToError {
    fn from(why: NotSolved) -> Self {
        match why {
            NotSolved::Cancelled => Self::Cancelled,
            NotSolved::NotCached => Self::NotCached,
            NotSolved::NotServed(layer) => Self::NotServed(layer),
            NotSolved::Failed(error) => Self::Solve(error),
        }
    }
}

/// Whether there is something to write: not if nothing ran, and the tag has a cache of this image already.
pub(super) async fn is_wanted(
    index: usize,
    build: &PlannedBuild,
    with: &Execution<'_>,
    outcome: &ImageOutcome,
) -> bool {
    let (Some(cache_to), ImageResult::Built { image_id, .. }) = (&build.cache_to, &outcome.result) else {
        return false;
    };
    if outcome.has_uncached_steps() {
        return true;
    }
    let remote = with.remote.get(index).into_iter().flatten();
    let mut own = remote.filter(|remote| remote.reference == cache_to.reference).peekable();
    if own.peek().is_none() {
        return true;
    }
    let Ok(Some(image)) = with.engine.inspect_image(image_id).await else { return true };
    let is_image = |records: &Records| {
        records.results().any(|result| {
            result.layers().iter().map(|layer| layer.diff_id.to_string()).eq(image.layers.iter().cloned())
        })
    };
    !own.any(|remote| is_image(&remote.records))
}

/// Writes it; gives the reason why it could not be written. `offer` are the records that the build was offered, if they
/// are any good.
pub(super) async fn write(
    index: usize,
    build: &PlannedBuild,
    with: &Execution<'_>,
    kept: &Kept,
    offer: Option<&Offer>,
) -> Option<String> {
    let (cache_to, connection) = (build.cache_to.as_ref()?, with.connection?);
    let How::BuildKit { locals, shared_key, .. } = &build.how else { return None };
    let writer = Writer { index, build, connection, locals, shared_key, offer, with };
    let begun = std::time::Instant::now();
    let written = match &cache_to.by {
        WrittenBy::Solve(request) => {
            let exported = writer.unless_cancelled(writer.export(request)).await;
            if exported.is_ok() {
                // What is written is written, also if the run is cancelled meanwhile.
                let told_apart = writer.tell_apart(&cache_to.reference);
                if let Some(Err(error)) = with.cancelled.run_until_cancelled(told_apart).await {
                    tracing::debug!(
                        error = chain(&error),
                        "the cache may have its manifest in common with another tag"
                    );
                }
            }
            exported
        }
        WrittenBy::Engine { layers } => writer.push(&cache_to.reference, layers, kept).await,
    };
    tracing::debug!("image cache: written to {} in {} ms", cache_to.reference, begun.elapsed().as_millis());
    written.err().map(|error| format!("its cache is not at {}: {}", cache_to.reference, chain(&error)))
}

struct Writer<'a> {
    index: usize,
    build: &'a PlannedBuild,
    connection: &'a Connection,
    locals: &'a [Local],
    shared_key: &'a str,
    offer: Option<&'a Offer>,
    with: &'a Execution<'a>,
}

impl Writer<'_> {
    async fn unless_cancelled<T>(
        &self,
        writing: impl Future<Output = Result<T, CacheToError>>,
    ) -> Result<T, CacheToError> {
        self.with.cancelled.run_until_cancelled(writing).await.unwrap_or(Err(CacheToError::Cancelled))
    }

    async fn export(&self, request: &SolveRequest) -> Result<(), CacheToError> {
        match self.solve(request, self.offer).await {
            // The steps of another run that is building the same look like steps that this solve runs.
            Err(CacheToError::NotCached) => {
                tokio::time::sleep(AGAIN).await;
                self.solve(request, self.offer).await
            }
            // A record that was offered leads to us for its layers, also where only the engine has them.
            Err(CacheToError::NotServed(_) | CacheToError::Solve(_)) if self.offer.is_some() => {
                self.solve(request, None).await
            }
            solved => solved,
        }
    }

    async fn solve(&self, request: &SolveRequest, offer: Option<&Offer>) -> Result<(), CacheToError> {
        let (offered, stores) = offered(offer, self.with);
        let files = FileSyncService::new(directories(self.locals));
        let services = services(&self.build.target, files, self.with).map_err(CacheToError::Ssh)?;
        let session = Session::open(self.connection, services.with_content(stores), self.shared_key).await;
        let session = session.map_err(CacheToError::Session)?;
        let request = offer.map(import).into_iter().fold(request.clone(), SolveRequest::with_import);
        let solving = Cached {
            index: self.index,
            connection: self.connection,
            session: &session,
            offered: offered.as_ref(),
            with: self.with,
        };
        solving.solve(request, |_| {}).await.map(|_| ()).map_err(CacheToError::from)
    }

    /// A pull request that changes nothing has the records of its base, and where BuildKit writes them the same manifest. It gets one of
    /// its own: of two tags with one manifest neither can be deleted alone.
    async fn tell_apart(&self, reference: &ImageReference) -> Result<(), RegistryError> {
        let Some(tag) = reference.tag().filter(|tag| is_untrusted(tag)) else { return Ok(()) };
        let registry = self.with.registries.client(reference.host())?;
        let repository = Repository::of(reference);
        let Some(written) = registry.manifest(&repository, tag).await? else { return Ok(()) };
        let Some(own) = of_its_own(&written.bytes, tag) else { return Ok(()) };
        registry.write_manifest(&repository, tag, MediaType::OciManifest, own).await.map(|_digest| ())
    }

    async fn push(&self, reference: &ImageReference, layers: &ImageReference, kept: &Kept) -> Result<(), CacheToError> {
        let Kept::Images { images, .. } = kept else { return Err(CacheToError::NoRecords) };
        let registry = self.with.registries.client(reference.host()).map_err(CacheToError::Write)?;
        let place = Place { registry: &registry, repository: Repository::of(reference), reference, layers };
        let mut blobs = HashMap::new();
        for image in images {
            blobs.extend(self.push_image(&place, image).await?);
        }
        let own = Records::merge(images.iter().map(|image| image.records.clone().with_blobs(&blobs)));
        self.unless_cancelled(self.write_records(&place, own)).await
    }

    /// Pushes one image, and gives the blobs of its layers by their diff ids.
    async fn push_image(&self, place: &Place<'_>, image: &CachedImage) -> Result<Vec<(Digest, Blob)>, CacheToError> {
        for _ in 0..PUSHES {
            let pushed = self.unless_cancelled(self.push_once(place, image)).await;
            // The image keeps its own names; also where the push was cut short. The last name of a repository that goes takes
            // the digest along under which the engine knows the image there (moby `daemon/images/image_delete.go`).
            if let Err(error) = self.with.engine.remove_image(&place.layers.to_string(), Parents::Keep).await {
                tracing::debug!(error = chain(&error), "a name of ours stays behind");
            }
            let (config, blobs) = pushed?;
            // A graph driver knows images by their configs.
            if config == image.id.as_str() {
                return Ok(blobs);
            }
        }
        Err(CacheToError::Overtaken)
    }

    async fn push_once(
        &self,
        place: &Place<'_>,
        image: &CachedImage,
    ) -> Result<(String, Vec<(Digest, Blob)>), CacheToError> {
        let (engine, registries) = (self.with.engine, self.with.registries);
        engine.tag_image(image.id.as_str(), place.layers).await.map_err(CacheToError::Tag)?;
        let pushed = engine.push_image(place.layers, registries.login(place.reference.host()), |_event| {}).await;
        // By its digest: at the tag there may be what another run pushed meanwhile.
        place.pushed(&pushed.map_err(CacheToError::Push)?).await
    }

    async fn write_records(&self, place: &Place<'_>, own: Records) -> Result<(), CacheToError> {
        // What was not needed and never came here is in the registry still.
        let remote = self.with.remote.get(self.index).into_iter().flatten();
        let before = remote.filter(|remote| Repository::of(&remote.reference) == place.repository);
        let before: Vec<Records> = before.map(|remote| remote.records.clone().of_the_same_build(&own)).collect();
        let all = Records::merge([own.clone()].into_iter().chain(before));
        let written = match place.write(&all).await {
            // A layer of before may be gone.
            Err(error) if all != own => {
                tracing::debug!(error = chain(&error), "written without what was there before");
                place.write(&own).await
            }
            written => written,
        };
        if let (Ok(()), Err(error)) = (&written, place.let_go_of_layers().await) {
            tracing::debug!(error = chain(&error), "the tag of the layers names an image still");
        }
        written
    }
}

/// The tags and who has them.
struct Place<'a> {
    registry: &'a Registry,
    repository: Repository,
    /// The cache's.
    reference: &'a ImageReference,
    /// That of the layers on their way there.
    layers: &'a ImageReference,
}

impl Place<'_> {
    /// The config and the layers of the image of this digest.
    async fn pushed(&self, digest: &str) -> Result<(String, Vec<(Digest, Blob)>), CacheToError> {
        let manifest = self.registry.manifest(&self.repository, digest).await.map_err(CacheToError::Pushed)?;
        let manifest = manifest.ok_or(CacheToError::Gone)?.bytes;
        let Subject::Image { config } = Subject::of(&manifest).map_err(CacheToError::Unreadable)? else {
            return Err(CacheToError::NoImage);
        };
        let name = config.to_string();
        let digest = name.parse().map_err(|_| CacheToError::NoImage)?;
        let config = self.registry.blob(&self.repository, &digest).await.map_err(CacheToError::Pushed)?;
        let blobs = blobs(&manifest, &config.ok_or(CacheToError::Gone)?).map_err(CacheToError::Unreadable)?;
        Ok((name, blobs))
    }

    async fn write(&self, records: &Records) -> Result<(), CacheToError> {
        let tag = self.reference.tag().unwrap_or_default();
        let image = records.to_cache_image(tag).ok_or(if records.is_empty() {
            CacheToError::NoRecords
        } else {
            CacheToError::TooLarge
        })?;
        self.put(self.reference, image).await.map_err(CacheToError::Write)
    }

    /// Lets the tag of the layers name nothing that takes room, or that somebody might take for an image of his. It cannot
    /// be deleted: a registry deletes a manifest with all its tags, and an image that was pushed here may have one that is
    /// the project's own.
    async fn let_go_of_layers(&self) -> Result<(), RegistryError> {
        self.put(self.layers, CacheImage::nothing(self.layers.tag().unwrap_or_default())).await
    }

    async fn put(&self, reference: &ImageReference, image: CacheImage) -> Result<(), RegistryError> {
        self.registry.write_blob(&self.repository, image.config).await?;
        let tag = reference.tag().unwrap_or_default();
        let written = self.registry.write_manifest(&self.repository, tag, MediaType::OciManifest, image.manifest).await;
        written.map(|_digest| ())
    }
}

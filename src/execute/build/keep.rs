//! After a build: its records, and its intermediate stages as images of ours.


use super::Execution;
use crate::buildkit::gateway::Gateway;
use crate::buildkit::session::Session;
use crate::buildkit::session::content::ContentStores;
use crate::buildkit::solve::{CacheEntry, SolveError, SolveRequest, solve};
use crate::buildkit::trace::Event;
use crate::buildkit::{BuildKitError, Connection};
use crate::cache::ledger::{CachedImage, ImageId, Role};
use crate::cache::records::{Records, RecordsError};
use crate::engine::Parents;
use crate::error::chain;
use crate::plan::build::keep::{Capture, Keep, KeptStage, Method};

/// What is there for the next build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Kept {
    /// Nothing was asked to be kept, or nothing was built.
    #[default]
    Nothing,
    /// The build gave the image that the ledger knows.
    Known,
    /// These images, with their records.
    Images {
        /// The image itself first, if its records could be read.
        images: Vec<CachedImage>,
        /// What could not be kept, a line for each.
        problems: Vec<String>,
    },
}

/// Why an image's records are not there.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error("its steps are not all in the cache any more")]
    NotCached,
    #[error("the run was cancelled")]
    Cancelled,
    #[error("solve it")]
    Solve(#[source] SolveError),
    #[error("the builder gave no image")]
    NoImage,
    #[error("read its configuration")]
    Config(#[source] BuildKitError),
    #[error("it has no records")]
    NoRecords,
    #[error("read its records")]
    Records(#[source] RecordsError),
}

/// What the solves need.
pub(super) struct Keeper<'a> {
    pub(super) index: usize,
    pub(super) connection: &'a Connection,
    pub(super) session: &'a Session,
    pub(super) stores: &'a ContentStores,
    /// The records that the build was offered.
    pub(super) import: Option<CacheEntry>,
    pub(super) with: &'a Execution<'a>,
}

impl Keeper<'_> {
    /// Keeps the image `image_id`, called `reference`, and its stages: all at once, since each is little more than a
    /// question to the builder.
    pub(super) async fn keep(&self, keep: &Keep, image_id: &str, reference: &str) -> Kept {
        if keep.known.as_deref() == Some(image_id) {
            return Kept::Known;
        }
        let final_image = async {
            let records = self.records(&keep.final_image).await.map(|(_, records)| records);
            if let Method::Inline { reference } = &keep.final_image.method {
                self.remove(reference).await;
            }
            let image = |id, records| CachedImage { role: Role::Final, reference: reference.to_owned(), id, records };
            let image_id = image_id.parse::<ImageId>().map_err(|error| chain(&error))?;
            records
                .map(|records| image(image_id, records))
                .map_err(|error| format!("the image is no cache for the next build: {}", chain(&error)))
        };
        let final_image = final_image.await;
        let mut stages = Vec::with_capacity(keep.stages.len());
        for stage in &keep.stages {
            stages.push(self.stage(stage).await);
        }
        let mut images = Vec::with_capacity(stages.len().saturating_add(1));
        let mut problems = Vec::new();
        for kept in std::iter::once(final_image).chain(stages) {
            match kept {
                Ok(image) => images.push(image),
                Err(problem) => problems.push(problem),
            }
        }
        Kept::Images { images, problems }
    }

    async fn stage(&self, stage: &KeptStage) -> Result<CachedImage, String> {
        let kept = self.records(&stage.capture).await;
        let not_kept = |reason: String| format!("stage {} is not kept: {reason}", stage.name);
        let (id, records) = kept.map_err(|error| not_kept(chain(&error)))?;
        let id = id.parse::<ImageId>().map_err(|error| not_kept(chain(&error)))?;
        Ok(CachedImage {
            role: Role::Stage { name: stage.name.clone() },
            reference: stage.reference.clone(),
            id,
            records,
        })
    }

    /// Solves, and gives the image that came of it, if one was asked for, and its records.
    async fn records(&self, capture: &Capture) -> Result<(String, Records), KeepError> {
        // A child: what ends this one must not end the run.
        let token = self.with.cancelled.child_token();
        let solved = {
            let stop_if_it_runs = |event| {
                if let Event::Started { cached: false, is_step: true, .. } = event {
                    token.cancel();
                }
            };
            let masks = self.with.masks(self.index);
            let request = self.import.iter().cloned().fold(capture.request.clone(), SolveRequest::with_import);
            solve(self.connection, self.session, request, masks, &token, stop_if_it_runs).await
        };
        let answer = match solved.result {
            Ok(answer) => answer,
            Err(SolveError::Cancelled) if self.with.cancelled.is_cancelled() => return Err(KeepError::Cancelled),
            Err(SolveError::Cancelled) => return Err(KeepError::NotCached),
            Err(error) => return Err(KeepError::Solve(error)),
        };
        let id = answer.get(super::buildkit::IMAGE_DIGEST).cloned().unwrap_or_default();
        if capture.request.exporter.is_some() && id.is_empty() {
            return Err(KeepError::NoImage);
        }
        let records = match &capture.method {
            Method::Export { store } => {
                let written = self.stores.get(store).map(|store| store.written()).unwrap_or_default();
                Records::from_exported_blobs(&written).map_err(KeepError::Records)?
            }
            Method::Inline { reference } => {
                let config = self.config(&format!("docker.io/{reference}")).await.map_err(KeepError::Config)?;
                let config = config.ok_or(KeepError::NoImage)?;
                Records::from_image_config(&config).map_err(KeepError::Records)?.ok_or(KeepError::NoRecords)?
            }
        };
        Ok((id, records))
    }

    async fn config(&self, reference: &str) -> Result<Option<bytes::Bytes>, BuildKitError> {
        let gateway = Gateway::open(self.connection, self.session).await?;
        let config = gateway.config(reference).await;
        gateway.close().await;
        config
    }

    async fn remove(&self, image: &str) {
        match self.with.engine.remove_image(image, Parents::Keep).await {
            Err(error) if !error.is_not_found() => {
                tracing::debug!(error = chain(&error), "an image of ours stays behind");
            }
            Ok(_) | Err(_) => {}
        }
    }
}

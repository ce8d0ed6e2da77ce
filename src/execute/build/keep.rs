//! After a build: its records, and its intermediate stages as images of ours.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::Mutex;

use super::buildkit::{IMAGE_DIGEST, directories, import, offered, services};
use super::cached::{Cached, NotSolved};
use super::hits::has_steps;
use super::{Built, Ended, Execution, cache_to};
use crate::buildkit::gateway::Gateway;
use crate::buildkit::session::filesync::FileSyncService;
use crate::buildkit::session::{ContentStore, Missing, Session, SshError};
use crate::buildkit::solve::{SolveError, SolveRequest};
use crate::buildkit::{BuildKitError, Connection};
use crate::cache::ledger::{CachedImage, ImageId, Role};
use crate::cache::records::{Digest, Offer, Records, RecordsError};
use crate::engine::{Engine, Parents};
use crate::error::chain;
use crate::outcome::advise::KEEPING;
use crate::outcome::build::{ImageOutcome, ImageResult, Interval, OperationKind, OperationOutcome};
use crate::plan::build::keep::{Capture, Keep, KeptStage, Method};
use crate::plan::build::{BuildPlan, How, Local, PlannedBuild};
use crate::project::target::Target;

/// What is there for the next build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Kept {
    /// Nothing was asked to be kept, or nothing was built.
    #[default]
    Nothing,
    /// The build ran nothing and gave the image that the ledger knows.
    Known,
    /// These images, with their records.
    Images {
        /// The image itself first, if its records could be read.
        images: Vec<CachedImage>,
        /// What could not be kept, a line for each.
        problems: Vec<String>,
    },
}

/// How long another run's steps are waited for.
const AGAIN: Duration = Duration::from_millis(500);

/// Why an image's records are not there.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    /// They were removed meanwhile; or another build brought their base image in and is still at work (moby/buildkit#4674).
    #[error(
        "the builder does not find all of its steps, as while another build of the same base image is at work; build it again"
    )]
    NotCached,
    #[error("{}", not_served(.0))]
    NotServed(Missing),
    #[error("the run was cancelled")]
    Cancelled,
    #[error("open a session for it")]
    Session(#[source] BuildKitError),
    #[error("offer its SSH agents")]
    Ssh(#[source] SshError),
    #[error("solve it")]
    Solve(#[source] SolveError),
    #[error("the builder gave no image")]
    NoImage,
    #[error("another run has built it meanwhile")]
    Replaced,
    #[error("read its configuration")]
    Config(#[source] BuildKitError),
    #[error("it has no records")]
    NoRecords,
    #[error("read its records")]
    Records(#[source] RecordsError),
}

impl From<NotSolved> for KeepError {
    fn from(why: NotSolved) -> Self {
        match why {
            NotSolved::Cancelled => Self::Cancelled,
            NotSolved::NotCached => Self::NotCached,
            NotSolved::NotServed(layer) => Self::NotServed(layer),
            NotSolved::Failed(error) => Self::Solve(error),
        }
    }
}

/// Says of a layer that the builder asked for, and nobody has, whose fault that is.
fn not_served(layer: &Missing) -> String {
    match &layer.registry {
        Some(why) => format!("layer {}, which a registry has, could not be read: {why}", layer.digest),
        None => "the engine does not have all of its layers any more; build it again".to_owned(),
    }
}

/// Keeps what all builds made.
pub(super) async fn keep_all(plan: &BuildPlan, ended: Vec<Ended>, with: &Execution<'_>) -> Vec<Built> {
    let begun = Instant::now();
    // Those of the same steps one after the other, or all of them.
    let turns: Vec<Mutex<()>> = plan.builds.iter().map(|_| Mutex::new(())).collect();
    let one_by_one = one_by_one(with.engine);
    let turn_of = |index: usize| turns.get(if one_by_one { 0 } else { first_of_same_steps(index, plan) });
    let keeping = plan.builds.iter().zip(ended).enumerate().map(|(index, (build, ended))| async move {
        let _turn = match turn_of(index) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        let Ended { outcome, offer_served } = ended;
        let begun = with.started.elapsed();
        let mut outcome = outcome;
        let to_registry = cache_to::is_wanted(index, build, with, &outcome).await;
        let kept = keep(index, build, with, &outcome, offer_served, to_registry).await;
        let mut without_cache_to = None;
        if to_registry {
            let offer = build.offer.as_deref().filter(|_| offer_served);
            without_cache_to = cache_to::write(index, build, with, &kept, offer).await;
        }
        if to_registry || matches!(kept, Kept::Images { .. }) {
            outcome.other.push(operation(begun, with));
        }
        Built { outcome, kept, offer_served, without_cache_to }
    });
    let built = join_all(keeping).await;
    if built.iter().any(|built| matches!(built.kept, Kept::Images { .. })) {
        tracing::debug!("image cache: kept in {} ms", begun.elapsed().as_millis());
    }
    built
}

/// Keeps what a build made of which it was thought that the ledger knows it ([`Kept::Known`]): its stages are other ones. Where that
/// fails the ledger stays as it is, and the next build tries again.
pub async fn keep_all_the_same(index: usize, build: &PlannedBuild, built: &mut Built, with: &Execution<'_>) {
    let begun = with.started.elapsed();
    built.kept = all_or_known(images(index, build, with, &built.outcome, built.offer_served).await);
    built.outcome.other.push(operation(begun, with));
}

/// The time that keeping took, which has begun then.
fn operation(begun: Duration, with: &Execution<'_>) -> OperationOutcome {
    OperationOutcome {
        name: KEEPING.to_owned(),
        kind: OperationKind::Other,
        intervals: vec![Interval { start: begun, end: with.started.elapsed() }],
        error: None,
        critical: false,
    }
}

/// The first build of the same context and Dockerfile.
fn first_of_same_steps(index: usize, plan: &BuildPlan) -> usize {
    let own = plan.builds.get(index).map(|build| &build.target);
    plan.builds.iter().position(|build| own.is_some_and(|own| own.has_sources_of(&build.target))).unwrap_or(index)
}

/// Keeps what a build made, if it is to be kept. `offer_served` says whether the records that it was offered are any good,
/// `to_registry` whether what is kept goes to a registry as well.
async fn keep(
    index: usize,
    build: &PlannedBuild,
    with: &Execution<'_>,
    outcome: &ImageOutcome,
    offer_served: bool,
    to_registry: bool,
) -> Kept {
    // A stage may have changed although the image is the same.
    let known = is_known(build, outcome) && !outcome.has_uncached_steps() && !to_registry;
    if known && !lacks_a_stage(build, with) {
        return Kept::Known;
    }
    let kept = images(index, build, with, outcome, offer_served).await;
    if known { all_or_known(kept) } else { kept }
}

/// Whether a stage is not there as an image and the builder may hold it: a solve of what it does not hold begins to run it.
fn lacks_a_stage(build: &PlannedBuild, with: &Execution<'_>) -> bool {
    build.keep.as_ref().is_some_and(|keep| keep.lacks_stages) && with.builder_before.is_none_or(has_steps)
}

/// What was tried to be kept of a build of which the ledger knows the image. If not all of it could be, the ledger stays as it is, and
/// the next build tries again.
fn all_or_known(kept: Kept) -> Kept {
    match kept {
        Kept::Images { images, problems } if problems.is_empty() => Kept::Images { images, problems },
        kept => {
            tracing::debug!(?kept, "image cache: the ledger keeps the stages of before");
            Kept::Known
        }
    }
}

/// Whether the build gave the image that the ledger knows.
fn is_known(build: &PlannedBuild, outcome: &ImageOutcome) -> bool {
    let known = build.keep.as_ref().and_then(|keep| keep.known.as_ref());
    matches!(&outcome.result, ImageResult::Built { image_id, .. } if Some(image_id) == known)
}

/// Keeps the image and its stages.
async fn images(
    index: usize,
    build: &PlannedBuild,
    with: &Execution<'_>,
    outcome: &ImageOutcome,
    offer_served: bool,
) -> Kept {
    let (Some(keep), ImageResult::Built { image_id, .. }) = (&build.keep, &outcome.result) else {
        return Kept::Nothing;
    };
    let (Some(connection), How::BuildKit { locals, shared_key, .. }) = (with.connection, &build.how) else {
        return Kept::Nothing;
    };
    // A stage that the build did not need may still be there, as a record that was offered.
    let offer = build.offer.as_deref().filter(|_| offer_served);
    let keeper = Keeper { index, connection, target: &build.target, locals, shared_key, offer, with };
    let reference = build.target.tags.first().map(ToString::to_string).unwrap_or_default();
    let is_remote = |stage: &KeptStage| offer.is_some() && is_remote(index, with, outcome, stage);
    keeper.keep(keep, image_id, &reference, is_remote).await
}

/// Whether a stage may be in a registry alone: none of its steps ran, and a registry has records. To make an image of it
/// would fetch layers that nobody needs.
fn is_remote(index: usize, with: &Execution<'_>, outcome: &ImageOutcome, stage: &KeptStage) -> bool {
    let has_remote = with.remote.get(index).is_some_and(|remote| !remote.is_empty());
    has_remote && !outcome.steps.iter().any(|step| step.stage.as_deref() == Some(&stage.name) && !step.cached)
}

/// Whether the solves of this engine must be done one after the other: before Docker 23.0 (API 1.42) solves that share
/// steps and end at different times can bring the engine down (`panic: failed to get edge`; seen on 20.10.24).
fn one_by_one(engine: &Engine) -> bool {
    engine.info().has_buildkit_0_8()
}

/// What the solves need.
struct Keeper<'a> {
    index: usize,
    connection: &'a Connection,
    target: &'a Target,
    locals: &'a [Local],
    shared_key: &'a str,
    /// The records that the build was offered.
    offer: Option<&'a Offer>,
    with: &'a Execution<'a>,
}

/// An open session, with what it serves and takes.
struct Open {
    session: Session,
    offered: Option<ContentStore>,
    written: ContentStore,
}

impl Keeper<'_> {
    /// Keeps the image `image_id`, called `reference`, and its stages, one after the other: each is little more than a
    /// question to the builder, and solves of the same steps get in each other's way (`plan::build::order`).
    async fn keep(&self, keep: &Keep, image_id: &str, reference: &str, is_remote: impl Fn(&KeptStage) -> bool) -> Kept {
        let mut images = Vec::with_capacity(keep.stages.len().saturating_add(1));
        let mut problems = Vec::new();
        let mut take = |kept: Result<CachedImage, String>| match kept {
            Ok(image) => images.push(image),
            Err(problem) => problems.push(problem),
        };
        let known_by_all_keys =
            |kept: CachedImage| CachedImage { records: kept.records.with_bases(&keep.bases), ..kept };
        take(self.final_image(keep, image_id, reference).await.map(known_by_all_keys));
        for stage in keep.stages.iter().filter(|stage| !is_remote(stage)) {
            take(self.stage(stage).await.map(known_by_all_keys));
        }
        Kept::Images { images, problems }
    }

    async fn final_image(&self, keep: &Keep, image_id: &str, reference: &str) -> Result<CachedImage, String> {
        let no_cache = |reason: String| format!("the image is no cache for the next build: {reason}");
        let id = image_id.parse::<ImageId>().map_err(|error| no_cache(chain(&error)))?;
        let mut records = self.records(&keep.final_image).await;
        // The steps of another run that is building the same look like steps that this solve runs.
        if let Err(KeepError::NotCached) = records {
            tokio::time::sleep(AGAIN).await;
            records = self.records(&keep.final_image).await;
        }
        if let Method::Inline { reference } = &keep.final_image.method {
            self.remove(reference).await;
        }
        let (_, records) = records.map_err(|error| no_cache(chain(&error)))?;
        Ok(CachedImage { role: Role::Final, reference: reference.to_owned(), id, records })
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

    /// A session of its own for every solve: a directory's cache key is the session's, and what is found by it again in the
    /// same session leads to records that no other build can use (`source/local`, `CacheKey`).
    async fn session(&self, capture: &Capture, offer: Option<&Offer>) -> Result<Open, KeepError> {
        let written = ContentStore::accepting();
        let (offered, mut stores) = offered(offer, self.with);
        if let Method::Export { store } = &capture.method {
            stores = stores.with(store, written.clone());
        }
        let files = FileSyncService::new(directories(self.locals));
        let services = services(self.target, files, self.with).map_err(KeepError::Ssh)?.with_content(stores);
        let session = Session::open(self.connection, services, self.shared_key).await.map_err(KeepError::Session)?;
        Ok(Open { session, offered, written })
    }

    /// The image that a capture made, if it makes one, and its records.
    async fn records(&self, capture: &Capture) -> Result<(String, Records), KeepError> {
        match self.solve(capture, self.offer).await {
            // A record that was offered leads to us for its layers, and the builder may have them by itself.
            Err(missing @ KeepError::NotServed(_)) if self.offer.is_some() => match self.solve(capture, None).await {
                Err(KeepError::NotCached) => Err(missing),
                solved => solved,
            },
            solved => solved,
        }
    }

    async fn solve(&self, capture: &Capture, offer: Option<&Offer>) -> Result<(String, Records), KeepError> {
        let Open { session, offered, written } = self.session(capture, offer).await?;
        let request = offer.map(import).into_iter().fold(capture.request.clone(), SolveRequest::with_import);
        let solving = Cached {
            index: self.index,
            connection: self.connection,
            session: &session,
            offered: offered.as_ref(),
            with: self.with,
        };
        let answer = solving.solve(request, |_| {}).await.map_err(KeepError::from)?;
        let id = answer.get(IMAGE_DIGEST).cloned().unwrap_or_default();
        if capture.request.exporter.is_some() && id.is_empty() {
            return Err(KeepError::NoImage);
        }
        let records = match &capture.method {
            Method::Export { .. } => Records::from_exported_blobs(&written.written()).map_err(KeepError::Records)?,
            Method::Inline { reference } => {
                let gateway = Gateway::open(self.connection, &session);
                let config = gateway.config(&format!("docker.io/{reference}")).await.map_err(KeepError::Config)?;
                let config = config.ok_or(KeepError::NoImage)?;
                // On a graph driver an image's id is its configuration's digest. Another run may have taken the name meanwhile.
                if Digest::of(&config).to_string() != id {
                    return Err(KeepError::Replaced);
                }
                Records::from_image_config(&config).map_err(KeepError::Records)?.ok_or(KeepError::NoRecords)?
            }
        };
        let records = match offer {
            Some(offer) => offer.forget_strangers(records),
            None => records,
        };
        Ok((id, records))
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

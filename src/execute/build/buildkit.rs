//! One image by a BuildKit solve.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::hits::{Before, made_after};
use super::{Ended, Execution, Progress, blank, load, repeat};
use crate::buildkit::session::filesend::{FileReceiver, SentFiles};
use crate::buildkit::session::filesync::{Directories, Directory, FileSyncService, Transferred};
use crate::buildkit::session::{ContentStore, ContentStores, Missing, Secrets, Services, Session, SshAgents, SshError};
use crate::buildkit::solve::{CacheEntry, Exporter, SolveError, SolveRequest, Solved, solve};
use crate::buildkit::trace::Trace;
use crate::buildkit::usage;
use crate::buildkit::{BuildKitError, Connection};
use crate::cache::records::Offer;
use crate::error::chain;
use crate::outcome::build::{CacheSource, ClearMark, Failure, ImageOutcome, ImageResult};
use crate::outcome::from_trace::Reading;
use crate::plan::build::{How, Local, LocalSource, PlannedBuild};
use crate::project::target::Target;

/// The exporter's answer that names the image: a config digest on the graph driver, a manifest or index digest on the
/// containerd image store (`exporter/containerimage/exptypes`).
pub(super) const IMAGE_DIGEST: &str = "containerimage.digest";

/// The name of the content store that records are offered from.
const OFFER_STORE: &str = "watchparty-cache";

/// A solve and what its session serves.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) request: &'a SolveRequest,
    pub(super) locals: &'a [Local],
    pub(super) shared_key: &'a str,
}

/// Builds it. `built` is told what came of it as soon as that is known: what follows is for the next build, and nobody
/// needs to wait for it.
pub(super) async fn build(
    index: usize,
    build: &PlannedBuild,
    request: Request<'_>,
    with: &Execution<'_>,
    built: impl FnOnce(&mut ImageOutcome),
) -> Ended {
    let mut open = match open(build, request, with).await {
        Ok(open) => open,
        Err(result) => {
            let mut outcome = blank(build, result);
            built(&mut outcome);
            return Ended { outcome, offer_served: false };
        }
    };
    let sent = open.sent.take();
    let building = solve_once_or_twice(index, build, request, with, &open);
    let (attempt, loaded) = load::while_loading(building, sent, with.engine).await;
    let mut outcome = describe(index, build, with, &attempt, &open);
    outcome.result = as_loaded(outcome.result, loaded);
    built(&mut outcome);
    attribute(&open, &attempt, &mut outcome).await;
    if let Some(store) = &open.offered {
        tracing::debug!("image cache: served {} bytes to the builder", store.served_bytes());
    }
    Ended { outcome, offer_served: attempt.without_offer.is_none() }
}

/// An image that was loaded has the engine's id; one that could not be loaded failed for the engine's reason.
fn as_loaded(result: ImageResult, loaded: load::Loaded) -> ImageResult {
    match (result, loaded) {
        (ImageResult::Built { digest, .. }, Some(Ok(image_id))) => ImageResult::Built { image_id, digest },
        (ImageResult::Built { .. } | ImageResult::Failed(_), Some(Err(error))) => {
            ImageResult::Failed(load::failure(&error))
        }
        (result, _) => result,
    }
}

/// Says where cached steps came from.
async fn attribute(open: &Open<'_>, attempt: &Attempt, outcome: &mut ImageOutcome) {
    // Where no record was read, only the builder's own are left.
    let before = if attempt.imported { &open.before } else { &Before::NothingOffered };
    let cached = outcome.steps.iter().any(|step| step.cached);
    let after =
        if before.needs_after() && cached { usage::records(open.connection).await.ok() } else { Some(Vec::new()) };
    match after {
        Some(after) => before.attribute(&mut outcome.steps, &after),
        None => Before::Unknown.attribute(&mut outcome.steps, &[]),
    }
}

/// An open session, with what it serves.
struct Open<'a> {
    connection: &'a Connection,
    session: Session,
    /// The store that records are offered from.
    offered: Option<ContentStore>,
    /// What a remote builder sends, until it is taken.
    sent: Option<SentFiles>,
    transferred: Arc<Transferred>,
    /// What the builder had before, where that is needed to tell where hits come from.
    before: Before,
    begun: Duration,
}

async fn open<'a>(build: &PlannedBuild, request: Request<'_>, with: &Execution<'a>) -> Result<Open<'a>, ImageResult> {
    let Some(connection) = with.connection else {
        return Err(ImageResult::Failed(internal("there is no connection to BuildKit")));
    };
    let files = FileSyncService::new(directories(request.locals));
    let transferred = files.transferred();
    let (offered, stores) = offered(build.offer.as_deref(), with);
    let services = services(&build.target, files, with).map_err(|error| {
        ImageResult::Failed(Failure { help: Some(error.help().to_owned()), ..internal(&chain(&error)) })
    })?;
    let services = services.with_content(stores);
    let (services, sent) = match is_remote(request.request) {
        true => {
            let (receiver, sent) = FileReceiver::new();
            (services.with_files_taken(receiver), Some(sent))
        }
        false => (services, None),
    };
    let begun = with.started.elapsed();
    let opening = Session::open(connection, services, request.shared_key);
    let session = with.cancelled.run_until_cancelled(opening).await.ok_or(ImageResult::Cancelled)?;
    let session = session.map_err(|error| ImageResult::Failed(broken(&error)))?;
    let before = Before::of(build, with.builder_before);
    Ok(Open { connection, session, offered, sent, transferred, before, begun })
}

/// A builder that is not the engine's own sends what it makes.
fn is_remote(request: &SolveRequest) -> bool {
    request.exporter.as_ref().is_some_and(Exporter::is_archive)
}

/// BuildKit's importer of a client's content store (`cache/remotecache/local`).
pub(super) fn import(offer: &Offer) -> CacheEntry {
    let attributes = [("digest", offer.digest.as_str()), ("src", OFFER_STORE), ("store", OFFER_STORE)];
    let attributes = attributes.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    CacheEntry { kind: "local".to_owned(), attributes }
}

/// A solve, and whether it had to be done again.
struct Attempt {
    solved: Solved,
    /// Why the records of the image cache were given up.
    without_offer: Option<String>,
    /// Whether the builder read records: what it took of them it keeps, also where they were given up.
    imported: bool,
}

/// Builds, and exports once more where only the export failed: everything is in the builder then, with or without an offer.
async fn solve_once_or_twice(
    index: usize,
    build: &PlannedBuild,
    request: Request<'_>,
    with: &Execution<'_>,
    open: &Open<'_>,
) -> Attempt {
    let solving = Solving { index, build, request: request.request, with, open };
    let attempt = solving.attempt(repeat::because_of_more_than_the_export).await;
    match &attempt.solved.result {
        Err(error) if repeat::only_the_export_failed(error) && !with.cancelled.is_cancelled() => {
            tracing::debug!(image = build.target.name, error = chain(error), "the image is exported once more");
            // Steps that were to run have run, a moment ago.
            let request = request.request.clone().with_cache();
            let again = Solving { request: &request, ..solving }.attempt(repeat::because).await;
            if again.solved.result.is_err() || again.without_offer.is_some() {
                return again;
            }
            let trace = repeat::built_and_exported(attempt.solved.trace, again.solved.trace);
            let imported = attempt.imported || again.imported;
            Attempt { solved: Solved { trace, ..again.solved }, imported, ..attempt }
        }
        Ok(_) | Err(_) => attempt,
    }
}

/// The store that records are offered from, if any are, and the stores of a session with it.
pub(super) fn offered(offer: Option<&Offer>, with: &Execution<'_>) -> (Option<ContentStore>, ContentStores) {
    let store = offer.map(|offer| ContentStore::serving_with(offer.blobs.clone(), with.layers.clone()));
    let stores = store.iter().cloned().fold(ContentStores::default(), |stores, store| stores.with(OFFER_STORE, store));
    (store, stores)
}

/// A solve that is ended, by its token, when the builder asks for a layer that nobody has: the engine would ask for it again and
/// again, for almost a minute.
pub(super) async fn while_served(
    offered: Option<&ContentStore>,
    token: &CancellationToken,
    solving: impl Future<Output = Solved>,
) -> (Solved, Option<Missing>) {
    let Some(store) = offered else { return (solving.await, None) };
    tokio::pin!(solving);
    tokio::select! {
        biased;
        solved = &mut solving => (solved, None),
        layer = store.asked_for_missing() => {
            token.cancel();
            let solved = solving.await;
            // What comes after this solve is another matter.
            store.forget_missing();
            (solved, Some(layer))
        }
    }
}

/// What every solve of one build has in common.
#[derive(Clone, Copy)]
struct Solving<'a> {
    index: usize,
    build: &'a PlannedBuild,
    request: &'a SolveRequest,
    with: &'a Execution<'a>,
    open: &'a Open<'a>,
}

impl Solving<'_> {
    /// A cache must never fail a build: where it is the fault of the records, which `blames` tells, the build is done once
    /// more without them. What it made already is in the builder, and is not made again; but the builder may also have taken
    /// over what led nowhere. If that fails the build too, or what is gone is a registry's, nothing at all is taken from a cache.
    async fn attempt(&self, blames: impl Fn(&SolveError, &Trace) -> Option<String>) -> Attempt {
        let Some(offer) = &self.build.offer else {
            let solved = self.solve(self.request.clone(), self.with.cancelled).await;
            return Attempt { imported: solved.trace.has_import(), solved, without_offer: None };
        };
        let begun = Instant::now();
        let (solved, vanished) = self.solve_while_served(self.request.clone().with_import(import(offer))).await;
        let imported = solved.trace.has_import();
        // What the builder has taken over of a registry's layers it would ask for again.
        let of_registry = vanished.as_ref().is_some_and(|layer| layer.registry.is_some());
        let Some(because) = self.lost(&solved, vanished, &blames) else {
            return Attempt { solved, without_offer: None, imported };
        };
        tracing::debug!("image cache: given up in {} ms", begun.elapsed().as_millis());
        if !of_registry {
            tracing::debug!(image = self.build.target.name, because, "the build is repeated without the records");
            let (again, vanished) = self.solve_while_served(self.request.clone()).await;
            let Some(still) = self.lost(&again, vanished, &blames) else {
                let trace = repeat::begun_and_built(solved.trace, again.trace);
                return Attempt { solved: Solved { trace, ..again }, without_offer: Some(because), imported };
            };
            tracing::debug!(image = self.build.target.name, because = still, "the records are in the builder still");
        }
        tracing::debug!(image = self.build.target.name, because, "the build is repeated without any cache");
        let solved = self.solve(self.request.clone().without_cache(), self.with.cancelled).await;
        Attempt { solved, without_offer: Some(because), imported }
    }

    /// What was not there, if that is why a solve failed.
    fn lost(
        &self,
        solved: &Solved,
        vanished: Option<Missing>,
        blames: impl Fn(&SolveError, &Trace) -> Option<String>,
    ) -> Option<String> {
        match (&solved.result, vanished) {
            (Ok(_), _) => None,
            (Err(_), _) if self.with.cancelled.is_cancelled() => None,
            (Err(_), Some(layer)) => Some(match layer.registry {
                None => format!("layer {} is not in the engine any more", layer.digest),
                Some(reason) => format!("layer {} cannot be read: {reason}", layer.digest),
            }),
            (Err(error), None) => blames(error, &solved.trace),
        }
    }

    async fn solve_while_served(&self, request: SolveRequest) -> (Solved, Option<Missing>) {
        let token = self.with.cancelled.child_token();
        while_served(self.open.offered.as_ref(), &token, self.solve(request, &token)).await
    }

    async fn solve(&self, request: SolveRequest, cancelled: &CancellationToken) -> Solved {
        let Self { index, with, open, .. } = *self;
        let tell = |event| {
            // Nobody listening is no reason to stop.
            let _ = with.progress.send(Progress { build: index, event, at: with.started.elapsed() });
        };
        solve(open.connection, &open.session, request, with.masks(index), cancelled, tell).await
    }
}

fn describe(
    index: usize,
    build: &PlannedBuild,
    with: &Execution<'_>,
    attempt: &Attempt,
    open: &Open<'_>,
) -> ImageOutcome {
    let (solved, transferred) = (&attempt.solved, &open.transferred);
    let reading = Reading { trace: &solved.trace, offset: open.begun, source: CacheSource::Builder };
    let result = match &solved.result {
        Ok(answer) => {
            let image_id = answer.get(IMAGE_DIGEST).cloned().unwrap_or_default();
            ImageResult::Built { image_id, digest: None }
        }
        Err(SolveError::Cancelled) => ImageResult::Cancelled,
        // A cancelled build may be told by the builder before the token is looked at.
        Err(_) if with.cancelled.is_cancelled() => ImageResult::Cancelled,
        Err(SolveError::Failed { message }) => ImageResult::Failed(failure(&reading, message, transferred)),
        Err(error @ SolveError::Disconnected { .. }) => ImageResult::Failed(Failure {
            help: Some(disconnected(build).to_owned()),
            ..reading.failure(&error.to_string())
        }),
    };
    let fresh_after = with.marks.get(index).cloned().flatten();
    ImageOutcome {
        steps: reading.steps(),
        other: reading.operations(),
        unused_sources: build.unused_sources.iter().cloned().chain(reading.unused_sources()).collect(),
        without_cache: attempt.without_offer.clone(),
        made_since_clear: made_since_clear(fresh_after.as_ref(), with),
        fresh_after,
        context_bytes: transferred.bytes(),
        ..blank(build, result)
    }
}

/// Whether what the builder held is of after the clear. Where one of the two does not tell its time, nobody knows.
fn made_since_clear(mark: Option<&ClearMark>, with: &Execution<'_>) -> bool {
    let cleared_at = mark.and_then(|mark| mark.cleared_at);
    cleared_at.zip(with.builder_before).is_some_and(|(time, records)| made_after(records, time))
}

fn disconnected(build: &PlannedBuild) -> &'static str {
    match &build.how {
        How::BuildKit { request, .. } if is_remote(request) => {
            "look at the builder and at the network to it: it was stopped, it crashed, or something between cut the \
             connection; the engine has nothing of the image"
        }
        How::BuildKit { .. } | How::Classic => "look at the engine: it was stopped, or it crashed; its log says why",
    }
}

/// The builder's message says little when the context could not be sent; what happened here says more.
fn failure(reading: &Reading<'_>, message: &str, transferred: &Transferred) -> Failure {
    // A step that fails ends the transfers as well: then the step is the reason.
    match transferred.failure().filter(|_| reading.failure(message).step.is_none()) {
        Some(error) => Failure { help: Some(error.help().to_owned()), ..reading.failure(&error.to_string()) },
        None => reading.failure(message),
    }
}

pub(super) fn services(target: &Target, files: FileSyncService, with: &Execution<'_>) -> Result<Services, SshError> {
    let mut services = Services::new(with.credentials.clone()).with_files(files);
    // Even without secrets: newer engines ask for some of their own, and "not found" is the answer they understand.
    services = services.with_secrets(Secrets::new(&target.secrets));
    if !target.ssh.is_empty() {
        services = services.with_ssh(SshAgents::new(&target.ssh)?);
    }
    Ok(services)
}

pub(super) fn directories(locals: &[Local]) -> Directories {
    locals.iter().fold(Directories::new(), |directories, local| {
        let directory = match &local.source {
            LocalSource::Directory(path) => Directory::new(path),
            LocalSource::Dockerfile { directory, name } => {
                Directory::only(directory, [name.clone(), format!("{name}.dockerignore")])
            }
            LocalSource::Inline { name, content } => Directory::in_memory([(name.clone(), content.clone())]),
            LocalSource::Named { directory, name, content } => {
                let ignore = format!("{name}.dockerignore");
                // Without it the context would be another one, and nothing would be cached.
                let ignored = directory.as_ref().and_then(|directory| std::fs::read(directory.join(&ignore)).ok());
                let files = [(name.clone(), content.clone().into_bytes())];
                Directory::in_memory(files.into_iter().chain(ignored.map(|content| (ignore, content))))
            }
        };
        directories.with(&local.name, directory)
    })
}

fn broken(error: &BuildKitError) -> Failure {
    Failure { help: Some(error.help().to_owned()), ..internal(&chain(error)) }
}

fn internal(message: &str) -> Failure {
    Failure {
        message: message.to_owned(),
        step: None,
        exit_code: None,
        log_tail: Vec::new(),
        location: None,
        help: None,
    }
}

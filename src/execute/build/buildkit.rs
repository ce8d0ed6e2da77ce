//! One image by a BuildKit solve.

use std::sync::Arc;
use std::time::Duration;

use super::hits::Before;
use super::{Ended, Execution, Progress, blank, repeat};
use crate::buildkit::session::filesync::{Directories, Directory, FileSyncService, Transferred};
use crate::buildkit::session::{ContentStore, ContentStores, Secrets, Services, Session, SshAgents, SshError};
use crate::buildkit::solve::{CacheEntry, SolveError, SolveRequest, Solved, solve};
use crate::buildkit::usage;
use crate::buildkit::{BuildKitError, Connection};
use crate::cache::records::Offer;
use crate::error::chain;
use crate::outcome::build::{CacheSource, Failure, ImageOutcome, ImageResult};
use crate::outcome::from_trace::Reading;
use crate::plan::build::{Local, LocalSource, PlannedBuild};
use crate::project::target::Target;

/// The exporter's answer that names the image: a config digest on the graph driver, a manifest or index digest on the
/// containerd image store (`exporter/containerimage/exptypes`).
pub(super) const IMAGE_DIGEST: &str = "containerimage.digest";

/// The name of the content store that records are offered from.
pub(super) const OFFER_STORE: &str = "watchparty-cache";

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
    let open = match open(build, request, with).await {
        Ok(open) => open,
        Err(result) => {
            let mut outcome = blank(build, result);
            built(&mut outcome);
            return Ended { outcome, offer_served: false };
        }
    };
    let attempt = solve_once_or_twice(index, build, request, with, &open).await;
    let mut outcome = describe(index, build, with, &attempt, &open);
    built(&mut outcome);
    attribute(&open, &attempt, &mut outcome).await;
    if let Some(store) = &open.offered {
        tracing::debug!("image cache: served {} bytes to the builder", store.served_bytes());
    }
    Ended { outcome, offer_served: attempt.without_offer.is_none() }
}

/// Says where cached steps came from.
async fn attribute(open: &Open<'_>, attempt: &Attempt, outcome: &mut ImageOutcome) {
    // Without the offer, only the builder's own records are left.
    let before = if attempt.without_offer.is_some() || !attempt.solved.trace.has_import() {
        &Before::NothingOffered
    } else {
        &open.before
    };
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
    let offered = build.offer.as_ref().map(|offer| ContentStore::serving(offer.blobs.clone()));
    let services = services(&build.target, files, with).map_err(|error| {
        ImageResult::Failed(Failure { help: Some(error.help().to_owned()), ..internal(&chain(&error)) })
    })?;
    let stores =
        offered.iter().cloned().fold(ContentStores::default(), |stores, store| stores.with(OFFER_STORE, store));
    let services = services.with_content(stores);
    let begun = with.started.elapsed();
    let opening = Session::open(connection, services, request.shared_key);
    let session = with.cancelled.run_until_cancelled(opening).await.ok_or(ImageResult::Cancelled)?;
    let session = session.map_err(|error| ImageResult::Failed(broken(&error)))?;
    let before = Before::of(build, with.builder_before);
    Ok(Open { connection, session, offered, transferred, before, begun })
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
}

/// A cache must never fail a build: where it is the records' fault, the build is done once more without them. Without the
/// builder's own as well, which may have taken over what led nowhere.
async fn solve_once_or_twice(
    index: usize,
    build: &PlannedBuild,
    request: Request<'_>,
    with: &Execution<'_>,
    open: &Open<'_>,
) -> Attempt {
    let attempt = solve_with_the_offer(index, build, request, with, open).await;
    match &attempt.solved.result {
        Err(error) if repeat::lost_the_name(error) && !with.cancelled.is_cancelled() => {
            tracing::debug!(image = build.target.name, "another build gave the image its name: named once more");
            let Attempt { solved, without_offer } = solve_with_the_offer(index, build, request, with, open).await;
            let trace = repeat::built_and_exported(attempt.solved.trace, solved.trace);
            Attempt { solved: Solved { trace, ..solved }, without_offer: attempt.without_offer.or(without_offer) }
        }
        Ok(_) | Err(_) => attempt,
    }
}

async fn solve_with_the_offer(
    index: usize,
    build: &PlannedBuild,
    request: Request<'_>,
    with: &Execution<'_>,
    open: &Open<'_>,
) -> Attempt {
    let tell = |event| {
        // Nobody listening is no reason to stop.
        let _ = with.progress.send(Progress { build: index, event, at: with.started.elapsed() });
    };
    let masks = with.masks(index);
    let Some(offer) = &build.offer else {
        let solved = solve(open.connection, &open.session, request.request.clone(), masks, with.cancelled, tell).await;
        return Attempt { solved, without_offer: None };
    };
    let token = with.cancelled.child_token();
    let mut vanished = None;
    let solved = {
        let offered = request.request.clone().with_import(import(offer));
        let solving = solve(open.connection, &open.session, offered, masks, &token, tell);
        tokio::pin!(solving);
        let missing = async {
            match &open.offered {
                Some(store) => store.asked_for_missing().await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(missing);
        loop {
            tokio::select! {
                solved = &mut solving => break solved,
                // The engine would ask for it again and again, for almost a minute.
                layer = &mut missing, if vanished.is_none() => {
                    vanished = Some(layer);
                    token.cancel();
                }
            }
        }
    };
    let because = match (&solved.result, vanished) {
        (Ok(_), _) => None,
        (Err(_), _) if with.cancelled.is_cancelled() => None,
        (Err(_), Some(layer)) => Some(format!("layer {layer} is not in the engine any more")),
        (Err(error), None) => repeat::because(error, &solved.trace),
    };
    let Some(because) = because else { return Attempt { solved, without_offer: None } };
    if matches!(&solved.result, Err(error) if repeat::lost_while_unpacking(error)) {
        tracing::debug!(image = build.target.name, because, "the image is exported once more");
        let request = request.request.clone();
        let exported = solve(open.connection, &open.session, request, masks, with.cancelled, tell).await;
        if exported.result.is_ok() {
            let trace = repeat::built_and_exported(solved.trace, exported.trace);
            return Attempt { solved: Solved { trace, ..exported }, without_offer: None };
        }
    }
    tracing::debug!(image = build.target.name, because, "the build is repeated without any cache");
    let again = request.request.clone().without_cache();
    let solved = solve(open.connection, &open.session, again, masks, with.cancelled, tell).await;
    Attempt { solved, without_offer: Some(because) }
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
            help: Some("look at the engine: it was stopped, or it crashed; its log says why".to_owned()),
            ..reading.failure(&error.to_string())
        }),
    };
    ImageOutcome {
        steps: reading.steps(),
        other: reading.operations(),
        unused_sources: build.unused_sources.iter().cloned().chain(reading.unused_sources()).collect(),
        without_cache: attempt.without_offer.clone(),
        fresh_after: with.marks.get(index).cloned().flatten(),
        context_bytes: transferred.bytes(),
        ..blank(build, result)
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

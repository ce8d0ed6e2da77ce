//! One image by a BuildKit solve.

use std::time::Duration;

use super::{Execution, Progress, blank};
use crate::buildkit::session::filesync::{Directories, Directory, FileSyncService, Transferred};
use crate::buildkit::session::{Secrets, Services, Session, SshAgents, SshError};
use crate::buildkit::solve::{SolveError, SolveRequest, Solved, solve};
use crate::buildkit::usage;
use crate::buildkit::{BuildKitError, Connection};
use crate::error::chain;
use crate::outcome::build::{CacheSource, Failure, ImageOutcome, ImageResult};
use crate::outcome::from_trace::Reading;
use crate::plan::build::{Local, LocalSource, PlannedBuild};
use crate::project::target::Target;

/// The exporter's answer that names the image: a config digest on the graph driver, a manifest or index digest on the
/// containerd image store (`exporter/containerimage/exptypes`).
const IMAGE_DIGEST: &str = "containerimage.digest";

/// A solve and what its session serves.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) request: &'a SolveRequest,
    pub(super) locals: &'a [Local],
    pub(super) shared_key: &'a str,
}

/// Builds it.
pub(super) async fn build(
    index: usize,
    build: &PlannedBuild,
    request: Request<'_>,
    with: &Execution<'_>,
) -> ImageOutcome {
    let Some(connection) = with.connection else {
        return blank(build, ImageResult::Failed(internal("there is no connection to BuildKit")));
    };
    let files = FileSyncService::new(directories(request.locals));
    let transferred = files.transferred();
    let services = match services(&build.target, files, with) {
        Ok(services) => services,
        Err(error) => {
            let failure = Failure { help: Some(error.help().to_owned()), ..internal(&chain(&error)) };
            return blank(build, ImageResult::Failed(failure));
        }
    };
    let begun = with.started.elapsed();
    let source = source_of_hits(connection, build);
    let session = Session::open(connection, services, request.shared_key);
    let opening = async { tokio::join!(source, session) };
    let Some((source, session)) = with.cancelled.run_until_cancelled(opening).await else {
        return blank(build, ImageResult::Cancelled);
    };
    let session = match session {
        Ok(session) => session,
        Err(error) => return blank(build, ImageResult::Failed(broken(&error))),
    };
    let tell = |event| {
        // Nobody listening is no reason to stop.
        let _ = with.progress.send(Progress { build: index, event, at: with.started.elapsed() });
    };
    let solved = solve(connection, &session, request.request.clone(), with.masks(index), with.cancelled, tell).await;
    describe(index, build, with, begun, source, &solved, &transferred)
}

fn describe(
    index: usize,
    build: &PlannedBuild,
    with: &Execution<'_>,
    offset: Duration,
    source: CacheSource,
    solved: &Solved,
    transferred: &Transferred,
) -> ImageOutcome {
    // Where no import could be read, only the builder's own records are left.
    let source = if solved.trace.has_import() { source } else { CacheSource::Builder };
    let reading = Reading { trace: &solved.trace, offset, source };
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

fn services(target: &Target, files: FileSyncService, with: &Execution<'_>) -> Result<Services, SshError> {
    let mut services = Services::new(with.credentials.clone()).with_files(files);
    // Even without secrets: newer engines ask for some of their own, and "not found" is the answer they understand.
    services = services.with_secrets(Secrets::new(&target.secrets));
    if !target.ssh.is_empty() {
        services = services.with_ssh(SshAgents::new(&target.ssh)?);
    }
    Ok(services)
}

fn directories(locals: &[Local]) -> Directories {
    locals.iter().fold(Directories::new(), |directories, local| {
        let directory = match &local.source {
            LocalSource::Directory(path) => Directory::new(path),
            LocalSource::Dockerfile { directory, name } => {
                Directory::only(directory, [name.clone(), format!("{name}.dockerignore")])
            }
            LocalSource::Inline { name, content } => Directory::in_memory(name, content.clone()),
        };
        directories.with(&local.name, directory)
    })
}

/// Where hits of this build will come from, as far as that can be known beforehand: the status does not say.
async fn source_of_hits(connection: &Connection, build: &PlannedBuild) -> CacheSource {
    let Some(offered) = build.offered else { return CacheSource::Builder };
    match usage::records(connection).await {
        // An empty builder has nothing of its own: every hit is an import's.
        Ok(records) if records.is_empty() => offered,
        Ok(_) | Err(_) => CacheSource::Mixed,
    }
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

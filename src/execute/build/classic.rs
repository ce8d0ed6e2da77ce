//! One image by the classic builder, which has the images themselves as its cache.

mod reader;
mod upload;

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;

use self::reader::{Ended, Reader, Step};
use self::upload::Upload;
use super::{Execution, Progress, blank, dockerfile};
use crate::buildkit::mask::Masks;
use crate::engine::{ClassicBuild, Engine, RunnerKind};
use crate::error::chain;
use crate::outcome::build::{Failure, ImageOutcome, ImageResult, SourceLocation, UnusedSource};
use crate::outcome::from_trace::help;
use crate::plan::build::PlannedBuild;
use crate::project::target::{CacheSource, Context, NoCache, Target};

/// How often the upload of the context is told.
const TICK: Duration = Duration::from_secs(1);
/// The key under which engines look the login at Docker Hub up (`registry.IndexServer`).
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// Builds it.
pub(super) async fn build(index: usize, build: &PlannedBuild, with: &Execution<'_>) -> ImageOutcome {
    let masks = with.masks(index).clone();
    let upload = match Upload::open(&build.target) {
        Ok(upload) => upload,
        Err(error) => {
            let failure = Failure { help: Some(error.help().to_owned()), ..failure(&masks, &chain(&error)) };
            return blank(build, ImageResult::Failed(failure));
        }
    };
    let (cache_from, unused_sources) = present(&build.target, with.engine).await;
    let mut request = request(&build.target, upload.dockerfile(), cache_from, with);
    // A clear keeps untagged images that it cannot tell from anybody else's, and this builder would find them.
    request.no_cache |= with.marks.get(index).is_some_and(Option::is_some);
    let mut reader = Reader::new(&masks);
    let ended = run(index, &request, &upload, &mut reader, with).await;
    let result = match &ended {
        Ended::Built { image_id } => ImageResult::Built { image_id: image_id.clone(), digest: None },
        Ended::Cancelled => ImageResult::Cancelled,
        Ended::Failed { .. } | Ended::Broken(_) | Ended::Silent => {
            let place = |step: &Step| place(index, build, step, with);
            ImageResult::Failed(explain(&ended, &reader, &upload, &masks, place))
        }
    };
    let (steps, other) = reader.into_outcome();
    ImageOutcome {
        steps,
        other,
        unused_sources,
        fresh_after: with.marks.get(index).cloned().flatten(),
        context_bytes: upload.bytes(),
        ..blank(build, result)
    }
}

/// Runs it to its end, and tells what happens.
async fn run(
    index: usize,
    request: &ClassicBuild,
    upload: &Upload,
    reader: &mut Reader<'_>,
    with: &Execution<'_>,
) -> Ended {
    let at = || with.started.elapsed();
    let tell = |event| {
        // Nobody listening is no reason to stop.
        let _ = with.progress.send(Progress { build: index, event, at: at() });
    };
    if request.remote.is_none() {
        tell(reader.begin_upload(at()));
    }
    let mut events = pin!(with.engine.build_classic(request, upload.stream()));
    let mut ticks = tokio::time::interval(TICK);
    let ended = loop {
        tokio::select! {
            biased;
            () = with.cancelled.cancelled() => break Ended::Cancelled,
            event = events.next() => match event {
                Some(Ok(event)) => reader.read(event, upload.bytes(), at()).into_iter().for_each(tell),
                Some(Err(error)) => break Ended::Broken(error),
                None => break reader.ended(),
            },
            _ = ticks.tick() => reader.uploading(upload.bytes()).into_iter().for_each(tell),
        }
    };
    let context = upload.failure().map(|error| chain(error));
    reader.end(&ended, context.as_deref(), at()).into_iter().for_each(tell);
    ended
}

/// The images of `cache_from` that the engine has. Another one would switch the builder's own cache off as well.
async fn present(target: &Target, engine: &Engine) -> (Vec<String>, Vec<UnusedSource>) {
    let (mut sources, mut unused) = (Vec::new(), Vec::new());
    for source in &target.cache_from {
        // The plan refuses the others.
        let CacheSource::Image(reference) = source else { continue };
        let source = reference.to_string();
        match engine.inspect_image(&source).await {
            Ok(Some(_)) => sources.push(source),
            Ok(None) => unused.push(UnusedSource { source, reason: "it is not in the engine".to_owned() }),
            Err(error) => unused.push(UnusedSource { source, reason: chain(&error) }),
        }
    }
    (sources, unused)
}

fn request(target: &Target, dockerfile: &str, cache_from: Vec<String>, with: &Execution<'_>) -> ClassicBuild {
    let logins = with.credentials.logins().map(|(host, login)| {
        let host = if host == "docker.io" { DOCKER_HUB } else { host };
        (host.to_owned(), login.clone())
    });
    ClassicBuild {
        dockerfile: dockerfile.to_owned(),
        remote: match &target.context {
            Context::Local(_) => None,
            Context::Remote(url) => Some(url.clone()),
        },
        tags: target.tags.clone(),
        build_args: target.build_args.clone(),
        labels: target.labels.clone(),
        cache_from,
        target: target.stage.clone(),
        network: target.network.clone(),
        shm_size: target.shm_size,
        extra_hosts: target.extra_hosts.clone(),
        ulimits: target.ulimits.clone(),
        no_cache: target.no_cache == NoCache::All,
        pull: target.pull,
        platform: target.platforms.first().cloned(),
        logins: logins.collect(),
    }
}

/// Why it failed: what went wrong with the context says more than what the engine made of it.
fn explain(
    ended: &Ended,
    reader: &Reader<'_>,
    upload: &Upload,
    masks: &Masks,
    place: impl Fn(&Step) -> Option<SourceLocation>,
) -> Failure {
    if let Some(error) = upload.failure() {
        return Failure { help: Some(error.help().to_owned()), ..failure(masks, &chain(error)) };
    }
    match ended {
        Ended::Failed { message, code } => {
            let failed = reader.failed_step();
            Failure {
                step: failed.map(|step| step.name.clone()),
                exit_code: code.and_then(|code| i32::try_from(code).ok()),
                log_tail: reader.tail(),
                location: failed.and_then(place),
                ..failure(masks, message)
            }
        }
        // What an engine that was there a moment ago is now does not depend on the runner.
        Ended::Broken(error) => {
            let general = failure(masks, &chain(error));
            Failure { help: error.help(RunnerKind::Terminal).or(general.help), ..general }
        }
        Ended::Silent | Ended::Cancelled | Ended::Built { .. } => {
            failure(masks, "the engine ended the build without a result")
        }
    }
}

fn place(index: usize, build: &PlannedBuild, step: &Step, with: &Execution<'_>) -> Option<SourceLocation> {
    let parsed = with.dockerfiles.get(index)?.as_ref()?;
    let lines = parsed.locate(Some(&step.stage), step.position)?;
    dockerfile::location(build, lines, with.workspace)
}

fn failure(masks: &Masks, message: &str) -> Failure {
    Failure {
        message: masks.apply(message).into_owned(),
        step: None,
        exit_code: None,
        log_tail: Vec::new(),
        location: None,
        help: help(message).map(str::to_owned),
    }
}

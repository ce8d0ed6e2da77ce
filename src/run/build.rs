//! `mode: build`.

mod advice;
mod keep;
mod known;
mod stale;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::engine::{builder, buildkit, facts};
use super::github::Reporting;
use super::{Run, secrets};
use crate::buildkit::mask::Masks;
use crate::buildkit::session::Credentials;
use crate::buildkit::usage::Record;
use crate::buildkit::{BuildKitError, Connection, usage, workers};
use crate::cache::ledger::{Access, identities};
use crate::cache::records::{Importer, Offer};
use crate::engine::{Engine, ImageStore, Mark};
use crate::error::chain;
use crate::execute::build::{Built, Execution, Progress, execute};
use crate::inputs::{BuildInputs, Source};
use crate::outcome::baseline::Gate;
use crate::outcome::build::{BuildOutcome, ClearMark, EngineFacts, ImageOutcome, ImageResult};
use crate::plan::build::{BuildPlan, Builder, Facts, ImageCache, Wanted, plan};
use crate::project::target::{CacheSource, NoCache, Target};
use crate::project::{Project, Request, resolve};
use crate::registry::Login;
use crate::report::progress::{self, Colour};
use crate::runner::{ExitCode, Mode, Signal};
use crate::survey::cache::{Lookup, Previous};

/// Everything that is known before the first image is built.
struct Prepared {
    /// What tells this run's records in ledgers from those of others.
    run_id: String,
    project: Project,
    plan: BuildPlan,
    engine: Engine,
    /// Absent where the classic builder is used.
    connection: Option<Connection>,
    /// What must not be shown of each build.
    masks: Vec<Masks>,
    /// The mark of a clear for each build.
    marks: Vec<Option<ClearMark>>,
    /// The ledger of the build before each.
    previous: Vec<Option<Previous>>,
    /// What the builder had before anything was asked of it, if it told it.
    builder_before: Option<Vec<Record>>,
}

/// Builds what the inputs ask for.
pub(super) async fn build(run: &Run, inputs: &BuildInputs) -> ExitCode {
    let started_at = Utc::now();
    let prepared = match run.cancellation.token().run_until_cancelled(prepare(run, inputs)).await {
        Some(Ok(prepared)) => prepared,
        Some(Err(code)) => return code,
        None => return cancelled_early(run, inputs, started_at),
    };
    let reporting = Reporting::begin(run, inputs, &prepared.project.targets);
    let mut built = carry_out(run, inputs, &prepared).await;
    let known = known::known(run, &prepared, &mut built).await;
    let notes = keep::keep(run, inputs, &prepared, &built, &known).await;
    let repeated: Vec<String> = built.iter().filter_map(|built| repeated(&built.outcome)).collect();
    let images: Vec<ImageOutcome> = built.into_iter().map(|built| built.outcome).collect();
    let advice = advice::advice(run, inputs, &prepared, &images, &known).await;
    let Prepared { project, plan, engine, .. } = &prepared;
    let mut outcome = BuildOutcome {
        started_at,
        duration: run.started.elapsed(),
        images,
        warnings: project.warnings.iter().chain(&plan.warnings).cloned().chain(repeated).chain(notes).collect(),
        engine: facts(engine, prepared.builder()),
        cancelled: run.cancellation.is_cancelled(),
        baseline: None,
        gate: None,
        advice,
        stale: false,
    };
    let stale = inputs.fail_if_stale && stale::is_stale(&outcome);
    outcome.stale = stale;
    if !stale {
        consume(run, &prepared, &outcome).await;
    }
    reporting.finish(run, inputs, &mut outcome).await;
    run.report_build(&outcome, &inputs.common);
    run.stale_gate(&outcome, exit_code(run, &outcome))
}

/// A run that was stopped before anything was built says so all the same.
fn cancelled_early(run: &Run, inputs: &BuildInputs, started_at: DateTime<Utc>) -> ExitCode {
    let outcome = BuildOutcome {
        started_at,
        duration: run.started.elapsed(),
        images: Vec::new(),
        warnings: Vec::new(),
        engine: EngineFacts::default(),
        cancelled: true,
        baseline: None,
        gate: None,
        advice: Vec::new(),
        stale: false,
    };
    run.report_build(&outcome, &inputs.common);
    run.cancellation.signal().map_or(ExitCode::BuildFailed, Signal::exit_code)
}

/// Finds out what to build and with what, and plans it. What is wrong has been said when this fails.
async fn prepare(run: &Run, inputs: &BuildInputs) -> Result<Prepared, ExitCode> {
    // The engine knows the workspace's name on the host, which is why it is asked first; that it is not there is said
    // after what is wrong with the project, which can be mended without one.
    let engine = run.engine().await;
    let mut project = project(run, inputs, engine.as_ref().ok()).await?;
    let masks: Vec<Masks> = project.targets.iter().map(|target| secrets::mask(&run.console, target)).collect();
    let engine = engine.map_err(|error| run.no_engine(&error))?;
    let wanted = Wanted {
        builder: builder(inputs.common.builder, &engine),
        compression: inputs.compression,
        key: run.context.repository.clone().unwrap_or_default(),
    };
    let connection = connection(wanted.builder, &engine).await.map_err(|error| run.no_buildkit(&error))?;
    let marks = marks(&project.targets, &engine).await;
    let facts = engine_facts(&project, &engine, connection.as_ref()).await;
    let builder_before = match &connection {
        Some(connection) => usage::records(connection).await.ok(),
        None => None,
    };
    let (caches, previous) =
        image_caches(run, inputs, &mut project.targets, &marks, &engine, connection.as_ref()).await;
    let plan = plan(&project.targets, &project.dockerfiles, caches, &wanted, &facts).map_err(|errors| {
        errors.iter().for_each(|error| run.explain(&error.to_string(), error.help()));
        ExitCode::BadInputs
    })?;
    project.warnings.iter().chain(&plan.warnings).for_each(|warning| run.console.warning(warning));
    Ok(Prepared {
        run_id: uuid::Uuid::new_v4().to_string(),
        project,
        plan,
        engine,
        connection,
        masks,
        marks,
        previous,
        builder_before,
    })
}

/// What the image cache has for each target, and the ledgers of the builds before.
///
/// Cache sources that are images of this engine are looked at here; the others stay with their targets.
async fn image_caches(
    run: &Run,
    inputs: &BuildInputs,
    targets: &mut [Target],
    marks: &[Option<ClearMark>],
    engine: &Engine,
    connection: Option<&Connection>,
) -> (Vec<ImageCache>, Vec<Option<Previous>>) {
    let Some(connection) = connection else {
        targets.iter_mut().zip(marks).for_each(classic_sources);
        return (Vec::new(), Vec::new());
    };
    let begun = Instant::now();
    let access = Access::of(&run.context);
    let identities = identities(targets.iter(), inputs.cache_key.as_deref(), &engine.info().platform);
    let oldest = inputs.cache_max_age.and_then(|age| Utc::now().checked_sub_signed(age));
    let lookup = Lookup { engine, connection, access: &access, oldest };
    let found = targets.iter().zip(&identities).map(|(target, identity)| lookup.find(target, identity.as_ref()));
    let found = futures_util::future::join_all(found).await;
    let mut records = Vec::new();
    let mut caches = Vec::with_capacity(targets.len());
    let mut previous = Vec::with_capacity(targets.len());
    for ((target, mark), found) in targets.iter_mut().zip(marks).zip(found) {
        target.cache_from = found.elsewhere;
        if takes_from_caches(target, mark.as_ref()) {
            let name = &target.name;
            if !found.sources.is_empty() {
                run.console.info(&format!("{name}: records of previous images: {}", found.sources.join(", ")));
            }
            records.extend(found.records);
        } else {
            target.cache_from.clear();
        }
        caches.push(ImageCache { stages: inputs.cache_stages, ..found.cache });
        previous.push(found.previous);
    }
    let offer = Offer::new(&records, importer(engine), Some(uuid::Uuid::new_v4().as_u128())).map(Arc::new);
    for ((target, mark), cache) in targets.iter().zip(marks).zip(&mut caches) {
        cache.offer = offer.clone().filter(|_| takes_from_caches(target, mark.as_ref()));
    }
    tracing::debug!("image cache: looked up in {} ms", begun.elapsed().as_millis());
    (caches, previous)
}

/// Docker 23.0 (API 1.42) was the first release with a newer BuildKit than 0.8.
fn importer(engine: &Engine) -> Importer {
    let api = engine.info().api_version;
    if (api.major, api.minor) < (1, 42) { Importer::MistakesTwins } else { Importer::Careful }
}

/// A cache that led nowhere costs time, and the person should know why.
fn repeated(outcome: &ImageOutcome) -> Option<String> {
    let because = outcome.without_cache.as_ref()?;
    Some(format!("{}: built a second time, without any cache, because the first time failed: {because}", outcome.name))
}

/// The first build after a clear is offered no records, from wherever they might come; nor is one that is to take no step
/// from a cache.
fn takes_from_caches(target: &Target, mark: Option<&ClearMark>) -> bool {
    mark.is_none() && target.no_cache != NoCache::All
}

/// The classic builder has the images themselves as its cache: the previous one, if nothing else was named.
fn classic_sources((target, mark): (&mut Target, &Option<ClearMark>)) {
    match mark {
        Some(_) => target.cache_from.clear(),
        None if target.cache_from.is_empty() => {
            target.cache_from.extend(target.tags.first().cloned().map(CacheSource::Image));
        }
        None => {}
    }
}

impl Prepared {
    fn builder(&self) -> Builder {
        if self.connection.is_some() { Builder::BuildKit } else { Builder::Classic }
    }
}

async fn project(run: &Run, inputs: &BuildInputs, engine: Option<&Engine>) -> Result<Project, ExitCode> {
    let compose = matches!(inputs.source, Source::Compose { .. });
    let directory_name = run.directory_name(engine.filter(|_| compose)).await;
    let request = Request {
        inputs,
        environment: run.environment.variables(),
        workspace: &run.context.workspace,
        directory_name: &directory_name,
        commit: run.context.head_commit.as_deref(),
    };
    resolve(&request).map_err(|errors| {
        errors.iter().for_each(|error| run.explain(&chain(error), &error.help()));
        ExitCode::BadInputs
    })
}

impl Run {
    /// Base name of the workspace on the host: what `docker compose up` there takes for the project's name.
    pub(super) async fn directory_name(&self, engine: Option<&Engine>) -> String {
        let mounted = match engine.filter(|_| self.context.on_runner) {
            Some(engine) => engine.own_container().await.ok().flatten(),
            None => None,
        };
        let on_host = mounted.and_then(|container| container.host_path(&self.context.workspace));
        let name = on_host.as_deref().and_then(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned());
        name.or_else(|| self.context.host_directory_name()).unwrap_or_default()
    }
}

async fn connection(builder: Builder, engine: &Engine) -> Result<Option<Connection>, BuildKitError> {
    match builder {
        Builder::BuildKit => buildkit(engine).await.map(Some),
        Builder::Classic => Ok(None),
    }
}

async fn engine_facts(project: &Project, engine: &Engine, connection: Option<&Connection>) -> Facts {
    let asks =
        project.targets.iter().flat_map(|target| &target.extra_hosts).any(|(_, address)| address == "host-gateway");
    let host_gateway = match connection.filter(|_| asks) {
        Some(connection) => workers::host_gateway(connection).await.ok().flatten(),
        None => None,
    };
    let api = (engine.info().api_version.major, engine.info().api_version.minor);
    Facts {
        containerd_store: engine.info().store == ImageStore::Containerd,
        named_contexts: api >= (1, 42),
        run_limits: api >= (1, 42),
        host_gateway,
    }
}

/// The mark of a clear for each build, by the repository of its first tag.
async fn marks(targets: &[Target], engine: &Engine) -> Vec<Option<ClearMark>> {
    let looked_up = targets.iter().map(|target| async {
        let repository = target.tags.first()?.repository();
        match engine.tombstone(&repository).await {
            Ok(Some(Mark::Known(tombstone))) => Some(ClearMark {
                cleared_at: Some(tombstone.cleared_at),
                run_url: tombstone.run_url,
                builder_cleared: tombstone.builder_cleared,
            }),
            // That it was cleared is certain; when, and by whom, nobody can say.
            Ok(Some(Mark::Unknown)) => Some(ClearMark { cleared_at: None, run_url: None, builder_cleared: false }),
            Ok(None) => None,
            Err(error) => {
                tracing::debug!(error = chain(&error), "could not look for the mark of a clear");
                None
            }
        }
    });
    futures_util::future::join_all(looked_up).await
}

/// Builds everything, and tells of it as it happens.
async fn carry_out(run: &Run, inputs: &BuildInputs, prepared: &Prepared) -> Vec<Built> {
    let plan = &prepared.plan;
    let names: Vec<String> = plan.builds.iter().map(|build| build.target.name.clone()).collect();
    run.console.group(&format!("Build {}", names.join(", ")));
    run.console.info(plan.to_string().trim_end());
    let (sender, receiver) = mpsc::unbounded_channel();
    let printer = print(run, names, receiver);
    let execution = Execution {
        connection: prepared.connection.as_ref(),
        engine: &prepared.engine,
        credentials: &credentials(inputs),
        builder_before: prepared.builder_before.as_deref(),
        masks: &prepared.masks,
        marks: &prepared.marks,
        dockerfiles: &prepared.project.dockerfiles,
        workspace: &run.context.workspace,
        cancelled: run.cancellation.token(),
        progress: sender,
        started: run.started,
    };
    let images = execute(plan, &execution).await;
    // The printer ends when it has told everything.
    drop(execution);
    let _ = printer.await;
    run.console.end_group();
    images
}

/// Prints progress as it comes. What it says is the build's, and none of it is a command to the runner.
fn print(run: &Run, names: Vec<String>, mut progress: mpsc::UnboundedReceiver<Progress>) -> JoinHandle<()> {
    let console = run.console.clone();
    let colour = match console.mode() {
        Mode::Runner | Mode::Terminal { colour: true } => Colour::Always,
        Mode::Terminal { colour: false } | Mode::Plain => Colour::Never,
    };
    let mut lines = progress::Progress::new(names.len(), colour);
    tokio::spawn(async move {
        while let Some(Progress { build, event, at }) = progress.recv().await {
            let name = names.get(build).map(String::as_str).unwrap_or_default();
            lines.lines(name, &event, at).iter().for_each(|line| console.passthrough(line));
        }
    })
}

fn credentials(inputs: &BuildInputs) -> Credentials {
    let logins = inputs.registry_auth.iter().map(|credential| {
        let login = Login { user: credential.user.clone(), password: credential.password.clone() };
        (credential.host.clone(), login)
    });
    Credentials::new(logins)
}

/// The first build that succeeds after a clear takes its mark away: when every image of the repository was built.
async fn consume(run: &Run, prepared: &Prepared, outcome: &BuildOutcome) {
    let mut built: BTreeMap<String, bool> = BTreeMap::new();
    for ((build, image), mark) in prepared.plan.builds.iter().zip(&outcome.images).zip(&prepared.marks) {
        let (Some(tag), Some(_)) = (build.target.tags.first(), mark) else { continue };
        *built.entry(tag.repository()).or_insert(true) &= matches!(image.result, ImageResult::Built { .. });
    }
    for (repository, _) in built.into_iter().filter(|(_, built)| *built) {
        if let Err(error) = prepared.engine.remove_tombstone(&repository).await {
            run.console.warning(&format!("the mark of the clear stays: {}", chain(&error)));
        }
    }
}

fn exit_code(run: &Run, outcome: &BuildOutcome) -> ExitCode {
    let failed = outcome.images.iter().any(|image| matches!(image.result, ImageResult::Failed(_)));
    let built = outcome.images.iter().all(|image| matches!(image.result, ImageResult::Built { .. }));
    match run.cancellation.signal() {
        // A signal that came when everything was done already has cancelled nothing.
        Some(signal) if !built => signal.exit_code(),
        _ if failed || !built => ExitCode::BuildFailed,
        _ if matches!(outcome.gate, Some(Gate::Missed { .. })) => ExitCode::GateNotMet,
        _ => ExitCode::Done,
    }
}

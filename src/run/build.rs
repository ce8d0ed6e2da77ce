//! `mode: build`.

mod advice;
mod keep;
mod known;
mod leftovers;
mod login;
mod marks;
mod push;
mod registries;
mod stale;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::engine::Chosen;
use super::github::Reporting;
use super::{Run, secrets};
use crate::buildkit::mask::Masks;
use crate::buildkit::session::Credentials;
use crate::buildkit::usage::Dated;
use crate::buildkit::{Connection, workers};
use crate::cache::ledger::{Access, identities};
use crate::cache::records::{Importer, Offer, Records};
use crate::engine::{Engine, ImageStore};
use crate::error::chain;
use crate::execute::build::{Built, Execution, Progress, blank, execute};
use crate::image::ImageReference;
use crate::inputs::{BuildInputs, Source};
use crate::outcome::baseline::Gate;
use crate::outcome::build::CacheSource as Origin;
use crate::outcome::build::{BuildOutcome, ClearMark, EngineFacts, ImageOutcome, ImageResult};
use crate::outcome::known::Known;
use crate::outcome::push::Pushes;
use crate::plan::build::cache_to::CachePlace;
use crate::plan::build::{BuildPlan, Builder, Destination, Facts, ImageCache, Wanted, plan};
use crate::project::target::{CacheSource, NoCache, Target};
use crate::project::{Project, Request, resolve};
use crate::registry::{Layers, Login, Registries};
use crate::report::progress::{self, Colour};
use crate::runner::{ExitCode, Mode};
use crate::survey::cache::registry::RemoteRecords;
use crate::survey::cache::{Found, Holds, Lookup, Previous, Seen};
use marks::Marks;

/// How long a registry may take for one answer.
const REGISTRY: Duration = Duration::from_secs(10);

/// Everything that is known before the first image is built.
struct Prepared {
    /// What tells this run's records in ledgers from those of others.
    run_id: String,
    project: Project,
    plan: BuildPlan,
    engine: Engine,
    builder: Chosen,
    /// What must not be shown of each build.
    masks: Vec<Masks>,
    /// The marks that clears left.
    marks: Marks,
    /// The ledger of the build before each.
    previous: Vec<Option<Previous>>,
    /// What the builder had before anything was asked of it, if it told it.
    builder_before: Option<Vec<Dated>>,
    /// Clients of registries.
    registries: Registries,
    /// The records that registries have for each build.
    remote: Vec<Vec<RemoteRecords>>,
    /// Their layers.
    layers: Layers,
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
    run.so_far().images = built.iter().map(|built| built.outcome.clone()).collect();
    login::explain(&inputs.registry_auth, built.iter_mut().map(|built| &mut built.outcome.result));
    let known = known::known(run, &prepared, &mut built).await;
    keep_unknown(run, inputs, &prepared, &mut built, &known).await;
    let notes = keep::keep(run, inputs, &prepared, &built, &known).await;
    let repeated: Vec<String> = built.iter().filter_map(|built| repeated(&built.outcome)).collect();
    let unwritten = registries::unwritten(run, inputs, &prepared, &built).await;
    let images: Vec<ImageOutcome> = built.into_iter().map(|built| built.outcome).collect();
    let advice = advice::advice(run, inputs, &prepared, &images, &known).await;
    let Prepared { project, plan, engine, .. } = &prepared;
    let mut outcome = BuildOutcome {
        started_at,
        commit: run.context.head_commit.clone(),
        duration: run.started.elapsed(),
        images,
        warnings: project
            .warnings
            .iter()
            .chain(&plan.warnings)
            .cloned()
            .chain(repeated)
            .chain(unwritten)
            .chain(notes)
            .collect(),
        engine: prepared.builder.facts(engine),
        cancelled: run.cancellation.is_cancelled(),
        baseline: None,
        without_builds: None,
        gate: None,
        advice,
        stale: false,
        pushes: Pushes::NotAsked,
    };
    let stale = inputs.fail_if_stale && stale::is_stale(&outcome);
    outcome.stale = stale;
    if !stale {
        consume(run, &prepared, &outcome).await;
    }
    push::pushed(run, inputs, &prepared, &mut outcome).await;
    outcome.cancelled = run.cancellation.is_cancelled();
    reporting.finish(run, inputs, &mut outcome).await;
    run.report_build(&outcome, &inputs.common);
    run.stale_gate(&outcome, exit_code(run, &outcome))
}

/// A run that was stopped before anything was built says so all the same.
fn cancelled_early(run: &Run, inputs: &BuildInputs, started_at: DateTime<Utc>) -> ExitCode {
    run.report_build(&cancelled(run, started_at), &inputs.common);
    run.cancelled_code()
}

/// Tells of a cancelled run that does not end what is known: these images, and `why` there is no more.
pub(super) fn give_up(run: &Run, inputs: &BuildInputs, images: Vec<ImageOutcome>, why: &str) {
    let started_at = Utc::now().checked_sub_signed(TimeDelta::from_std(run.started.elapsed()).unwrap_or_default());
    let cancelled = cancelled(run, started_at.unwrap_or_default());
    run.report_build(&BuildOutcome { images, warnings: vec![why.to_owned()], ..cancelled }, &inputs.common);
}

/// A run that was cancelled, and nothing else.
fn cancelled(run: &Run, started_at: DateTime<Utc>) -> BuildOutcome {
    BuildOutcome {
        started_at,
        commit: run.context.head_commit.clone(),
        duration: run.started.elapsed(),
        images: Vec::new(),
        warnings: Vec::new(),
        engine: EngineFacts::default(),
        cancelled: true,
        baseline: None,
        without_builds: None,
        gate: None,
        advice: Vec::new(),
        stale: false,
        pushes: Pushes::NotAsked,
    }
}

/// Finds out what to build and with what, and plans it. What is wrong has been said when this fails.
async fn prepare(run: &Run, inputs: &BuildInputs) -> Result<Prepared, ExitCode> {
    // The engine knows the workspace's name on the host, which is why it is asked first; that it is not there is said
    // after what is wrong with the project, which can be mended without one.
    let engine = run.engine().await;
    let mut project = project(run, inputs, engine.as_ref().ok()).await?;
    let masks: Vec<Masks> = project.targets.iter().map(|target| secrets::mask(&run.console, target)).collect();
    let engine = engine.map_err(|error| run.no_engine(&error, &inputs.common.builder))?;
    let builder = run.builder(&inputs.common.builder, &engine).await?;
    let connection = builder.connection.as_ref();
    let wanted = Wanted {
        builder: builder.kind(),
        compression: inputs.compression,
        push: inputs.push,
        key: run.context.repository.clone().unwrap_or_default(),
    };
    let (marks, mut warnings) = Marks::read(&project.targets, &engine).await;
    let facts = engine_facts(&project, &engine, &builder).await;
    let holds = connection.map(Holds::of);
    let ask = async {
        if let Some(holds) = &holds {
            holds.ask().await;
        }
    };
    let registries = Registries::new(logins(inputs), REGISTRY);
    let places = cache_places(run, inputs, &project.targets, &builder, &mut warnings);
    let Caches { caches, previous, remote } = if builder.remote.is_some() {
        // Its cache is its own and that of registries: layers of this engine's images are not there.
        let clear = |(target, mark): (&mut Target, &Option<ClearMark>)| {
            if !takes_from_caches(target, mark.as_ref()) {
                target.cache_from.clear();
            }
        };
        project.targets.iter_mut().zip(&marks.of_builds).for_each(clear);
        ask.await;
        Caches::default()
    } else {
        let looked =
            Looked { inputs, marks: &marks.of_builds, engine: &engine, builder: connection.zip(holds.as_ref()) };
        let caches = image_caches(run, &looked, &mut project, &places, &registries);
        let (found, ()) = tokio::join!(caches, ask);
        warnings.extend(registries::ways_to_sources(run, inputs, &engine, &found.caches).await);
        found
    };
    project.warnings.extend(warnings);
    let builder_before = holds.and_then(Holds::told);
    let layers = Layers::new(remote.iter().flatten().flat_map(RemoteRecords::layers));
    let plan = plan(&project.targets, &project.dockerfiles, caches, &wanted, &facts).map_err(|errors| {
        errors.iter().for_each(|error| run.explain(&error.to_string(), error.help()));
        ExitCode::BadInputs
    })?;
    login::check(run, &inputs.registry_auth, &plan)?;
    project.warnings.extend(distrust(run, &project.targets, &engine).await);
    project.warnings.iter().chain(&plan.warnings).for_each(|warning| run.console.warning(warning));
    Ok(Prepared {
        run_id: uuid::Uuid::new_v4().to_string(),
        project,
        plan,
        engine,
        builder,
        masks,
        marks,
        previous,
        builder_before,
        registries,
        remote,
        layers,
    })
}

/// Marks every name that this run gives to an image, if nobody vouches for what it builds; gives a line for each that could not be
/// marked.
async fn distrust(run: &Run, targets: &[Target], engine: &Engine) -> Vec<String> {
    if !Access::of(&run.context).own.is_untrusted() {
        return Vec::new();
    }
    let tags: BTreeSet<String> =
        targets.iter().flat_map(|target| &target.tags).map(ImageReference::canonical).collect();
    let names = tags.iter().filter_map(|tag| tag.parse::<ImageReference>().ok());
    let marked = join_all(names.map(|name| async move { engine.distrust(&name).await })).await;
    let failed = marked.into_iter().filter_map(Result::err);
    failed
        .map(|error| format!("{}; a push that names this image in `cache-from` may look into it", chain(&error)))
        .collect()
}

/// Where the cache of each target is in a registry.
fn cache_places(
    run: &Run,
    inputs: &BuildInputs,
    targets: &[Target],
    builder: &Chosen,
    warnings: &mut Vec<String>,
) -> Vec<Option<CachePlace>> {
    let Some(reference) = inputs.cache_to.as_ref() else { return vec![None; targets.len()] };
    if builder.remote.is_some() {
        let why = "a remote builder keeps its own cache, and none in a registry; leave it unset, or `builder`";
        warnings.push(format!("cache-to is not served: {why}"));
        return vec![None; targets.len()];
    }
    if builder.kind() == Builder::Classic {
        let why =
            "the classic builder keeps no cache in a registry; use an engine that has BuildKit, Docker 18.09 or newer";
        warnings.push(format!("cache-to is not served: {why}"));
        return vec![None; targets.len()];
    }
    let is_compose = matches!(inputs.source, Source::Compose { .. });
    let access = Access::of(&run.context);
    let place = |target: &Target| {
        let place = CachePlace::new(reference, is_compose.then_some(target.name.as_str()), &access);
        if place.is_none() {
            warnings.push(format!(
                "{}: the cache is not kept at {reference}: its tag would be longer than the 128 characters that a tag may have; \
                 shorten the tag in `cache-to`, or the service's name",
                target.name
            ));
        }
        place
    };
    targets.iter().map(place).collect()
}

/// What is looked up with.
struct Looked<'a> {
    inputs: &'a BuildInputs,
    marks: &'a [Option<ClearMark>],
    engine: &'a Engine,
    /// Its BuildKit, and what that holds.
    builder: Option<(&'a Connection, &'a Holds<'a>)>,
}

/// What the image cache has for each target.
#[derive(Default)]
struct Caches {
    caches: Vec<ImageCache>,
    /// The ledgers of the builds before.
    previous: Vec<Option<Previous>>,
    /// What registries have of what is offered.
    remote: Vec<Vec<RemoteRecords>>,
}

/// What the image cache has for each target. Cache sources that are images are looked at here, in this engine or at
/// `places` and elsewhere in registries; the others stay with their targets.
async fn image_caches(
    run: &Run,
    with: &Looked<'_>,
    project: &mut Project,
    places: &[Option<CachePlace>],
    registries: &Registries,
) -> Caches {
    let Project { targets, dockerfiles, others, .. } = project;
    let Some((connection, holds)) = with.builder else {
        targets.iter_mut().zip(with.marks).for_each(classic_sources);
        return Caches::default();
    };
    let begun = Instant::now();
    let access = Access::of(&run.context);
    let identities =
        identities(targets.iter().chain(others.iter()), with.inputs.cache_key.as_deref(), &with.engine.info().platform);
    let oldest = with.inputs.cache_max_age.and_then(|age| Utc::now().checked_sub_signed(age));
    let seen = Seen::new(with.engine);
    let lookup = Lookup { engine: with.engine, seen: &seen, connection, holds, access: &access, oldest, registries };
    let found = targets.iter().zip(dockerfiles.iter()).zip(&identities).zip(places);
    let found = found.map(|(((target, dockerfile), identity), place)| {
        lookup.find(target, dockerfile.as_ref(), identity.as_ref(), place.as_ref())
    });
    let found = join_all(found).await;
    let (mut local, mut all) = (Vec::new(), Caches::default());
    for ((target, mark), found) in targets.iter_mut().zip(with.marks).zip(found) {
        let Found { previous, records, mut remote, cache, elsewhere, sources } = found;
        target.cache_from = elsewhere;
        if takes_from_caches(target, mark.as_ref()) {
            let name = &target.name;
            if !sources.is_empty() {
                run.console.info(&format!("{name}: records of previous images: {}", sources.join(", ")));
            }
            local.extend(records);
        } else {
            target.cache_from.clear();
            remote.clear();
        }
        all.caches.push(ImageCache { stages: with.inputs.cache_stages, ..cache });
        all.previous.push(previous);
        all.remote.push(remote);
    }
    let offered = match (local.is_empty(), all.remote.iter().all(Vec::is_empty)) {
        (true, true) => None,
        (false, true) => Some(Origin::Image),
        (true, false) => Some(Origin::Registry),
        (false, false) => Some(Origin::Mixed),
    };
    // Of two equally new results the first counts: what is here need not travel.
    let records: Vec<Records> =
        local.into_iter().chain(all.remote.iter().flatten().map(|remote| remote.records.clone())).collect();
    let records = match oldest {
        Some(oldest) => vec![Records::merge(records).younger_than(oldest)],
        None => records,
    };
    let offer = Offer::new(&records, importer(with.engine), Some(uuid::Uuid::new_v4().as_u128())).map(Arc::new);
    for ((target, mark), cache) in targets.iter().zip(with.marks).zip(&mut all.caches) {
        cache.offer = offer.clone().filter(|_| takes_from_caches(target, mark.as_ref()));
        cache.offered = offered;
    }
    tracing::debug!("image cache: looked up in {} ms", begun.elapsed().as_millis());
    all
}

fn importer(engine: &Engine) -> Importer {
    if engine.info().has_buildkit_0_8() { Importer::MistakesTwins } else { Importer::Careful }
}

/// A cache that led nowhere costs time, and the person should know why.
fn repeated(outcome: &ImageOutcome) -> Option<String> {
    let because = outcome.without_cache.as_ref()?;
    Some(format!(
        "{}: built a second time, without the image cache, because the first time failed: {because}",
        outcome.name
    ))
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

async fn engine_facts(project: &Project, engine: &Engine, builder: &Chosen) -> Facts {
    let asks =
        project.targets.iter().flat_map(|target| &target.extra_hosts).any(|(_, address)| address == "host-gateway");
    let host_gateway = match builder.connection.as_ref().filter(|_| asks) {
        Some(connection) => workers::host_gateway(connection).await.ok().flatten(),
        None => None,
    };
    let old = engine.info().has_buildkit_0_8() && builder.remote.is_none();
    Facts {
        containerd_store: engine.info().store == ImageStore::Containerd,
        named_contexts: !old,
        run_limits: !old,
        host_gateway,
        destination: if builder.remote.is_some() { Destination::Archive } else { Destination::Store },
    }
}

/// Builds everything, and tells of it as it happens.
async fn carry_out(run: &Run, inputs: &BuildInputs, prepared: &Prepared) -> Vec<Built> {
    let plan = &prepared.plan;
    let names: Vec<String> = plan.builds.iter().map(|build| build.target.name.clone()).collect();
    run.console.group(&format!("Build {}", names.join(", ")));
    run.console.info(plan.to_string().trim_end());
    let (sender, receiver) = mpsc::unbounded_channel();
    let printer = print(run, names, receiver);
    let credentials = credentials(inputs);
    run.so_far().images = plan.builds.iter().map(|build| blank(build, ImageResult::Cancelled)).collect();
    let on_ended = |index: usize, outcome: &ImageOutcome| {
        if let Some(image) = run.so_far().images.get_mut(index) {
            image.clone_from(outcome);
        }
    };
    let execution = Execution { on_ended: &on_ended, ..execution(run, prepared, &credentials, sender) };
    let images = execute(plan, &execution).await;
    // The printer ends when it has told everything.
    drop(execution);
    let _ = printer.await;
    run.console.end_group();
    images
}

/// Keeps what another run has made of this build's steps.
async fn keep_unknown(run: &Run, inputs: &BuildInputs, prepared: &Prepared, built: &mut [Built], known: &[Known<'_>]) {
    let credentials = credentials(inputs);
    // Nothing is told of it while it happens.
    let (sender, _) = mpsc::unbounded_channel();
    let execution = execution(run, prepared, &credentials, sender);
    // A cancellation ends what it asks of the engine, and what it left there is to be removed.
    keep::keep_unknown(prepared, &execution, built, known).await;
}

/// What plans are carried out with. Nobody hears of the images.
fn execution<'a>(
    run: &'a Run,
    prepared: &'a Prepared,
    credentials: &'a Credentials,
    progress: mpsc::UnboundedSender<Progress>,
) -> Execution<'a> {
    Execution {
        connection: prepared.builder.connection.as_ref(),
        engine: &prepared.engine,
        credentials,
        registries: &prepared.registries,
        layers: &prepared.layers,
        remote: &prepared.remote,
        builder_before: prepared.builder_before.as_deref(),
        masks: &prepared.masks,
        marks: &prepared.marks.of_builds,
        dockerfiles: &prepared.project.dockerfiles,
        workspace: &run.context.workspace,
        cancelled: run.cancellation.token(),
        on_ended: &|_, _| {},
        progress,
        started: run.started,
    }
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
    Credentials::new(logins(inputs))
}

fn logins(inputs: &BuildInputs) -> impl Iterator<Item = (String, Login)> {
    inputs.registry_auth.iter().map(|credential| {
        let login = Login { user: credential.user.clone(), password: credential.password.clone() };
        (credential.host.clone(), login)
    })
}

/// The first build that succeeds after a clear takes away the mark that it found, and none that was left since.
async fn consume(run: &Run, prepared: &Prepared, outcome: &BuildOutcome) {
    let is_built = |image: &ImageOutcome| matches!(image.result, ImageResult::Built { .. });
    let builds = prepared.plan.builds.iter().zip(&outcome.images);
    for mark in prepared.marks.spent(builds.map(|(build, image)| (build.target.tags.as_slice(), is_built(image)))) {
        if let Err(error) = prepared.engine.remove_tombstone(mark).await {
            let problem = chain(&error);
            run.console.warning(&format!(
                "the mark of the clear stays, and the next build takes nothing from a cache either: {problem}"
            ));
        }
    }
}

fn exit_code(run: &Run, outcome: &BuildOutcome) -> ExitCode {
    let failed = outcome.images.iter().any(|image| matches!(image.result, ImageResult::Failed(_)));
    let built = outcome.images.iter().all(|image| matches!(image.result, ImageResult::Built { .. }));
    match run.cancellation.signal() {
        // A signal that came when everything was done already has cancelled nothing.
        Some(signal) if !built => signal.exit_code(),
        Some(signal) if outcome.pushes.failed() => signal.exit_code(),
        _ if failed || !built => ExitCode::BuildFailed,
        _ if outcome.pushes.failed() => ExitCode::NotPushed,
        _ if matches!(outcome.gate, Some(Gate::Missed { .. })) => ExitCode::GateNotMet,
        _ => ExitCode::Done,
    }
}

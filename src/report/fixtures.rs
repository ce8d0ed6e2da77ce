//! Outcomes in the shapes that reports are tested and looked at with: those of builds, and in `clears` those of clears.

mod clears;

pub(crate) use clears::*;

use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};

use crate::cache::ledger::BuildRecord;
use crate::outcome::advice::{Advice, AdviceKind, KeptCache};
use crate::outcome::baseline::{Baseline, BaselineSource, Gate, Kind};
use crate::outcome::build::{
    BuildOutcome, CacheSource, ClearMark, EngineFacts, Failure, ImageOutcome, ImageResult, Interval, OperationKind,
    OperationOutcome, SourceLocation, StepOutcome, StepStatus, UnusedSource,
};
use crate::outcome::critical::{Relations, of_run};
use crate::outcome::push::{ImagePush, NotPushed, PushProblem, Pushes, TagPush, Withheld};
use crate::outcome::reason::{ChangedFiles, MissReason};

const NPM_CI: &str = "RUN --mount=type=cache,target=/root/.npm npm ci --no-audit --no-fund";

pub(crate) fn at(seconds: f64) -> Duration {
    Duration::from_millis((seconds * 1000.0).round() as u64)
}

fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 14, 12, 0, 0).unwrap()
}

fn engine() -> EngineFacts {
    EngineFacts { version: "28.5.2".into(), containerd_store: true, builder: "buildkit".into() }
}

/// An id that looks like one: FNV-1a of the name, four times.
fn id(name: &str) -> String {
    let hash =
        name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("sha256:{}", format!("{hash:016x}").repeat(4))
}

fn build(seconds: f64, images: Vec<ImageOutcome>) -> BuildOutcome {
    BuildOutcome {
        started_at: noon(),
        commit: Some("c0ffee5eed5c0ffee5eed5c0ffee5eed5c0ffee5".into()),
        duration: at(seconds),
        images,
        warnings: vec![],
        engine: engine(),
        cancelled: false,
        baseline: None,
        without_builds: None,
        gate: None,
        stale: false,
        advice: vec![],
        pushes: Pushes::NotAsked,
    }
}

fn image(name: &str, seconds: f64, steps: Vec<StepOutcome>) -> ImageOutcome {
    ImageOutcome {
        name: name.into(),
        tags: vec![format!("watchparty-{name}:latest")],
        offset: Duration::ZERO,
        duration: at(seconds),
        result: ImageResult::Built { image_id: id(name), digest: None },
        steps,
        other: vec![],
        unused_sources: vec![],
        without_cache: None,
        fresh_after: None,
        made_since_clear: false,
        context_bytes: 41_300,
        size: None,
        size_before: None,
        history: vec![],
    }
}

/// A step that ran from `start` for `seconds`; a stage without a name has none in the step's name either.
fn ran(stage: &str, position: u32, of: u32, instruction: &str, start: f64, seconds: f64) -> StepOutcome {
    let place = if stage.is_empty() { format!("{position}/{of}") } else { format!("{stage} {position}/{of}") };
    StepOutcome {
        name: format!("[{place}] {instruction}"),
        stage: (!stage.is_empty()).then(|| stage.to_owned()),
        position,
        of,
        instruction: instruction.into(),
        cached: false,
        source: CacheSource::None,
        status: StepStatus::Done,
        intervals: vec![Interval { start: at(start), end: at(start + seconds) }],
        reason: None,
        critical: false,
    }
}

fn hit(stage: &str, position: u32, of: u32, instruction: &str, source: CacheSource) -> StepOutcome {
    StepOutcome { cached: true, source, intervals: vec![], ..ran(stage, position, of, instruction, 0.0, 0.0) }
}

fn not_run(stage: &str, position: u32, of: u32, instruction: &str) -> StepOutcome {
    StepOutcome { status: StepStatus::NotRun, intervals: vec![], ..ran(stage, position, of, instruction, 0.0, 0.0) }
}

fn operation(kind: OperationKind, name: &str, start: f64, seconds: f64) -> OperationOutcome {
    OperationOutcome {
        name: name.into(),
        kind,
        intervals: vec![Interval { start: at(start), end: at(start + seconds) }],
        error: None,
        critical: false,
    }
}

fn backend(cached: usize, source: CacheSource) -> ImageOutcome {
    let steps = [
        ("", "RUN apt-get update && apt-get install -y --no-install-recommends libpq5", 14.2),
        ("", "WORKDIR /app", 0.04),
        ("", "COPY requirements.txt .", 0.05),
        ("", "RUN pip install --no-cache-dir -r requirements.txt", 31.8),
        ("", "COPY . .", 0.1),
        ("", "RUN echo $GIT_COMMIT_HASH > /app/version", 0.3),
    ];
    let changed = match cached {
        4 => MissReason::FilesChanged(changed_files(&["app/rooms.py", "app/main.py"], 0, 0)),
        5 => MissReason::ArgumentChanged { name: "GIT_COMMIT_HASH".into() },
        0 => MissReason::FirstBuild,
        _ => MissReason::InstructionChanged,
    };
    let mut image = steps_image("backend", &steps, cached, source, &changed);
    (image.size, image.size_before) = (Some(201_400_000), (cached > 0).then_some(201_400_000));
    image.history =
        history(&[(49.8, false), (3.4, true), (3.1, true), (4.0, true), (47.2, false), (3.2, true), (3.3, true)], 6);
    image
}

fn frontend(cached: usize, source: CacheSource) -> ImageOutcome {
    let steps = [
        ("build", "WORKDIR /app", 0.03),
        ("build", "COPY package.json package-lock.json ./", 0.04),
        ("build", NPM_CI, 63.8),
        ("build", "COPY . .", 0.2),
        ("build", "RUN echo $GIT_COMMIT_HASH > src/version.txt", 0.2),
        ("build", "RUN npm run build", 8.14),
        ("stage-1", "COPY --from=build /app/dist /usr/share/nginx/html", 0.1),
    ];
    let changed = match cached {
        1 => MissReason::FilesChanged(changed_files(&["package-lock.json"], 0, 0)),
        3 => MissReason::FilesChanged(changed_files(&["src/App.tsx"], 0, 0)),
        4 => MissReason::ArgumentChanged { name: "GIT_COMMIT_HASH".into() },
        0 => MissReason::FirstBuild,
        _ => MissReason::InstructionChanged,
    };
    let mut image = steps_image("frontend", &steps, cached, source, &changed);
    (image.size, image.size_before) = (Some(52_800_000), (cached > 0).then_some(51_600_000));
    let builds = [
        (76.1, false),
        (19.2, true),
        (18.7, true),
        (21.0, true),
        (19.1, true),
        (74.0, false),
        (18.9, true),
        (20.3, true),
    ];
    image.history = history(&builds, 7);
    image
}

/// Builds of the days before, the oldest first: seconds, and whether they were warm.
fn history(builds: &[(f64, bool)], total: u32) -> Vec<BuildRecord> {
    let days = i64::try_from(builds.len()).unwrap();
    let record = |(day, (seconds, warm)): (i64, &(f64, bool))| {
        serde_json::from_value(serde_json::json!({
            "at": noon() - chrono::TimeDelta::hours(19 * (days - day)),
            "commit": id(&format!("commit {seconds}")).strip_prefix("sha256:"),
            "seconds": seconds,
            "cached": if *warm { total - 2 } else { 0 },
            "total": total,
            "kind": if *warm { "warm" } else { "cold" },
            "imageBytes": if total == 7 { 51_000_000 + day * 85_000 } else { 201_400_000 },
        }))
        .unwrap()
    };
    (0..).zip(builds).map(record).collect()
}

/// The first `cached` steps came from a cache, the next one ran because of `changed`, the others because it did.
fn steps_image(
    name: &str,
    steps: &[(&str, &str, f64)],
    cached: usize,
    source: CacheSource,
    changed: &MissReason,
) -> ImageOutcome {
    let of = |stage: &str| u32::try_from(steps.iter().filter(|step| step.0 == stage).count()).unwrap() + 1;
    let mut clock = if cached == 0 { 5.7 } else { 1.2 };
    let mut first: Option<String> = None;
    let outcomes = steps.iter().enumerate().map(|(index, (stage, instruction, seconds))| {
        let position = u32::try_from(steps[..index].iter().filter(|step| step.0 == *stage).count()).unwrap() + 2;
        if index < cached {
            return hit(stage, position, of(stage), instruction, source);
        }
        clock += seconds;
        let mut step = ran(stage, position, of(stage), instruction, clock - seconds, *seconds);
        step.reason = Some(match &first {
            Some(first) if !matches!(changed, MissReason::FirstBuild | MissReason::Cleared) => {
                MissReason::EarlierStep { step: first.clone() }
            }
            Some(_) | None => changed.clone(),
        });
        first.get_or_insert(step.name.clone());
        step
    });
    let steps: Vec<StepOutcome> = outcomes.collect();
    let mut image = image(name, clock + 1.5, steps);
    image.other = vec![
        operation(OperationKind::Internal, "[internal] load build context", 0.2, 0.3),
        operation(OperationKind::Base, "FROM docker.io/library/python:3.13-slim", 0.5, 0.01),
        operation(OperationKind::Export, "exporting to image", clock, 1.5),
    ];
    image
}

/// Marks what ran in an image as what the build waited for.
fn critical(image: &mut ImageOutcome) {
    image.steps.iter_mut().for_each(|step| step.critical = !step.cached && step.status != StepStatus::NotRun);
    image.other.iter_mut().for_each(|operation| operation.critical = operation.kind != OperationKind::Base);
}

fn baseline(median: f64, builds: u32, kind: Kind) -> Option<Baseline> {
    Some(Baseline { median: at(median), builds, kind, source: BaselineSource::Branch("main".into()) })
}

/// A commit changed the code of the front end: five of thirteen steps ran.
pub(crate) fn warm() -> BuildOutcome {
    let mut outcome = build(12.4, vec![backend(5, CacheSource::Image), frontend(3, CacheSource::Builder)]);
    critical(&mut outcome.images[1]);
    outcome.baseline = baseline(19.1, 5, Kind::Warm);
    outcome.gate = Some(Gate::Met);
    outcome
}

/// The same, and the commit is declared above the installation, which runs again for it.
pub(crate) fn commit_too_high() -> BuildOutcome {
    let mut outcome = warm();
    outcome.images[0] = backend(3, CacheSource::Builder);
    let why = MissReason::ArgumentChanged { name: "GIT_COMMIT_HASH".into() };
    outcome.images[0].steps[3].reason = Some(why.clone());
    for step in 4..6 {
        outcome.images[0].steps[step].reason =
            Some(MissReason::EarlierStep { step: outcome.images[0].steps[3].name.clone() });
    }
    outcome.images[0].history = history(&[(34.9, true), (49.8, false), (35.4, true), (36.0, true), (34.1, true)], 6);
    outcome.images[1].steps.iter_mut().for_each(|step| step.critical = false);
    outcome.images[1].other.iter_mut().for_each(|operation| operation.critical = false);
    critical(&mut outcome.images[0]);
    let saved = AdviceKind::CommitAboveSteps {
        argument: "GIT_COMMIT_HASH".into(),
        steps: vec![outcome.images[0].steps[3].name.clone()],
    };
    let location = Some(SourceLocation { file: "backend/Dockerfile".into(), line: 6, end_line: 6 });
    outcome.advice = vec![Advice { image: "backend".into(), location, saves: at(31.8), kind: saved }];
    outcome.duration = at(36.0);
    outcome.baseline = baseline(35.6, 5, Kind::Warm);
    outcome
}

/// Slower than `fail-if-slower` allows: the front end's dependencies were installed again.
pub(crate) fn slower() -> BuildOutcome {
    let mut outcome = build(76.0, vec![backend(5, CacheSource::Image), frontend(1, CacheSource::Builder)]);
    critical(&mut outcome.images[1]);
    outcome.baseline = baseline(19.1, 5, Kind::Warm);
    outcome.gate = Some(Gate::Missed { percent: 298, by: at(56.9) });
    outcome
}

/// A step for every reason, and the three pieces of advice that save most.
pub(crate) fn all_reasons() -> BuildOutcome {
    let reasons = reasons();
    let of = u32::try_from(reasons.len()).unwrap() + 1;
    let steps = reasons.into_iter().zip(2..).map(|(reason, position)| {
        let instruction = format!("RUN make part-{position:02}");
        StepOutcome { reason: Some(reason), ..ran("", position, of, &instruction, f64::from(position), 0.9) }
    });
    let mut outcome = build(20.4, vec![image("app", 20.4, steps.collect())]);
    outcome.advice = advice().into_iter().take(3).collect();
    outcome.gate = Some(Gate::NoBaseline);
    outcome
}

/// The very first build: nothing was cached, and there was no image to take a cache from.
pub(crate) fn cold() -> BuildOutcome {
    let mut outcome = build(79.8, vec![backend(0, CacheSource::None), frontend(0, CacheSource::None)]);
    for image in &mut outcome.images {
        image.unused_sources = vec![UnusedSource {
            source: format!("ghcr.io/example/watchparty-{}:latest", image.name),
            reason: "failed to configure registry cache importer: not found".into(),
        }];
        image.other.push(operation(OperationKind::Base, "FROM docker.io/library/node:22-alpine", 0.5, 5.2));
        image.history.clear();
    }
    critical(&mut outcome.images[1]);
    outcome.baseline = baseline(74.0, 3, Kind::Cold);
    outcome
}

/// The very first build of a pull request's base branch that GitHub could tell of.
pub(crate) fn first() -> BuildOutcome {
    BuildOutcome { baseline: None, without_builds: Some("main".into()), ..cold() }
}

/// The base branch has no builds of this kind, and the engine has.
pub(crate) fn unbased() -> BuildOutcome {
    let baseline = Baseline { median: at(19.1), builds: 4, kind: Kind::Warm, source: BaselineSource::Ledger };
    BuildOutcome { baseline: Some(baseline), without_builds: Some("main".into()), ..warm() }
}

/// One image of five steps, all cached.
pub(crate) fn one_image() -> BuildOutcome {
    let mut app = backend(6, CacheSource::Builder);
    app.name = "app:latest".into();
    app.tags = vec!["app:latest".into()];
    app.steps.truncate(5);
    app.duration = at(0.84);
    app.history = history(&[(0.91, true), (0.88, true), (31.0, false), (0.86, true)], 5);
    app.other = vec![operation(OperationKind::Internal, "[internal] load build context", 0.1, 0.2)];
    BuildOutcome { baseline: baseline(0.85, 3, Kind::Cached), ..build(0.84, vec![app]) }
}

/// Both images are built; one is in its registry, the other is not.
pub(crate) fn pushed_in_part() -> BuildOutcome {
    let mut outcome = warm();
    let digest = id("pushed");
    if let Some(ImageResult::Built { digest: pushed, .. }) = outcome.images.first_mut().map(|image| &mut image.result) {
        *pushed = Some(digest.clone());
    }
    let refused = PushProblem {
        message: "denied: <b>permission_denied</b>: The token provided does not match\nexpected scopes.".into(),
        help: Some("check the login for ghcr.io in `registry-auth`".into()),
    };
    let untried = NotPushed::NotTried { because: "ghcr.io/example/frontend:1.4".into() };
    let tag = |tag: &str, result| TagPush { tag: format!("ghcr.io/example/{tag}"), result };
    let push = |image: &str, start, seconds, tags| ImagePush {
        image: image.into(),
        interval: Interval { start: at(start), end: at(start + seconds) },
        tags,
    };
    outcome.pushes = Pushes::Tried(vec![
        push("backend", 12.4, 2.1, vec![tag("backend:1.4", Ok(digest.clone())), tag("backend:latest", Ok(digest))]),
        push(
            "frontend",
            14.5,
            0.4,
            vec![tag("frontend:1.4", Err(NotPushed::Failed(refused))), tag("frontend:latest", Err(untried))],
        ),
    ]);
    outcome
}

/// The second of three images fails, the third one needed it.
pub(crate) fn failed() -> BuildOutcome {
    let because = |step: &str| Some(MissReason::EarlierStep { step: step.into() });
    let lock = MissReason::FilesChanged(changed_files(&["package-lock.json"], 0, 0));
    let mut frontend = image(
        "frontend",
        17.3,
        vec![
            hit("build", 2, 5, "WORKDIR /app", CacheSource::Builder),
            StepOutcome { reason: Some(lock), ..ran("build", 3, 5, NPM_CI, 1.1, 12.9) },
            StepOutcome {
                status: StepStatus::Failed,
                reason: because(&format!("[build 3/5] {NPM_CI}")),
                ..ran("build", 4, 5, "RUN npm run build", 14.0, 3.3)
            },
            not_run("build", 5, 5, "RUN npm prune --omit=dev"),
            not_run("stage-1", 2, 2, "COPY --from=build /app/dist /usr/share/nginx/html"),
        ],
    );
    frontend.result = ImageResult::Failed(Failure {
        message: "process \"/bin/sh -c npm run build\" did not complete successfully: exit code: 2".into(),
        step: Some("[build 4/5] RUN npm run build".into()),
        exit_code: Some(2),
        log_tail: [
            "",
            "> frontend@1.0.0 build",
            "> tsc -b && vite build",
            "",
            "\u{1b}[96msrc/App.tsx\u{1b}[0m:14:7 - \u{1b}[91merror\u{1b}[0m TS2322: Type 'string' is not assignable to type 'number'.",
            "",
            "14   const [viewers, setViewers] = useState<number>(\"0\");",
            "           ~~~~~~~",
            "",
            "Found 1 error.",
        ]
        .map(String::from)
        .to_vec(),
        location: Some(SourceLocation { file: "frontend/Dockerfile".into(), line: 12, end_line: 12 }),
        help: None,
    });
    let mut proxy = image("proxy", 0.0, vec![not_run("stage-0", 2, 2, "COPY nginx.conf /etc/nginx/")]);
    proxy.result = ImageResult::Skipped { because: "frontend".into() };
    build(18.9, vec![backend(6, CacheSource::Image), frontend, proxy])
}

/// Cancelled in the middle: one image was done, one had begun, one had not.
pub(crate) fn cancelled() -> BuildOutcome {
    let mut frontend = frontend(2, CacheSource::Builder);
    frontend.result = ImageResult::Cancelled;
    frontend.duration = at(9.1);
    (frontend.size, frontend.size_before) = (None, None);
    frontend.other.clear();
    frontend.steps[2] = StepOutcome {
        status: StepStatus::Cancelled,
        reason: Some(MissReason::FilesChanged(changed_files(&["package-lock.json"], 0, 0))),
        ..ran("build", 4, 8, NPM_CI, 1.2, 7.9)
    };
    for step in &mut frontend.steps[3..] {
        *step = StepOutcome { status: StepStatus::NotRun, intervals: vec![], ..step.clone() };
    }
    let mut worker = image("worker", 0.0, vec![not_run("stage-0", 2, 2, "RUN make")]);
    worker.result = ImageResult::Cancelled;
    BuildOutcome { cancelled: true, ..build(9.1, vec![backend(6, CacheSource::Builder), frontend, worker]) }
}

fn mark() -> ClearMark {
    ClearMark {
        cleared_at: Some(noon() - chrono::TimeDelta::minutes(42)),
        run_url: Some("https://github.com/example/watchparty/actions/runs/4711".into()),
        builder_cleared: true,
    }
}

/// The first build after a clear.
pub(crate) fn fresh() -> BuildOutcome {
    let mut outcome = cold();
    for image in &mut outcome.images {
        image.fresh_after = Some(mark());
        image.unused_sources.clear();
        image.steps.iter_mut().for_each(|step| step.reason = Some(MissReason::Cleared));
    }
    outcome
}

/// The first build after a clear that took steps from a cache after all.
pub(crate) fn fresh_but_cached() -> BuildOutcome {
    let mut outcome = warm();
    after_clear(&mut outcome.images[0]);
    outcome
}

/// The ledger is gone, and what is cached can only come from the builder.
fn after_clear(image: &mut ImageOutcome) {
    image.fresh_after = Some(mark());
    (image.size_before, image.history) = (None, vec![]);
    for step in &mut image.steps {
        match step.cached {
            true => step.source = CacheSource::Builder,
            false => step.reason = Some(MissReason::Cleared),
        }
    }
}

/// The same, where `fail-if-stale` and `push` are set.
pub(crate) fn stale() -> BuildOutcome {
    BuildOutcome { stale: true, pushes: Pushes::Withheld(Withheld::Stale), ..fresh_but_cached() }
}

/// The first build after a clear that succeeds: one before it failed, and left the builder what it had built until then.
pub(crate) fn fresh_again() -> BuildOutcome {
    let mut outcome = warm();
    for image in &mut outcome.images {
        after_clear(image);
        image.made_since_clear = true;
    }
    BuildOutcome { baseline: None, gate: None, ..outcome }
}

/// A Compose file of twelve services.
pub(crate) fn twelve_services() -> BuildOutcome {
    let names =
        ["api", "auth", "billing", "chat", "gateway", "media", "notify", "player", "search", "sync", "web", "worker"];
    let images = names.iter().enumerate().map(|(index, name)| {
        let mut service = if index % 2 == 0 {
            frontend(index % 8, CacheSource::Builder)
        } else {
            backend(index % 7, CacheSource::Image)
        };
        service.name = (*name).into();
        if service.steps.iter().all(|step| !step.cached) {
            service.history.clear();
        }
        if index % 3 == 0 {
            service.result = ImageResult::Built { image_id: id(name), digest: Some(id(&format!("{name} manifest"))) };
        }
        service
    });
    let mut images: Vec<ImageOutcome> = images.collect();
    images.iter_mut().for_each(critical);
    of_run(&mut images.iter_mut().collect::<Vec<_>>(), &Relations::default());
    build(81.4, images)
}

/// One image of two hundred steps.
pub(crate) fn two_hundred_steps() -> BuildOutcome {
    let mut clock = 1.2;
    let steps = (1..=200).map(|number| {
        let instruction = format!("RUN make part-{number:03}");
        if number <= 120 {
            return hit("build", number + 1, 201, &instruction, CacheSource::Builder);
        }
        let seconds = f64::from(number * 37 % 100) / 10.0;
        clock += seconds;
        let reason = match number {
            121 => MissReason::FilesChanged(changed_files(&["src/lib.c"], 11, 0)),
            _ => MissReason::EarlierStep { step: "[build 122/201] RUN make part-121".into() },
        };
        let step = ran("build", number + 1, 201, &instruction, clock - seconds, seconds);
        StepOutcome { reason: Some(reason), critical: true, ..step }
    });
    let monolith = image("monolith", 412.7, steps.collect());
    BuildOutcome { baseline: baseline(398.0, 5, Kind::Warm), ..build(412.7, vec![monolith]) }
}

/// As much as could ever come: three images of five thousand steps with names of kilobytes, endless logs and warnings.
pub(crate) fn huge() -> BuildOutcome {
    let long = "`|<b>\u{1b}[31m&*_x".repeat(120);
    let images = (0..3).map(|index| {
        let steps = (0..5_000).map(|number| ran("s", number + 1, 5_000, &long, f64::from(number), 0.3));
        let mut huge = image(&format!("{long}{index}"), 5_000.0, steps.collect());
        huge.result = ImageResult::Failed(Failure {
            message: long.clone(),
            step: Some(long.clone()),
            exit_code: Some(1),
            log_tail: vec![long.clone(); 500],
            location: Some(SourceLocation { file: long.clone(), line: 1, end_line: 1 }),
            help: Some(long.clone()),
        });
        huge.unused_sources = vec![UnusedSource { source: long.clone(), reason: long.clone() }; 200];
        huge
    });
    BuildOutcome { warnings: vec![long.clone(); 200], ..build(9_999.0, images.collect()) }
}

/// Every text tries to be something else.
pub(crate) fn hostile() -> BuildOutcome {
    let evil =
        "</code></td></table><img src=x>|`|``\\|**b** @octocat #1 [x](javascript:alert(1))\n::error::x\n```\n# h";
    let mut outcome = failed();
    outcome.warnings = vec![evil.into()];
    let image = &mut outcome.images[1];
    image.name = evil.into();
    image.steps[1].name = evil.into();
    image.steps[1].critical = true;
    image.steps[1].reason = Some(MissReason::EarlierStep { step: evil.into() });
    image.steps[2].reason = Some(MissReason::FilesChanged(changed_files(&[evil; 3], 0, 0)));
    image.other.push(operation(OperationKind::Export, &format!("click {evil}; %%{{init: {{}}}}%%\u{202e}"), 1.0, 4.0));
    image.other.push(operation(OperationKind::Other, "section x :crit, 00:00:00.000, 00:00:09.000", 5.0, 4.0));
    image.history = history(&[(1.0, true)], 5);
    image.history[0].commit = Some(evil.into());
    image.unused_sources = vec![UnusedSource { source: evil.into(), reason: evil.into() }];
    image.fresh_after = Some(ClearMark { run_url: Some("javascript:alert(1)".into()), ..mark() });
    let ImageResult::Failed(failure) = &mut image.result else { unreachable!() };
    failure.message = evil.into();
    failure.log_tail = vec![evil.into(), "</details>".into(), "``````".into()];
    failure.location = Some(SourceLocation { file: evil.into(), line: 3, end_line: 4 });
    failure.help = Some(evil.into());
    let kind = AdviceKind::CopyAboveInstall { copy: evil.into(), install: evil.into(), needs: vec![evil.into()] };
    outcome.advice = vec![Advice { image: evil.into(), location: None, saves: at(1.0), kind }];
    outcome.gate = Some(Gate::Missed { percent: 55, by: at(6.7) });
    outcome.baseline = baseline(12.2, 5, Kind::Warm);
    let source = BaselineSource::Branch(evil.into());
    outcome.baseline = outcome.baseline.map(|baseline| Baseline { source, ..baseline });
    outcome
}

fn changed_files(names: &[&str], more: usize, gone: usize) -> ChangedFiles {
    ChangedFiles { names: names.iter().map(|name| (*name).to_owned()).collect(), more, gone }
}

/// Every reason, each with its evidence.
pub(crate) fn reasons() -> Vec<MissReason> {
    let digest = id;
    let files = changed_files;
    vec![
        MissReason::FirstBuild,
        MissReason::Cleared,
        MissReason::Asked,
        MissReason::CacheImageAbsent { image: "ghcr.io/example/watchparty-backend:latest".into() },
        MissReason::SourceUnreadable {
            source: "ghcr.io/example/watchparty-backend:cache".into(),
            reason: "401 Unauthorized".into(),
        },
        MissReason::BaseChanged {
            reference: "python:3.13-slim".into(),
            before: digest("python:3.13.1"),
            now: digest("python:3.13.2"),
        },
        MissReason::BaseChanged { reference: "busybox".into(), before: String::new(), now: digest("busybox") },
        MissReason::InstructionChanged,
        MissReason::SettingChanged { keyword: "ENV".into() },
        MissReason::ArgumentChanged { name: "GIT_COMMIT_HASH".into() },
        MissReason::FilesChanged(files(&["requirements.txt"], 0, 0)),
        MissReason::FilesChanged(files(&["src/App.tsx", "src/main.tsx", "src/api.ts", "a", "b"], 7, 0)),
        MissReason::FilesChanged(files(&["package.json"], 0, 1)),
        MissReason::FilesChanged(files(&[], 0, 2)),
        MissReason::FilesChanged(files(&[], 0, 0)),
        MissReason::ModeChanged(files(&["entrypoint.sh"], 0, 0)),
        MissReason::EarlierStep { step: "[build 5/8] COPY . .".into() },
        MissReason::Unknown,
    ]
}

/// Every kind of advice.
pub(crate) fn advice() -> Vec<Advice> {
    let at_line = |file: &str, line| Some(SourceLocation { file: file.into(), line, end_line: line });
    vec![
        Advice {
            image: "backend".into(),
            location: at_line("backend/Dockerfile", 4),
            saves: at(45.6),
            kind: AdviceKind::CommitAboveSteps {
                argument: "GIT_COMMIT_HASH".into(),
                steps: vec!["[stage-0 2/7] RUN apt-get install -y libpq5".into()],
            },
        },
        Advice {
            image: "frontend".into(),
            location: at_line("frontend/Dockerfile", 6),
            saves: at(41.6),
            kind: AdviceKind::CopyAboveInstall {
                copy: "[build 3/7] COPY . .".into(),
                install: format!("[build 4/7] {NPM_CI}"),
                needs: vec!["package.json".into(), "package-lock.json".into()],
            },
        },
        Advice {
            image: "worker".into(),
            location: None,
            saves: at(6.2),
            kind: AdviceKind::CacheCostsMore {
                costs: at(96.0),
                spares: at(34.0),
                builds: 10,
                without: vec![KeptCache::Stages, KeptCache::Registry],
            },
        },
        Advice {
            image: "worker".into(),
            location: None,
            saves: at(3.9),
            kind: AdviceKind::ContextUnused {
                sent: 412_000_000,
                used: 12_400_000,
                largest: vec![("target".into(), 371_000_000), (".venv".into(), 28_600_000)],
            },
        },
    ]
}

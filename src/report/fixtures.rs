//! Outcomes in the shapes that reports are tested and looked at with.

use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};

use crate::inputs::ClearScope;
use crate::outcome::build::{
    BuildOutcome, CacheSource, ClearMark, EngineFacts, Failure, ImageOutcome, ImageResult, Interval, OperationKind,
    OperationOutcome, SourceLocation, StepOutcome, StepStatus, UnusedSource,
};
use crate::outcome::clear::{ClearOutcome, Fate, ItemOutcome, Place};

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
        duration: at(seconds),
        images,
        warnings: vec![],
        engine: engine(),
        cancelled: false,
        baseline: None,
        gate: None,
        advice: vec![],
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
        context_bytes: 41_300,
        size: None,
        size_before: None,
        history: vec![],
    }
}

/// A step that ran from `start` for `seconds`.
fn ran(stage: &str, position: u32, of: u32, instruction: &str, start: f64, seconds: f64) -> StepOutcome {
    StepOutcome {
        name: format!("[{stage} {position}/{of}] {instruction}"),
        stage: Some(stage.into()),
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
        ("RUN apt-get update && apt-get install -y --no-install-recommends libpq5", 14.2),
        ("WORKDIR /app", 0.04),
        ("COPY requirements.txt .", 0.05),
        ("RUN pip install --no-cache-dir -r requirements.txt", 31.8),
        ("COPY . .", 0.1),
        ("RUN echo $GIT_COMMIT_HASH > /app/version", 0.3),
    ];
    steps_image("backend", "stage-0", &steps, cached, source)
}

fn frontend(cached: usize, source: CacheSource) -> ImageOutcome {
    let steps = [
        ("WORKDIR /app", 0.03),
        ("COPY package.json package-lock.json ./", 0.04),
        (NPM_CI, 41.6),
        ("COPY . .", 0.2),
        ("RUN echo $GIT_COMMIT_HASH > src/version.txt", 0.2),
        ("RUN npm run build", 8.14),
        ("COPY --from=build /app/dist /usr/share/nginx/html", 0.1),
    ];
    steps_image("frontend", "build", &steps, cached, source)
}

fn steps_image(name: &str, stage: &str, steps: &[(&str, f64)], cached: usize, source: CacheSource) -> ImageOutcome {
    let of = u32::try_from(steps.len()).unwrap() + 1;
    let mut clock = 1.2;
    let outcomes = steps.iter().zip(2..).enumerate().map(|(index, ((instruction, seconds), position))| {
        if index < cached {
            return hit(stage, position, of, instruction, source);
        }
        clock += seconds;
        ran(stage, position, of, instruction, clock - seconds, *seconds)
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

/// A commit changed the code: two of thirteen steps ran.
pub(crate) fn warm() -> BuildOutcome {
    build(12.4, vec![backend(6, CacheSource::Image), frontend(5, CacheSource::Builder)])
}

/// The very first build: nothing was cached, and there was no image to take a cache from.
pub(crate) fn cold() -> BuildOutcome {
    let mut outcome = build(75.2, vec![backend(0, CacheSource::None), frontend(0, CacheSource::None)]);
    for image in &mut outcome.images {
        image.unused_sources = vec![UnusedSource {
            source: format!("ghcr.io/example/watchparty-{}:latest", image.name),
            reason: "failed to configure registry cache importer: not found".into(),
        }];
        image.other.push(operation(OperationKind::Base, "FROM docker.io/library/node:22-alpine", 0.5, 5.2));
    }
    outcome
}

/// One image of five steps, all cached.
pub(crate) fn one_image() -> BuildOutcome {
    let mut app = backend(6, CacheSource::Builder);
    app.name = "app:latest".into();
    app.tags = vec!["app:latest".into()];
    app.steps.truncate(5);
    app.duration = at(0.84);
    app.other = vec![operation(OperationKind::Internal, "[internal] load build context", 0.1, 0.2)];
    build(0.84, vec![app])
}

/// The second of three images fails, the third one needed it.
pub(crate) fn failed() -> BuildOutcome {
    let mut frontend = image(
        "frontend",
        17.3,
        vec![
            hit("build", 2, 5, "WORKDIR /app", CacheSource::Builder),
            ran("build", 3, 5, NPM_CI, 1.1, 12.9),
            StepOutcome { status: StepStatus::Failed, ..ran("build", 4, 5, "RUN npm run build", 14.0, 3.3) },
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
    frontend.other.clear();
    frontend.steps[2] = StepOutcome { status: StepStatus::Cancelled, ..ran("build", 4, 8, NPM_CI, 1.2, 7.9) };
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
    }
    outcome
}

/// The first build after a clear that took steps from a cache after all.
pub(crate) fn fresh_but_cached() -> BuildOutcome {
    let mut outcome = warm();
    outcome.images[0].fresh_after = Some(mark());
    outcome
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
        if index % 3 == 0 {
            service.result = ImageResult::Built { image_id: id(name), digest: Some(id(&format!("{name} manifest"))) };
        }
        service
    });
    build(96.4, images.collect())
}

/// One image of two hundred steps.
pub(crate) fn two_hundred_steps() -> BuildOutcome {
    let steps = (1..=200).map(|number| {
        let instruction = format!("RUN make part-{number:03}");
        if number <= 120 {
            return hit("build", number + 1, 201, &instruction, CacheSource::Builder);
        }
        ran("build", number + 1, 201, &instruction, f64::from(number), f64::from(number * 37 % 100) / 10.0)
    });
    build(412.7, vec![image("monolith", 412.7, steps.collect())])
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
    image.unused_sources = vec![UnusedSource { source: evil.into(), reason: evil.into() }];
    image.fresh_after = Some(ClearMark { run_url: Some("javascript:alert(1)".into()), ..mark() });
    let ImageResult::Failed(failure) = &mut image.result else { unreachable!() };
    failure.message = evil.into();
    failure.log_tail = vec![evil.into(), "</details>".into(), "``````".into()];
    failure.location = Some(SourceLocation { file: evil.into(), line: 3, end_line: 4 });
    failure.help = Some(evil.into());
    outcome
}

fn clear(items: Vec<ItemOutcome>, freed_bytes: u64) -> ClearOutcome {
    ClearOutcome {
        scope: ClearScope { images: true, builder: true, ..ClearScope::default() },
        dry_run: false,
        items,
        freed_bytes,
        verified: Some(true),
        duration: at(4.8),
        engine: engine(),
        warnings: vec![],
        cancelled: false,
    }
}

fn found(name: &str, bytes: u64, fate: Fate) -> ItemOutcome {
    ItemOutcome { place: Place::Images, name: name.into(), of: None, id: Some(id(name)), bytes, count: 1, fate }
}

fn records(count: u64, bytes: u64, fate: Fate) -> ItemOutcome {
    ItemOutcome { place: Place::Builder, name: "builder cache".into(), of: None, id: None, bytes, count, fate }
}

/// Everything went, but for an image that a container runs.
pub(crate) fn cleared() -> ClearOutcome {
    let kept = Fate::Kept { why: "used by container watchparty-db-1".into() };
    clear(
        vec![
            found("watchparty-backend:latest", 201_400_000, Fate::Removed),
            found("watchparty-frontend:latest", 52_800_000, Fate::Removed),
            ItemOutcome {
                place: Place::Stages,
                of: Some("build of watchparty-frontend, refs/heads/main".into()),
                ..found("watchparty-cache/stage:5f1d", 389_000_000, Fate::Removed)
            },
            found("watchparty-db:latest", 448_000_000, kept),
            records(48, 660_000_000, Fate::Removed),
        ],
        1_234_000_000,
    )
}

/// The same, asked with `dry-run`.
pub(crate) fn dry_run() -> ClearOutcome {
    let mut outcome = ClearOutcome { dry_run: true, verified: None, freed_bytes: 0, ..cleared() };
    for item in outcome.items.iter_mut().filter(|item| item.fate == Fate::Removed) {
        item.fate = Fate::WouldRemove;
    }
    outcome
}

/// An image and two records stayed against the plan.
pub(crate) fn cleared_in_part() -> ClearOutcome {
    let conflict = Fate::Failed {
        why: "conflict: unable to delete 5d1f (must be forced) - image is referenced in multiple repositories".into(),
    };
    let mut outcome = cleared();
    outcome.items[2].fate = conflict;
    outcome.items[4] = records(46, 158_000_000, Fate::Removed);
    outcome.items.push(records(2, 502_000_000, Fate::Failed { why: "in use by another build".into() }));
    ClearOutcome {
        verified: Some(false),
        freed_bytes: 412_000_000,
        warnings: vec!["the builder answered the prune after 60 s".into()],
        ..outcome
    }
}

/// Every place was in scope: tags, packages and caches as well; one tag could not go, one builder was at work.
pub(crate) fn cleared_everywhere() -> ClearOutcome {
    let elsewhere =
        |place, name: &str, bytes, fate| ItemOutcome { place, id: None, of: None, ..found(name, bytes, fate) };
    let builder = |name: &str, count, bytes, fate| ItemOutcome {
        place: Place::Builders,
        id: None,
        name: name.into(),
        ..records(count, bytes, fate)
    };
    let mut outcome = cleared();
    outcome.items.push(builder("multi", 25, 310_000_000, Fate::Removed));
    outcome.items.push(builder("release", 0, 0, Fate::Kept { why: "it is building now".into() }));
    outcome.items.extend(
        (0..3)
            .map(|n| elsewhere(Place::Volumes, &format!("buildx_buildkit_old{n}0_state"), 120_000_000, Fate::Removed)),
    );
    let refused = Fate::Failed { why: "the registry does not delete (405)".into() };
    for (tag, fate) in [("1", Fate::Removed), ("2", Fate::Removed), ("3", refused)] {
        let name = format!("registry.example.com/team/watchparty:{tag}-cache");
        outcome.items.push(ItemOutcome { id: Some(id(&name)), ..elsewhere(Place::Registry, &name, 0, fate) });
    }
    outcome.items.extend((0..14).map(|n| {
        let name = "example/watchparty-backend".to_owned();
        let version = format!("{name} version {n}");
        ItemOutcome {
            of: Some(format!("tag pr-{n}")),
            id: Some(id(&version)),
            ..elsewhere(Place::Packages, &name, 0, Fate::Removed)
        }
    }));
    outcome.items.extend((0..30).map(|n| {
        let key = format!("buildkit-blob-1-{n}");
        ItemOutcome {
            of: Some("refs/pull/12/merge".into()),
            ..elsewhere(Place::ActionsCache, &key, 5_000_000, Fate::Removed)
        }
    }));
    ClearOutcome {
        verified: Some(false),
        freed_bytes: 2_054_000_000,
        warnings: vec!["not cleared: tag registry.example.com/team/watchparty:3-cache is still there".into()],
        ..outcome
    }
}

/// More than a screen of images.
pub(crate) fn cleared_many() -> ClearOutcome {
    let mut items: Vec<ItemOutcome> =
        (1..=60).map(|n| found(&format!("watchparty-backend:pr-{n}"), n * 1_000_000, Fate::Removed)).collect();
    items.push(records(1_312, 6_600_000_000, Fate::Removed));
    clear(items, 8_430_000_000)
}

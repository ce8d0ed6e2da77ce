//! Builds that differ in one thing, and what is said of their steps.

mod changes;
mod whole;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use chrono::DateTime;
use tokio_util::sync::CancellationToken;

use super::layout::is_step;
use crate::cache::evidence::{self, Evidence};
use crate::cache::ledger::{
    Build, BuildKind, BuildRecord, CachedImage, Identity, Ledger, LedgerKey, Role, Salt, Scope, StepFact, Subject,
};
use crate::cache::records::Records;
use crate::outcome::build::{CacheSource, ImageOutcome, ImageResult, StepOutcome, StepStatus};
use crate::outcome::known::Known;
use crate::outcome::reason::MissReason;
use crate::project::dockerfile::Dockerfile;
use crate::project::target::{Context, Dockerfile as Source, NamedContext, Target};

const SALT: &str = "0123456789abcdef0123456789abcdef";

/// What goes into one build.
#[derive(Debug, Clone, Default)]
struct Side {
    text: String,
    args: Vec<(String, String)>,
    files: Vec<(String, String, u32)>,
    bases: Vec<(String, String)>,
    pinned: Vec<(String, String)>,
}

/// A build of a Dockerfile on `busybox` with these files: `name`, or `name=content`.
fn side(text: &str, files: &[&str]) -> Side {
    let side = Side { text: text.to_owned(), ..Side::default() }.base("busybox", "1");
    files.iter().fold(side, |side, file| {
        let (name, content) = file.split_once('=').unwrap_or((file, "content"));
        side.file(name, content, 0o644)
    })
}

impl Side {
    fn file(mut self, name: &str, content: &str, mode: u32) -> Self {
        self.files.retain(|(other, ..)| other != name);
        self.files.push((name.to_owned(), content.to_owned(), mode));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.files.retain(|(other, ..)| other != name);
        self
    }

    fn arg(mut self, name: &str, value: &str) -> Self {
        self.args.push((name.to_owned(), value.to_owned()));
        self
    }

    fn base(mut self, name: &str, id: &str) -> Self {
        self.bases.retain(|(other, _)| other != name);
        self.bases.push((name.to_owned(), id.to_owned()));
        self
    }

    fn pinned(mut self, name: &str, digest: &str) -> Self {
        self.pinned.push((name.to_owned(), digest.to_owned()));
        self
    }

    fn target(&self, context: &Path) -> Target {
        let mut target = Target::new("app", Context::Local(context.to_owned()), Source::Inline(self.text.clone()));
        target.build_args = self.args.iter().cloned().collect();
        let assets = context.join("assets");
        if assets.exists() {
            target.named_contexts.insert("assets".to_owned(), NamedContext::Local(assets));
        }
        target
    }

    fn dockerfile(&self) -> Dockerfile {
        Dockerfile::parse(&self.text).unwrap()
    }

    /// Everything that the engine and the files tell.
    fn evidence(&self, target: &Target) -> Evidence {
        let salt = SALT.parse().unwrap();
        let dockerfile = self.dockerfile();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let token = CancellationToken::new();
        let contexts = runtime.block_on(evidence::contexts(&salt, target, Some(&dockerfile), &token)).unwrap();
        let needed = evidence::bases(&dockerfile, None, &target.build_args);
        let bases = self.bases.iter().filter(|(name, _)| needed.contains_key(name)).cloned().collect();
        let evidence = Evidence::new(&salt, target, Some((&dockerfile, &self.text)));
        Evidence { contexts, bases, pinned: self.pinned.iter().cloned().collect(), ..evidence }
    }

    /// The steps as BuildKit names them, nothing of which ran.
    fn steps(&self) -> Vec<StepOutcome> {
        let dockerfile = self.dockerfile();
        let stages = dockerfile.stages();
        let mut steps = Vec::new();
        for (index, stage) in stages.iter().enumerate() {
            let name = stage.name().map_or_else(|| format!("stage-{index}"), str::to_owned);
            let internal = stages[..index].iter().any(|other| other.name() == Some(stage.base()));
            let before = u32::from(!internal && stage.base() != "scratch");
            let counted = |keyword: &str| ["ADD", "COPY", "RUN", "WORKDIR"].contains(&keyword);
            let counted = stage.instructions().iter().filter(|instruction| counted(&instruction.keyword)).count();
            let of = before + u32::try_from(counted).unwrap();
            for (position, instruction) in (before + 1..).zip(stage.instructions().iter().filter(|text| is_step(text)))
            {
                let words: Vec<&str> = [instruction.keyword.as_str()]
                    .into_iter()
                    .chain(instruction.flags.iter().map(String::as_str))
                    .chain([instruction.arguments.as_str()])
                    .collect();
                let text = words.join(" ");
                let stage = (stages.len() > 1).then(|| name.clone());
                let bracket = stage.as_ref().map(|name| format!("{name} ")).unwrap_or_default();
                steps.push(step(&format!("[{bracket}{position}/{of}] {text}"), stage, position, of, &text));
            }
        }
        steps
    }
}

fn step(name: &str, stage: Option<String>, position: u32, of: u32, instruction: &str) -> StepOutcome {
    StepOutcome {
        name: name.to_owned(),
        stage,
        position,
        of,
        instruction: instruction.to_owned(),
        cached: true,
        source: CacheSource::Builder,
        status: StepStatus::Done,
        intervals: Vec::new(),
        reason: None,
        critical: false,
    }
}

/// Two builds in a row, and what is known of the second.
struct Scene {
    previous: Option<Ledger>,
    present: BTreeSet<String>,
    before: Option<Evidence>,
    now: Option<Evidence>,
    target: Target,
    dockerfile: Dockerfile,
    outcome: ImageOutcome,
    merges: bool,
    remembered: bool,
}

/// The second build, in which the steps ran whose names begin with one of these behind the bracket.
fn scene(before: &Side, now: &Side, ran: &[&str]) -> Scene {
    let directory = tempfile::tempdir().unwrap();
    let evidence = |side: &Side| {
        fill(directory.path(), side);
        let target = side.target(directory.path());
        let evidence = side.evidence(&target);
        (evidence, target)
    };
    let (earlier, _) = evidence(before);
    let earlier = serde_json::to_value(earlier).unwrap();
    let (evidence, target) = evidence(now);
    let mut steps = now.steps();
    for step in &mut steps {
        step.cached = !ran.iter().any(|start| step.instruction.starts_with(start));
    }
    let ledger = ledger(before, earlier.clone());
    let present = ledger.images.iter().map(|image| image.id.to_string()).collect();
    Scene {
        previous: Some(ledger),
        present,
        before: serde_json::from_value(earlier).unwrap(),
        now: Some(evidence),
        target,
        dockerfile: now.dockerfile(),
        outcome: outcome(steps),
        merges: true,
        remembered: true,
    }
}

fn fill(directory: &Path, side: &Side) {
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
    }
    for (name, content, mode) in &side.files {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match content.strip_prefix("-> ") {
            Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
            None => {
                std::fs::write(&path, content).unwrap();
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(*mode)).unwrap();
            }
        }
    }
}

/// The ledger of a build, with an image for the target and for every other stage that has a name.
fn ledger(side: &Side, evidence: serde_json::Value) -> Ledger {
    let dockerfile = side.dockerfile();
    let (_, intermediate) = dockerfile.stages().split_last().unwrap();
    let names = intermediate.iter().filter_map(|stage| stage.name());
    let stages = names.map(|name| (Role::Stage { name: name.to_owned() }, format!("stage:{name}")));
    let image = |(number, (role, reference)): (u8, (Role, String))| CachedImage {
        role,
        reference,
        id: format!("sha256:{}", format!("{number:02x}").repeat(32)).parse().unwrap(),
        records: Records::default(),
    };
    let fact = |step: StepOutcome| StepFact {
        stage: step.stage,
        position: step.position,
        instruction: step.instruction,
        cached: false,
        source: CacheSource::None,
        seconds: 1.0,
        ran_seconds: None,
    };
    let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let record = BuildRecord {
        run: None,
        at,
        commit: None,
        seconds: 1.0,
        run_seconds: None,
        cached: 0,
        total: 1,
        kind: BuildKind::Cold,
        image_bytes: None,
        cache_times: None,
    };
    let build = Build {
        event: None,
        run_url: None,
        images: (0..).zip([(Role::Final, "app:latest".to_owned())].into_iter().chain(stages)).map(image).collect(),
        superseded: Vec::new(),
        earlier: Vec::new(),
        steps: side.steps().into_iter().map(fact).collect(),
        evidence,
        salt: SALT.to_owned().try_into().unwrap(),
        record,
    };
    let identity = Identity { subject: Subject::Key("app".into()), target: None };
    Ledger::successor(None, LedgerKey { scope: Scope::Local, identity }, build)
}

fn outcome(steps: Vec<StepOutcome>) -> ImageOutcome {
    ImageOutcome { steps, ..ImageOutcome::ended("app".into(), Vec::new(), ImageResult::Cancelled) }
}

impl Scene {
    /// What is said of the steps that ran, in their order.
    fn reasons(&self) -> Vec<String> {
        let reasons = super::reasons(&self.outcome, &self.known());
        assert_eq!(reasons.len(), self.outcome.steps.len());
        reasons.iter().flatten().map(say).collect()
    }

    fn known(&self) -> Known<'_> {
        Known {
            target: &self.target,
            dockerfile: Some(&self.dockerfile),
            previous: self.previous.as_ref(),
            present: Some(&self.present),
            before: self.before.clone(),
            now: self.now.clone(),
            salt: Salt::keep(self.previous.as_ref()),
            remembered: self.remembered,
            merges: self.merges,
        }
    }
}

fn say(reason: &MissReason) -> String {
    let files = |files: &crate::outcome::reason::ChangedFiles| {
        let more = (files.more > 0).then(|| format!(" +{}", files.more));
        let gone = (files.gone > 0).then(|| format!(" -{}", files.gone));
        format!("{}{}{}", files.names.join(" "), more.unwrap_or_default(), gone.unwrap_or_default())
    };
    match reason {
        MissReason::FirstBuild => "first build".to_owned(),
        MissReason::Cleared => "cleared".to_owned(),
        MissReason::Asked => "asked".to_owned(),
        MissReason::CacheImageAbsent { image } => format!("absent {image}"),
        MissReason::SourceUnreadable { source, reason } => format!("unreadable {source}: {reason}"),
        MissReason::BaseChanged { reference, before, now } => format!("base {reference} {before} {now}"),
        MissReason::InstructionChanged => "instruction".to_owned(),
        MissReason::SettingChanged { keyword } => format!("setting {keyword}"),
        MissReason::ArgumentChanged { name } => format!("argument {name}"),
        MissReason::FilesChanged(changed) => format!("files {}", files(changed)),
        MissReason::ModeChanged(changed) => format!("mode {}", files(changed)),
        MissReason::EarlierStep { step } => format!("earlier {step}"),
        MissReason::Unknown => "unknown".to_owned(),
    }
}

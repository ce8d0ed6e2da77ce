//! After the builds: ledgers are written, and what they replace is removed.

use std::collections::BTreeSet;
use std::time::Instant;

use chrono::Utc;
use futures_util::future::join_all;
use tokio::sync::Mutex;

use super::Prepared;
use crate::cache::ledger::{
    Build, BuildKind, BuildRecord, CachedImage, ImageId, Ledger, LedgerKey, LedgerLabel, Refusal, Role, StepFact,
};
use crate::engine::Parents;
use crate::error::chain;
use crate::execute::build::{Built, Kept};
use crate::inputs::BuildInputs;
use crate::outcome::advise;
use crate::outcome::build::{ImageOutcome, StepOutcome};
use crate::outcome::known::Known;
use crate::plan::build::PlannedBuild;
use crate::plan::build::keep::Keep;
use crate::run::Run;

/// Images that are remembered although nothing could remove them yet.
const REMEMBERED: usize = 100;

/// Keeps what every build left. What could not be kept is said, a line for each, and fails nothing.
pub(super) async fn keep(
    run: &Run,
    inputs: &BuildInputs,
    prepared: &Prepared,
    built: &[Built],
    known: &[Known<'_>],
) -> Vec<String> {
    // One after the other: a ledger that is being replaced looks like one that a killed run left behind.
    let writing = Mutex::new(());
    let builds = prepared.plan.builds.iter().zip(built).zip(known);
    let each = builds.enumerate().map(|(index, ((build, built), known))| {
        let keeper = Keeper { run, inputs, prepared, known, index, build, writing: &writing };
        async move {
            // A cancelled run leaves the ledgers as they were.
            run.cancellation.token().run_until_cancelled(keeper.keep(built)).await.unwrap_or_default()
        }
    });
    join_all(each).await.into_iter().flatten().collect()
}

struct Keeper<'a> {
    run: &'a Run,
    inputs: &'a BuildInputs,
    prepared: &'a Prepared,
    known: &'a Known<'a>,
    index: usize,
    build: &'a PlannedBuild,
    writing: &'a Mutex<()>,
}

impl Keeper<'_> {
    async fn keep(&self, built: &Built) -> Vec<String> {
        let Some(keep) = &self.build.keep else { return Vec::new() };
        let begun = Instant::now();
        // Another ref's is no predecessor, but the new ledger has its salt: what went into this build is known under that one.
        let previous = self.known.previous.filter(|previous| previous.key == keep.key);
        let named = |problem: String| format!("{}: {problem}", self.build.target.name);
        let (images, mut notes) = match (&built.kept, previous) {
            // The ledger knows all of it; writing it again would cost more than such a build itself.
            (Kept::Nothing | Kept::Known, _) => return Vec::new(),
            (Kept::Images { images, problems }, previous) => {
                (with_carried_over(images, keep, previous), problems.iter().cloned().map(named).collect())
            }
        };
        // Without the image's own records the ledger of before is worth more.
        if !images.iter().any(|image| image.role == Role::Final) {
            return notes;
        }
        // Another run may have written the ledger meanwhile: what it names would be nobody's.
        let meanwhile = self.meanwhile(&keep.key).await;
        let (superseded, removable) = self.superseded(previous, meanwhile.as_ref(), &images, &keep.key).await;
        let build = Build {
            event: self.run.context.event.clone(),
            run_url: self.run.context.run_url.clone(),
            images,
            superseded,
            steps: built.outcome.steps.iter().map(|step| fact(step, self.steps_before())).collect(),
            evidence: serde_json::to_value(&self.known.now).unwrap_or_default(),
            salt: self.known.salt.clone(),
            record: self.record(&built.outcome),
        };
        if let Err(problem) = self.write(&Ledger::successor(previous, keep.key.clone(), build)).await {
            notes.push(named(format!("the image is no cache for the next build: {problem}")));
            return notes;
        }
        tracing::debug!("image cache: ledger written in {} ms", begun.elapsed().as_millis());
        for image in removable {
            self.remove(&image).await;
        }
        notes
    }

    /// The ledger as it is now.
    async fn meanwhile(&self, key: &LedgerKey) -> Option<Ledger> {
        let found = self.prepared.engine.read_ledger(&key.name()).await.ok()??;
        Ledger::open(&found.content, key).ok()
    }

    async fn write(&self, ledger: &Ledger) -> Result<(), String> {
        let name = ledger.key.name();
        let document = ledger.encode().map_err(|error| chain(&error))?;
        let label = ledger.label().encode().map_err(|error| chain(&error))?;
        let predecessor = self.prepared.previous.get(self.index).and_then(Option::as_ref);
        let predecessor = predecessor.filter(|previous| previous.ledger.key == ledger.key);
        let predecessor = predecessor.map(|previous| previous.image_id.as_str());
        let _alone = self.writing.lock().await;
        let write = || self.prepared.engine.write_ledger(&name, &label, &document, ledger.written_at, predecessor);
        let written = match write().await {
            // The containerd store of Docker 28 fails whoever gives a new name second.
            Err(error) if chain(&error).contains("already exists") => write().await,
            written => written,
        };
        written.map_err(|error| chain(&error))
    }

    /// What earlier builds made and this ledger does not name any more: all of it that is still there, and what of it may
    /// go.
    async fn superseded(
        &self,
        previous: Option<&Ledger>,
        meanwhile: Option<&Ledger>,
        images: &[CachedImage],
        own: &LedgerKey,
    ) -> (Vec<ImageId>, Vec<ImageId>) {
        let before = previous.into_iter().chain(meanwhile);
        let made = before.flat_map(|ledger| ledger.images.iter().map(|image| &image.id).chain(&ledger.superseded));
        let candidates: BTreeSet<&ImageId> = made.filter(|id| !images.iter().any(|image| image.id == **id)).collect();
        if candidates.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let engine = &self.prepared.engine;
        let looked_up = candidates.into_iter().map(|id| async move {
            let details = engine.inspect_image(id.as_str()).await.ok().flatten();
            details.map(|details| (id.clone(), details.tags.is_empty()))
        });
        let present: Vec<(ImageId, bool)> = join_all(looked_up).await.into_iter().flatten().collect();
        let removable = match self.named_by_others(own).await {
            Some(others) if self.inputs.remove_superseded => {
                let free = |(id, untagged): &&(ImageId, bool)| {
                    *untagged && !others.iter().any(|other| other.knows(id.as_str()))
                };
                present.iter().filter(free).map(|(id, _)| id.clone()).collect()
            }
            // Without knowing what others need, nothing is removed.
            Some(_) | None => Vec::new(),
        };
        let remembered = present.into_iter().map(|(id, _)| id).take(REMEMBERED).collect();
        (remembered, removable)
    }

    /// What the other ledgers of the engine name; nothing if one of them is of a newer version, whose names are unknown.
    async fn named_by_others(&self, own: &LedgerKey) -> Option<Vec<LedgerLabel>> {
        let listed = self.prepared.engine.ledgers().await.ok()?;
        let mut others = Vec::with_capacity(listed.len());
        for ledger in listed.into_iter().filter(|ledger| ledger.name != own.name()) {
            match LedgerLabel::read(&ledger.name, ledger.label.as_deref().unwrap_or_default()) {
                Ok(label) => others.push(label),
                Err(Refusal::Newer { .. }) => return None,
                // No build reads it, so it needs nothing.
                Err(_) => {}
            }
        }
        Some(others)
    }

    /// The engine refuses while a container uses it: then it goes after a later build.
    async fn remove(&self, image: &ImageId) {
        match self.prepared.engine.remove_image(image.as_str(), Parents::Keep).await {
            Ok(_) => tracing::debug!(%image, "image cache: removed a superseded image"),
            Err(error) => tracing::debug!(%image, error = chain(&error), "image cache: a superseded image stays"),
        }
    }

    fn steps_before(&self) -> &[StepFact] {
        self.known.previous.map(|ledger| ledger.steps.as_slice()).unwrap_or_default()
    }

    fn record(&self, outcome: &ImageOutcome) -> BuildRecord {
        let cached = outcome.steps.iter().filter(|step| step.cached).count();
        let count = |steps: usize| u32::try_from(steps).unwrap_or(u32::MAX);
        BuildRecord {
            run: Some(self.prepared.run_id.clone()),
            at: Utc::now(),
            commit: self.run.context.head_commit.clone(),
            seconds: outcome.duration.as_secs_f64(),
            cached: count(cached),
            total: count(outcome.steps.len()),
            kind: if cached > 0 { BuildKind::Warm } else { BuildKind::Cold },
            image_bytes: outcome.size,
            cache_times: advise::times(outcome, self.steps_before()),
        }
    }
}

/// The images of this build, and those stages of before that it did not come by and that are still wanted.
fn with_carried_over(images: &[CachedImage], keep: &Keep, previous: Option<&Ledger>) -> Vec<CachedImage> {
    let carried = previous.iter().flat_map(|previous| &previous.images).filter(|image| match &image.role {
        Role::Final => false,
        Role::Stage { name } => {
            keep.stages.iter().any(|stage| stage.name == *name) && !images.iter().any(|kept| kept.role == image.role)
        }
    });
    images.iter().chain(carried).cloned().collect()
}

fn fact(step: &StepOutcome, before: &[StepFact]) -> StepFact {
    StepFact {
        stage: step.stage.clone(),
        position: step.position,
        instruction: step.instruction.clone(),
        cached: step.cached,
        source: step.source,
        seconds: step.duration().as_secs_f64(),
        ran_seconds: advise::ran_seconds(step, before),
    }
}

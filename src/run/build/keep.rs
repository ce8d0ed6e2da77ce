//! After the builds: ledgers are written, and what they replace is removed.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use futures_util::future::join_all;
use tokio::sync::{OnceCell, Semaphore};

use super::Prepared;
use super::leftovers::{GIVEN_UP, Leftover, Leftovers, Superseded};
use crate::cache::ledger::{
    Access, Build, BuildKind, BuildRecord, CachedImage, EARLIER, Earlier, Ledger, LedgerKey, Role, StepFact,
};
use crate::cache::records::Records;
use crate::error::chain;
use crate::execute::build::{Built, Execution, Kept, find_critical_path, keep_all_the_same};
use crate::inputs::BuildInputs;
use crate::outcome::advise;
use crate::outcome::build::{ImageOutcome, StepOutcome};
use crate::outcome::known::Known;
use crate::outcome::why;
use crate::plan::build::PlannedBuild;
use crate::plan::build::keep::Keep;
use crate::run::Run;

/// Ledgers that are written at the same time. With more of them a graph driver takes longer than others wait between loading one and
/// naming it ([`crate::engine::NAMING`]).
const WRITERS: usize = 2;
/// How old a ledger gets although builds come by that find nothing to write: half as old as one that is given up.
const RENEWED: TimeDelta = TimeDelta::seconds(GIVEN_UP.num_seconds() / 2);
/// Images that are remembered although nothing could remove them yet.
const REMEMBERED: usize = 100;

/// Keeps the images of those builds that ran nothing and gave the image of before, where their steps are others all the same: another
/// build has made these. It may have been of another image with the same stages, or of another branch.
///
/// Without it the ledger would know the stages of before, and the next build would run what is in the builder now, once that is gone.
pub(super) async fn keep_unknown(prepared: &Prepared, with: &Execution<'_>, built: &mut [Built], known: &[Known<'_>]) {
    let (begun, mut again) = (Instant::now(), false);
    // One after the other: see `keep_all`.
    for (index, ((build, built), known)) in prepared.plan.builds.iter().zip(built.iter_mut()).zip(known).enumerate() {
        // A stage that a registry has may be there alone, and to make an image of it would fetch layers that nobody needs.
        let has_remote = with.remote.get(index).is_some_and(|remote| !remote.is_empty());
        if built.kept != Kept::Known || has_remote || with.cancelled.is_cancelled() {
            continue;
        }
        if why::is_another(&built.outcome, known) {
            keep_all_the_same(index, build, built, with).await;
            again = true;
        }
    }
    if again {
        tracing::debug!("image cache: kept in {} ms", begun.elapsed().as_millis());
        find_critical_path(&prepared.plan, built);
    }
}

/// Keeps what every build left. What could not be kept is said, a line for each, and fails nothing.
pub(super) async fn keep(
    run: &Run,
    inputs: &BuildInputs,
    prepared: &Prepared,
    built: &[Built],
    known: &[Known<'_>],
) -> Vec<String> {
    let (begun, taken) = (Instant::now(), run.started.elapsed());
    let writing = Semaphore::new(WRITERS);
    let builds = prepared.plan.builds.iter().zip(built).zip(known);
    let leftovers = OnceCell::new();
    let each = builds.enumerate().map(|(index, ((build, built), known))| {
        let keeper = Keeper { run, prepared, known, index, build, taken, writing: &writing, leftovers: &leftovers };
        async move {
            // A cancelled run leaves the ledgers as they were.
            run.cancellation.token().run_until_cancelled(keeper.keep(built)).await.unwrap_or_default()
        }
    });
    let written = join_all(each).await;
    if let Some(leftovers) = leftovers.get() {
        tracing::debug!("image cache: ledgers written in {} ms", begun.elapsed().as_millis());
        run.cancellation.token().run_until_cancelled(tidy(run, inputs, prepared, leftovers, &written)).await;
    }
    written.into_iter().flat_map(|written| written.notes).collect()
}

/// What became of a ledger.
#[derive(Default)]
struct Written {
    /// What could not be kept, a line for each.
    notes: Vec<String>,
    /// The ledger that had its name before, if another one has it now.
    predecessor: Option<String>,
    /// What may go now.
    removable: Vec<Leftover>,
}

/// Removes what the ledgers that were `written` replace, and what nobody builds any more.
async fn tidy(run: &Run, inputs: &BuildInputs, prepared: &Prepared, leftovers: &Leftovers, written: &[Written]) {
    let begun = Instant::now();
    let engine = &prepared.engine;
    let replaced: Vec<&str> = written.iter().filter_map(|written| written.predecessor.as_deref()).collect();
    let ledgers = async {
        if let Err(error) = engine.remove_replaced_ledgers(&replaced).await {
            tracing::debug!(error = chain(&error), "image cache: a ledger that was replaced is not removed");
        }
    };
    let images = async {
        if inputs.remove_superseded {
            join_all(written.iter().flat_map(|written| &written.removable).map(|image| leftovers.remove(image))).await;
            leftovers.give_up(&Access::of(&run.context), Utc::now()).await;
            leftovers.remove_nameless().await;
        }
    };
    tokio::join!(ledgers, images);
    tracing::debug!("image cache: tidied up in {} ms", begun.elapsed().as_millis());
}

struct Keeper<'a> {
    run: &'a Run,
    prepared: &'a Prepared,
    known: &'a Known<'a>,
    index: usize,
    build: &'a PlannedBuild,
    /// How long the run has taken.
    taken: Duration,
    writing: &'a Semaphore,
    /// Looked for once, by the first that writes a ledger.
    leftovers: &'a OnceCell<Leftovers>,
}

impl Keeper<'_> {
    async fn keep(&self, built: &Built) -> Written {
        let Some(keep) = &self.build.keep else { return Written::default() };
        // Another ref's is no predecessor, but the new ledger has its salt: what went into this build is known under that one.
        let previous = self.known.previous.filter(|previous| previous.key == keep.key);
        let named = |problem: String| format!("{}: {problem}", self.build.target.name);
        let (images, mut notes) = match (&built.kept, previous) {
            (Kept::Nothing, _) => return Written::default(),
            // The ledger knows all of it; writing it again would cost more than such a build itself.
            (Kept::Known, previous) => return self.renew(&keep.key, previous).await,
            (Kept::Images { images, problems }, previous) => {
                // What BuildKit 0.8 captures after an import lacks results in between; newer ones tell all that was offered.
                let complete = self.prepared.engine.info().has_buildkit_0_8();
                (with_carried_over(images, keep, previous, complete), problems.iter().cloned().map(named).collect())
            }
        };
        // Without the image's own records the ledger of before is worth more.
        if !images.iter().any(|image| image.role == Role::Final) {
            return Written { notes, ..Written::default() };
        }
        // Another run may have written the ledger meanwhile: what it names would be nobody's.
        let look = self.leftovers.get_or_init(|| Leftovers::look(&self.prepared.engine));
        let (meanwhile, leftovers) = tokio::join!(self.meanwhile(&keep.key), look);
        let before = previous.into_iter().chain(meanwhile.as_ref());
        let Superseded { mut present, removable } = leftovers.superseded(before, &images, &keep.key).await;
        present.truncate(REMEMBERED);
        let earlier = earlier(&images, previous);
        let build = Build {
            event: self.run.context.event.clone(),
            run_url: self.run.context.run_url.clone(),
            images,
            superseded: present,
            earlier,
            steps: built.outcome.steps.iter().map(|step| fact(step, self.steps_before())).collect(),
            evidence: serde_json::to_value(&self.known.now).unwrap_or_default(),
            salt: self.known.salt.clone(),
            record: self.record(&built.outcome),
        };
        if let Err(problem) = self.write(&Ledger::successor(previous, keep.key.clone(), build)).await {
            notes.push(named(format!("the image is no cache for the next build: {problem}")));
            return Written { notes, ..Written::default() };
        }
        Written { notes, predecessor: self.predecessor(&keep.key), removable }
    }

    /// Writes the ledger once more as it is, when it has not been written for so long that others may soon take it for one of which
    /// nobody builds the image any more.
    async fn renew(&self, key: &LedgerKey, previous: Option<&Ledger>) -> Written {
        let now = Utc::now();
        let is_old = |ledger: &&Ledger| now.signed_duration_since(ledger.written_at) > RENEWED;
        let Some(previous) = previous.filter(is_old) else { return Written::default() };
        // What another run has written meanwhile is younger.
        let there = self.meanwhile(key).await.filter(|there| there.written_at == previous.written_at);
        let Some(mut renewed) = there else { return Written::default() };
        renewed.written_at = now;
        if let Err(problem) = self.write(&renewed).await {
            tracing::debug!(problem, "image cache: the ledger is not renewed");
            return Written::default();
        }
        self.leftovers.get_or_init(|| Leftovers::look(&self.prepared.engine)).await;
        Written { predecessor: self.predecessor(key), ..Written::default() }
    }

    /// The image that had the ledger's name before the build.
    fn predecessor(&self, key: &LedgerKey) -> Option<String> {
        let previous = self.prepared.previous.get(self.index).and_then(Option::as_ref);
        previous.filter(|previous| previous.ledger.key == *key).map(|previous| previous.image_id.clone())
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
        let _one_of_few = self.writing.acquire().await;
        let write = || self.prepared.engine.write_ledger(&name, &label, &document, ledger.written_at);
        let written = match write().await {
            // The containerd store of Docker 28 fails whoever gives a new name second.
            Err(error) if chain(&error).contains("already exists") => write().await,
            written => written,
        };
        written.map_err(|error| chain(&error))
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
            run_seconds: Some(self.taken.as_secs_f64()),
            cached: count(cached),
            total: count(outcome.steps.len()),
            kind: if cached > 0 { BuildKind::Warm } else { BuildKind::Cold },
            image_bytes: outcome.size,
            cache_times: advise::times(outcome, self.steps_before()),
        }
    }
}

/// The images of this build, with the keys of the builds of before, and made `complete` with the results that only these tell; and
/// those stages of before that this build did not come by and that are still wanted.
fn with_carried_over(
    images: &[CachedImage],
    keep: &Keep,
    previous: Option<&Ledger>,
    complete: bool,
) -> Vec<CachedImage> {
    let carried = previous.iter().flat_map(|previous| &previous.images).filter(|image| match &image.role {
        Role::Final => false,
        Role::Stage { name } => {
            keep.stages.iter().any(|stage| stage.name == *name) && !images.iter().any(|kept| kept.role == image.role)
        }
    });
    let completed = images.iter().map(|image| {
        let records = image.records.clone();
        let records = before(&image.role, previous).fold(records, |records, before| {
            let records = if complete { records.completed_by(before.clone()) } else { records };
            records.with_keys_of(before)
        });
        CachedImage { records, ..image.clone() }
    });
    completed.chain(carried.cloned()).collect()
}

/// What was known of the image in this role, the newest first.
fn before<'a>(role: &'a Role, previous: Option<&'a Ledger>) -> impl Iterator<Item = &'a Records> {
    let last = previous.into_iter().flat_map(|ledger| &ledger.images).map(|image| (&image.role, &image.records));
    let earlier = previous.into_iter().flat_map(|ledger| &ledger.earlier).map(|before| (&before.role, &before.records));
    last.chain(earlier).filter(move |(of, _)| *of == role).map(|(_, records)| records)
}

/// What the new ledger remembers of the images that it names, the newest build first: results that they had and have not any
/// more. Of an image that it does not name it remembers nothing.
fn earlier(images: &[CachedImage], previous: Option<&Ledger>) -> Vec<Earlier> {
    let of = |image: &CachedImage| {
        let known = before(&image.role, previous).map(|records| records.clone().without_results_of(&image.records));
        let lost = known.filter(|records| !records.is_empty()).take(EARLIER);
        lost.map(|records| Earlier { role: image.role.clone(), records }).collect::<Vec<_>>()
    };
    images.iter().flat_map(of).collect()
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

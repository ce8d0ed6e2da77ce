//! Empties the builders besides the engine's own, and surveys them again.

use std::time::Duration;

use futures_util::TryFutureExt;
use tokio_util::sync::CancellationToken;

use super::{BuilderCache, BuilderError, CANCELLED, HURRY, Pruning, message_of, prune};
use crate::buildkit::{Connection, usage};
use crate::engine::{BuilderContainer, Engine, EngineError};
use crate::error::chain;
use crate::image::pattern::Pattern;
use crate::outcome::clear::{Fate, ItemOutcome, Place, PlaceOutcome};
use crate::plan::clear::builders::{BuilderAction, BuildersPlan, PlannedContainer, PlannedVolume};
use crate::plan::clear::{PlannedBuilder, RecordSum};
use crate::survey::clear::builders::{ANSWER, BuilderState, BuildersSurvey, activity_of, connect};

/// How long a builder that was started may take until it answers, and how often it is asked.
const WAKING: Duration = Duration::from_secs(30);
const WAKING_PAUSE: Duration = Duration::from_millis(250);
const BUILDING: &str = "it is building";

/// The outcome of a dry run: the plan, with nothing done.
pub fn dry_run(plan: &BuildersPlan) -> PlaceOutcome {
    let builders = plan.builders.iter().filter_map(|PlannedContainer { container, action }| match action {
        BuilderAction::Prune(planned) if planned.remove.count == 0 => None,
        BuilderAction::Prune(planned) => Some(item(container, planned.remove, Fate::WouldRemove)),
        // How many records it has, nobody knows before it runs.
        BuilderAction::Wake => {
            let volume = container.volume.as_ref()?;
            let of = format!("of builder {}, which is stopped: it would be emptied", container.name);
            Some(volume_item(&volume.name, Some(of), volume.bytes, Fate::WouldRemove))
        }
        BuilderAction::KeepBuilding => Some(kept(container, BUILDING)),
        BuilderAction::KeepNamed(why) => Some(kept(container, why)),
        BuilderAction::Fail(why) => Some(item(container, RecordSum::default(), Fate::Failed { why: why.clone() })),
    });
    let volumes = plan.volumes.iter().map(|planned| planned_volume(planned, Fate::WouldRemove));
    PlaceOutcome { items: builders.chain(volumes).collect(), ..PlaceOutcome::default() }
}

/// Carries the plan out and surveys again. Items are independent; after a signal the rest is left alone. `on_item` hears of
/// each as it is done.
pub async fn apply(
    engine: &Engine,
    plan: &BuildersPlan,
    keep: &[Pattern],
    cancel: &CancellationToken,
    on_item: impl FnMut(&ItemOutcome),
) -> PlaceOutcome {
    let mut work = Work { engine, cancel, outcome: PlaceOutcome::default(), emptied: Vec::new(), on_item };
    for PlannedContainer { container, action } in &plan.builders {
        match action {
            BuilderAction::Prune(PlannedBuilder { remove, in_use }) if remove.count == 0 && in_use.count == 0 => {}
            BuilderAction::Prune(_) => work.prune(container).await,
            BuilderAction::Wake => work.wake(container).await,
            BuilderAction::KeepBuilding => work.done(kept(container, BUILDING)),
            BuilderAction::KeepNamed(why) => work.done(kept(container, why)),
            BuilderAction::Fail(why) => work.failed(container, why.clone()),
        }
    }
    for planned in &plan.volumes {
        work.remove(planned).await;
    }
    let Work { mut outcome, emptied, .. } = work;
    match cancel.run_until_cancelled(BuildersSurvey::take(engine)).await {
        Some(Ok(after)) => outcome.left = BuildersPlan::new(&after, keep).left(&emptied),
        Some(Err(error)) => outcome.left.push(format!("the builders could not be looked at again: {}", chain(&error))),
        None => outcome.left.push(format!("the builders: {CANCELLED}")),
    }
    outcome
}

struct Work<'a, F> {
    engine: &'a Engine,
    cancel: &'a CancellationToken,
    outcome: PlaceOutcome,
    /// Builders that were started, found empty and stopped.
    emptied: Vec<String>,
    on_item: F,
}

impl<F: FnMut(&ItemOutcome)> Work<'_, F> {
    async fn prune(&mut self, container: &BuilderContainer) {
        let pruned = async {
            let connection = answer(ANSWER, connect(self.engine, container)).await?;
            empty(&connection).await
        };
        match self.cancel.run_until_cancelled(pruned).await {
            Some(Ok(emptied)) => self.tell(container, emptied),
            Some(Err(error)) => self.failed(container, chain(error.as_ref())),
            None => self.failed(container, CANCELLED.to_owned()),
        }
    }

    /// Starts a builder, prunes it, and stops it again, whatever happens in between, unless somebody builds in it by then.
    async fn wake(&mut self, container: &BuilderContainer) {
        match self.cancel.run_until_cancelled(self.engine.containers()).await {
            // Somebody started it since the survey, and will want to find it running.
            Some(Ok(now)) if now.iter().any(|now| now.id == container.id && now.running) => {
                return self.prune(container).await;
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return self.failed(container, chain(&error)),
            None => return self.failed(container, CANCELLED.to_owned()),
        }
        let is_ours = match self.engine.start_container(&container.id).await {
            Ok(started) => started,
            Err(error) => return self.failed(container, chain(&error)),
        };
        let pruned = async { empty(&awake(self.engine, container).await?).await };
        match self.cancel.run_until_cancelled(pruned).await {
            Some(Ok(emptied)) => {
                if matches!(&emptied, Some(Pruning { left, failure: None, .. }) if *left == PlannedBuilder::default()) {
                    self.emptied.extend(is_ours.then(|| container.name.clone()));
                }
                self.tell(container, emptied);
            }
            Some(Err(error)) => self.failed(container, chain(error.as_ref())),
            None => self.failed(container, CANCELLED.to_owned()),
        }
        // Whoever started it in this moment will want to find it running.
        if is_ours {
            self.stop(container).await;
        }
    }

    /// Stops a builder that we started, if it says that nobody builds in it. Who began meanwhile must not lose a build to us,
    /// and one that runs on does no harm.
    async fn stop(&mut self, container: &BuilderContainer) {
        let looked = async { Ok(activity_of(&connect(self.engine, container).await?).await?) };
        let patience = if self.cancel.is_cancelled() { HURRY } else { ANSWER };
        let why = match answer(patience, looked).await {
            Ok(BuilderState::Idle(_)) => match self.engine.stop_container(&container.id).await {
                Ok(()) => return,
                Err(error) => chain(&error),
            },
            Ok(BuilderState::Building) => "somebody builds in it".to_owned(),
            Ok(BuilderState::Stopped) => return,
            Ok(BuilderState::Silent(why)) => format!("it does not tell whether somebody builds in it ({why})"),
            Err(error) => {
                format!("it does not tell whether somebody builds in it ({})", chain(error.as_ref()))
            }
        };
        self.outcome.warnings.push(format!("builder {} was started and runs on: {why}", container.name));
    }

    async fn remove(&mut self, planned: &PlannedVolume) {
        let fate = match self.cancel.run_until_cancelled(self.removal(planned)).await {
            Some(fate) => fate,
            None => Fate::Failed { why: CANCELLED.to_owned() },
        };
        self.done(planned_volume(planned, fate));
    }

    async fn removal(&self, planned: &PlannedVolume) -> Fate {
        if planned.keep.is_some() {
            return Fate::Removed;
        }
        match self.engine.remove_volume(&planned.volume.name).await {
            Ok(()) => Fate::Removed,
            Err(error) if error.is_not_found() => Fate::Removed,
            Err(error @ EngineError::Refused { .. }) => Fate::Failed { why: message_of(&error) },
            Err(error) => Fate::Failed { why: chain(&error) },
        }
    }

    /// What a prune came to; `None` if a build had begun meanwhile.
    fn tell(&mut self, container: &BuilderContainer, emptied: Option<Pruning>) {
        let Some(Pruning { removed, left, failure }) = emptied else { return self.done(kept(container, BUILDING)) };
        if removed.count > 0 {
            self.done(item(container, removed, Fate::Removed));
        }
        if left.remove.count > 0 {
            let why = failure.unwrap_or_else(|| "the builder did not remove them".to_owned());
            self.done(item(container, left.remove, Fate::Failed { why }));
        }
        if left.in_use.count > 0 {
            self.done(item(container, left.in_use, Fate::Kept { why: "in use by a build".to_owned() }));
        }
    }

    fn failed(&mut self, container: &BuilderContainer, why: String) {
        self.done(item(container, RecordSum::default(), Fate::Failed { why }));
    }

    fn done(&mut self, item: ItemOutcome) {
        (self.on_item)(&item);
        self.outcome.items.push(item);
    }
}

/// What a builder says, if it does so in time.
async fn answer<T>(time: Duration, asked: impl Future<Output = Result<T, BuilderError>>) -> Result<T, BuilderError> {
    match tokio::time::timeout(time, asked).await {
        Ok(answered) => answered,
        Err(_) => Err(format!("it did not answer within {} s", time.as_secs()).into()),
    }
}

/// Prunes until nothing is left, unless a build is at work now.
async fn empty(connection: &Connection) -> Result<Option<Pruning>, BuilderError> {
    let BuilderState::Idle(records) = answer(ANSWER, async { Ok(activity_of(connection).await?) }).await? else {
        return Ok(None);
    };
    let cache = BuilderCache {
        survey: || usage::records(connection).map_err(BuilderError::from),
        prune: || usage::prune_all(connection).map_err(BuilderError::from),
    };
    Ok(Some(prune(PlannedBuilder::of(&records), &cache).await))
}

/// A connection to a builder that was just started, once it answers.
async fn awake(engine: &Engine, container: &BuilderContainer) -> Result<Connection, BuilderError> {
    let begun = tokio::time::Instant::now();
    loop {
        let asked = async {
            let connection = connect(engine, container).await?;
            usage::records(&connection).await?;
            Ok(connection)
        };
        match answer(WAKING.saturating_sub(begun.elapsed()), asked).await {
            Ok(connection) => return Ok(connection),
            Err(error) if begun.elapsed() >= WAKING => return Err(error),
            Err(_) => tokio::time::sleep(WAKING_PAUSE).await,
        }
    }
}

fn item(container: &BuilderContainer, sum: RecordSum, fate: Fate) -> ItemOutcome {
    ItemOutcome {
        place: Place::Builders,
        name: container.name.clone(),
        of: None,
        id: None,
        bytes: sum.bytes,
        count: sum.count,
        fate,
    }
}

fn kept(container: &BuilderContainer, why: &str) -> ItemOutcome {
    item(container, RecordSum::default(), Fate::Kept { why: why.to_owned() })
}

fn planned_volume(planned: &PlannedVolume, fate: Fate) -> ItemOutcome {
    let fate = match &planned.keep {
        Some(why) => Fate::Kept { why: why.clone() },
        None => fate,
    };
    volume_item(&planned.volume.name, None, planned.volume.bytes, fate)
}

fn volume_item(name: &str, of: Option<String>, bytes: u64, fate: Fate) -> ItemOutcome {
    ItemOutcome { place: Place::Volumes, name: name.to_owned(), of, id: None, bytes, count: 1, fate }
}

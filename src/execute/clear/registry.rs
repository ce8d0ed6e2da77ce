//! Clears tags of a registry: deletes their manifests, asks for each tag until it is gone, and surveys again.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::CANCELLED;
use crate::error::chain;
use crate::image::pattern::Pattern;
use crate::outcome::clear::{Fate, ItemOutcome, Place, PlaceOutcome};
use crate::plan::clear::registry::{PlannedTag, RegistryPlan};
use crate::registry::{Digest, Registry, RegistryError, RegistrySelector};
use crate::survey::clear::registry::RepositorySurvey;

/// A registry of several machines may know a deleted tag for a moment longer.
const LOOKS: usize = 4;
const PAUSE: Duration = Duration::from_millis(500);
/// So old a look at all the tags may be when a manifest is deleted, or as old as the look took long: somebody may give the
/// manifest another tag meanwhile, and no registry knows a deletion with a condition.
const FRESH: Duration = Duration::from_secs(2);

/// One repository whose tags are to be cleared.
#[derive(Debug)]
pub struct RegistryClear<'a> {
    /// Its registry.
    pub registry: &'a Registry,
    /// What to do.
    pub plan: &'a RegistryPlan,
    /// What was asked for.
    pub selectors: &'a [RegistrySelector],
    /// What stays.
    pub keep: &'a [Pattern],
}

/// The outcome of a dry run: the plan, with nothing done.
pub fn dry_run(plan: &RegistryPlan) -> PlaceOutcome {
    let items = plan.tags.iter().map(|planned| item(plan, planned, Fate::WouldRemove)).collect();
    let left = if plan.exists { Vec::new() } else { plan.left() };
    PlaceOutcome { items, left, ..PlaceOutcome::default() }
}

/// What all the tags name, as it was found out.
struct Look {
    at: Instant,
    took: Duration,
    plan: RegistryPlan,
}

/// What became of a manifest.
enum Deletion {
    /// It is deleted, or was when its turn came.
    Done,
    /// It stays after all. Why.
    Kept(String),
    /// It could not be deleted. Why.
    Failed(String),
}

impl RegistryClear<'_> {
    /// Deletes manifest after manifest, and surveys again. `on_item` hears of each tag as it is done. After a signal, or a
    /// refusal that would be repeated, the rest is left alone and named.
    pub async fn apply(&self, cancel: &CancellationToken, on_item: &mut impl FnMut(&ItemOutcome)) -> PlaceOutcome {
        let mut items: Vec<ItemOutcome> = Vec::new();
        let mut done = |planned, fate| {
            let item = item(self.plan, planned, fate);
            on_item(&item);
            items.push(item);
        };
        self.plan.tags.iter().filter(|planned| planned.keep.is_some()).for_each(|planned| done(planned, Fate::Removed));
        let (mut refused, mut look): (Option<String>, Option<Look>) = (None, None);
        for (digest, tags) in self.plan.removals() {
            let deletion = match &refused {
                Some(why) => Deletion::Failed(why.clone()),
                None => match cancel.run_until_cancelled(self.delete(digest, &tags, &mut look)).await {
                    Some(Ok(deletion)) => deletion,
                    Some(Err(error)) => {
                        let why = explained(&error);
                        refused = error.is_lasting().then(|| why.clone());
                        Deletion::Failed(why)
                    }
                    None => Deletion::Failed(CANCELLED.to_owned()),
                },
            };
            for planned in tags {
                let fate = match &deletion {
                    Deletion::Done => cancel.run_until_cancelled(self.gone(planned)).await,
                    Deletion::Kept(why) => Some(Fate::Kept { why: why.clone() }),
                    Deletion::Failed(why) => Some(Fate::Failed { why: why.clone() }),
                };
                done(planned, fate.unwrap_or_else(|| Fate::Failed { why: CANCELLED.to_owned() }));
            }
        }
        let all_gone = items.iter().all(|item| item.fate == Fate::Removed);
        let left = self.prove(cancel, all_gone).await;
        PlaceOutcome { items, left, ..PlaceOutcome::default() }
    }

    /// Deletes a manifest, unless its tags name others by now: then somebody has just pushed there; or it has got another tag,
    /// or become a part of an index, and would take that along.
    async fn delete(
        &self,
        digest: &Digest,
        tags: &[&PlannedTag],
        look: &mut Option<Look>,
    ) -> Result<Deletion, RegistryError> {
        let known = match look.take().filter(Look::is_fresh) {
            Some(known) => known,
            None => self.look().await?,
        };
        let now = &look.insert(known).plan;
        let mut is_named = false;
        for planned in tags {
            let named = self.registry.head(&self.plan.repository, &planned.tag).await?;
            is_named |= named.is_some_and(|named| named.digest == *digest);
        }
        if !is_named {
            return Ok(Deletion::Done);
        }
        if !now.removals().iter().any(|(going, _)| *going == digest) {
            let reason = now.tags.iter().filter(|tag| tag.digest == *digest).find_map(|tag| tag.keep.as_ref());
            let why = reason.map_or_else(|| "pushed again".to_owned(), ToString::to_string);
            return Ok(Deletion::Kept(format!("{why}, meanwhile")));
        }
        match self.registry.delete(&self.plan.repository, digest).await {
            // Somebody else was faster; it is gone, which is what was asked for.
            Err(error) if error.is_not_found() => Ok(Deletion::Done),
            deleted => deleted.map(|()| Deletion::Done),
        }
    }

    async fn look(&self) -> Result<Look, RegistryError> {
        let begun = Instant::now();
        let survey = RepositorySurvey::take(self.registry, &self.plan.repository, self.selectors).await?;
        let plan = RegistryPlan::new(&survey, self.selectors, self.keep);
        Ok(Look { at: Instant::now(), took: begun.elapsed(), plan })
    }

    /// Asks for the tag: it is gone when the registry does not know it any more.
    async fn gone(&self, planned: &PlannedTag) -> Fate {
        for look in 1..=LOOKS {
            let why = match self.registry.head(&self.plan.repository, &planned.tag).await {
                Ok(None) => return Fate::Removed,
                Ok(Some(now)) if now.digest != planned.digest => "it was pushed again meanwhile".to_owned(),
                Ok(Some(_)) if look < LOOKS => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Ok(Some(_)) => "the registry has it still".to_owned(),
                Err(error) => format!("it was deleted, and could not be looked at again: {}", chain(&error)),
            };
            return Fate::Failed { why };
        }
        Fate::Failed { why: CANCELLED.to_owned() }
    }

    /// Surveys again. What the same request would still name is left over.
    async fn prove(&self, cancel: &CancellationToken, all_gone: bool) -> Vec<String> {
        let repository = &self.plan.repository;
        let survey = RepositorySurvey::take(self.registry, repository, self.selectors);
        match cancel.run_until_cancelled(survey).await {
            // Some registries know a repository as long as it has tags. Each of these was asked for by itself.
            Some(Ok(after)) if !after.exists && self.plan.exists && all_gone => Vec::new(),
            Some(Ok(after)) => RegistryPlan::new(&after, self.selectors, self.keep).left(),
            Some(Err(error)) => vec![format!("{repository} could not be looked at again: {}", explained(&error))],
            None => vec![format!("{repository}: {CANCELLED}")],
        }
    }
}

/// What went wrong, and what to do about it.
pub fn explained(error: &RegistryError) -> String {
    format!("{}; {}", chain(error), error.help())
}

impl Look {
    fn is_fresh(&self) -> bool {
        self.at.elapsed() < FRESH.max(self.took)
    }
}

fn item(plan: &RegistryPlan, planned: &PlannedTag, fate: Fate) -> ItemOutcome {
    ItemOutcome {
        place: Place::Registry,
        name: plan.name_of(planned),
        of: None,
        id: Some(planned.digest.to_string()),
        bytes: 0,
        count: 1,
        fate: match &planned.keep {
            Some(reason) => Fate::Kept { why: reason.to_string() },
            None => fate,
        },
    }
}

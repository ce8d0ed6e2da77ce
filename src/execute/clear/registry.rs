//! Clears tags of a registry: deletes their manifests, asks for each tag until it is gone, and surveys again.

use std::time::Duration;

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
    PlaceOutcome { items, warnings: warnings(plan), ..PlaceOutcome::default() }
}

impl RegistryClear<'_> {
    /// Deletes manifest after manifest, and surveys again. After a signal, or a refusal that would be repeated, the rest is
    /// left alone and named.
    pub async fn apply(&self, cancel: &CancellationToken) -> PlaceOutcome {
        let mut items: Vec<ItemOutcome> = Vec::new();
        let kept = self.plan.tags.iter().filter(|planned| planned.keep.is_some());
        items.extend(kept.map(|planned| item(self.plan, planned, Fate::Removed)));
        let mut refused: Option<String> = None;
        for (digest, tags) in self.plan.removals() {
            let deleted = match &refused {
                Some(why) => Err(why.clone()),
                None => match cancel.run_until_cancelled(self.delete(digest, &tags)).await {
                    Some(Ok(())) => Ok(()),
                    Some(Err(error)) => {
                        let why = explained(&error);
                        refused = error.is_lasting().then(|| why.clone());
                        Err(why)
                    }
                    None => Err(CANCELLED.to_owned()),
                },
            };
            for planned in tags {
                let fate = match &deleted {
                    Ok(()) => cancel.run_until_cancelled(self.gone(planned)).await,
                    Err(why) => Some(Fate::Failed { why: why.clone() }),
                };
                let fate = fate.unwrap_or_else(|| Fate::Failed { why: CANCELLED.to_owned() });
                items.push(item(self.plan, planned, fate));
            }
        }
        let left = self.prove(cancel).await;
        PlaceOutcome { items, left, warnings: warnings(self.plan) }
    }

    /// Deletes a manifest, unless one of its tags names another by now: then somebody has just pushed there.
    async fn delete(&self, digest: &Digest, tags: &[&PlannedTag]) -> Result<(), RegistryError> {
        let mut is_named = false;
        for planned in tags {
            let now = self.registry.head(&self.plan.repository, &planned.tag).await?;
            is_named |= now.is_some_and(|now| now.digest == *digest);
        }
        if !is_named {
            return Ok(());
        }
        match self.registry.delete(&self.plan.repository, digest).await {
            // Somebody else was faster; it is gone, which is what was asked for.
            Err(error) if error.is_not_found() => Ok(()),
            deleted => deleted,
        }
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
                Ok(Some(_)) => "the registry accepted the deletion, and has it still".to_owned(),
                Err(error) => format!("it was deleted, and could not be looked at again: {}", chain(&error)),
            };
            return Fate::Failed { why };
        }
        Fate::Failed { why: CANCELLED.to_owned() }
    }

    /// Surveys again. What the same request would still name is left over.
    async fn prove(&self, cancel: &CancellationToken) -> Vec<String> {
        let repository = &self.plan.repository;
        let survey = RepositorySurvey::take(self.registry, repository, self.selectors);
        match cancel.run_until_cancelled(survey).await {
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

/// A name that the registry does not know may be misspelt.
fn warnings(plan: &RegistryPlan) -> Vec<String> {
    let unknown = (!plan.exists).then(|| format!("{} does not exist, so there is nothing to clear", plan.repository));
    unknown.into_iter().collect()
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

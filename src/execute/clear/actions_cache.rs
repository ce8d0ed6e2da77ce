//! Carries out the plan for the caches of GitHub Actions and looks at them again.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::github::{CANCELLED, LOOK_PAUSE, LOOKS, Refusal, Remover, call, reason};
use crate::github::{Github, GithubError, caches};
use crate::outcome::clear::{Fate, ItemOutcome, Place, PlaceOutcome};
use crate::plan::clear::actions_cache::{
    ActionsCache, ActionsCachePlan, CacheReference, CacheSelector, PlannedActionsCache, plan,
};

const PLACE: &str = "Actions caches";
/// So many caches GitHub lists on one page; and how often a longer list is read until it is twice the same.
const PAGE: usize = 100;
const ROUNDS: usize = 5;

/// Caches that are to be cleared.
#[derive(Debug)]
pub struct ActionsCacheClear<'a> {
    /// The client; it knows the repository.
    pub github: &'a Github,
    /// What is to go.
    pub selectors: &'a [CacheSelector],
    /// What stays all the same.
    pub keep: &'a [CacheSelector],
    /// `ACTIONS_CACHE_MODE`: what this run may do with caches.
    pub mode: Option<&'a str>,
    /// The time that ages are counted from.
    pub now: DateTime<Utc>,
    /// What a signal sets.
    pub cancel: &'a CancellationToken,
}

/// The outcome of a dry run: the plan, with nothing done.
pub fn dry_run(plan: &ActionsCachePlan) -> PlaceOutcome {
    let items = plan.caches.iter().map(|planned| item(planned, Fate::WouldRemove)).collect();
    PlaceOutcome { items, ..PlaceOutcome::default() }
}

impl ActionsCacheClear<'_> {
    /// Lists the caches and decides.
    ///
    /// # Errors
    /// The outcome of a repository whose caches could not be listed.
    pub async fn prepare(&self) -> Result<ActionsCachePlan, PlaceOutcome> {
        match self.cancel.run_until_cancelled(self.look()).await {
            Some(Ok(caches)) => Ok(plan(self.selectors, self.keep, &caches, self.now)),
            Some(Err(Unseen(why, help))) => {
                let mut outcome = PlaceOutcome::failed(PLACE, &why);
                outcome.warnings.extend(Some(help).filter(|help| !help.is_empty()));
                Err(outcome)
            }
            None => Err(PlaceOutcome::failed(PLACE, CANCELLED)),
        }
    }

    /// Removes what the plan names, and lists again. `on_item` hears of each as it is done, and once more of one of which the
    /// list says something else.
    pub async fn apply(&self, plan: &ActionsCachePlan, on_item: &mut impl FnMut(&ItemOutcome)) -> PlaceOutcome {
        if plan.going().next().is_none() {
            // What was listed is what there is.
            let outcome = dry_run(plan);
            outcome.items.iter().for_each(on_item);
            return outcome;
        }
        let mut outcome = PlaceOutcome::default();
        let mut remover = Remover::new(self.cancel);
        let mut help = BTreeSet::new();
        for planned in &plan.caches {
            let fate = match planned.kept_by {
                Some(_) => Fate::Removed,
                None => self.remove(&mut remover, planned.cache.id, &mut help).await,
            };
            let item = item(planned, fate);
            on_item(&item);
            outcome.items.push(item);
        }
        outcome.warnings.extend(help);
        outcome.warnings.extend(self.mode.and_then(read_only));
        if self.cancel.run_until_cancelled(self.prove(plan, &mut outcome, on_item)).await.is_none() {
            outcome.left.push(format!("{PLACE}: {CANCELLED}"));
        }
        outcome
    }

    async fn remove(&self, remover: &mut Remover<'_>, id: u64, help: &mut BTreeSet<String>) -> Fate {
        match remover.send(async || caches::delete(&call(self.github), id).await).await {
            // Gone already is gone; the second list says whether it is.
            Ok(()) | Err(Refusal::Answer(GithubError::NotFound { .. })) => Fate::Removed,
            Err(Refusal::NotDone(why)) => Fate::Failed { why },
            Err(Refusal::Answer(error)) => {
                help.extend(Some(error.help()).filter(|_| error.needs().is_some()));
                Fate::Failed { why: reason(&error) }
            }
        }
    }

    /// The list is what counts: of what is in it nothing is gone, and what is not in it is gone whatever the answer was.
    async fn prove(
        &self,
        before: &ActionsCachePlan,
        outcome: &mut PlaceOutcome,
        on_item: &mut impl FnMut(&ItemOutcome),
    ) {
        for look in 1..=LOOKS {
            let caches = match self.look_well().await {
                Ok(caches) => caches,
                Err(Unseen(why, _)) => {
                    return outcome.left.push(format!("{PLACE}: they could not be listed again, {why}"));
                }
            };
            let listed: BTreeSet<u64> = caches.iter().map(|cache| cache.id).collect();
            let fates = || before.caches.iter().zip(&outcome.items);
            let lags = fates().any(|(planned, item)| item.fate == Fate::Removed && listed.contains(&planned.cache.id));
            if lags && look < LOOKS {
                tokio::time::sleep(LOOK_PAUSE).await;
                continue;
            }
            for (planned, item) in before.caches.iter().zip(&mut outcome.items) {
                let is_listed = listed.contains(&planned.cache.id);
                item.fate = match &item.fate {
                    Fate::Removed if is_listed => Fate::Failed { why: "GitHub still lists it".to_owned() },
                    Fate::Failed { .. } if !is_listed => Fate::Removed,
                    Fate::Removed | Fate::Failed { .. } | Fate::Kept { .. } | Fate::WouldRemove => continue,
                };
                on_item(item);
            }
            let known: BTreeSet<u64> = before.caches.iter().map(|planned| planned.cache.id).collect();
            let after = plan(self.selectors, self.keep, &caches, self.now);
            outcome.left.extend(after.going().map(|cache| {
                let what = if known.contains(&cache.id) { "is still there" } else { "was saved meanwhile" };
                format!("Actions cache {cache} {what}")
            }));
            return;
        }
    }

    /// [`Self::look`], until it is twice the same where the list has several pages: while caches go, one moves from a page to
    /// another and may be missed, and what is missed would count as gone.
    async fn look_well(&self) -> Result<Vec<ActionsCache>, Unseen> {
        let mut caches = self.look().await?;
        for _ in 0..ROUNDS {
            let before = caches;
            if before.len() <= PAGE {
                return Ok(before);
            }
            caches = self.look().await?;
            if caches == before {
                return Ok(caches);
            }
        }
        Err(Unseen("they changed again and again while they were listed".to_owned(), String::new()))
    }

    /// Every cache that an entry could name.
    async fn look(&self) -> Result<Vec<ActionsCache>, Unseen> {
        let mut all = BTreeMap::new();
        for selector in self.selectors {
            let reference = match selector.reference() {
                CacheReference::All => None,
                CacheReference::One(reference) => Some(reference.as_str()),
            };
            let listed = caches::list(&call(self.github), selector.key_prefix(), reference).await?;
            if !listed.is_whole(|cache| cache.id) {
                return Err(Unseen("GitHub did not list all of them".to_owned(), String::new()));
            }
            all.extend(listed.entries.into_iter().map(|cache| (cache.id, cache)));
        }
        let understood = all.into_values().map(|cache| ActionsCache {
            id: cache.id,
            key: cache.key,
            reference: cache.reference,
            bytes: cache.size_in_bytes,
            created: cache.created_at,
        });
        Ok(understood.collect())
    }
}

/// Why the caches could not be listed, and what to do about it.
struct Unseen(String, String);

impl From<GithubError> for Unseen {
    fn from(error: GithubError) -> Self {
        Self(reason(&error), error.help())
    }
}

/// Runs that strangers can start may read caches and not write them (GitHub changelog, 2026-06-26; `cache-mode`). To remove
/// them takes another permission, so such a run can leave a repository without.
fn read_only(mode: &str) -> Option<String> {
    (!matches!(mode, "" | "write" | "write-only")).then(|| {
        format!(
            "this run cannot save Actions caches (`ACTIONS_CACHE_MODE` is `{mode}`): what it cleared comes back with a \
             run that may, as one of a push"
        )
    })
}

fn item(planned: &PlannedActionsCache, fate: Fate) -> ItemOutcome {
    let fate = match &planned.kept_by {
        Some(entry) => Fate::Kept { why: format!("keep: {entry}") },
        None => fate,
    };
    ItemOutcome {
        place: Place::ActionsCache,
        name: planned.cache.key.clone(),
        of: Some(planned.cache.reference.clone()),
        id: None,
        bytes: planned.cache.bytes,
        count: 1,
        fate,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_run_that_cannot_save_caches_is_told() {
        for (mode, expected) in [("read", true), ("none", true), ("write", false), ("write-only", false), ("", false)] {
            assert_eq!(super::read_only(mode).is_some(), expected, "{mode}");
        }
    }
}

//! Carries out the plan for a container package at GitHub and looks at it again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::github::{CANCELLED, LOOK_PAUSE, LOOKS, Refusal, Remover, call, reason};
use crate::error::chain;
use crate::github::packages::{self, ContainerPackage};
use crate::github::{Github, GithubError};
use crate::outcome::clear::{Fate, ItemOutcome, Place, PlaceOutcome};
use crate::plan::clear::packages::{
    Manifest, Package, PackagePlan, PackageRequest, PackageSurvey, PlannedVersion, Version, VersionAction, VersionKept,
    changed, plan, stays_after_all,
};
use crate::survey::packages::{PackageSurveyError, take};

/// What a repository needs to remove versions. GitHub answers 404 where it has no role on the package, and 403 or 404 where
/// its role is another than Admin (actions/delete-package-versions, README).
const ADMIN: &str = "to remove versions of a package, a job needs `permissions: packages: write`, and its repository the \
     role Admin on the package: Package settings, Manage Actions access";
/// GitHub's documentation, "Deleting and restoring a package".
const DOWNLOADS: &str =
    "GitHub does not remove public versions that were downloaded more than 5,000 times; its support can";

/// So old what is known of a package may be when one of its versions is removed: somebody may push meanwhile.
const KNOWN_FOR: Duration = Duration::from_secs(20);

/// A package that is to be cleared.
#[derive(Debug)]
pub struct PackageClear<'a, M> {
    /// The client.
    pub github: &'a Github,
    /// The package, as the entries name it.
    pub package: &'a Package,
    /// The host of its registry.
    pub registry: &'a str,
    /// What to decide by.
    pub request: PackageRequest<'a>,
    /// Reads a manifest of the package by its digest.
    pub manifest: M,
    /// What a signal sets.
    pub cancel: &'a CancellationToken,
}

/// A package that was looked at.
#[derive(Debug)]
pub struct Surveyed {
    found: ContainerPackage,
    survey: PackageSurvey,
    /// What is to be done.
    pub plan: PackagePlan,
}

/// What became of the versions of a plan since it was made.
struct Watch {
    /// When it was found out.
    at: Instant,
    /// Whether it was found out for what has no tag of its own.
    parts: bool,
    /// What stays after all, or why nobody knows.
    stays: Result<BTreeMap<u64, VersionKept>, String>,
}

impl<M: AsyncFn(&str) -> Result<Manifest, String>> PackageClear<'_, M> {
    /// Looks at the package and decides.
    ///
    /// # Errors
    /// The outcome of a package that could not be looked at.
    pub async fn prepare(&self) -> Result<Surveyed, PlaceOutcome> {
        let look = async {
            let found = packages::find(&call(self.github), &self.package.owner, &self.package.name).await?;
            let survey = self.look(&found, |version| self.request.may_name(version), BTreeMap::new()).await?;
            Ok::<_, PackageSurveyError>(Surveyed { found, plan: plan(&self.request, &survey), survey })
        };
        match self.cancel.run_until_cancelled(look).await {
            Some(Ok(surveyed)) => Ok(surveyed),
            Some(Err(error)) => Err(self.unseen(&error)),
            None => Err(PlaceOutcome::failed(&self.place(), CANCELLED)),
        }
    }

    /// The outcome of a dry run: the plan, with nothing done.
    pub fn dry_run(&self, surveyed: &Surveyed) -> PlaceOutcome {
        PlaceOutcome { items: self.items(&surveyed.plan), left: Vec::new(), warnings: self.warnings(&surveyed.plan) }
    }

    /// Removes what the plan names, an image before what it is made of, and looks again. `on_item` hears of each as it is
    /// done, and once more of one that turns out to be there still.
    pub async fn apply(&self, surveyed: Surveyed, on_item: &mut impl FnMut(&ItemOutcome)) -> PlaceOutcome {
        let mut outcome = PlaceOutcome { warnings: self.warnings(&surveyed.plan), ..PlaceOutcome::default() };
        if surveyed.plan.going().next().is_none() {
            // What was found is what there is.
            outcome.items = self.items(&surveyed.plan);
            outcome.items.iter().for_each(on_item);
            outcome.left = self.left(&surveyed.plan, &BTreeSet::new());
            return outcome;
        }
        let mut remover = Remover::new(self.cancel);
        let mut watch = None;
        let (mut gone, mut help) = (BTreeSet::new(), BTreeSet::new());
        for planned in &surveyed.plan.versions {
            let fate = match &planned.action {
                VersionAction::Keep(reason) => Fate::Kept { why: reason.to_string() },
                VersionAction::Remove { after, .. } if !after.is_subset(&gone) => {
                    Fate::Failed { why: "what it belongs to is not removed".to_owned() }
                }
                VersionAction::Remove { .. } => match self.changed(&mut watch, &surveyed, planned).await {
                    Some(fate) => fate,
                    None => self.remove(&mut remover, &surveyed.found, planned, &mut help).await,
                },
            };
            if fate == Fate::Removed {
                gone.insert(planned.version.id);
            }
            let item = self.item(planned, fate);
            on_item(&item);
            outcome.items.push(item);
        }
        outcome.warnings.extend(help.into_iter().map(str::to_owned));
        match self.cancel.run_until_cancelled(self.prove(surveyed, &gone, &mut outcome, on_item)).await {
            Some(()) => {}
            None => outcome.left.push(format!("{}: {CANCELLED}", self.place())),
        }
        outcome
    }

    /// What to tell instead of removing, if somebody pushed since the survey. Only a survey tells whether an index has taken a
    /// version up, with a tag or without: there is one right before the first removal, one more before the first of what has no
    /// tag of its own, which is what indices are made of, and others if it takes long.
    async fn changed(&self, watch: &mut Option<Watch>, surveyed: &Surveyed, planned: &PlannedVersion) -> Option<Fate> {
        let is_part =
            !planned.version.is_tagged() || !matches!(planned.action, VersionAction::Remove { with: None, .. });
        let is_known = |known: &Watch| known.at.elapsed() < KNOWN_FOR && (known.parts || !is_part);
        let known = match watch.take().filter(|known| known.stays.is_err() || is_known(known)) {
            Some(known) => known,
            None => self.watch(surveyed, is_part).await,
        };
        match &watch.insert(known).stays {
            Ok(stays) => {
                stays.get(&planned.version.id).map(|reason| Fate::Kept { why: format!("{reason}, meanwhile") })
            }
            Err(why) => Some(Fate::Failed { why: why.clone() }),
        }
    }

    async fn watch(&self, surveyed: &Surveyed, parts: bool) -> Watch {
        let at = Instant::now();
        let look = self.look(&surveyed.found, |_| true, surveyed.survey.manifests.clone());
        let stays = match self.cancel.run_until_cancelled(look).await {
            Some(Ok(now)) => Ok(stays_after_all(&surveyed.plan, &now)),
            Some(Err(error)) => Err(format!("the package could not be looked at again, {}", chain(&error))),
            None => Err(CANCELLED.to_owned()),
        };
        Watch { at, parts, stays }
    }

    /// Removes a version, after one more look at it.
    async fn remove(
        &self,
        remover: &mut Remover<'_>,
        found: &ContainerPackage,
        planned: &PlannedVersion,
        help: &mut BTreeSet<&'static str>,
    ) -> Fate {
        let id = planned.version.id;
        let now = async || packages::version(&call(self.github), found, id).await;
        match remover.ask(now).await {
            Ok(None) => return Fate::Removed,
            Ok(Some(now)) => {
                if let Some(reason) = changed(&planned.version, &Version::from(now)) {
                    return Fate::Kept { why: format!("{reason}, meanwhile") };
                }
            }
            Err(Refusal::NotDone(why)) => return Fate::Failed { why },
            Err(Refusal::Answer(error)) => return Fate::Failed { why: reason(&error) },
        }
        let error = match remover.send(async || packages::delete(&call(self.github), found, id).await).await {
            Ok(()) => return Fate::Removed,
            Err(Refusal::NotDone(why)) => return Fate::Failed { why },
            Err(Refusal::Answer(error)) => error,
        };
        let is_missing = matches!(error, GithubError::NotFound { .. });
        if (is_missing || error.is_ambiguous())
            && let Some(Ok(None)) = self.cancel.run_until_cancelled(now()).await
        {
            return Fate::Removed;
        }
        if is_missing || matches!(error, GithubError::Forbidden { .. }) {
            help.insert(ADMIN);
        }
        if matches!(&error, GithubError::Rejected { message, .. } if message.contains("downloads")) {
            help.insert(DOWNLOADS);
        }
        Fate::Failed { why: reason(&error) }
    }

    /// Looks again: what is left, and whether what was removed is gone.
    async fn prove(
        &self,
        before: Surveyed,
        gone: &BTreeSet<u64>,
        outcome: &mut PlaceOutcome,
        on_item: &mut impl FnMut(&ItemOutcome),
    ) {
        let known_ids: BTreeSet<u64> = before.survey.versions.iter().map(|version| version.id).collect();
        let mut known = before.survey.manifests.clone();
        for look in 1..=LOOKS {
            let names = |version: &Version| self.request.may_name(version);
            let after = match self.look(&before.found, names, std::mem::take(&mut known)).await {
                Ok(after) => after,
                // GitHub removes a package with its last version.
                Err(PackageSurveyError::Github(GithubError::NotFound { .. })) if known_ids.is_subset(gone) => return,
                Err(error) => {
                    let why = format!("it could not be looked at again, {}", chain(&error));
                    return outcome.left.push(format!("{}: {why}", self.place()));
                }
            };
            let still: BTreeSet<&str> = after
                .versions
                .iter()
                .filter(|version| gone.contains(&version.id))
                .map(|version| version.digest.as_str())
                .collect();
            // A list may lag behind.
            if !still.is_empty() && look < LOOKS {
                known = after.manifests;
                tokio::time::sleep(LOOK_PAUSE).await;
                continue;
            }
            for item in outcome.items.iter_mut().filter(|item| item.fate == Fate::Removed) {
                if item.id.as_deref().is_some_and(|digest| still.contains(digest)) {
                    item.fate = Fate::Failed { why: "GitHub still lists it".to_owned() };
                    on_item(item);
                }
            }
            let again = plan(&self.request, &after);
            outcome.left.extend(self.left(&again, &known_ids));
            let orphans = before.plan.orphans(&again, &after);
            outcome.left.extend(orphans.into_iter().map(|orphan| format!("package version {orphan}")));
            return;
        }
    }

    fn left(&self, after: &PackagePlan, known: &BTreeSet<u64>) -> Vec<String> {
        let is_new = |planned: &&PlannedVersion| !known.contains(&planned.version.id);
        let new = after
            .going()
            .filter(is_new)
            .map(|planned| format!("package version {} was pushed meanwhile", self.package.name_of(&planned.version)));
        let mut old = after.clone();
        old.versions.retain(|planned| {
            known.contains(&planned.version.id) || !matches!(planned.action, VersionAction::Remove { .. })
        });
        old.left().into_iter().map(|left| format!("package version {left}")).chain(new).collect()
    }

    async fn look(
        &self,
        found: &ContainerPackage,
        needs: impl Fn(&Version) -> bool,
        known: BTreeMap<String, Result<Manifest, String>>,
    ) -> Result<PackageSurvey, PackageSurveyError> {
        let place = (self.package, self.registry);
        take(|| call(self.github), found, place, needs, known, &self.manifest).await
    }

    fn unseen(&self, error: &PackageSurveyError) -> PlaceOutcome {
        let mut outcome = match error {
            PackageSurveyError::Github(error) => PlaceOutcome::failed(&self.place(), &reason(error)),
            PackageSurveyError::Incomplete | PackageSurveyError::Unsettled => {
                PlaceOutcome::failed(&self.place(), &error.to_string())
            }
        };
        match error {
            PackageSurveyError::Github(GithubError::NotFound { .. } | GithubError::Forbidden { .. }) => {
                outcome.warnings.push(ADMIN.to_owned());
            }
            PackageSurveyError::Github(error) => {
                outcome.warnings.extend(Some(error.help()).filter(|help| !help.is_empty()));
            }
            PackageSurveyError::Incomplete | PackageSurveyError::Unsettled => {}
        }
        outcome
    }

    /// What holds for the whole package.
    fn warnings(&self, plan: &PackagePlan) -> Vec<String> {
        let unread = plan.versions.iter().find_map(|planned| match &planned.action {
            VersionAction::Keep(VersionKept::Unread { what, why }) => Some(format!(
                "nothing of the package {} is removed: the manifest of {what} could not be read ({why}), and what stays \
                 could be made of what goes",
                self.package
            )),
            _ => None,
        });
        unread.into_iter().collect()
    }

    fn place(&self) -> String {
        format!("package {}", self.package)
    }

    /// The items before anything is done.
    fn items(&self, plan: &PackagePlan) -> Vec<ItemOutcome> {
        let fate = |planned: &PlannedVersion| match &planned.action {
            VersionAction::Keep(reason) => Fate::Kept { why: reason.to_string() },
            VersionAction::Remove { .. } => Fate::WouldRemove,
        };
        plan.versions.iter().map(|planned| self.item(planned, fate(planned))).collect()
    }

    fn item(&self, planned: &PlannedVersion, fate: Fate) -> ItemOutcome {
        let more: Vec<&str> = planned.version.tags.iter().skip(1).map(String::as_str).collect();
        let of = match &planned.action {
            VersionAction::Remove { with: Some(whole), .. } => Some(format!("part of {whole}")),
            VersionAction::Remove { with: None, .. } if !more.is_empty() => Some(format!("also {}", more.join(", "))),
            VersionAction::Remove { .. } | VersionAction::Keep(_) => None,
        };
        ItemOutcome {
            place: Place::Packages,
            name: self.package.name_of(&planned.version),
            of,
            id: Some(planned.version.digest.clone()),
            bytes: planned.bytes,
            count: 1,
            fate,
        }
    }
}

//! What earlier builds left and nobody needs any more: images of ours without a name, stages that are not kept any more,
//! and ledgers of pull requests and branches that nobody builds any more.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;

use crate::cache::ledger::{
    Access, CachedImage, ImageId, Ledger, LedgerKey, LedgerLabel, Refusal, STAGE_REPOSITORY, Scope, StageLabel,
};
use crate::engine::{Container, Engine, ImageDetails, ImageStore, ListedLedger, NAMING, Parents};
use crate::error::chain;

/// A pull request's cache is given up if no build of it has written it for so long; one that finds nothing to write does so all
/// the same after half of it. It is lost to nobody: pull requests read the base branch's as well.
pub(super) const GIVEN_UP: TimeDelta = TimeDelta::days(14);
/// The same of a branch or tag, whose pushes read the default branch's as well.
const BRANCH_GIVEN_UP: TimeDelta = TimeDelta::days(60);

/// Something that may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leftover {
    /// The image.
    id: ImageId,
    /// All names that it may have; with another one it stays.
    names: BTreeSet<String>,
}

/// What became of the images of earlier builds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Superseded {
    /// Those that are still there.
    pub(super) present: Vec<ImageId>,
    /// Those of them that may go.
    pub(super) removable: Vec<Leftover>,
}

/// Finds out what is left over.
pub(super) struct Leftovers {
    engine: Engine,
    /// Every ledger of the engine before this run wrote one, with what its label says; nothing if one of them is of a newer
    /// version: then nobody knows what is needed, and nothing is removed.
    ledgers: Option<Vec<(ListedLedger, LedgerLabel)>>,
    /// Stage images that had no name then. A run that is cancelled after it kept a stage has written no ledger that knows it, and the
    /// next one takes its name.
    nameless: Vec<ImageId>,
}

impl Leftovers {
    pub(super) async fn look(engine: &Engine) -> Self {
        let (ledgers, nameless) = tokio::join!(engine.ledgers(), engine.nameless_with(StageLabel::NAME));
        let nameless = nameless.unwrap_or_default().into_iter().filter_map(|id| id.parse().ok()).collect();
        Self { engine: engine.clone(), ledgers: ledgers.ok().and_then(readable), nameless }
    }

    /// Removes stage images that had no name when this was looked for, that have none a moment later, and that no ledger knows.
    pub(super) async fn remove_nameless(&self) {
        let nobodys = |id: &&ImageId| {
            self.ledgers.as_ref().is_some_and(|all| !all.iter().any(|(_, label)| label.made(id.as_str())))
        };
        let unknown: Vec<&ImageId> = self.nameless.iter().filter(nobodys).collect();
        if unknown.is_empty() {
            return;
        }
        tokio::time::sleep(NAMING).await;
        for id in unknown {
            self.remove(&Leftover { id: id.clone(), names: BTreeSet::new() }).await;
        }
    }

    /// What earlier builds of `own` made, by the ledgers of `before`, and `images` does not name any more.
    pub(super) async fn superseded(
        &self,
        before: impl IntoIterator<Item = &Ledger>,
        images: &[CachedImage],
        own: &LedgerKey,
    ) -> Superseded {
        let looked_up = candidates(before, images).into_iter().map(|id| async move {
            let details = self.engine.inspect_image(id.as_str()).await.ok().flatten();
            details.map(|details| (id, details))
        });
        let present: Vec<(ImageId, ImageDetails)> = join_all(looked_up).await.into_iter().flatten().collect();
        let removable = present.iter().filter_map(|(id, details)| {
            let is_free = self.is_needed_by_others(id, |key| key != own) == Some(false);
            Leftover::of(id, details, images).filter(|_| is_free)
        });
        Superseded { removable: removable.collect(), present: present.into_iter().map(|(id, _)| id).collect() }
    }

    /// Removes the ledgers of pull requests and branches of the same GitHub repository that were given up before `now`, and
    /// what only they name.
    pub(super) async fn give_up(&self, access: &Access, now: DateTime<Utc>) {
        for (listed, label) in self.ledgers.iter().flatten().filter(|ledger| is_given_up(ledger, access, now)) {
            let Ok(id) = listed.id.parse() else { continue };
            self.remove(&Leftover { id, names: BTreeSet::from([listed.name.clone()]) }).await;
            for id in label.images.iter().chain(&label.superseded) {
                if self.is_needed_by_others(id, |key| *key != label.key) != Some(false) {
                    continue;
                }
                let Some(details) = self.engine.inspect_image(id.as_str()).await.ok().flatten() else { continue };
                if let Some(leftover) = Leftover::of(id, &details, &[]) {
                    self.remove(&leftover).await;
                }
            }
        }
    }

    /// Whether a ledger that `counts` names an image; unknown if there is one that cannot be read.
    fn is_needed_by_others(&self, image: &ImageId, counts: impl Fn(&LedgerKey) -> bool) -> Option<bool> {
        let ledgers = self.ledgers.as_ref()?;
        Some(ledgers.iter().any(|(_, label)| counts(&label.key) && label.knows(image.as_str())))
    }

    /// Whether a container was made of it, or may have been.
    async fn is_in_use(&self, image: &ImageId) -> bool {
        let is_of_it = |container: &Container| container.image_id == image.as_str();
        self.engine.containers().await.map_or(true, |containers| containers.iter().any(is_of_it))
    }

    /// Removes it, if nobody has taken it up meanwhile: by its id an engine removes an image also if it has got a name since.
    /// An engine knows no removal with a condition, so this is as late as one can look. It refuses while a container uses the
    /// image: then it goes after a later build.
    pub(super) async fn remove(&self, leftover: &Leftover) {
        let image = &leftover.id;
        match self.engine.inspect_image(image.as_str()).await {
            Ok(Some(details)) if leftover.is_free(&details) => {
                let names = names(image, details, &self.engine.info().store);
                // The engine looks for containers when the last name goes, and the others would be lost for nothing.
                if names.len() > 1 && self.is_in_use(image).await {
                    return;
                }
                for name in names {
                    match self.engine.remove_image(&name, Parents::Keep).await {
                        Ok(_) => tracing::debug!(%image, name, "image cache: removed what is not needed any more"),
                        Err(error) => {
                            tracing::debug!(%image, name, error = chain(&error), "image cache: not removed");
                        }
                    }
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%image, error = chain(&error), "image cache: not looked at, and so not removed");
            }
        }
    }
}

/// By what an image is removed.
///
/// A graph driver keeps a digest for each repository that it was pushed to, and refuses to remove by its id what has several of them
/// (moby, `daemon/images/image_delete.go`, `isSingleReference`). With the last of them goes the image.
fn names(image: &ImageId, details: ImageDetails, store: &ImageStore) -> Vec<String> {
    match (details.tags.is_empty(), details.digests.len(), store) {
        (false, ..) => details.tags,
        (true, 2.., ImageStore::GraphDriver(_)) => details.digests,
        (true, ..) => vec![image.to_string()],
    }
}

impl Leftover {
    /// An image that has no name, or only names of stages that none of these images has.
    fn of(id: &ImageId, details: &ImageDetails, kept: &[CachedImage]) -> Option<Self> {
        let is_ours = |tag: &String| {
            let is_stage = tag.strip_prefix(STAGE_REPOSITORY).is_some_and(|rest| rest.starts_with(':'));
            is_stage && !kept.iter().any(|image| image.reference == *tag)
        };
        let all_ours = details.tags.iter().all(is_ours);
        all_ours.then(|| Self { id: id.clone(), names: details.tags.iter().cloned().collect() })
    }

    /// Whether it has no name but those that it may have.
    fn is_free(&self, details: &ImageDetails) -> bool {
        details.tags.iter().all(|tag| self.names.contains(tag))
    }
}

/// What the labels say; nothing if one of them is of a newer version, whose names are unknown. One that cannot be read at all
/// needs nothing, because no build reads it.
fn readable(listed: Vec<ListedLedger>) -> Option<Vec<(ListedLedger, LedgerLabel)>> {
    let mut readable = Vec::with_capacity(listed.len());
    for ledger in listed {
        match LedgerLabel::read(&ledger.name, ledger.label.as_deref().unwrap_or_default()) {
            Ok(label) => readable.push((ledger, label)),
            Err(Refusal::Newer { .. }) => return None,
            Err(_) => {}
        }
    }
    Some(readable)
}

/// The images that the ledgers before name and the new one does not.
fn candidates<'l>(before: impl IntoIterator<Item = &'l Ledger>, images: &[CachedImage]) -> BTreeSet<ImageId> {
    let named =
        before.into_iter().flat_map(|ledger| ledger.images.iter().map(|image| &image.id).chain(&ledger.superseded));
    named.filter(|id| !images.iter().any(|image| image.id == **id)).cloned().collect()
}

fn is_given_up((listed, label): &&(ListedLedger, LedgerLabel), access: &Access, now: DateTime<Utc>) -> bool {
    let (own, theirs) = (&access.own, &label.key.scope);
    let patience = match (own, theirs) {
        (_, Scope::Untrusted { .. }) => GIVEN_UP,
        // A run that does not know the default branch cannot tell that this is another one, and one that is not trusted takes
        // nothing away from those that are.
        (Scope::Trusted { .. }, Scope::Trusted { .. })
            if access.default_branch.as_ref().is_some_and(|default| default != theirs) =>
        {
            BRANCH_GIVEN_UP
        }
        (_, Scope::Trusted { .. } | Scope::Local) => return false,
    };
    let of_same_repository = own.repository().is_some() && theirs.repository() == own.repository();
    let is_old = listed.created.is_some_and(|written| now.signed_duration_since(written) > patience);
    theirs != own && of_same_repository && is_old
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chrono::{DateTime, TimeDelta, Utc};

    use super::{BRANCH_GIVEN_UP, GIVEN_UP, Leftover, candidates, is_given_up, names, readable};
    use crate::cache::ledger::{
        Access, Build, BuildKind, BuildRecord, CachedImage, Identity, ImageId, Ledger, LedgerKey, LedgerLabel, Role,
        Salt, Scope, Subject,
    };
    use crate::cache::records::Records;
    use crate::engine::{ImageDetails, ImageStore, ListedLedger};

    fn id(number: u32) -> ImageId {
        format!("sha256:{number:064x}").parse().unwrap()
    }

    fn key(scope: Scope) -> LedgerKey {
        LedgerKey { scope, identity: Identity { subject: Subject::Key("k".to_owned()), target: None } }
    }

    fn scope(pull_request: Option<u32>) -> Scope {
        let repository = "o/r".to_owned();
        match pull_request {
            Some(number) => Scope::Untrusted { repository: Some(repository), reference: format!("pull/{number}") },
            None => Scope::Trusted { repository, reference: "refs/heads/main".to_owned() },
        }
    }

    fn image(role: Role, number: u32) -> CachedImage {
        let reference = match &role {
            Role::Final => "app:1".to_owned(),
            Role::Stage { name } => key(scope(None)).stage_name(name),
        };
        CachedImage { role, reference, id: id(number), records: Records::default() }
    }

    fn stage(name: &str, number: u32) -> CachedImage {
        image(Role::Stage { name: name.to_owned() }, number)
    }

    fn ledger(images: Vec<CachedImage>, superseded: Vec<ImageId>) -> Ledger {
        let record = BuildRecord {
            run: None,
            at: Utc::now(),
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
            images,
            earlier: Vec::new(),
            superseded,
            steps: Vec::new(),
            evidence: serde_json::Value::Null,
            salt: Salt::keep(None),
            record,
        };
        Ledger::successor(None, key(scope(None)), build)
    }

    fn tagged(tags: &[&str]) -> ImageDetails {
        ImageDetails {
            id: id(1).to_string(),
            layers: Vec::new(),
            labels: std::collections::BTreeMap::new(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            digests: Vec::new(),
            size: 1,
            platform: None,
        }
    }

    #[test]
    fn what_the_new_ledger_does_not_name_may_go_if_it_has_no_name_but_ours() {
        let before = ledger(vec![image(Role::Final, 1), stage("build", 2), stage("renamed", 3)], vec![id(4), id(5)]);
        let now = [image(Role::Final, 10), stage("build", 20), image(Role::Final, 5)];
        assert_eq!(candidates([&before], &now), BTreeSet::from([id(1), id(2), id(3), id(4)]));

        let [build, renamed] = ["build", "renamed"].map(|name| key(scope(None)).stage_name(name));
        let leftover = |tags: &[&str]| Leftover::of(&id(3), &tagged(tags), &now);
        assert_eq!(leftover(&[]).unwrap().names, BTreeSet::new());
        assert_eq!(leftover(&[&build]), None, "the name of a stage that is kept");
        assert_eq!(leftover(&[&renamed, "app:kept"]), None, "somebody gave it a name");
        let found = leftover(&[&renamed]).unwrap();
        assert!(found.is_free(&tagged(&[&renamed])) && found.is_free(&tagged(&[])));
        assert!(!found.is_free(&tagged(&[&renamed, "app:kept"])), "somebody gave it a name meanwhile");
    }

    #[test]
    fn what_was_pushed_to_several_repositories_is_removed_by_each() {
        let graph_driver = ImageStore::GraphDriver("overlay2".to_owned());
        let by = |tags: &[&str], digests: &[&str], store: &ImageStore| {
            let digests = digests.iter().map(|digest| (*digest).to_owned()).collect();
            names(&id(1), ImageDetails { digests, ..tagged(tags) }, store)
        };
        let own = [id(1).to_string()];
        assert_eq!(by(&["a:1"], &["a@sha256:1", "b@sha256:1"], &graph_driver), ["a:1"]);
        assert_eq!(by(&[], &["a@sha256:1", "b@sha256:1"], &graph_driver), ["a@sha256:1", "b@sha256:1"]);
        assert_eq!(by(&[], &["a@sha256:1"], &graph_driver), own);
        assert_eq!(by(&[], &[], &graph_driver), own);
        assert_eq!(by(&[], &["a@sha256:1", "b@sha256:1"], &ImageStore::Containerd), own);
    }

    #[test]
    fn a_pull_requests_ledger_is_given_up_and_later_a_branchs_but_not_the_default_ones() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let listed = |scope: Scope, age: TimeDelta| {
            let key = key(scope);
            let mut label = serde_json::to_value(&key).unwrap();
            label["schema"] = 1.into();
            label["images"] = serde_json::json!([]);
            let label = label.to_string();
            let listed = ListedLedger {
                name: key.name(),
                id: id(1).to_string(),
                label: Some(label.clone()),
                created: now.checked_sub_signed(age),
            };
            let label = LedgerLabel::read(&listed.name, &label).unwrap();
            (listed, label)
        };
        let old = GIVEN_UP + TimeDelta::seconds(1);
        let known = |own: Scope| Access { reads: vec![own.clone()], own, default_branch: Some(scope(None)) };
        let given_up = |theirs: Scope, age, own: Scope| is_given_up(&&listed(theirs, age), &known(own), now);
        assert!(given_up(scope(Some(7)), old, scope(None)));
        assert!(given_up(scope(Some(7)), old, scope(Some(8))));
        assert!(!given_up(scope(Some(7)), GIVEN_UP, scope(None)));
        assert!(!given_up(scope(Some(7)), old, scope(Some(7))), "this run's own");
        assert!(!given_up(scope(None), old, scope(None)));
        assert!(!given_up(scope(Some(7)), old, Scope::Local));
        let other = Scope::Trusted { repository: "o/other".to_owned(), reference: "refs/heads/main".to_owned() };
        assert!(!given_up(scope(Some(7)), old, other.clone()));

        let branch =
            |name: &str| Scope::Trusted { repository: "o/r".to_owned(), reference: format!("refs/heads/{name}") };
        let old_branch = BRANCH_GIVEN_UP + TimeDelta::seconds(1);
        assert!(given_up(branch("x"), old_branch, scope(None)));
        assert!(given_up(branch("x"), old_branch, branch("y")));
        assert!(!given_up(branch("x"), BRANCH_GIVEN_UP, scope(None)));
        assert!(!given_up(branch("x"), old_branch, branch("x")), "this run's own");
        assert!(!given_up(scope(None), old_branch, branch("y")), "the default branch's");
        assert!(!given_up(branch("x"), old_branch, scope(Some(7))), "a pull request takes nothing from a branch");
        assert!(!given_up(branch("x"), old_branch, other), "of another repository");
        let unknown = Access { default_branch: None, ..known(branch("y")) };
        assert!(!is_given_up(&&listed(branch("x"), old_branch), &unknown, now), "it may be the default branch");

        let (fine, _) = listed(scope(None), old);
        let broken = ListedLedger { label: None, ..fine.clone() };
        assert_eq!(readable(vec![fine.clone(), broken]).unwrap().len(), 1);
        let newer =
            ListedLedger { label: fine.label.as_ref().map(|l| l.replace("\"schema\":1", "\"schema\":2")), ..fine };
        assert_eq!(readable(vec![newer]), None);
    }
}

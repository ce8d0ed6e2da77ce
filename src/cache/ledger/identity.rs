//! Whose cache it is: an image's name without what changes at every build.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::project::target::Target;

/// What the ledgers of one image have in common.
///
/// Tags are no part of it: `sha-…` and `pr-42` are new at every build.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// What is cached.
    #[serde(flatten)]
    pub subject: Subject,
    /// The target's name, where two targets of one run would be the same without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// What is cached: named by the person who builds it, or by the image itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Subject {
    /// The input `cache-key`.
    Key(String),
    /// An image.
    Image {
        /// The repository of its first tag in its familiar form: `app`, `ghcr.io/org/app`.
        repository: String,
        /// The stage that is built, in lower case; the last one if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<String>,
        /// Its platforms, sorted, each once.
        platforms: Vec<String>,
    },
}

impl Identity {
    /// The words of it that a person knows it by.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        let (name, stage) = match &self.subject {
            Subject::Key(key) => (key, None),
            Subject::Image { repository, stage, .. } => (repository, stage.as_ref()),
        };
        [Some(name), stage, self.target.as_ref()].into_iter().flatten().map(String::as_str)
    }
}

/// The identity of each target of a run, in their order; `None` for one that has neither a tag nor a cache key.
///
/// `cache_key` is the input, `platform` the engine's own: what a target without platforms is built for. No two targets
/// with different names get the same identity. So that a target's identity does not depend on what else is built, pass
/// all targets of the project, not only those that this run selected.
pub fn identities<'a>(
    targets: impl IntoIterator<Item = &'a Target>,
    cache_key: Option<&str>,
    platform: &str,
) -> Vec<Option<Identity>> {
    let subjects: Vec<_> =
        targets.into_iter().map(|target| (target, Subject::of(target, cache_key, platform))).collect();
    let mut uses = BTreeMap::<&Subject, usize>::new();
    for subject in subjects.iter().filter_map(|(_, subject)| subject.as_ref()) {
        *uses.entry(subject).or_default() += 1;
    }
    let shared = |subject: &Subject| uses.get(subject).is_some_and(|uses| *uses > 1);
    subjects
        .iter()
        .map(|(target, subject)| {
            let subject = subject.clone()?;
            let target = shared(&subject).then(|| target.name.clone());
            Some(Identity { subject, target })
        })
        .collect()
}

impl Subject {
    fn of(target: &Target, cache_key: Option<&str>, platform: &str) -> Option<Self> {
        if let Some(key) = cache_key {
            return Some(Self::Key(key.to_owned()));
        }
        let mut platforms = target.platforms.clone();
        if platforms.is_empty() {
            platforms.push(platform.to_owned());
        }
        platforms.sort_unstable();
        platforms.dedup();
        Some(Self::Image {
            repository: target.tags.first()?.repository(),
            // The names of stages are the same in upper and lower case (Dockerfile reference, `FROM`).
            stage: target.stage.as_ref().map(|stage| stage.to_lowercase()),
            platforms,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{Identity, Subject, identities};
    use crate::project::target::{Context, Dockerfile, Target};

    fn target(name: &str, tags: &[&str], stage: Option<&str>, platforms: &[&str]) -> Target {
        Target {
            tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
            stage: stage.map(str::to_owned),
            platforms: platforms.iter().map(|&platform| platform.to_owned()).collect(),
            ..Target::new(name, Context::Local("/".into()), Dockerfile::Inline(String::new()))
        }
    }

    fn of(target: &Target) -> Option<Identity> {
        identities([target], None, "linux/amd64").remove(0)
    }

    #[test]
    fn what_changes_at_every_build_does_not_matter() {
        let first = of(&target("a", &["ghcr.io/org/app:sha-1", "app:1"], Some("Run"), &[]));
        for (tags, stage, platforms) in [
            (["ghcr.io/org/app:pr-42"].as_slice(), "run", [].as_slice()),
            (&["ghcr.io/org/app"], "RUN", &["linux/amd64"]),
            (&["ghcr.io/org/app:x", "other:1"], "run", &["linux/amd64", "linux/amd64"]),
        ] {
            assert_eq!(of(&target("b", tags, Some(stage), platforms)), first, "{tags:?}");
        }
        for (tags, stage, platforms) in [
            (["org/app:sha-1"].as_slice(), Some("run"), [].as_slice()),
            (&["app:1", "ghcr.io/org/app:sha-1"], Some("run"), &[]),
            (&["ghcr.io/org/app"], Some("test"), &[]),
            (&["ghcr.io/org/app"], None, &[]),
            (&["ghcr.io/org/app"], Some("run"), &["linux/arm64"]),
            (&["ghcr.io/org/app"], Some("run"), &["linux/amd64", "linux/arm64"]),
        ] {
            assert_ne!(of(&target("a", tags, stage, platforms)), first, "{tags:?} {stage:?} {platforms:?}");
        }
        assert_eq!(
            of(&target("a", &["app"], None, &["linux/b", "linux/a"])).unwrap().subject,
            Subject::Image {
                repository: "app".into(),
                stage: None,
                platforms: vec!["linux/a".into(), "linux/b".into()]
            }
        );
    }

    #[test]
    fn services_that_share_a_repository_or_a_key_are_told_apart() {
        let (front, back) =
            (target("front", &["org/app:front"], None, &[]), target("back", &["org/app:back"], None, &[]));
        let (alone, none) = (target("alone", &["org/alone"], None, &[]), target("none", &[], None, &[]));
        let all = identities([&front, &alone, &none, &back], None, "linux/amd64");
        let names: Vec<_> = all.iter().map(|identity| identity.as_ref().map(|it| it.target.as_deref())).collect();
        assert_eq!(names, [Some(Some("front")), Some(None), None, Some(Some("back"))]);

        let keyed = identities([&front, &none], Some("key"), "linux/amd64");
        let expected = |name: &str| Identity { subject: Subject::Key("key".into()), target: Some(name.into()) };
        assert_eq!(keyed, [Some(expected("front")), Some(expected("none"))]);
        assert_eq!(identities([&none], Some("key"), "linux/amd64")[0].as_ref().unwrap().target, None);
    }

    proptest! {
        #[test]
        fn no_two_targets_have_the_same(
            targets in prop::collection::btree_map("[a-c]{1,3}", ("[ab](:[12])?", prop::option::of("[xy]")), 1..6)
        ) {
            let targets: Vec<_> = targets
                .iter()
                .map(|(name, (tag, stage))| target(name, &[tag], stage.as_deref(), &[]))
                .collect();
            for key in [None, Some("key")] {
                let all: BTreeSet<_> = identities(&targets, key, "linux/amd64").into_iter().flatten().collect();
                prop_assert_eq!(all.len(), targets.len());
            }
        }
    }
}

//! Cache tags in registries.

use std::collections::BTreeSet;

use super::{Run, tell, told};
use crate::execute::clear::registry::{RegistryClear, dry_run, explained};
use crate::image::ImageReference;
use crate::image::pattern::Pattern;
use crate::inputs::{ClearInputs, RemoteSelector};
use crate::outcome::clear::PlaceOutcome;
use crate::plan::clear::ProjectImages;
use crate::plan::clear::registry::RegistryPlan;
use crate::registry::{Login, Registry, RegistryError, RegistrySelector, Repository};
use crate::survey::clear::registry::RepositorySurvey;

const CANCELLED: &str = "cancelled before it was looked at";

/// What of registries is to be cleared: what `images` names; else what builds write with the same `cache-to`; else what they
/// would write with one that is called as the project's own images are. Of those the ones whose reference a pattern names,
/// if there are patterns. How old such a tag is, a registry does not tell, and who names other places alone means none.
pub(super) fn selectors(inputs: &ClearInputs, project: &ProjectImages) -> Vec<RegistrySelector> {
    let named = inputs.remote.iter().filter_map(|selector| match selector {
        RemoteSelector::Registry(selector) => Some(selector.clone()),
        RemoteSelector::Package(_) | RemoteSelector::ActionsCache(_) => None,
    });
    let named: Vec<RegistrySelector> = named.collect();
    if !named.is_empty() {
        return named;
    }
    let is_meant = |image: &&ImageReference| match inputs.images.as_slice() {
        [] => inputs.remote.is_empty(),
        patterns => {
            patterns.iter().any(|pattern| pattern.names(image)) && !patterns.iter().any(Pattern::is_restriction)
        }
    };
    let places = match &inputs.cache_to {
        Some(cache_to) => std::slice::from_ref(cache_to),
        None => project.named(),
    };
    let places = places.iter().filter(|place| inputs.cache_to.is_some() || place.names_registry());
    let selectors = places.filter(is_meant).flat_map(RegistrySelector::caches_of);
    selectors.fold(Vec::new(), |mut all, selector| {
        // Services may have one image in common.
        if !all.contains(&selector) {
            all.push(selector);
        }
        all
    })
}

/// Clears repository after repository, each by itself: one that fails is named, and the others are cleared all the same.
pub(super) async fn clear(run: &Run, inputs: &ClearInputs, project: &ProjectImages) -> PlaceOutcome {
    let selectors = selectors(inputs, project);
    let repositories: BTreeSet<&Repository> = selectors.iter().map(RegistrySelector::repository).collect();
    let mut outcome = PlaceOutcome::default();
    for repository in repositories {
        let cleared = cleared(run, inputs, repository, &selectors).await;
        outcome.items.extend(cleared.items);
        outcome.left.extend(cleared.left);
        outcome.warnings.extend(cleared.warnings);
    }
    outcome
}

async fn cleared(
    run: &Run,
    inputs: &ClearInputs,
    repository: &Repository,
    selectors: &[RegistrySelector],
) -> PlaceOutcome {
    let name = repository.to_string();
    if let Some(login) = inputs.registry_auth.missing([repository.host()]).first() {
        return PlaceOutcome::failed(&name, &format!("{login}; {}", login.help()));
    }
    match survey(run, inputs, repository, selectors).await {
        Some(Ok((registry, survey))) => one(run, inputs, &registry, &survey, selectors).await,
        Some(Err(error)) => PlaceOutcome::failed(&name, &explained(&error)),
        None => PlaceOutcome::failed(&name, CANCELLED),
    }
}

async fn survey(
    run: &Run,
    inputs: &ClearInputs,
    repository: &Repository,
    selectors: &[RegistrySelector],
) -> Option<Result<(Registry, RepositorySurvey), RegistryError>> {
    let survey = async {
        let registry = Registry::new(repository.host(), login(inputs, repository.host()))?;
        let survey = RepositorySurvey::take(&registry, repository, selectors).await?;
        Ok((registry, survey))
    };
    run.cancellation.token().run_until_cancelled(survey).await
}

async fn one(
    run: &Run,
    inputs: &ClearInputs,
    registry: &Registry,
    survey: &RepositorySurvey,
    selectors: &[RegistrySelector],
) -> PlaceOutcome {
    let plan = RegistryPlan::new(survey, selectors, &inputs.keep);
    // Tags come from whoever pushed them.
    plan.to_string().lines().for_each(|line| run.console.passthrough(line));
    if inputs.dry_run {
        return told(run, dry_run(&plan));
    }
    let clear = RegistryClear { registry, plan: &plan, selectors, keep: &inputs.keep };
    clear.apply(run.cancellation.token(), &mut |item| tell(run, item)).await
}

/// The last one wins, as in a build, and as in a `config.json` that names a host twice.
pub(super) fn login(inputs: &ClearInputs, host: &str) -> Option<Login> {
    let credential = inputs.registry_auth.iter().rev().find(|credential| credential.host == host)?;
    Some(Login { user: credential.user.clone(), password: credential.password.clone() })
}

#[cfg(test)]
mod tests {
    use super::{login, selectors};
    use crate::cache::ledger::{Access, Scope};
    use crate::inputs::{
        BuilderChoice, ClearInputs, ClearScope, ClearSource, Common, RegistryAuth, RegistryCredential, RemoteSelector,
        Report,
    };
    use crate::plan::build::cache_to::CachePlace;
    use crate::plan::clear::ProjectImages;
    use crate::secret::Secret;

    const OF_BOTH: [&str; 4] = [
        "ghcr.io/org/app:latest-cache",
        "ghcr.io/org/app:latest-*-cache",
        "localhost:5000/web:1-cache",
        "localhost:5000/web:1-*-cache",
    ];

    fn texts(inputs: &ClearInputs, project: &ProjectImages) -> Vec<String> {
        selectors(inputs, project).iter().map(ToString::to_string).collect()
    }

    fn inputs(remote: Vec<RemoteSelector>) -> ClearInputs {
        ClearInputs {
            source: ClearSource::Unknown,
            cache_to: None,
            images: vec![],
            remote,
            scope: ClearScope { registry: true, ..ClearScope::default() },
            keep: vec![],
            keep_caches: vec![],
            dry_run: false,
            registry_auth: RegistryAuth::default(),
            common: Common {
                builder: BuilderChoice::Auto,
                report: Report { summary: true, check: false, comment: false, annotations: true },
                github_token: None,
            },
        }
    }

    #[test]
    fn of_two_logins_for_a_host_the_last_one_counts() {
        let credential = |user: &str, host: &str| RegistryCredential {
            host: host.to_owned(),
            user: user.to_owned(),
            password: Secret::new("p".to_owned()),
        };
        let registry_auth = vec![credential("old", "r.io"), credential("new", "r.io"), credential("x", "other.io")];
        let registry_auth = RegistryAuth { logins: registry_auth, unusable: vec![] };
        let inputs = ClearInputs { registry_auth, ..inputs(vec![]) };
        assert_eq!(login(&inputs, "r.io").map(|login| login.user).as_deref(), Some("new"));
        assert!(login(&inputs, "unknown.io").is_none());
    }

    #[test]
    fn of_a_project_the_cache_tags_are_meant() {
        let images = ["app", "ghcr.io/org/app", "localhost:5000/web:1"].map(|text| text.parse().unwrap());
        let project = ProjectImages::Named(images.to_vec());
        assert_eq!(texts(&inputs(vec![]), &project), OF_BOTH);
        let named = RemoteSelector::Registry("r.io/a:*".parse().unwrap());
        assert_eq!(texts(&inputs(vec![named]), &project), ["r.io/a:*"]);
        assert_eq!(texts(&inputs(vec![]), &ProjectImages::OfLedgers), [""; 0]);
        let package = RemoteSelector::Package("org/app:x".parse().unwrap());
        assert_eq!(texts(&inputs(vec![package]), &project), [""; 0]);
        for (patterns, expected) in [
            (&["ghcr.io/org/*"][..], &OF_BOTH[..2]),
            (&["app:*"], &[]),
            (&["**"], &OF_BOTH[..]),
            (&["**", "older-than=7d"], &[]),
            (&["older-than=7d"], &[]),
            (&["label=team"], &[]),
        ] {
            let images = patterns.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(texts(&ClearInputs { images, ..inputs(vec![]) }, &project), expected, "{patterns:?}");
        }
    }

    #[test]
    fn cache_to_says_where_builds_keep_it() {
        let project = ProjectImages::Named(vec!["ghcr.io/org/app".parse().unwrap()]);
        let with = |images: &[&str]| ClearInputs {
            cache_to: Some("r.io/cache:main".parse().unwrap()),
            images: images.iter().map(|text| text.parse().unwrap()).collect(),
            ..inputs(vec![])
        };
        let both = ["r.io/cache:main-cache", "r.io/cache:main-*-cache"];
        assert_eq!(texts(&with(&[]), &project), both);
        assert_eq!(texts(&with(&[]), &ProjectImages::OfLedgers), both, "it needs no checkout");
        assert_eq!(texts(&with(&["r.io/*"]), &project), both);
        assert_eq!(texts(&with(&["ghcr.io/**"]), &project), [""; 0], "it is the cache of other images as well");
    }

    /// Whatever a build writes, the clear with the same `cache-to` means.
    #[test]
    fn every_tag_that_a_build_writes_is_meant() {
        let untrusted =
            |reference: &str| Scope::Untrusted { repository: Some("o/r".into()), reference: reference.into() };
        let trusted = Scope::Trusted { repository: "o/r".into(), reference: "refs/heads/main".into() };
        let scopes = [trusted, Scope::Local, untrusted("pull/7"), untrusted("merge_group/refs/heads/q/main")];
        for (text, service, own) in ["h.io/a", "h.io/a:main", "h.io/a:x-cache", "h.io/a:pr-7"]
            .iter()
            .flat_map(|text| [None, Some("web"), Some("pr-7")].map(|service| (text, service)))
            .flat_map(|(text, service)| scopes.clone().map(|own| (text, service, own)))
        {
            let reference = text.parse().unwrap();
            let place =
                CachePlace::new(&reference, service, &Access { reads: vec![own.clone()], own, default_branch: None })
                    .unwrap();
            let meant =
                selectors(&ClearInputs { cache_to: Some(reference), ..inputs(vec![]) }, &ProjectImages::OfLedgers);
            for tag in place.read.iter().chain(&place.write) {
                assert!(meant.iter().any(|selector| selector.names(tag.tag().unwrap())), "{text}: {tag}");
            }
        }
    }
}

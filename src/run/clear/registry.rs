//! Cache tags in registries.

use std::collections::BTreeSet;

use super::Run;
use crate::execute::clear::registry::{RegistryClear, dry_run, explained};
use crate::inputs::{ClearInputs, RemoteSelector};
use crate::outcome::clear::PlaceOutcome;
use crate::plan::clear::ProjectImages;
use crate::plan::clear::registry::RegistryPlan;
use crate::registry::{Login, Registry, RegistryError, RegistrySelector, Repository};
use crate::survey::clear::registry::RepositorySurvey;

const CANCELLED: &str = "cancelled before it was looked at";

/// What of registries is to be cleared: what `images` names, else the cache tags of the project's own images, which
/// `cache-to` names after them.
pub(super) fn selectors(inputs: &ClearInputs, project: &ProjectImages) -> Vec<RegistrySelector> {
    let named = inputs.remote.iter().filter_map(|selector| match selector {
        RemoteSelector::Registry(selector) => Some(selector.clone()),
        RemoteSelector::Package(_) | RemoteSelector::ActionsCache(_) => None,
    });
    let named: Vec<RegistrySelector> = named.collect();
    if !named.is_empty() {
        return named;
    }
    let of_project = project.named().iter().filter(|image| image.names_registry());
    of_project.filter_map(RegistrySelector::cache_of).collect()
}

/// Clears repository after repository, each by itself: one that fails is named, and the others are cleared all the same.
pub(super) async fn clear(run: &Run, inputs: &ClearInputs, project: &ProjectImages) -> PlaceOutcome {
    let selectors = selectors(inputs, project);
    let repositories: BTreeSet<&Repository> = selectors.iter().map(RegistrySelector::repository).collect();
    let mut outcome = PlaceOutcome::default();
    for repository in repositories {
        let cleared = match survey(run, inputs, repository, &selectors).await {
            Some(Ok((registry, survey))) => one(run, inputs, &registry, &survey, &selectors).await,
            Some(Err(error)) => PlaceOutcome::failed(&repository.to_string(), &explained(&error)),
            None => PlaceOutcome::failed(&repository.to_string(), CANCELLED),
        };
        outcome.items.extend(cleared.items);
        outcome.left.extend(cleared.left);
        outcome.warnings.extend(cleared.warnings);
    }
    outcome
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
        return dry_run(&plan);
    }
    let clear = RegistryClear { registry, plan: &plan, selectors, keep: &inputs.keep };
    clear.apply(run.cancellation.token()).await
}

/// The last one wins, as in a `config.json` that names a host twice.
fn login(inputs: &ClearInputs, host: &str) -> Option<Login> {
    let credential = inputs.registry_auth.iter().rev().find(|credential| credential.host == host)?;
    Some(Login { user: credential.user.clone(), password: credential.password.clone() })
}

#[cfg(test)]
mod tests {
    use super::selectors;
    use crate::inputs::{BuilderChoice, ClearInputs, ClearScope, ClearSource, Common, RemoteSelector, Report};
    use crate::plan::clear::ProjectImages;

    fn texts(inputs: &ClearInputs, project: &ProjectImages) -> Vec<String> {
        selectors(inputs, project).iter().map(ToString::to_string).collect()
    }

    fn inputs(remote: Vec<RemoteSelector>) -> ClearInputs {
        ClearInputs {
            source: ClearSource::Unknown,
            images: vec![],
            remote,
            scope: ClearScope { registry: true, ..ClearScope::default() },
            keep: vec![],
            keep_caches: vec![],
            dry_run: false,
            registry_auth: vec![],
            common: Common {
                builder: BuilderChoice::Auto,
                report: Report { summary: true, check: false, comment: false, annotations: true },
                github_token: None,
            },
        }
    }

    #[test]
    fn of_a_project_the_cache_tags_are_meant() {
        let images = ["app", "ghcr.io/org/app", "localhost:5000/web:1"].map(|text| text.parse().unwrap());
        let project = ProjectImages::Named(images.to_vec());
        assert_eq!(texts(&inputs(vec![]), &project), ["ghcr.io/org/app:latest-cache", "localhost:5000/web:1-cache"]);
        let named = RemoteSelector::Registry("r.io/a:*".parse().unwrap());
        assert_eq!(texts(&inputs(vec![named]), &project), ["r.io/a:*"]);
        assert_eq!(texts(&inputs(vec![]), &ProjectImages::OfLedgers), [""; 0]);
    }
}

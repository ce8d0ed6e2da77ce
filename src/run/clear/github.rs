//! Places at GitHub: versions of packages, and caches of Actions.

use std::collections::BTreeMap;

use chrono::Utc;

use super::Run;
use super::manifests::Manifests;
use super::{tell, told};
use crate::error::chain;
use crate::execute::clear::actions_cache::{ActionsCacheClear, dry_run};
use crate::execute::clear::packages::PackageClear;
use crate::github::{Access, Github, GithubError};
use crate::inputs::{ClearInputs, RemoteSelector};
use crate::outcome::clear::PlaceOutcome;
use crate::plan::clear::packages::{Package, PackageRequest, PackageSelector};

const GITHUB_COM: &str = "https://github.com";

/// Versions of packages, one package after another.
pub(super) async fn packages(run: &Run, inputs: &ClearInputs) -> PlaceOutcome {
    let mut named: BTreeMap<&Package, Vec<&PackageSelector>> = BTreeMap::new();
    for selector in &inputs.remote {
        if let RemoteSelector::Package(selector) = selector {
            named.entry(selector.package()).or_default().push(selector);
        }
    }
    let github = match client(run, inputs) {
        Ok(github) => github,
        Err(error) => return unreachable("packages", &error),
    };
    let mut outcome = PlaceOutcome::default();
    let now = Utc::now();
    for (package, selectors) in named {
        let registry = package.registry.clone().unwrap_or_else(|| registry_of(run));
        let manifests = Manifests::new(run, inputs, &registry, package);
        let clear = PackageClear {
            github: &github,
            package,
            registry: &registry,
            request: PackageRequest { selectors: &selectors, keep: &inputs.keep, now },
            manifest: async |digest: &str| manifests.read(digest).await,
            cancel: run.cancellation.token(),
        };
        let one = match clear.prepare().await {
            Ok(surveyed) => {
                print(run, &surveyed.plan);
                if inputs.dry_run {
                    told(run, clear.dry_run(&surveyed))
                } else {
                    clear.apply(surveyed, &mut |item| tell(run, item)).await
                }
            }
            Err(failed) => failed,
        };
        outcome.items.extend(one.items);
        outcome.left.extend(one.left);
        outcome.warnings.extend(one.warnings);
    }
    outcome
}

/// Caches of GitHub Actions in the repository of the run.
pub(super) async fn actions_cache(run: &Run, inputs: &ClearInputs) -> PlaceOutcome {
    let selectors = inputs.remote.iter().filter_map(|selector| match selector {
        RemoteSelector::ActionsCache(selector) => Some(selector.clone()),
        RemoteSelector::Registry(_) | RemoteSelector::Package(_) => None,
    });
    let selectors: Vec<_> = selectors.collect();
    let github = match client(run, inputs) {
        Ok(github) => github,
        Err(error) => return unreachable("Actions caches", &error),
    };
    let clear = ActionsCacheClear {
        github: &github,
        selectors: &selectors,
        keep: &inputs.keep_caches,
        mode: run.environment.non_empty("ACTIONS_CACHE_MODE"),
        now: Utc::now(),
        cancel: run.cancellation.token(),
    };
    match clear.prepare().await {
        Ok(plan) => {
            print(run, &plan);
            if inputs.dry_run {
                told(run, dry_run(&plan))
            } else {
                clear.apply(&plan, &mut |item| tell(run, item)).await
            }
        }
        Err(failed) => failed,
    }
}

fn client(run: &Run, inputs: &ClearInputs) -> Result<Github, GithubError> {
    let token = inputs.common.github_token.as_ref();
    let access = Access::new(run.environment.non_empty("GITHUB_API_URL"), run.context.repository.as_deref(), token)?;
    Github::new(&access)
}

fn unreachable(place: &str, error: &GithubError) -> PlaceOutcome {
    let mut outcome = PlaceOutcome::failed(place, &chain(error));
    outcome.warnings.extend(Some(error.help()).filter(|help| !help.is_empty()));
    outcome
}

/// Names and tags come from whoever made them.
fn print(run: &Run, plan: &impl std::fmt::Display) {
    plan.to_string().lines().for_each(|line| run.console.passthrough(line));
}

/// The host of the registry of containers beside a GitHub: `ghcr.io`; elsewhere a subdomain ("Working with the Container
/// registry", in the documentation of GitHub Enterprise).
pub(super) fn registry_of(run: &Run) -> String {
    registry_beside(run.environment.non_empty("GITHUB_SERVER_URL"))
}

fn registry_beside(server: Option<&str>) -> String {
    let server = server.unwrap_or(GITHUB_COM).trim_end_matches('/');
    let host = server.split_once("://").map_or(server, |(_, host)| host);
    if server == GITHUB_COM { "ghcr.io".to_owned() } else { format!("containers.{host}") }
}

#[cfg(test)]
mod tests {
    use super::registry_beside;

    #[test]
    fn every_github_has_a_registry() {
        for (server, registry) in [
            (None, "ghcr.io"),
            (Some("https://github.com"), "ghcr.io"),
            (Some("https://github.com/"), "ghcr.io"),
            (Some("https://octo.ghe.com"), "containers.octo.ghe.com"),
            (Some("https://github.example.org"), "containers.github.example.org"),
        ] {
            assert_eq!(registry_beside(server), registry);
        }
    }
}

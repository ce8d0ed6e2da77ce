//! Places that are not on the engine: registries.
//!
//! It surveys, plans, applies and proves its place, or stops after the plan in a dry run; it heeds the run's
//! cancellation, and never fails as a whole: what it could not do is in its outcome.

use super::Run;
use crate::inputs::{ClearInputs, RemoteSelector};
use crate::outcome::clear::PlaceOutcome;
use crate::plan::clear::ProjectImages;

const NOT_YET: &str = "it is not cleared in this release";

/// What of registries is to be cleared: what `images` names, else the cache tags of the project's own images, which
/// `cache-to` names after them.
pub(super) fn registry_selectors(inputs: &ClearInputs, project: &ProjectImages) -> Vec<String> {
    let named = inputs.remote.iter().filter_map(|selector| match selector {
        RemoteSelector::Registry(text) => Some(text.clone()),
        RemoteSelector::Package(_) | RemoteSelector::ActionsCache(_) => None,
    });
    let named: Vec<String> = named.collect();
    if !named.is_empty() {
        return named;
    }
    let of_project = project.named().iter().filter(|image| image.names_registry());
    of_project.filter_map(|image| Some(format!("{}:{}-cache", image.repository(), image.tag()?))).collect()
}

/// Cache tags in registries.
pub(super) async fn registry(_run: &Run, inputs: &ClearInputs, project: &ProjectImages) -> PlaceOutcome {
    let named = registry_selectors(inputs, project);
    std::future::ready(PlaceOutcome::failed(&format!("registry {}", named.join(", ")), NOT_YET)).await
}

#[cfg(test)]
mod tests {
    use super::registry_selectors;
    use crate::inputs::{BuilderChoice, ClearInputs, ClearScope, ClearSource, Common, RemoteSelector, Report};
    use crate::plan::clear::ProjectImages;

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
                report: Report { summary: true, annotations: true },
                github_token: None,
            },
        }
    }

    #[test]
    fn of_a_project_the_cache_tags_are_meant() {
        let images = ["app", "ghcr.io/org/app", "localhost:5000/web:1"].map(|text| text.parse().unwrap());
        let project = ProjectImages::Named(images.to_vec());
        assert_eq!(
            registry_selectors(&inputs(vec![]), &project),
            ["ghcr.io/org/app:latest-cache", "localhost:5000/web:1-cache"]
        );
        let named = RemoteSelector::Registry("r.io/a:*".into());
        assert_eq!(registry_selectors(&inputs(vec![named]), &project), ["r.io/a:*"]);
        assert_eq!(registry_selectors(&inputs(vec![]), &ProjectImages::OfLedgers), [""; 0]);
    }
}

//! What there is of a container package: its versions at GitHub, their manifests in the registry.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;

use crate::github::packages::{self, ContainerPackage, PackageVersion};
use crate::github::{Github, GithubError};
use crate::plan::clear::packages::{Manifest, Package, PackageRequest, PackageSurvey, Version};

/// Manifests that are read at the same time.
const AT_ONCE: usize = 8;
/// How often the list is read until it is twice the same.
const ROUNDS: usize = 5;

/// Why a package could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum PackageSurveyError {
    /// GitHub did not tell.
    #[error(transparent)]
    Github(#[from] GithubError),
    /// There are versions that were not seen, and what is not seen cannot be protected.
    #[error("GitHub did not list all of its versions")]
    Incomplete,
}

/// Looks at a package. `manifest` reads one by its digest; `known` holds what was read before, which never changes.
///
/// A list of several pages is no moment in time: a version that moves from one page to another is missed. So the list is
/// read again until nothing is new, after all the manifests, and what is decided is decided by the last one.
///
/// # Errors
/// If GitHub does not tell all versions. A manifest that cannot be read is no error, but stands in the survey.
pub async fn take(
    github: impl Fn() -> Github,
    found: &ContainerPackage,
    (package, registry): (&Package, &str),
    request: &PackageRequest<'_>,
    known: BTreeMap<String, Result<Manifest, String>>,
    manifest: &impl AsyncFn(&str) -> Result<Manifest, String>,
) -> Result<PackageSurvey, PackageSurveyError> {
    let mut survey = PackageSurvey {
        package: package.clone(),
        registry: registry.to_owned(),
        versions: Vec::new(),
        manifests: known,
    };
    survey.manifests.retain(|_, manifest| manifest.is_ok());
    for _ in 0..ROUNDS {
        let listed = packages::versions(&github(), found).await?.ok_or(PackageSurveyError::Incomplete)?;
        let versions = understood(listed);
        let is_settled = versions == survey.versions;
        survey.versions = versions;
        // What nothing names needs no protection.
        if is_settled || !survey.versions.iter().any(|version| request.may_name(version)) {
            break;
        }
        read_manifests(&mut survey, manifest).await;
    }
    Ok(survey)
}

async fn read_manifests(survey: &mut PackageSurvey, manifest: &impl AsyncFn(&str) -> Result<Manifest, String>) {
    let unread: Vec<String> = survey
        .versions
        .iter()
        .map(|version| &version.digest)
        .filter(|digest| !survey.manifests.contains_key(*digest))
        .cloned()
        .collect();
    let reading = unread.into_iter().map(|digest| async move {
        let read = manifest(&digest).await;
        (digest, read)
    });
    let mut reading = futures_util::stream::iter(reading).buffer_unordered(AT_ONCE);
    while let Some((digest, manifest)) = reading.next().await {
        survey.manifests.insert(digest, manifest);
    }
}

/// In the order of their ids; one that moved to the next page while it was read is there twice.
fn understood(listed: Vec<PackageVersion>) -> Vec<Version> {
    let versions: BTreeMap<u64, Version> = listed
        .into_iter()
        .map(|listed| {
            let tags: BTreeSet<String> = listed.tags().map(str::to_owned).collect();
            (listed.id, Version { id: listed.id, digest: listed.name, tags, updated: listed.updated_at })
        })
        .collect();
    versions.into_values().collect()
}

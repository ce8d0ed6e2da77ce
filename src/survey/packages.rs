//! What there is of a container package: its versions at GitHub, their manifests in the registry.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;

use crate::github::packages::{self, ContainerPackage, PackageVersion};
use crate::github::{Github, GithubError};
use crate::plan::clear::packages::{Manifest, Package, PackageSurvey, Version};

/// Manifests that are read at the same time.
const AT_ONCE: usize = 8;
/// How often the list is read until it is twice the same, and how long to wait for one that lags behind.
const ROUNDS: usize = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// Why a package could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum PackageSurveyError {
    /// GitHub did not tell.
    #[error(transparent)]
    Github(#[from] GithubError),
    /// There are versions that were not seen, and what is not seen cannot be protected.
    #[error("GitHub did not list all of its versions")]
    Incomplete,
    /// There is no moment that anything could be decided by.
    #[error("its versions changed again and again while they were listed")]
    Unsettled,
}

/// Looks at a package. `manifest` reads one by its digest; `known` holds what was read before, which never changes.
/// Manifests are read if `needs` says so of any version: what nothing names needs no protection.
///
/// A list of several pages is no moment in time: a version that moves from one page to another is missed. So the list is
/// read again until nothing is new, after all the manifests, and what is decided is decided by the last one.
///
/// # Errors
/// If GitHub does not tell all versions, or never twice the same. A manifest that cannot be read is no error, but stands in
/// the survey.
pub async fn take(
    github: impl Fn() -> Github,
    found: &ContainerPackage,
    (package, registry): (&Package, &str),
    needs: impl Fn(&Version) -> bool,
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
    let mut trouble = PackageSurveyError::Unsettled;
    for round in 0..ROUNDS {
        let Some(listed) = packages::versions(&github(), found).await? else {
            trouble = PackageSurveyError::Incomplete;
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let versions = understood(listed);
        let is_settled = round > 0 && versions == survey.versions;
        survey.versions = versions;
        if is_settled || !survey.versions.iter().any(&needs) {
            return Ok(survey);
        }
        trouble = PackageSurveyError::Unsettled;
        read_manifests(&mut survey, manifest).await;
    }
    Err(trouble)
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
    let versions: BTreeMap<u64, Version> = listed.into_iter().map(|listed| (listed.id, listed.into())).collect();
    versions.into_values().collect()
}

impl From<PackageVersion> for Version {
    fn from(listed: PackageVersion) -> Self {
        let tags: BTreeSet<String> = listed.tags().map(str::to_owned).collect();
        Self { id: listed.id, digest: listed.name, tags, updated: listed.updated_at }
    }
}

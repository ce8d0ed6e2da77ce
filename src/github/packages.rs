//! Versions of container packages.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::github::{Github, GithubError, Permission, Route, Task};

/// Pages of a hundred versions that are read.
const PAGES: usize = 1_000;

/// A container package that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerPackage {
    owner: String,
    name: String,
    kind: OwnerKind,
}

/// What kind of owner a package has: its path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OwnerKind {
    Organisation,
    Person,
}

/// A version as GitHub lists it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PackageVersion {
    /// What it is removed by.
    pub id: u64,
    /// The digest of its manifest.
    pub name: String,
    /// When it changed last.
    pub updated_at: DateTime<Utc>,
    #[serde(default)]
    metadata: Option<Metadata>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Metadata {
    #[serde(default)]
    container: Option<Container>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Container {
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Deserialize)]
struct Found {
    /// How many versions GitHub says that it has.
    #[serde(default)]
    version_count: u64,
}

impl PackageVersion {
    /// Its tags.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        let container = self.metadata.as_ref().and_then(|metadata| metadata.container.as_ref());
        container.into_iter().flat_map(|container| &container.tags).map(String::as_str)
    }
}

impl ContainerPackage {
    fn route<'a>(&'a self, rest: impl IntoIterator<Item = &'a str>) -> Route {
        let owners = match self.kind {
            OwnerKind::Organisation => "orgs",
            OwnerKind::Person => "users",
        };
        Route::new([owners, &self.owner, "packages", "container", &self.name].into_iter().chain(rest))
    }
}

/// Finds a package, an organisation's or else a person's.
///
/// # Errors
/// As [`Github::get`]; [`GithubError::NotFound`] also if the token may not see it.
pub async fn find(github: &Github, owner: &str, name: &str) -> Result<ContainerPackage, GithubError> {
    let task = Task { doing: "find the package", needs: Permission::PackagesRead };
    let mut package =
        ContainerPackage { owner: owner.to_owned(), name: name.to_owned(), kind: OwnerKind::Organisation };
    match github.get::<Found>(task, &package.route([])).await {
        Err(GithubError::NotFound { .. }) => {
            package.kind = OwnerKind::Person;
            github.get::<Found>(task, &package.route([])).await?;
        }
        found => {
            found?;
        }
    }
    Ok(package)
}

/// All its versions that are not deleted; `None` if GitHub did not list all of them: then it says itself that there are more.
/// The list of a person's package does not document that it has pages, and no list of several pages is one moment in time.
///
/// # Errors
/// As [`Github::list`].
pub async fn versions(github: &Github, package: &ContainerPackage) -> Result<Option<Vec<PackageVersion>>, GithubError> {
    let task = Task { doing: "list the versions of the package", needs: Permission::PackagesRead };
    let route = package.route(["versions"]).with("state", "active").with("per_page", "100");
    let listed = github.list::<PackageVersion>(task, route, None, PAGES).await?;
    let Found { version_count } = github.get(task, &package.route([])).await?;
    // One that moved to the next page while it was read is there twice.
    let ids: BTreeSet<u64> = listed.entries.iter().map(|version| version.id).collect();
    let is_whole = !listed.more && u64::try_from(ids.len()).is_ok_and(|count| count >= version_count);
    Ok(is_whole.then_some(listed.entries))
}

/// One version as it is now; `None` if there is none with this id (any more).
///
/// # Errors
/// As [`Github::get`].
pub async fn version(
    github: &Github,
    package: &ContainerPackage,
    id: u64,
) -> Result<Option<PackageVersion>, GithubError> {
    let task = Task { doing: "look at the version", needs: Permission::PackagesRead };
    match github.get(task, &package.route(["versions", &id.to_string()])).await {
        Ok(version) => Ok(Some(version)),
        Err(GithubError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a version.
///
/// # Errors
/// As [`Github::delete`]; [`GithubError::NotFound`] also if the repository has no role on the package.
pub async fn delete(github: &Github, package: &ContainerPackage, id: u64) -> Result<(), GithubError> {
    let task = Task { doing: "remove the version", needs: Permission::PackagesWrite };
    github.delete(task, &package.route(["versions", &id.to_string()])).await
}

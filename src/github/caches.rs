//! Caches of GitHub Actions.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::github::{Github, GithubError, Listed, Permission, Task};

/// Pages of a hundred caches that are read.
const PAGES: usize = 1_000;

/// A cache of the repository.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Cache {
    /// What it is removed by.
    pub id: u64,
    /// Its key.
    pub key: String,
    /// The ref that it is for, in full.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Bytes.
    #[serde(default)]
    pub size_in_bytes: u64,
    /// When it was saved.
    pub created_at: DateTime<Utc>,
}

/// The caches whose key begins so, of one ref or of all. The oldest come first: one that is saved meanwhile does not move
/// the others to another page.
///
/// # Errors
/// As [`Github::list`].
pub async fn list(github: &Github, key_prefix: &str, reference: Option<&str>) -> Result<Listed<Cache>, GithubError> {
    let task = Task { doing: "list the caches", needs: Permission::ActionsRead };
    let mut route = github.route(["actions", "caches"]).with("per_page", "100");
    route = route.with("sort", "created_at").with("direction", "asc");
    if !key_prefix.is_empty() {
        route = route.with("key", key_prefix);
    }
    if let Some(reference) = reference {
        route = route.with("ref", reference);
    }
    github.list(task, route, Some("actions_caches"), PAGES).await
}

/// Removes a cache, and none that was saved anew under its key.
///
/// # Errors
/// As [`Github::delete`].
pub async fn delete(github: &Github, id: u64) -> Result<(), GithubError> {
    let task = Task { doing: "remove the cache", needs: Permission::ActionsWrite };
    github.delete(task, &github.route(["actions", "caches", &id.to_string()])).await
}

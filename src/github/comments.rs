//! Comments of a pull request.

use serde::{Deserialize, Serialize};

use crate::github::{Github, GithubError, Permission, Task};

/// Characters that a comment may have.
pub const MAX_BODY: usize = 65_536;
/// Pages of a hundred comments that are looked through.
const PAGES: usize = 10;

/// A comment, as far as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Comment {
    /// Its number; later ones have higher numbers.
    pub id: u64,
    /// Its Markdown.
    #[serde(default)]
    pub body: String,
    /// Who wrote it.
    #[serde(default)]
    pub user: Option<User>,
}

/// Who wrote a comment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct User {
    /// The name: `github-actions[bot]` for a job's own token.
    pub login: String,
    /// `Bot`, `User`.
    #[serde(default, rename = "type")]
    pub kind: String,
}

#[derive(Serialize)]
struct Body<'a> {
    body: &'a str,
}

/// The comments of a pull request, the oldest first; those after the first thousand are not seen.
///
/// # Errors
/// As [`Github::list`].
pub async fn list(github: &Github, pull_request: u64) -> Result<Vec<Comment>, GithubError> {
    let task = Task { doing: "read the comments of the pull request", needs: Permission::PullRequestsWrite };
    let route = github.route(["issues", &pull_request.to_string(), "comments"]).with("per_page", "100");
    Ok(github.list(task, route, None, PAGES).await?.entries)
}

/// Writes a comment.
///
/// # Errors
/// As [`Github::post`].
pub async fn create(github: &Github, pull_request: u64, body: &str) -> Result<Comment, GithubError> {
    let task = Task { doing: "write the comment", needs: Permission::PullRequestsWrite };
    let route = github.route(["issues", &pull_request.to_string(), "comments"]);
    github.post(task, &route, &Body { body }).await
}

/// Writes a comment anew.
///
/// # Errors
/// As [`Github::patch`].
pub async fn update(github: &Github, id: u64, body: &str) -> Result<Comment, GithubError> {
    let task = Task { doing: "update the comment", needs: Permission::PullRequestsWrite };
    github.patch(task, &github.route(["issues", "comments", &id.to_string()]), &Body { body }).await
}

/// Removes a comment.
///
/// # Errors
/// As [`Github::delete`].
pub async fn remove(github: &Github, id: u64) -> Result<(), GithubError> {
    let task =
        Task { doing: "remove the comment that another run wrote as well", needs: Permission::PullRequestsWrite };
    github.delete(task, &github.route(["issues", "comments", &id.to_string()])).await
}

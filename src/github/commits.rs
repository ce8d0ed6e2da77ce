//! Commits of a branch.

use serde::Deserialize;

use crate::github::{Github, GithubError, Permission, Task};

#[derive(Deserialize)]
struct Commit {
    sha: String,
}

/// The newest `count` commits (100 at most) of a branch, the newest first.
///
/// # Errors
/// As [`Github::list`].
pub async fn newest(github: &Github, branch: &str, count: u8) -> Result<Vec<String>, GithubError> {
    let task = Task { doing: "read the branch's commits", needs: Permission::ContentsRead };
    let reference = format!("refs/heads/{branch}");
    let route = github.route(["commits"]).with("sha", &reference).with("per_page", &count.to_string());
    let commits = github.list::<Commit>(task, route, None, 1).await?;
    Ok(commits.entries.into_iter().map(|commit| commit.sha).collect())
}

//! Commits of a branch.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::github::{Github, GithubError, Permission, Task};

#[derive(Deserialize)]
struct Commit {
    sha: String,
    #[serde(default)]
    parents: Vec<Parent>,
}

#[derive(Deserialize)]
struct Parent {
    sha: String,
}

/// The newest `count` commits of a branch, the newest first: those that it consisted of at some time, and not those that a
/// merge brought in. Of a hundred with all of these; beyond, nothing is looked for.
///
/// # Errors
/// As [`Github::list`].
pub async fn newest(github: &Github, branch: &str, count: usize) -> Result<Vec<String>, GithubError> {
    let task = Task { doing: "read the branch's commits", needs: Permission::ContentsRead };
    let reference = format!("refs/heads/{branch}");
    let route = github.route(["commits"]).with("sha", &reference).with("per_page", "100");
    let commits = github.list::<Commit>(task, route, None, 1).await?;
    Ok(first_parents(&commits.entries, count))
}

/// The chain of first parents from the newest commit on (`git log --first-parent`).
fn first_parents(commits: &[Commit], count: usize) -> Vec<String> {
    let known: BTreeMap<&str, &Commit> = commits.iter().map(|commit| (commit.sha.as_str(), commit)).collect();
    let next = |commit: &&Commit| commit.parents.first().and_then(|parent| known.get(parent.sha.as_str())).copied();
    std::iter::successors(commits.first(), next).take(count).map(|commit| commit.sha.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Commit, Parent, first_parents};

    #[test]
    fn what_a_merge_brought_in_is_left_out() {
        let commits: Vec<Commit> = [("m2", &["m1", "f2"][..]), ("f2", &["f1"]), ("m1", &["m0"]), ("f1", &["m0"])]
            .into_iter()
            .map(|(sha, parents)| Commit {
                sha: sha.to_owned(),
                parents: parents.iter().map(|sha| Parent { sha: (*sha).to_owned() }).collect(),
            })
            .collect();
        assert_eq!(first_parents(&commits, 9), ["m2", "m1"]);
        assert_eq!(first_parents(&commits, 1), ["m2"]);
        assert_eq!(first_parents(&[], 9), Vec::<String>::new());
    }
}

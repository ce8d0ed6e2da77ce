//! Check runs.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::github::{Github, GithubError, Listed, Permission, Task};

/// Characters that a summary, and a text, may have ("Create a check run").
pub const MAX_TEXT: usize = 65_535;
/// Check runs of one name that are looked at for one commit.
const PER_COMMIT: &str = "20";
/// The app that a job's own token acts for; nobody else has its token.
const GITHUB_ACTIONS: &str = "github-actions";

/// A finished check run that is to be created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewCheckRun {
    /// Its name: unique for its workflow and what it is about, because GitHub may show it among another workflow's.
    pub name: String,
    /// The commit.
    pub head_sha: String,
    /// The page with more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details_url: Option<String>,
    /// What finds it again.
    pub external_id: String,
    /// That it is over.
    pub status: Completed,
    /// When the work began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub completed_at: DateTime<Utc>,
    /// How it ended.
    pub conclusion: Conclusion,
    /// What it shows.
    pub output: CheckOutput,
}

/// The only status that is reported: nothing is shown while the job itself is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Completed {
    /// It is over.
    #[default]
    Completed,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// All is well.
    Success,
    /// There is nothing to say for or against.
    Neutral,
    /// Something is wrong.
    Failure,
}

/// What a check run shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckOutput {
    /// One line.
    pub title: String,
    /// Markdown of at most [`MAX_TEXT`] characters.
    pub summary: String,
    /// The same, below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// A check run, as far as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CheckRun {
    /// Its number.
    pub id: u64,
    /// What finds it again.
    #[serde(default)]
    pub external_id: Option<String>,
    /// The app that created it.
    #[serde(default)]
    pub app: Option<App>,
    /// What it shows.
    #[serde(default)]
    pub output: ShownOutput,
}

/// An app.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct App {
    /// Its name in addresses.
    #[serde(default)]
    pub slug: Option<String>,
}

/// What a check run shows, as far as it is read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ShownOutput {
    /// Markdown.
    #[serde(default)]
    pub text: Option<String>,
}

impl CheckRun {
    /// Whether a job made it with its own token. Anybody else's could say anything, and needs no more than write access.
    pub fn is_of_github_actions(&self) -> bool {
        self.app.as_ref().and_then(|app| app.slug.as_deref()) == Some(GITHUB_ACTIONS)
    }
}

/// Creates a completed check run.
///
/// # Errors
/// As [`Github::post`].
pub async fn create(github: &Github, check: &NewCheckRun) -> Result<CheckRun, GithubError> {
    let task = Task { doing: "create the check run", needs: Permission::ChecksWrite };
    github.post(task, &github.route(["check-runs"]), check).await
}

/// The newest check runs of one name on a commit.
///
/// # Errors
/// As [`Github::list`].
pub async fn of_commit(github: &Github, commit: &str, name: &str) -> Result<Listed<CheckRun>, GithubError> {
    let task = Task { doing: "read earlier check runs", needs: Permission::ChecksRead };
    let route = github.route(["commits", commit, "check-runs"]).with("check_name", name);
    // Without the filter a re-run hides the runs before it, which are builds as well.
    let route = route.with("filter", "all").with("per_page", PER_COMMIT);
    github.list(task, route, Some("check_runs"), 1).await
}

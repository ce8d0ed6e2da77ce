//! Comments of a pull request.

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::github::{Github, GithubError, Listed, Permission, Route, Task};

/// Characters that a comment may have.
pub const MAX_BODY: usize = 65_536;
/// Pages of a hundred comments that are asked for at the same time, at most.
const AT_ONCE: usize = 8;
/// What apps write as, and so a job's own token.
const BOT: &str = "Bot";

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

/// A page of a hundred comments of a pull request, the oldest first; `number` is from 1. One after the last is empty.
///
/// # Errors
/// As [`Github::list`].
pub async fn page(github: &Github, pull_request: u64, number: usize) -> Result<Listed<Comment>, GithubError> {
    let task = Task { doing: "read the comments of the pull request", needs: Permission::PullRequestsWrite };
    let route = github.route(["issues", &pull_request.to_string(), "comments"]).with("per_page", "100");
    github.list(task, route.with("page", &number.to_string()), None, 1).await
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

/// Sees to it that a pull request has one comment that holds `marker`, and that it is `body`, which holds it too.
///
/// Runs that do the same at the same time agree without knowing of each other: of several comments the oldest stays, and
/// each run removes its own. Comments of people are never touched, whatever they hold.
///
/// # Errors
/// If GitHub refuses or fails. A comment that may have been written is looked for before another one is.
pub async fn keep_one(github: &Github, pull_request: u64, marker: &str, body: &str) -> Result<(), GithubError> {
    let own = Own { github, pull_request, marker, person: OnceCell::new() };
    match own.find().await?.as_slice() {
        [] => own.write(body).await,
        [first, others @ ..] => {
            update(github, *first, body).await?;
            // What a run left that was ended between writing and looking.
            for other in others {
                absent_is_fine(remove(github, *other).await)?;
            }
            Ok(())
        }
    }
}

/// The comments of one workflow and project.
struct Own<'a> {
    github: &'a Github,
    pull_request: u64,
    marker: &'a str,
    /// Whose token it is, once that was asked for.
    person: OnceCell<Option<String>>,
}

impl Own<'_> {
    /// Their numbers, the oldest first.
    ///
    /// GitHub lists comments by their age and in no other order ("List issue comments"), and who did not see all of them
    /// must not write another one. So every page is read until there is one of ours, and the page after it: runs at the same
    /// time write one below the other. Twice as many pages at once each time, so that a few comments cost one request and
    /// thousands a few seconds.
    async fn find(&self) -> Result<Vec<u64>, GithubError> {
        let mut own = Vec::new();
        let (mut next, mut width) = (1, 1);
        loop {
            let pages = (next..next + width).map(|number| page(self.github, self.pull_request, number));
            for page in try_join_all(pages).await? {
                let is_last = !own.is_empty() || !page.more;
                own.extend(self.among(&page.entries).await);
                if is_last {
                    own.sort_unstable();
                    return Ok(own);
                }
            }
            next += width;
            width = (next - 1).min(AT_ONCE);
        }
    }

    /// The numbers of those that are ours.
    async fn among(&self, comments: &[Comment]) -> Vec<u64> {
        let marked: Vec<&Comment> = comments.iter().filter(|comment| comment.body.starts_with(self.marker)).collect();
        let is_bots = |comment: &Comment| comment.user.as_ref().is_some_and(|user| user.kind == BOT);
        // A person's token writes as that person; a job's cannot say who it is, and writes as a bot.
        let person = if marked.iter().any(|comment| !is_bots(comment)) {
            self.person.get_or_init(|| who(self.github)).await.as_deref()
        } else {
            None
        };
        let is_ours = |comment: &Comment| match (&comment.user, person) {
            (Some(user), Some(person)) => user.login == person,
            _ => is_bots(comment),
        };
        marked.into_iter().filter(|comment| is_ours(comment)).map(|comment| comment.id).collect()
    }

    /// Writes the first one, and sees whether another run has done so meanwhile.
    async fn write(&self, body: &str) -> Result<(), GithubError> {
        let written = match create(self.github, self.pull_request, body).await {
            Ok(comment) => comment.id,
            // Whether it is there, GitHub knows.
            Err(error) if error.is_ambiguous() => match self.find().await.as_deref() {
                Ok([.., id]) => *id,
                Ok([]) => create(self.github, self.pull_request, body).await?.id,
                // The first error says more.
                Err(_) => return Err(error),
            },
            Err(error) => return Err(error),
        };
        match self.find().await?.first() {
            Some(oldest) if *oldest < written => {
                update(self.github, *oldest, body).await?;
                absent_is_fine(remove(self.github, written).await)
            }
            _ => Ok(()),
        }
    }
}

/// The person whose token this is, if it is a person's.
async fn who(github: &Github) -> Option<String> {
    let task = Task { doing: "see whose token it is", needs: Permission::PullRequestsWrite };
    github.get::<User>(task, &Route::new(["user"])).await.ok().map(|user| user.login)
}

fn absent_is_fine(removed: Result<(), GithubError>) -> Result<(), GithubError> {
    match removed {
        Err(GithubError::NotFound { .. }) => Ok(()),
        other => other,
    }
}

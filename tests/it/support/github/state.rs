//! What is in the fake: check runs, commits, comments; for what it stores, see `storage`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::contract::Call;
use super::storage::Storage;

/// Whoever has the token of a job.
pub(crate) const ACTIONS: &str = "github-actions[bot]";

#[derive(Default)]
pub(crate) struct State {
    last_id: u64,
    /// The oldest first.
    pub(crate) checks: Vec<Value>,
    /// By branch, the newest commit first.
    pub(crate) commits: BTreeMap<String, Vec<String>>,
    /// By number of the pull request, the oldest first.
    pub(crate) comments: BTreeMap<u64, Vec<Value>>,
    pub(crate) storage: Storage,
}

/// An answer, before it is written.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// The entries of a list, of which a page is sent in `body` or in its field of this name.
    pub(crate) list: Option<(Option<&'static str>, Vec<Value>)>,
}

impl Answer {
    pub(crate) fn new(status: u16, body: Value) -> Self {
        Self { status, body, list: None }
    }

    pub(crate) fn not_found() -> Self {
        Self::new(404, error("Not Found"))
    }

    pub(super) fn list(key: Option<&'static str>, entries: Vec<Value>) -> Self {
        Self { status: 200, body: Value::Null, list: Some((key, entries)) }
    }
}

impl State {
    pub(super) fn carry_out(&mut self, call: &Call<'_>, body: &Value) -> Answer {
        let number = |name: &str| call.path[name].parse::<u64>().unwrap();
        match call.id() {
            "checks/create" => Answer::new(201, self.add_check(body, "github-actions")),
            "checks/list-for-ref" => self.checks_of(call),
            "repos/list-commits" => self.commits_of(call),
            "issues/list-comments" => {
                Answer::list(None, self.comments.get(&number("issue_number")).cloned().unwrap_or_default())
            }
            "issues/create-comment" => {
                let comment = self.add_comment(number("issue_number"), body["body"].as_str().unwrap(), ACTIONS);
                Answer::new(201, comment)
            }
            "issues/update-comment" => match self.comment(number("comment_id")) {
                Some(comment) => {
                    comment["body"] = body["body"].clone();
                    Answer::new(200, comment.clone())
                }
                None => Answer::not_found(),
            },
            "issues/delete-comment" => {
                let id = number("comment_id");
                if self.comment(id).is_none() {
                    return Answer::not_found();
                }
                self.comments.values_mut().for_each(|comments| comments.retain(|comment| comment["id"] != id));
                Answer::new(204, Value::Null)
            }
            // A job's token is nobody in particular.
            "users/get-authenticated" => Answer::new(403, error("Resource not accessible by integration")),
            other => self.storage.carry_out(call).unwrap_or_else(|| panic!("the fake cannot {other}")),
        }
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// A check run with the fields of a request to create one.
    pub(crate) fn add_check(&mut self, body: &Value, app: &str) -> Value {
        let id = self.next_id();
        let text = |name: &str| body["output"].get(name).cloned().unwrap_or_default();
        let field = |name: &str| body.get(name).cloned().unwrap_or_default();
        let check = json!({
            "id": id, "node_id": format!("CR_{id}"), "name": field("name"), "head_sha": field("head_sha"),
            "url": format!("https://api.github.com/repos/org/watchparty/check-runs/{id}"), "html_url": null,
            "details_url": field("details_url"), "external_id": field("external_id"), "status": "completed",
            "conclusion": field("conclusion"), "started_at": field("started_at"), "completed_at": field("completed_at"),
            "output": {
                "title": text("title"), "summary": text("summary"), "text": text("text"), "annotations_count": 0,
                "annotations_url": format!("https://api.github.com/repos/org/watchparty/check-runs/{id}/annotations"),
            },
            "check_suite": {"id": 1}, "app": integration(app), "pull_requests": [],
        });
        self.checks.push(check.clone());
        check
    }

    fn checks_of(&self, call: &Call<'_>) -> Answer {
        let reference = call.path["ref"].trim_start_matches("heads/");
        let commit = self.commits.get(reference).and_then(|commits| commits.first()).map_or(reference, String::as_str);
        let name = call.query.get("check_name");
        let found = self.checks.iter().rev().filter(|check| check["head_sha"] == *commit);
        let found = found.filter(|check| name.is_none_or(|name| check["name"] == **name));
        Answer::list(Some("check_runs"), found.cloned().collect())
    }

    fn commits_of(&self, call: &Call<'_>) -> Answer {
        let Some(reference) = call.query.get("sha") else { panic!("which branch?") };
        match self.commits.get(reference.trim_start_matches("refs/heads/")) {
            Some(commits) => {
                let parents = commits.iter().skip(1).map(Some).chain([None]);
                Answer::list(
                    None,
                    commits.iter().zip(parents).map(|(commit, parent)| commit_of(commit, parent)).collect(),
                )
            }
            None => Answer::not_found(),
        }
    }

    pub(crate) fn add_comment(&mut self, pull_request: u64, body: &str, login: &str) -> Value {
        let id = self.next_id();
        let comment = json!({
            "id": id, "node_id": format!("IC_{id}"), "body": body, "user": user(login),
            "url": format!("https://api.github.com/repos/org/watchparty/issues/comments/{id}"),
            "html_url": format!("https://github.com/org/watchparty/pull/{pull_request}#issuecomment-{id}"),
            "issue_url": format!("https://api.github.com/repos/org/watchparty/issues/{pull_request}"),
            "created_at": "2026-03-14T11:18:00Z", "updated_at": "2026-03-14T11:18:00Z",
            "author_association": "NONE", "performed_via_github_app": null,
        });
        self.comments.entry(pull_request).or_default().push(comment.clone());
        comment
    }

    fn comment(&mut self, id: u64) -> Option<&mut Value> {
        self.comments.values_mut().flatten().find(|comment| comment["id"] == id)
    }
}

pub(super) fn error(message: &str) -> Value {
    json!({"message": message, "documentation_url": "https://docs.github.com/rest"})
}

fn user(login: &str) -> Value {
    let url = |end: &str| format!("https://api.github.com/users/{}{end}", login.replace(['[', ']'], "-"));
    json!({
        "login": login, "id": 41_898_282, "node_id": "U_1", "avatar_url": url("/avatar"), "gravatar_id": "", "url": url(""),
        "html_url": url("/html"), "followers_url": url("/followers"), "following_url": url("/following"),
        "gists_url": url("/gists"), "starred_url": url("/starred"), "subscriptions_url": url("/subscriptions"),
        "organizations_url": url("/orgs"), "repos_url": url("/repos"), "events_url": url("/events"),
        "received_events_url": url("/received_events"), "site_admin": false,
        "type": if login.ends_with("[bot]") { "Bot" } else { "User" },
    })
}

fn integration(slug: &str) -> Value {
    json!({
        "id": 15_368, "slug": slug, "node_id": "A_1", "owner": user("github"), "name": "GitHub Actions", "description": null,
        "external_url": "https://help.github.com/actions", "html_url": "https://github.com/apps/github-actions",
        "created_at": "2018-07-30T09:30:17Z", "updated_at": "2019-12-10T19:04:12Z", "permissions": {}, "events": [],
    })
}

fn commit_of(sha: &str, parent: Option<&String>) -> Value {
    let url = format!("https://api.github.com/repos/org/watchparty/commits/{sha}");
    json!({
        "sha": sha, "node_id": "C_1", "url": url, "html_url": url, "comments_url": url, "author": null, "committer": null,
        "parents": parent.map(|parent| json!({"sha": parent, "url": url})).into_iter().collect::<Vec<_>>(),
        "commit": {"url": url, "author": null, "committer": null, "message": "m", "comment_count": 0,
            "tree": {"sha": sha, "url": url}},
    })
}

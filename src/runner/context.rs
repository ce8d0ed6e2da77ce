//! Where and for what the program runs: the runner's variables and the event, or a terminal.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::runner::{Environment, git};

/// Where GitHub puts what is in a merge queue. Nobody else can push there.
const QUEUED: &str = "refs/heads/gh-readonly-queue/";

/// What is known of the run. Everything but the workspace can be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Whether a GitHub runner started the program (`GITHUB_ACTIONS`).
    pub on_runner: bool,
    /// The checked-out repository as this process sees it, absolute; the working directory if there is no runner.
    pub workspace: PathBuf,
    /// The same directory as the host sees it, as far as the runner says so.
    pub host_workspace: Option<PathBuf>,
    /// `push`, `pull_request`, `workflow_dispatch`, …
    pub event: Option<String>,
    /// The commit that the run is about; for a pull request its head, not the merge commit of `GITHUB_SHA`. For
    /// `pull_request_target` the head only if it is checked out.
    pub head_commit: Option<String>,
    /// `owner/name`.
    pub repository: Option<String>,
    /// The full reference: `refs/heads/main`, `refs/pull/42/merge`.
    pub reference: Option<String>,
    /// The branch that a pull request or a merge group goes to.
    pub base_branch: Option<String>,
    /// The repository's default branch, as the event tells it.
    pub default_branch: Option<String>,
    /// The number of the pull request.
    pub pull_request: Option<u64>,
    /// The page of this run and attempt.
    pub run_url: Option<String>,
    /// Whether debug logging is switched on (`RUNNER_DEBUG`).
    pub debug: bool,
    /// Who runs the machine.
    pub runner: Option<RunnerKind>,
    /// The runner's name.
    pub runner_name: Option<String>,
}

/// Who runs the machine that the job runs on (`RUNNER_ENVIRONMENT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunnerKind {
    /// GitHub.
    GithubHosted,
    /// Somebody else.
    SelfHosted,
}

impl Context {
    /// Reads the context and what it is worth to warn about: a missing or broken event file never fails a build.
    ///
    /// `directory` is the working directory, absolute.
    pub fn read(environment: &Environment, directory: &Path) -> (Self, Vec<String>) {
        let (event, warnings) = match read_event(environment) {
            Ok(event) => (event, Vec::new()),
            Err(warning) => (Value::Null, vec![warning]),
        };
        let mut context = Self::new(environment, directory, &event);
        if context.head_commit.is_none() && !context.on_runner {
            context.head_commit = git::head_commit(&context.workspace);
        }
        if context.event.as_deref() == Some("pull_request_target") {
            // The event is of the base branch, and so is what is checked out, unless the workflow says otherwise.
            let head = event.pointer("/pull_request/head/sha").and_then(Value::as_str).map(str::to_owned);
            let checked_out = head.filter(|head| git::head_commit(&context.workspace).as_ref() == Some(head));
            context.head_commit = checked_out.or(context.head_commit);
        }
        (context, warnings)
    }

    fn new(environment: &Environment, directory: &Path, event: &Value) -> Self {
        let variable = |name| environment.non_empty(name).map(str::to_owned);
        let workspace = directory.join(environment.non_empty("GITHUB_WORKSPACE").unwrap_or_default());
        Self {
            on_runner: environment.get("GITHUB_ACTIONS") == Some("true"),
            host_workspace: host_workspace(environment, &workspace),
            workspace: workspace.components().collect(),
            event: variable("GITHUB_EVENT_NAME"),
            head_commit: head_commit(environment, event),
            repository: variable("GITHUB_REPOSITORY"),
            reference: variable("GITHUB_REF"),
            base_branch: variable("GITHUB_BASE_REF")
                .or_else(|| merge_base(event))
                .or_else(|| queued_for(environment.non_empty("GITHUB_REF")?)),
            default_branch: event.pointer("/repository/default_branch").and_then(Value::as_str).map(str::to_owned),
            pull_request: event.pointer("/pull_request/number").and_then(Value::as_u64),
            run_url: run_url(environment),
            debug: environment.get("RUNNER_DEBUG") == Some("1"),
            runner: match environment.get("RUNNER_ENVIRONMENT") {
                Some("github-hosted") => Some(RunnerKind::GithubHosted),
                Some("self-hosted") => Some(RunnerKind::SelfHosted),
                _ => None,
            },
            runner_name: variable("RUNNER_NAME"),
        }
    }

    /// Whether it is about a branch that GitHub made for a merge queue.
    pub fn is_queued(&self) -> bool {
        self.reference.as_deref().is_some_and(|reference| reference.starts_with(QUEUED))
    }

    /// The base name of the workspace on the host, which `docker compose` there would take as the project's name.
    pub fn host_directory_name(&self) -> Option<String> {
        let path = self.host_workspace.as_deref().unwrap_or(&self.workspace);
        path.file_name().map(|name| name.to_string_lossy().into_owned())
    }
}

/// In a container action `GITHUB_WORKSPACE` is translated and `RUNNER_WORKSPACE` is not; the checkout is a directory of the
/// latter, with the name of the repository.
fn host_workspace(environment: &Environment, workspace: &Path) -> Option<PathBuf> {
    let parent = Path::new(environment.non_empty("RUNNER_WORKSPACE")?);
    if workspace.starts_with(parent) {
        return Some(workspace.to_owned());
    }
    let (_, name) = environment.non_empty("GITHUB_REPOSITORY")?.split_once('/')?;
    Some(parent.join(name))
}

/// `GITHUB_SHA` is a merge commit for the events of a pull request that check one out, and a merge group has its own head.
fn head_commit(environment: &Environment, event: &Value) -> Option<String> {
    let pointer = match environment.get("GITHUB_EVENT_NAME") {
        Some("pull_request" | "pull_request_review" | "pull_request_review_comment") => Some("/pull_request/head/sha"),
        Some("merge_group") => Some("/merge_group/head_sha"),
        _ => None,
    };
    pointer
        .and_then(|pointer| event.pointer(pointer)?.as_str())
        .or_else(|| environment.non_empty("GITHUB_SHA"))
        .map(str::to_owned)
}

/// The branch that a merge group goes to: `GITHUB_BASE_REF` is for pull requests only.
fn merge_base(event: &Value) -> Option<String> {
    event.pointer("/merge_group/base_ref")?.as_str()?.strip_prefix("refs/heads/").map(str::to_owned)
}

/// The same of a branch of a merge queue, of which a push does not tell more: `refs/heads/gh-readonly-queue/main/pr-7-<commit>`.
fn queued_for(reference: &str) -> Option<String> {
    let (branch, _) = reference.strip_prefix(QUEUED)?.rsplit_once("/pr-")?;
    Some(branch.to_owned())
}

fn run_url(environment: &Environment) -> Option<String> {
    let server = environment.non_empty("GITHUB_SERVER_URL")?.trim_end_matches('/');
    let repository = environment.non_empty("GITHUB_REPOSITORY")?;
    let run = environment.non_empty("GITHUB_RUN_ID")?;
    let attempt = environment
        .non_empty("GITHUB_RUN_ATTEMPT")
        .filter(|attempt| *attempt != "1")
        .map(|attempt| format!("/attempts/{attempt}"))
        .unwrap_or_default();
    Some(format!("{server}/{repository}/actions/runs/{run}{attempt}"))
}

fn read_event(environment: &Environment) -> Result<Value, String> {
    let Some(path) = environment.non_empty("GITHUB_EVENT_PATH") else {
        return Ok(Value::Null);
    };
    let text = fs::read_to_string(path).map_err(|error| format!("could not read the event file `{path}`: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("the event file `{path}` is not valid JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use serde_json::json;

    use super::{Context, RunnerKind};
    use crate::runner::Environment;

    fn container() -> Vec<(&'static str, &'static str)> {
        vec![
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_WORKSPACE", "/github/workspace"),
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_REPOSITORY", "octo/watchparty"),
            ("GITHUB_REF", "refs/pull/42/merge"),
            ("GITHUB_BASE_REF", "main"),
            ("GITHUB_SHA", "merge"),
            ("GITHUB_RUN_ID", "7"),
            ("GITHUB_RUN_ATTEMPT", "2"),
            ("GITHUB_EVENT_NAME", "pull_request"),
            ("RUNNER_WORKSPACE", "/home/runner/work/watchparty"),
            ("RUNNER_ENVIRONMENT", "github-hosted"),
            ("RUNNER_NAME", "GitHub Actions 3"),
            ("RUNNER_DEBUG", "1"),
        ]
    }

    #[test]
    fn reads_a_pull_request_in_a_container() {
        let event = json!({
            "pull_request": {"number": 42, "head": {"sha": "head"}},
            "repository": {"default_branch": "trunk"},
        });
        let context = Context::new(&container().into_iter().collect(), Path::new("/github/workspace"), &event);
        assert_eq!(
            context,
            Context {
                on_runner: true,
                workspace: PathBuf::from("/github/workspace"),
                host_workspace: Some(PathBuf::from("/home/runner/work/watchparty/watchparty")),
                event: Some("pull_request".to_owned()),
                head_commit: Some("head".to_owned()),
                repository: Some("octo/watchparty".to_owned()),
                reference: Some("refs/pull/42/merge".to_owned()),
                base_branch: Some("main".to_owned()),
                default_branch: Some("trunk".to_owned()),
                pull_request: Some(42),
                run_url: Some("https://github.com/octo/watchparty/actions/runs/7/attempts/2".to_owned()),
                debug: true,
                runner: Some(RunnerKind::GithubHosted),
                runner_name: Some("GitHub Actions 3".to_owned()),
            }
        );
        assert_eq!(context.host_directory_name().as_deref(), Some("watchparty"));
    }

    #[test]
    fn the_head_commit_follows_the_event() {
        for (event_name, event, expected) in [
            ("push", json!({"after": "x"}), "merge"),
            ("pull_request", json!({"pull_request": {"head": {"sha": 7}}}), "merge"),
            ("pull_request_review", json!({"pull_request": {"head": {"sha": "head"}}}), "head"),
            ("pull_request_target", json!({"pull_request": {"head": {"sha": "head"}}}), "merge"),
            ("merge_group", json!({"merge_group": {"head_sha": "group"}}), "group"),
            ("workflow_dispatch", json!(null), "merge"),
        ] {
            let environment = container().into_iter().chain([("GITHUB_EVENT_NAME", event_name)]).collect();
            let context = Context::new(&environment, Path::new("/"), &event);
            assert_eq!(context.head_commit.as_deref(), Some(expected), "{event_name}");
        }
    }

    #[test]
    fn a_merge_group_goes_to_a_branch() {
        let environment = || container().into_iter().filter(|(name, _)| *name != "GITHUB_BASE_REF").collect();
        let of = |event| Context::new(&environment(), Path::new("/"), &event).base_branch;
        let group = |base| json!({"merge_group": {"head_sha": "group", "base_ref": base}});
        assert_eq!(of(group("refs/heads/release/1")).as_deref(), Some("release/1"));
        assert_eq!([of(group("release")), of(json!({}))], [None, None]);
    }

    #[test]
    fn a_push_of_a_merge_queues_branch_goes_where_its_name_says() {
        for (reference, expected) in [
            ("refs/heads/gh-readonly-queue/main/pr-7-0123", Some("main")),
            ("refs/heads/gh-readonly-queue/release/pr-1/pr-7-0123", Some("release/pr-1")),
            ("refs/heads/gh-readonly-queue/main", None),
            ("refs/heads/main", None),
        ] {
            let of_it = [("GITHUB_EVENT_NAME", "push"), ("GITHUB_REF", reference)];
            let environment = container().into_iter().filter(|(name, _)| *name != "GITHUB_BASE_REF").chain(of_it);
            let context = Context::new(&environment.collect(), Path::new("/"), &json!({}));
            assert_eq!((context.base_branch.as_deref(), context.is_queued()), (expected, reference.contains("queue")));
        }
    }

    #[test]
    fn the_target_of_a_pull_request_is_no_build_of_its_head_unless_that_is_checked_out() {
        let root = tempfile::tempdir().unwrap();
        let (head, base) = ("0123456789012345678901234567890123456789", "9876543210987654321098765432109876543210");
        let path = root.path().join("event.json");
        std::fs::write(&path, json!({"pull_request": {"number": 42, "head": {"sha": head}}}).to_string()).unwrap();
        std::fs::create_dir(root.path().join(".git")).unwrap();
        for (checked_out, expected) in [(base, "merge"), (head, head), ("ref: refs/heads/none", "merge")] {
            std::fs::write(root.path().join(".git/HEAD"), checked_out).unwrap();
            let environment = container().into_iter().chain([
                ("GITHUB_EVENT_NAME", "pull_request_target"),
                ("GITHUB_EVENT_PATH", path.to_str().unwrap()),
                ("GITHUB_WORKSPACE", root.path().to_str().unwrap()),
            ]);
            let (context, _) = Context::read(&environment.collect(), Path::new("/"));
            assert_eq!((context.head_commit.as_deref(), context.pull_request), (Some(expected), Some(42)));
        }
    }

    #[test]
    fn works_at_a_terminal() {
        let root = tempfile::tempdir().unwrap();
        let commit = "0123456789012345678901234567890123456789";
        std::fs::create_dir(root.path().join(".git")).unwrap();
        std::fs::write(root.path().join(".git/HEAD"), commit).unwrap();
        let (context, warnings) = Context::read(&Environment::default(), root.path());
        assert_eq!((context.on_runner, &context.workspace), (false, &root.path().to_owned()));
        assert_eq!((context.head_commit.as_deref(), context.run_url, warnings.len()), (Some(commit), None, 0));
    }

    #[test]
    fn a_bad_event_file_is_a_warning() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("event.json");
        let environment =
            || container().into_iter().chain([("GITHUB_EVENT_PATH", path.to_str().unwrap())]).collect::<Environment>();
        let (context, warnings) = Context::read(&environment(), root.path());
        assert_eq!(context.head_commit.as_deref(), Some("merge"));
        assert!(warnings[0].starts_with("could not read the event file"), "{warnings:?}");
        std::fs::write(&path, "{").unwrap();
        let (_, warnings) = Context::read(&environment(), root.path());
        assert!(warnings[0].contains("is not valid JSON: EOF while parsing an object at line 1"), "{warnings:?}");
    }

    #[test]
    fn a_self_hosted_runner_outside_a_container_keeps_its_paths() {
        let environment = container()
            .into_iter()
            .chain([("GITHUB_WORKSPACE", "/home/runner/work/watchparty/watchparty"), ("GITHUB_RUN_ATTEMPT", "1")])
            .collect();
        let context = Context::new(&environment, Path::new("/"), &json!(null));
        assert_eq!(context.host_workspace, Some(context.workspace));
        assert_eq!(context.run_url.as_deref(), Some("https://github.com/octo/watchparty/actions/runs/7"));
    }
}

//! What GitHub is told of a build, and what is done where it cannot be told.

mod build;
mod client;
mod told;

use serde_json::{Value, json};

use crate::support::github::{FakeGithub, TOKEN};
use crate::support::{Action, Engine, Project, engine, unique};

const HEAD: &str = "0123456789abcdef0123456789abcdef01234567";
const BASE: &str = "fedcba9876543210fedcba9876543210fedcba98";

/// A project of its own, and what builds it.
struct Scene {
    engine: Engine,
    project: Project,
    tag: String,
    event: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let tag = unique("github");
        let project = Project::new(&[("Dockerfile", &format!("FROM busybox:1.36\nRUN echo {tag}\n"))]);
        Self { engine: engine("28-graph"), project, tag, event: tempfile::tempdir().unwrap() }
    }

    /// A push to `main`.
    fn push(&self, github: &FakeGithub) -> Action {
        Action::new(&self.engine, self.project.path())
            .variable("GITHUB_API_URL", github.url())
            .variable("GITHUB_WORKFLOW", "CI")
            .variable("RUNNER_OS", "Linux")
            .variable("RUNNER_ARCH", "X64")
            .input("github-token", TOKEN)
            .input("tags", &self.tag)
    }

    /// Number 42, from `HEAD` to `main`.
    fn pull_request(&self, github: &FakeGithub) -> Action {
        let path = self.event.path().join("event.json");
        let event =
            json!({"pull_request": {"number": 42, "head": {"sha": HEAD}}, "repository": {"default_branch": "main"}});
        std::fs::write(&path, event.to_string()).unwrap();
        self.push(github)
            .variable("GITHUB_EVENT_NAME", "pull_request")
            .variable("GITHUB_REF", "refs/pull/42/merge")
            .variable("GITHUB_BASE_REF", "main")
            .variable("GITHUB_SHA", "feedfacefeedfacefeedfacefeedfacefeedface")
            .variable("GITHUB_EVENT_PATH", path.to_str().unwrap())
    }

    fn check_name(&self) -> String {
        format!("watchparty-cache / {} (CI)", self.tag)
    }
}

/// The build record of a check run.
fn record(check: &Value) -> Value {
    let text = check["output"]["text"].as_str().unwrap();
    let (_, json) = text.split_once("<!-- watchparty-cache build record\n").unwrap();
    let (json, end) = json.split_once("\n-->").unwrap();
    assert_eq!(end.trim(), "");
    serde_json::from_str(json).unwrap()
}

/// A build record on `main`, as a check run of `app`.
fn remembered(github: &FakeGithub, scene: &Scene, like: &Value, app: &str, change: &Value) {
    let mut record = like.clone();
    record.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let text = format!("<!-- watchparty-cache build record\n{record}\n-->\n");
    let body = json!({"name": scene.check_name(), "head_sha": BASE, "conclusion": "success",
        "output": {"title": "t", "summary": "s", "text": text}});
    github.state(|state| drop(state.add_check(&body, app)));
}

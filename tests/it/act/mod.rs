//! The workflows that the documentation shows, run by `act` with the action's image, to the letter: those of the example, which
//! are the README's and build, build again, clear and build; `push`, the README's other one; and `clearing`, those of
//! `docs/clearing.md` and the repository's own button.
//!
//! `act` reads workflows as GitHub does, expressions, `with:` and outputs of steps included; what it does differently from
//! the runner is why `runner` exists: the workspace is at its host's path, and commands have no limits.

mod clearing;
mod push;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Engine, docker};

/// A repository with workflows, and an action that has the image that is tested.
struct Repository {
    directory: TempDir,
    action: TempDir,
    program: String,
    engine: Engine,
}

/// What a step with an id left, and what the job printed.
struct Run {
    outputs: BTreeMap<String, String>,
    summary: String,
    log: String,
}

impl Repository {
    /// The example.
    fn of_the_example() -> Self {
        Self::of(|directory| {
            run("cp", &["-r", "--no-target-directory", "examples/watchparty", &path(directory)], root());
        })
    }

    /// What is written into its directory, checked in.
    fn of(write: impl FnOnce(&Path)) -> Self {
        let act = std::env::var("WATCHPARTY_TEST_ACT")
            .expect("WATCHPARTY_TEST_ACT is unset: run the tests with scripts/test, which installs act");
        let (program, address) = act.split_once('=').unwrap();
        let engine = Engine { name: "28-containerd".to_owned(), address: address.to_owned() };
        // What lies beside the socket is at the same path for the engine: `act --bind` mounts it.
        let beside = Path::new(address.strip_prefix("unix://").unwrap()).parent().unwrap();
        let (directory, action) = (tempfile::tempdir_in(beside).unwrap(), tempfile::tempdir().unwrap());
        write(directory.path());
        run("git", &["init", "--quiet", "--initial-branch=main"], directory.path());
        fs::write(action.path().join("action.yml"), released_manifest(&engine)).unwrap();
        let repository = Self { directory, action, program: program.to_owned(), engine };
        repository.commit();
        repository
    }

    /// The path of a file in it, which is written.
    fn write(&self, name: &str, text: &str) -> String {
        let file = self.directory.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        path(&file)
    }

    /// Checks everything in.
    fn commit(&self) {
        run("git", &["add", "--all"], self.directory.path());
        let author = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"];
        let commit = ["commit", "--quiet", "--message", "The watch party"];
        run("git", &[&author[..], &commit].concat(), self.directory.path());
    }

    /// Runs one workflow to a good end.
    fn act(&self, event: &str, workflow: &str, arguments: &[&str]) -> Run {
        let mut command = Command::new(&self.program);
        command.args([event, "--workflows", workflow]).args(arguments).args(["--json", "--no-cache-server"]);
        // Any image with a shell is a job's; the engine can pull none.
        for label in ["self-hosted", "ubuntu-24.04"] {
            command.arg("--platform").arg(format!("{label}=python:3.11-slim"));
        }
        command.args(["--pull=false", "--action-offline-mode"]);
        // `act` would mask what the program fails to, and no test could see it.
        command.arg("--insecure-secrets");
        command.args(["--container-daemon-socket", &self.engine.address]);
        command.arg("--local-repository").arg(format!("org/watchparty-cache@v1={}", path(self.action.path())));
        // Settings of this machine are none of the example's.
        let home = self.action.path();
        command.env("HOME", home).env("XDG_CACHE_HOME", home).env("XDG_CONFIG_HOME", home);
        command.env("DOCKER_HOST", &self.engine.address).env("DOCKER_CONFIG", home);
        let output = command.current_dir(self.directory.path()).output().unwrap();
        let log = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = format!("{log}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{told}");
        Run::read(&log)
    }

    fn images(&self, pattern: &str) -> Vec<String> {
        let filter = format!("reference={pattern}");
        let list = docker(&self.engine, &["image", "ls", "--filter", &filter, "--format", "{{.Repository}}:{{.Tag}}"]);
        let mut names: Vec<String> = list.lines().map(str::to_owned).collect();
        // The engine lists the newest first, and images that are built side by side are done in any order.
        names.sort();
        names
    }
}

impl Run {
    /// What `act --json` prints: a line each for an output, a summary, a line of the log.
    fn read(log: &str) -> Self {
        let mut run = Self { outputs: BTreeMap::new(), summary: String::new(), log: String::new() };
        for line in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let text = |name: &str| line[name].as_str().unwrap_or_default();
            match text("command") {
                "set-output" => drop(run.outputs.insert(text("name").to_owned(), text("arg").to_owned())),
                "summary" => run.summary.push_str(text("content")),
                _ => run.log.push_str(text("msg")),
            }
        }
        run
    }

    #[track_caller]
    fn output(&self, name: &str) -> &str {
        self.outputs.get(name).unwrap_or_else(|| panic!("no output '{name}' in {:?}", self.outputs))
    }
}

#[test]
fn the_examples_workflows_build_clear_and_build_again() {
    let repository = Repository::of_the_example();
    let build = || repository.act("push", ".github/workflows/build.yml", &[]);
    let cached = |run: &Run| (run.output("steps-cached").to_owned(), run.output("steps-total").to_owned());
    let pair = |cached: &str, total: &str| (cached.to_owned(), total.to_owned());

    let first = build();
    assert_eq!(cached(&first), pair("0", "12"));
    assert!(first.summary.contains("`backend`") && first.summary.contains("`frontend`"), "{}", first.summary);
    assert!(first.log.contains("0 of 12 steps were cached"), "a later step reads the outputs: {}", first.log);
    let images = ["watchparty-backend:latest", "watchparty-frontend:latest"];
    assert_eq!(repository.images("watchparty-*"), images);

    let again = build();
    assert_eq!(cached(&again), pair("12", "12"));
    assert_ne!(again.output("cache-source"), "none");

    let clear = |dry: &str| {
        let input = format!("dry-run={dry}");
        repository.act("workflow_dispatch", ".github/workflows/clear-caches.yml", &["--input", &input])
    };
    let dry = clear("true");
    assert_eq!(repository.images("watchparty-*"), images, "{}", dry.summary);
    let cleared = clear("false");
    assert_eq!(cleared.output("verified"), "true", "{}", cleared.summary);
    assert!(repository.images("watchparty-*").is_empty() && repository.images("watchparty-cache/stage").is_empty());
    // The job's own image and the action's are in use, and others' are not in the pattern.
    assert_eq!(repository.images("python").len() + repository.images("5c1a3e").len(), 2);

    let fresh = build();
    assert_eq!((cached(&fresh), fresh.output("cache-source")), (pair("0", "12"), "none"));
}

/// The action as a release has it: it names an image.
fn released_manifest(engine: &Engine) -> String {
    let manifest = fs::read_to_string(root().join("action.yml")).unwrap();
    let image = crate::runner::action_image(engine);
    let released = manifest.replace("image: Dockerfile", &format!("image: docker://{image}"));
    assert_ne!(manifest, released);
    released
}

/// The workflow of this name that a page of the documentation shows.
fn shown(page: &str, name: &str) -> String {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let mut blocks = text.split("```yaml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0.to_owned()));
    blocks.find(|block| block.starts_with(&format!("name: {name}\n"))).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

fn run(program: &str, arguments: &[&str], directory: &Path) {
    let output = Command::new(program).args(arguments).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

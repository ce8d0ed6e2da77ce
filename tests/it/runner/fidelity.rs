//! The simulated runner itself, with a script in the place of Docker's client: what it is started with, and how it ends.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::simulator::{Directories, Ended, Finished, Level, Manifest, Step, Summary};

/// A client that does what the text says, and the runner that starts it.
struct Scene {
    root: TempDir,
    directories: Directories,
}

impl Scene {
    fn new(script: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let docker = root.path().join("docker");
        // $commands: where the files are that a step writes for the runner.
        let mounts = "for word; do case $word in *:/github/file_commands) commands=${word%%:*};; esac; done";
        fs::write(&docker, format!("#!/bin/sh\n{mounts}\n{script}\n")).unwrap();
        fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).unwrap();
        let directories = Directories::make(root.path(), None);
        Self { root, directories }
    }

    fn step(&self) -> Step {
        let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/action.yml")).unwrap();
        let docker = self.root.path().join("docker");
        let image = "ghcr.io/org/watchparty-cache:1.2";
        Step::new(&docker, "unix:///nowhere", image, Manifest::parse(&manifest), self.directories.clone())
    }

    /// The step, cancelled as soon as the client has made a file `ready`.
    fn cancelled(&self) -> Finished {
        let ready = self.root.path().join("ready");
        self.step().start(|_line| {}).finish(|| ready.exists())
    }
}

/// The runner's list of what a step gets of the context `github` (`GitHubContext.cs`), but for `action_path`, which
/// composite actions alone have.
const GITHUB: &str = "action action_ref action_repository actor actor_id api_url artifacts artifacts_list base_ref env \
                      event_name event_path graphql_url head_ref job output path ref ref_name ref_protected ref_type \
                      repository repository_id repository_owner repository_owner_id retention_days run_attempt run_id \
                      run_number server_url sha state step_summary triggering_actor workflow workflow_ref workflow_sha \
                      workspace";
const RUNNER: &str = "arch environment name os temp tool_cache workspace";

/// `DockerCommandManager.DockerRun`.
#[test]
fn the_command_line_is_the_runners() {
    let scene = Scene::new("printf '%s\\n' \"$@\"");
    let finished = scene.step().network("github_network_1").input("tags", "a b").start(|_line| {}).finish(|| false);
    let words: Vec<&str> = finished.log.iter().map(String::as_str).collect();
    let container = finished.container.as_str();
    let (name, suffix) = container.rsplit_once('_').unwrap();
    assert_eq!(name, "ghcrioorgwatchpartycache12");
    assert!(suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_hexdigit()), "{container}");

    let before = ["run", "--name", container, "--label", "5c1a3e", "--workdir", "/github/workspace", "--rm"];
    let at = |path: &Path, target: &str| format!("{}:{target}", path.display());
    let (work, temp) = (&scene.directories.workspace, &scene.directories.temp);
    let mounts = [
        "/var/run/docker.sock:/var/run/docker.sock".to_owned(),
        at(temp, "/github/runner_temp"),
        at(&temp.join("_github_home"), "/github/home"),
        at(&temp.join("_github_workflow"), "/github/workflow"),
        at(&temp.join("_runner_file_commands"), "/github/file_commands"),
        at(work, "/github/workspace"),
    ];
    let constants = ["-e", "GITHUB_ACTIONS=true", "-e", "CI=true", "--entrypoint", "/watchparty-cache"];
    let mut after: Vec<&str> = [&constants[..], &["--network", "github_network_1"]].concat();
    mounts.iter().for_each(|mount| after.extend(["-v", mount]));
    after.push("ghcr.io/org/watchparty-cache:1.2");

    let rest = words.strip_prefix(&before[..]).unwrap_or_else(|| panic!("{words:?}"));
    let names = rest.strip_suffix(&after[..]).unwrap_or_else(|| panic!("{rest:#?}\n{after:#?}"));
    let (names, flags): (Vec<_>, Vec<_>) = names.chunks(2).map(|pair| (pair[1], pair[0])).unzip();
    assert!(flags.iter().all(|flag| *flag == "-e"), "{flags:?}");
    let (inputs, names): (BTreeSet<&str>, BTreeSet<&str>) =
        names.into_iter().partition(|name| name.starts_with("INPUT_"));
    let all = |prefix: &str, names: &str| -> Vec<String> {
        names.split_whitespace().map(|name| format!("{prefix}_{}", name.to_uppercase())).collect()
    };
    let expected = [all("GITHUB", GITHUB), all("RUNNER", RUNNER), vec!["HOME".to_owned()]].concat();
    assert_eq!(names, expected.iter().map(String::as_str).collect());
    // Dashes are kept, and what has no value is there as well.
    assert!(["INPUT_TAGS", "INPUT_CACHE-FROM", "INPUT_MODE"].iter().all(|name| inputs.contains(name)), "{inputs:?}");
}

#[test]
fn a_summary_over_the_limit_is_an_error_that_fails_nothing() {
    let write = |bytes: usize| {
        Scene::new(&format!("head -c {bytes} /dev/zero | tr '\\0' x > \"$(echo \"$commands\"/step_summary_*)\""))
    };
    let limit = 1024 * 1024;
    let shown = write(limit).step().start(|_line| {}).finish(|| false);
    assert!(matches!(&shown.summary, Summary::Shown(text) if text.len() > limit), "{}", shown.log.join("\n"));
    let over = write(limit + 1).step().start(|_line| {}).finish(|| false);
    assert_eq!((over.summary.clone(), over.succeeded), (Summary::TooLong, true));
    assert_eq!(
        over.messages(Level::Error),
        ["$GITHUB_STEP_SUMMARY upload aborted, supports content up to a size of 1024k"]
    );
}

/// What stands in the files that are behind a switch of GitHub's is nobody's business here.
#[test]
fn what_is_declared_as_an_artifact_is_ignored() {
    let scene = Scene::new("echo 'file:///nothing' >> \"$(echo \"$commands\"/artifacts_*)\"");
    let finished = scene.step().start(|_line| {}).finish(|| false);
    assert!(finished.succeeded && finished.annotations.is_empty(), "{}", finished.log.join("\n"));
}

/// 7.5 s after SIGINT the runner sends SIGTERM, 2.5 s later SIGKILL (`ProcessInvoker.cs`).
#[test]
fn who_does_not_end_is_terminated_and_then_killed() {
    let ready = "touch \"$(dirname \"$0\")/ready\"; exec sleep 60";
    for (ignored, ended, after) in [("INT", Ended::Terminated, 7500), ("INT TERM", Ended::Killed, 10_000)] {
        let finished = Scene::new(&format!("trap '' {ignored}; {ready}")).cancelled();
        assert_eq!((finished.ended, finished.succeeded), (ended, false), "{ignored}");
        let took = finished.cancelled_for.unwrap();
        assert!(took >= Duration::from_millis(after), "{ignored}: {took:?}");
    }
    let finished = Scene::new(ready).cancelled();
    assert_eq!((finished.ended, finished.code), (Ended::Interrupted, None));
}

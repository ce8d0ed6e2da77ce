//! A step that uses the action: the runner's `docker run` (`ContainerActionHandler.cs`, `DockerCommandManager.cs`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::annotation::Annotation;
use super::directories::Directories;
use super::ending::{Ended, Running};
use super::environment;
use super::files::{Files, Summary};
use super::log::Log;
use super::manifest::Manifest;

/// What the container has at `/var/run/docker.sock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Socket {
    /// What the engine's machine has there, as on every runner.
    Mounted,
    /// What the engine's machine has at another path; the engine makes a directory of a path that does not exist.
    From(PathBuf),
    /// Nothing: no runner does so, but a job's `container:` may.
    Absent,
}

/// A step, and the job that it belongs to.
#[derive(Debug)]
pub(crate) struct Step {
    /// Docker's client.
    docker: PathBuf,
    /// The engine that it talks to; the container is not told.
    address: String,
    image: String,
    manifest: Manifest,
    directories: Directories,
    files: Files,
    /// Six hexadecimal digits that are this step's own.
    suffix: String,
    with: BTreeMap<String, String>,
    variables: BTreeMap<String, String>,
    event: String,
    token: String,
    socket: Socket,
    read_only: bool,
    options: Vec<String>,
}

/// How a step ended, and what the runner has read of it.
#[derive(Debug)]
pub(crate) struct Finished {
    /// What `docker run` exited with; none if it was killed.
    pub(crate) code: Option<i32>,
    /// Whether the step counts as one that succeeded.
    pub(crate) succeeded: bool,
    pub(crate) ended: Ended,
    /// How long the end took after the cancellation.
    pub(crate) cancelled_for: Option<Duration>,
    pub(crate) outputs: BTreeMap<String, String>,
    pub(crate) state: BTreeMap<String, String>,
    /// What later steps would find in their environment.
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) summary: Summary,
    /// Where the summary lies, secrets and all.
    pub(crate) summary_file: PathBuf,
    pub(crate) annotations: Vec<Annotation>,
    pub(crate) log: Vec<String>,
    /// The container's name; it is gone by now, if all went well.
    pub(crate) container: String,
}

impl Step {
    /// A step of `image` on the engine at `address`, in these directories, which the engine sees at the same paths.
    pub(crate) fn new(docker: &Path, address: &str, image: &str, manifest: Manifest, directories: Directories) -> Self {
        let suffix = uuid::Uuid::new_v4().simple().to_string().split_off(26);
        Self {
            docker: docker.to_owned(),
            address: address.to_owned(),
            image: image.to_owned(),
            manifest,
            files: Files::make(&directories, &suffix),
            directories,
            suffix,
            with: BTreeMap::new(),
            variables: BTreeMap::new(),
            event: r#"{"repository":{"default_branch":"main"}}"#.to_owned(),
            token: "ghs_simulated".to_owned(),
            socket: Socket::Mounted,
            read_only: false,
            options: Vec::new(),
        }
    }

    /// `with:`.
    pub(crate) fn input(mut self, name: &str, value: &str) -> Self {
        self.with.insert(name.to_owned(), value.to_owned());
        self
    }

    /// A variable of the job or the step, also one that the runner sets itself.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The event that the job is for, and what it says.
    pub(crate) fn event(mut self, name: &str, payload: &str) -> Self {
        payload.clone_into(&mut self.event);
        self.variable("GITHUB_EVENT_NAME", name)
    }

    /// The network of the job, if it has `container:` or `services:`.
    pub(crate) fn network(self, name: &str) -> Self {
        self.option("--network", name)
    }

    /// Somebody else than root: no runner does so, but an image that is built on this one may.
    pub(crate) fn user(self, user: &str) -> Self {
        self.option("--user", user)
    }

    pub(crate) fn socket(mut self, socket: Socket) -> Self {
        self.socket = socket;
        self
    }

    /// A workspace that cannot be written: no runner of GitHub's does so, but it is no business of ours to write there.
    pub(crate) fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    fn option(mut self, name: &str, value: &str) -> Self {
        self.options.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Starts the container; `show` gets each line of the log as it comes.
    pub(crate) fn start(self, show: fn(&str)) -> StartedStep {
        fs::write(self.directories.workflow().join("event.json"), &self.event).unwrap();
        let variables = self.environment();
        let debug = variables.get("RUNNER_DEBUG").is_some_and(|value| value == "1");
        let log = Log::new(self.directories.clone(), debug, vec![self.token.clone()]);
        let log = Arc::new(Mutex::new(log));
        let container = self.container();
        let mut command = Command::new(&self.docker);
        // The client gets the variables too, and `-e` names them: no value is on a command line.
        command.args(self.arguments(&container, &variables));
        command.env_clear().envs(&variables).env("HOME", self.directories.home()).env("DOCKER_HOST", &self.address);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A terminal's Ctrl-C is the runner's to hand on.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let client = command.spawn().unwrap();
        StartedStep { running: Running::read(client, &log, show), log, files: self.files, container }
    }

    /// The container's variables, with the container's paths.
    fn environment(&self) -> BTreeMap<String, String> {
        let mut variables = environment::of(&self.directories, &self.files);
        variables.extend(self.manifest.variables(&self.with, &self.token));
        variables.extend(self.variables.clone());
        for value in variables.values_mut() {
            *value = self.directories.to_container(value);
        }
        variables
    }

    fn container(&self) -> String {
        let name: String = self.image.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        format!("{name}_{}", self.suffix)
    }

    fn arguments(&self, container: &str, variables: &BTreeMap<String, String>) -> Vec<String> {
        let mut arguments: Vec<String> =
            ["run", "--name", container, "--label", "5c1a3e", "--workdir", "/github/workspace", "--rm"]
                .map(str::to_owned)
                .into();
        for name in variables.keys() {
            arguments.extend(["-e".to_owned(), name.clone()]);
        }
        arguments.extend(["-e".to_owned(), "GITHUB_ACTIONS=true".to_owned()]);
        if !variables.contains_key("CI") {
            arguments.extend(["-e".to_owned(), "CI=true".to_owned()]);
        }
        if let Some(entrypoint) = &self.manifest.entrypoint {
            arguments.extend(["--entrypoint".to_owned(), entrypoint.clone()]);
        }
        arguments.extend(self.options.clone());
        let socket = Path::new("/var/run/docker.sock");
        let socket = match &self.socket {
            Socket::Mounted => Some((socket, "/var/run/docker.sock")),
            Socket::From(path) => Some((path.as_path(), "/var/run/docker.sock")),
            Socket::Absent => None,
        };
        let mounts = self.directories.mounts();
        for (source, target) in socket.into_iter().chain(mounts.iter().map(|(host, path)| (host.as_path(), *path))) {
            let mode = if self.read_only && target == "/github/workspace" { ":ro" } else { "" };
            arguments.extend(["-v".to_owned(), format!("{}:{target}{mode}", source.display())]);
        }
        arguments.push(self.image.clone());
        arguments
    }
}

/// A step whose container runs.
#[derive(Debug)]
pub(crate) struct StartedStep {
    running: Running,
    log: Arc<Mutex<Log>>,
    files: Files,
    pub(crate) container: String,
}

impl StartedStep {
    /// Waits for its end; as soon as `cancel` says so the step is cancelled as the runner does it. What the step wrote
    /// for the runner is read in any case.
    pub(crate) fn finish(self, cancel: impl Fn() -> bool) -> Finished {
        let (status, ended, cancelled_for) = self.running.wait(cancel);
        let mut log = self.log.lock().unwrap();
        let mut pairs = |variable| {
            self.files.pairs(variable).unwrap_or_else(|error| {
                log.fail(&format!("Unable to process file command '{variable}' successfully: {error}"));
                BTreeMap::new()
            })
        };
        let (outputs, state, environment) = (pairs("GITHUB_OUTPUT"), pairs("GITHUB_STATE"), pairs("GITHUB_ENV"));
        let summary = self.files.summary(|line| log.mask(line));
        if summary == Summary::TooLong {
            log.error("$GITHUB_STEP_SUMMARY upload aborted, supports content up to a size of 1024k");
        }
        Finished {
            code: status.code(),
            succeeded: status.success() && !log.failed && ended == Ended::ByItself,
            ended,
            cancelled_for,
            outputs,
            state,
            environment,
            summary,
            summary_file: self.files.path("GITHUB_STEP_SUMMARY").to_owned(),
            annotations: std::mem::take(&mut log.annotations),
            log: std::mem::take(&mut log.lines),
            container: self.container,
        }
    }
}

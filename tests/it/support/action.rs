//! The program, run as the GitHub runner runs it: inputs and file commands in the environment, nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use super::Engine;

/// A step of a workflow.
pub(crate) struct Action {
    variables: BTreeMap<String, String>,
    arguments: Vec<String>,
    files: TempDir,
    workspace: PathBuf,
}

/// How a step ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) outputs: BTreeMap<String, String>,
    pub(crate) summary: String,
}

impl Action {
    /// A step on this engine, in this workspace.
    pub(crate) fn new(engine: &Engine, workspace: &Path) -> Self {
        let mut action = Self {
            variables: BTreeMap::new(),
            arguments: Vec::new(),
            files: tempfile::tempdir().unwrap(),
            workspace: workspace.to_owned(),
        };
        for file in ["output", "summary", "state", "env"] {
            std::fs::write(action.file(file), "").unwrap();
        }
        let file = |name: &str| action.file(name).display().to_string();
        let runner = [
            ("GITHUB_ACTIONS", "true".to_owned()),
            ("GITHUB_OUTPUT", file("output")),
            ("GITHUB_STEP_SUMMARY", file("summary")),
            ("GITHUB_STATE", file("state")),
            ("GITHUB_ENV", file("env")),
            ("GITHUB_WORKSPACE", workspace.display().to_string()),
            ("GITHUB_REPOSITORY", "org/watchparty".to_owned()),
            ("GITHUB_SHA", "0123456789abcdef0123456789abcdef01234567".to_owned()),
            ("GITHUB_EVENT_NAME", "push".to_owned()),
            ("GITHUB_REF", "refs/heads/main".to_owned()),
            ("GITHUB_SERVER_URL", "https://github.com".to_owned()),
            ("GITHUB_RUN_ID", "7".to_owned()),
            ("RUNNER_ENVIRONMENT", "self-hosted".to_owned()),
        ];
        action.variables.extend(runner.map(|(name, value)| (name.to_owned(), value)));
        action.variable("DOCKER_HOST", &engine.address)
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// An input, under the name that the runner gives it.
    pub(crate) fn input(self, name: &str, value: &str) -> Self {
        let name = format!("INPUT_{}", name.to_uppercase().replace(' ', "_"));
        self.variable(&name, value)
    }

    /// At a terminal instead: flags, and none of the runner's variables.
    pub(crate) fn at_a_terminal(mut self, arguments: &[&str]) -> Self {
        self.variables.retain(|name, _| name == "DOCKER_HOST");
        self.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        self
    }

    pub(crate) fn start(&self) -> Child {
        self.command().spawn().unwrap()
    }

    pub(crate) fn run(self) -> Finished {
        let output = self.command().output().unwrap();
        self.finish(&output)
    }

    /// The program without root's powers.
    pub(crate) fn run_as_nobody(self) -> Finished {
        use std::os::unix::fs::PermissionsExt;
        use std::os::unix::process::CommandExt;
        std::fs::set_permissions(self.files.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        for file in ["output", "summary", "state", "env"] {
            std::fs::set_permissions(self.file(file), std::fs::Permissions::from_mode(0o666)).unwrap();
        }
        // The program may lie in a directory that nobody else can enter.
        let program = self.files.path().join("program");
        std::fs::copy(env!("CARGO_BIN_EXE_watchparty-cache"), &program).unwrap();
        let mut command = Command::new(program);
        command.env_clear().envs(&self.variables).current_dir(&self.workspace).uid(65534).gid(65534);
        let output = command.output().unwrap();
        self.finish(&output)
    }

    /// What a started step left behind.
    pub(crate) fn finish(&self, output: &Output) -> Finished {
        let read = |name: &str| std::fs::read_to_string(self.file(name)).unwrap();
        Finished {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            outputs: parse_file_command(&read("output")),
            summary: read("summary"),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_watchparty-cache"));
        command.env_clear().envs(&self.variables).args(&self.arguments).current_dir(&self.workspace);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }
}

impl Finished {
    /// The exit status, with everything that was said if it is another.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn output(&self, name: &str) -> &str {
        self.outputs.get(name).unwrap_or_else(|| panic!("no output '{name}' in {:?}", self.outputs))
    }

    /// `(steps-cached, steps-total)`.
    #[track_caller]
    pub(crate) fn cached(&self) -> (u32, u32) {
        (self.output("steps-cached").parse().unwrap(), self.output("steps-total").parse().unwrap())
    }

    /// The output `result`.
    #[track_caller]
    pub(crate) fn result(&self) -> serde_json::Value {
        serde_json::from_str(self.output("result")).unwrap()
    }
}

/// A file command as the runner reads it (`FileCommandManager.cs`): any other line fails the step there, and here.
fn parse_file_command(text: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let equals = line.find('=').unwrap_or(usize::MAX);
        let heredoc = line.find("<<").unwrap_or(usize::MAX);
        assert!(equals != heredoc, "invalid line in a file command: {line}");
        if equals < heredoc {
            let (name, value) = line.split_once('=').unwrap();
            values.insert(name.to_owned(), value.to_owned());
        } else {
            let (name, delimiter) = line.split_once("<<").unwrap();
            let value: Vec<&str> = lines.by_ref().take_while(|line| *line != delimiter).collect();
            values.insert(name.to_owned(), value.join("\n"));
        }
    }
    values
}

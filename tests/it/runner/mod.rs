//! The action's image, started by a simulated runner on a real engine.

mod cancel;
mod fidelity;
mod image;
mod network;
mod registry;
mod script;
pub(crate) mod simulator;
mod socket;
mod steps;
mod workspace;

use std::path::Path;

use tempfile::TempDir;

use crate::support::{Engine, command, docker};
use simulator::{Directories, Finished, Level, Manifest, Step, Summary};

/// A runner of its own, with a workspace that the engine sees.
struct Runner {
    engine: Engine,
    image: String,
    root: TempDir,
    directories: Directories,
}

impl Runner {
    /// One whose workspace holds these files.
    fn new(engine: &Engine, files: &[(&str, &str)]) -> Self {
        // What lies beside the socket is at the same path for the engine.
        let socket = Path::new(engine.address.strip_prefix("unix://").unwrap());
        let root = tempfile::tempdir_in(socket.parent().unwrap()).unwrap();
        let directories = Directories::make(root.path(), None);
        for (path, content) in files {
            let path = directories.workspace.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        Self { engine: engine.clone(), image: action_image(engine), root, directories }
    }

    fn step(&self) -> Step {
        let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/action.yml")).unwrap();
        let docker = command(&self.engine);
        let docker = Path::new(docker.get_program());
        let manifest = Manifest::parse(&manifest);
        // Nobody is there to take a report: what does not depend on it must not wait for names to be looked up.
        Step::new(docker, &self.engine.address, &self.image, manifest, self.directories.clone())
            .variable("GITHUB_API_URL", "http://127.0.0.1:9")
    }

    fn workspace(&self) -> &Path {
        &self.directories.workspace
    }

    /// Whether a container of this name is left, running or not.
    fn has_container(&self, name: &str) -> bool {
        !docker(&self.engine, &["ps", "--all", "--quiet", "--filter", &format!("name={name}")]).is_empty()
    }
}

/// The name of the action's image, which the engine has from here on.
pub(crate) fn action_image(engine: &Engine) -> String {
    let image = std::env::var("WATCHPARTY_TEST_IMAGE")
        .expect("WATCHPARTY_TEST_IMAGE is unset: run the tests with scripts/test, which builds the action's image");
    let (name, tar) = image.split_once('=').unwrap();
    let known = command(engine).args(["image", "inspect", name]).output().unwrap();
    if !known.status.success() {
        docker(engine, &["load", "--input", tar]);
    }
    name.to_owned()
}

/// Runs a step to its end.
fn run_step(step: Step) -> Finished {
    step.start(|_line| {}).finish(|| false)
}

impl Finished {
    #[track_caller]
    fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.log.join("\n"));
        assert_eq!(self.succeeded, code == 0, "{}", self.log.join("\n"));
        self
    }

    #[track_caller]
    fn output(&self, name: &str) -> &str {
        self.outputs.get(name).unwrap_or_else(|| panic!("no output '{name}' in {:?}", self.outputs))
    }

    #[track_caller]
    fn shown_summary(&self) -> &str {
        match &self.summary {
            Summary::Shown(text) => text,
            summary => panic!("{summary:?}"),
        }
    }

    /// The messages of one level.
    fn messages(&self, level: Level) -> Vec<&str> {
        let annotations = self.annotations.iter().filter(|annotation| annotation.level == level);
        annotations.map(|annotation| annotation.message.as_str()).collect()
    }
}

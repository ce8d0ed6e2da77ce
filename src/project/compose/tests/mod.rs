//! Loading whole projects from files.

mod failures;
mod peer;
mod sections;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{ComposeErrors, ComposeProject, LoadRequest, load};
use crate::project::target::Target;

/// A project in a directory of its own, whose name on the host is `demo`.
struct Case {
    directory: TempDir,
    files: Vec<PathBuf>,
    variables: BTreeMap<String, String>,
    services: Vec<String>,
    profiles: Vec<String>,
}

impl Case {
    fn new(compose: &str) -> Self {
        let case = Self {
            directory: tempfile::tempdir().unwrap(),
            files: Vec::new(),
            variables: BTreeMap::new(),
            services: Vec::new(),
            profiles: Vec::new(),
        };
        case.and_file("compose.yaml", compose)
    }

    /// A further Compose file, merged over the ones before it.
    fn and_file(mut self, name: &str, text: &str) -> Self {
        self.files.push(self.directory.path().join(name));
        self.with(name, text)
    }

    /// A file that others refer to.
    fn with(self, name: &str, text: &str) -> Self {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    fn service(mut self, name: &str) -> Self {
        self.services.push(name.to_owned());
        self
    }

    fn load(&self) -> Result<ComposeProject, ComposeErrors> {
        load(&LoadRequest {
            files: &self.files,
            environment: &self.variables,
            services: &self.services,
            profiles: &self.profiles,
            directory_name: "demo",
            working_directory: self.directory.path(),
        })
    }

    fn project(&self) -> ComposeProject {
        self.load().unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn target(&self, name: &str) -> Target {
        let project = self.project();
        project.targets.into_iter().find(|target| target.name == name).unwrap()
    }

    /// The errors, with the directory's path left out.
    fn errors(&self) -> String {
        self.hide(&self.load().unwrap_err().to_string())
    }

    fn warnings(&self) -> Vec<String> {
        self.project().warnings.iter().map(|warning| self.hide(warning)).collect()
    }

    fn hide(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.directory.path().display()), "")
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::join(self.directory.path(), name)
    }
}

/// A project of one service `web` whose `build:` section is the given flow mapping.
fn build(section: &str) -> Case {
    Case::new(&format!("services: {{web: {{build: {section}}}}}\n"))
}

fn names(project: &ComposeProject) -> Vec<&str> {
    project.targets.iter().map(|target| target.name.as_str()).collect()
}

//! The runner's directories, and what their paths are in a container: `ContainerActionHandler.cs`, `ContainerInfo.cs`.

use std::fs;
use std::path::{Path, PathBuf};

/// Where a runner keeps what a step sees. The engine must know all of it by the same paths.
#[derive(Debug, Clone)]
pub(crate) struct Directories {
    pub(crate) workspace: PathBuf,
    /// `_work/_temp`.
    pub(crate) temp: PathBuf,
}

impl Directories {
    /// The directories of a runner that is installed in `root`, made; the workspace is one of them unless it is given.
    pub(crate) fn make(root: &Path, workspace: Option<&Path>) -> Self {
        let default = root.join("_work/watchparty/watchparty");
        let workspace = workspace.map_or(default, Path::to_owned);
        let directories = Self { workspace, temp: root.join("_work/_temp") };
        for directory in [&directories.workspace, &directories.home(), &directories.workflow(), &directories.commands()]
        {
            fs::create_dir_all(directory).unwrap();
        }
        directories
    }

    pub(super) fn home(&self) -> PathBuf {
        self.temp.join("_github_home")
    }

    pub(super) fn workflow(&self) -> PathBuf {
        self.temp.join("_github_workflow")
    }

    pub(super) fn commands(&self) -> PathBuf {
        self.temp.join("_runner_file_commands")
    }

    /// `(host, container)`, in the order of the mounts.
    pub(super) fn mounts(&self) -> [(PathBuf, &'static str); 5] {
        [
            (self.temp.clone(), "/github/runner_temp"),
            (self.home(), "/github/home"),
            (self.workflow(), "/github/workflow"),
            (self.commands(), "/github/file_commands"),
            (self.workspace.clone(), "/github/workspace"),
        ]
    }

    /// A variable's value as the container gets it: translated if all of it is a path at or below a mount.
    pub(super) fn to_container(&self, value: &str) -> String {
        // The mapping that was added last is asked first.
        let found = self.mounts().into_iter().rev().find_map(|(host, container)| {
            let rest = value.strip_prefix(host.to_str()?)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("{container}{rest}"))
        });
        found.unwrap_or_else(|| value.to_owned())
    }

    /// A file of an annotation, translated back and relative to the workspace if it lies there.
    pub(super) fn in_workspace(&self, file: &str) -> String {
        let host = self.mounts().into_iter().rev().find_map(|(host, container)| {
            let rest = file.strip_prefix(container)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("{}{rest}", host.display()))
        });
        let file = host.unwrap_or_else(|| file.to_owned());
        Path::new(&file).strip_prefix(&self.workspace).map_or(file.clone(), |path| path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::Directories;

    #[test]
    fn whole_values_are_translated_there_and_back() {
        let directories = Directories { workspace: "/r/_work/a/a".into(), temp: "/r/_work/_temp".into() };
        for (host, container) in [
            ("/r/_work/a/a", "/github/workspace"),
            ("/r/_work/a/a/x", "/github/workspace/x"),
            ("/r/_work/a/ab", "/r/_work/a/ab"),
            ("/r/_work/a", "/r/_work/a"),
            ("/r/_work/_temp", "/github/runner_temp"),
            ("/r/_work/_temp/_runner_file_commands/set_output_1", "/github/file_commands/set_output_1"),
            ("/r/_work/_temp/_github_home", "/github/home"),
            ("a /r/_work/a/a", "a /r/_work/a/a"),
        ] {
            assert_eq!(directories.to_container(host), container, "{host}");
        }
        for (file, shown) in [("/github/workspace/a/b", "a/b"), ("a/b", "a/b"), ("/etc/x", "/etc/x")] {
            assert_eq!(directories.in_workspace(file), shown, "{file}");
        }
    }
}

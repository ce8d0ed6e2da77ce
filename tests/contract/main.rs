//! What the repository promises outside of the program: its documentation says what the program does, and a release is
//! made as `docs/releasing.md` says. Needs no engine.
//!
//! | module | what it shows |
//! |---|---|
//! | `readme` | the tables of inputs, outputs and exit statuses are those of the program |
//! | `messages` | `docs/troubleshooting.md` knows every kind of error, and quotes what the program says |
//! | `links` | a link in the documentation leads to a file and a heading that exist |
//! | `release` | `scripts/release`: the version, the notes, the rewritten `action.yml`, the programs, the tags, the release |
//! | `workflows` | the workflows that the documentation shows are checked by the linters, and are those that `act` runs |
//! | `clearing` | the workflow for a closed pull request names what the program wrote for it, and nothing else |
//! | `checks` | what the scripts do without the advisories, and with tools that a machine has in another version |

#![expect(clippy::unwrap_used, clippy::panic, clippy::string_slice, reason = "tests")]

mod checks;
mod clearing;
mod links;
mod messages;
mod readme;
mod release;
mod workflows;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{env, fs};

use tempfile::TempDir;

/// The repository.
fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository, by its path in it.
fn text(path: impl AsRef<Path>) -> String {
    let path = repository().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The paths of all files below a directory of the repository whose name ends so.
fn files(directory: &str, suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![repository().join(directory)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.to_str().unwrap().ends_with(suffix) {
                found.push(path.strip_prefix(repository()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Stand-ins for programs that a script calls, each a script of its own.
struct Programs {
    directory: TempDir,
}

impl Programs {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn add(&self, name: &str, script: &str) {
        let path = self.directory.path().join(name);
        fs::write(&path, format!("#!/usr/bin/env bash\nset -eu\ncd '{}'\n{script}\n", self.directory.path().display()))
            .unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What `PATH` is to be, so that they are found first.
    fn path(&self) -> String {
        format!("{}:{}", self.directory.path().display(), env::var("PATH").unwrap())
    }

    /// A file that they wrote; they are run in their own directory.
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }
}

//! The variables of a project: the process's, over those of env files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::dotenv;
use super::errors::{Problem, Report};
use super::files;

/// The variables that interpolation and `environment` references see.
#[derive(Debug, Clone, Default)]
pub(super) struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The process's variables, and `PWD`, which Compose sets where the process has none.
    pub(super) fn of_process(variables: &BTreeMap<String, String>, working_directory: &Path) -> Self {
        let mut variables = variables.clone();
        variables.entry("PWD".to_owned()).or_insert_with(|| working_directory.to_string_lossy().into_owned());
        Self(variables)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    /// This environment over the variables of env files, which must exist; the later file wins over the earlier.
    pub(super) fn with_files(&self, paths: &[PathBuf], report: &mut Report) -> Self {
        let mut values = BTreeMap::new();
        let mut unset = BTreeSet::new();
        for path in paths {
            let text = match files::read("env file", path) {
                Ok(text) => text,
                Err(problem) => {
                    report.error_without_place("", problem);
                    continue;
                }
            };
            if let Err(source) = dotenv::parse(&text, &self.0, &mut values, &mut unset) {
                report.error_without_place("", Problem::EnvFile { path: path.clone(), source });
            }
        }
        warn_unset(unset, report);
        values.extend(self.0.clone());
        Self(values)
    }
}

/// One warning per variable, in Compose's words.
pub(super) fn warn_unset(names: BTreeSet<String>, report: &mut Report) {
    for name in names {
        report.warn(format!("the variable {name} is not set: a blank string is used"));
    }
}

/// The env files of a project: `COMPOSE_ENV_FILES` (from `working_directory`), else `.env` of its directory unless
/// `COMPOSE_DISABLE_ENV_FILE` is true.
pub(super) fn project_env_files(
    variables: &BTreeMap<String, String>,
    directory: &Path,
    working_directory: &Path,
    report: &mut Report,
) -> Vec<PathBuf> {
    if let Some(files) = variables.get("COMPOSE_ENV_FILES").filter(|files| !files.is_empty()) {
        return files.split(',').map(|file| working_directory.join(file)).collect();
    }
    match variables.get("COMPOSE_DISABLE_ENV_FILE").map(String::as_str) {
        None | Some("0" | "f" | "F" | "false" | "False" | "FALSE") => default_env_file(directory),
        Some("1" | "t" | "T" | "true" | "True" | "TRUE") => Vec::new(),
        Some(value) => {
            let problem = Problem::Value { value: value.to_owned(), expected: "'true' or 'false'" };
            report.error_without_place("COMPOSE_DISABLE_ENV_FILE", problem);
            Vec::new()
        }
    }
}

/// `.env` of a directory, if it has one.
pub(super) fn default_env_file(directory: &Path) -> Vec<PathBuf> {
    let file = directory.join(".env");
    if file.is_file() { vec![file] } else { Vec::new() }
}

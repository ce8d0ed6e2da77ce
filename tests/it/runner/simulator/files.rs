//! The files that a step writes for the runner: `FileCommandManager.cs`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::directories::Directories;

/// `AttachmentSizeLimit`.
const MAX_SUMMARY: usize = 1024 * 1024;

/// The files of one step, by the names of their variables.
///
/// Those of artifacts are behind a switch of GitHub's; the paths are there in any case, and what is written is ignored here,
/// as where the switch is off. How the runner names these two is not told anywhere.
const FILES: [(&str, &str); 7] = [
    ("GITHUB_ARTIFACTS", "artifacts"),
    ("GITHUB_ARTIFACTS_LIST", "list_of_artifacts"),
    ("GITHUB_PATH", "add_path"),
    ("GITHUB_ENV", "set_env"),
    ("GITHUB_STEP_SUMMARY", "step_summary"),
    ("GITHUB_STATE", "save_state"),
    ("GITHUB_OUTPUT", "set_output"),
];

/// Fresh files.
#[derive(Debug)]
pub(super) struct Files {
    files: BTreeMap<&'static str, PathBuf>,
}

/// What became of the step's summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Summary {
    /// Nothing was written.
    None,
    /// It is shown, secrets masked.
    Shown(String),
    /// Over the limit: an error annotation, and nothing is shown.
    TooLong,
}

impl Files {
    pub(super) fn make(directories: &Directories, suffix: &str) -> Self {
        let make = |(variable, prefix): (&'static str, &str)| {
            let path = directories.commands().join(format!("{prefix}_{suffix}"));
            fs::write(&path, "").unwrap();
            (variable, path)
        };
        Self { files: FILES.map(make).into() }
    }

    /// The variables with the host's paths.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        self.files.iter().map(|(variable, path)| (*variable, path.as_path()))
    }

    /// Where the file of this variable is.
    pub(super) fn path(&self, variable: &str) -> &Path {
        &self.files[variable]
    }

    fn read(&self, variable: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(variable)).unwrap_or_default()).into_owned()
    }

    /// The values of one file; a line that is none fails the step.
    pub(super) fn pairs(&self, variable: &str) -> Result<BTreeMap<String, String>, String> {
        pairs(&self.read(variable))
    }

    pub(super) fn summary(&self, mask: impl Fn(&str) -> String) -> Summary {
        match self.read("GITHUB_STEP_SUMMARY") {
            text if text.is_empty() => Summary::None,
            text if text.len() > MAX_SUMMARY => Summary::TooLong,
            text => Summary::Shown(text.lines().map(|line| mask(line) + "\n").collect()),
        }
    }
}

/// `EnvFileKeyValuePairs`: `NAME=VALUE`, or `NAME<<DELIMITER`, lines and the delimiter. A line ends with `\n` alone.
fn pairs(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut values = BTreeMap::new();
    let mut lines = text.split_inclusive('\n');
    while let Some(line) = lines.next() {
        let line = line.strip_suffix('\n').unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let (equals, heredoc) = (line.split_once('='), line.split_once("<<"));
        let (name, value) = match (equals, heredoc) {
            (Some((name, value)), other) if other.is_none_or(|(other, _)| name.len() < other.len()) => {
                (name, value.to_owned())
            }
            (_, Some((name, delimiter))) if name.is_empty() || delimiter.is_empty() => {
                return Err(format!("Invalid format '{line}'. Name must not be empty and delimiter must not be empty"));
            }
            (_, Some((name, delimiter))) => (name, value_until(delimiter, &mut lines)?),
            _ => return Err(format!("Invalid format '{line}'")),
        };
        values.insert(name.to_owned(), value);
    }
    Ok(values)
}

fn value_until<'a>(delimiter: &str, lines: &mut impl Iterator<Item = &'a str>) -> Result<String, String> {
    let mut value = String::new();
    loop {
        let line = lines.next().ok_or(format!("Invalid value. Matching delimiter not found '{delimiter}'"))?;
        let Some(text) = line.strip_suffix('\n') else {
            return if line == delimiter {
                Ok(trimmed(&value))
            } else {
                Err("EOF marker missing new line.".to_owned())
            };
        };
        if text == delimiter {
            return Ok(trimmed(&value));
        }
        value.push_str(line);
    }
}

fn trimmed(value: &str) -> String {
    value.strip_suffix('\n').unwrap_or(value).to_owned()
}

#[cfg(test)]
mod tests {
    use super::pairs;

    #[test]
    fn values_are_read_as_the_runner_reads_them() {
        for (text, expected) in [
            ("", Ok(vec![])),
            ("a=b=c<<d\n\nb=\n", Ok(vec![("a", "b=c<<d"), ("b", "")])),
            ("a<<E=\nx\n\ny\nE=\n", Ok(vec![("a", "x\n\ny")])),
            ("a<<E\nE", Ok(vec![("a", "")])),
            ("a<<E\r\nx\r\nE\r\n", Ok(vec![("a", "x\r")])),
            ("=b\n", Ok(vec![("", "b")])),
            ("<<E\nx\nE\n", Err("Name must not be empty")),
            ("a<<\nx\n", Err("delimiter must not be empty")),
            ("a\n", Err("Invalid format 'a'")),
            ("a<<E\nx\n", Err("Matching delimiter not found 'E'")),
            ("a<<E\nx", Err("EOF marker missing new line")),
        ] {
            match (pairs(text), expected) {
                (Ok(values), Ok(expected)) => {
                    let expected = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
                    assert_eq!(values, expected, "{text:?}");
                }
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{text:?}: {error}"),
                (result, _) => panic!("{text:?}: {result:?}"),
            }
        }
    }
}

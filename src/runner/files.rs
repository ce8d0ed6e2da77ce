//! The runner's file commands: outputs, state, step summary.
//!
//! Read by actions/runner `src/Runner.Worker/FileCommandManager.cs` after the step, also when it failed.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;

use uuid::Uuid;

use crate::inputs::Output;
use crate::runner::{Console, Environment};

/// The runner uploads nothing of a summary that is longer (`AttachmentSizeLimit` upstream).
pub const MAX_SUMMARY_BYTES: u64 = 1024 * 1024;

/// Where something goes that a runner would read.
#[derive(Clone)]
pub enum Sink {
    /// The runner's file.
    File(PathBuf),
    /// There is no runner: a readable form is printed.
    Printed(Console),
}

/// The files of a step that this program writes.
#[derive(Clone)]
pub struct FileCommands {
    output: Sink,
    state: Sink,
    summary: Sink,
}

/// Why something could not be handed to the runner.
#[derive(Debug, thiserror::Error)]
pub enum FileCommandError {
    /// The file is not there or not ours to write.
    #[error("could not write to the runner's file `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The name would be read differently.
    #[error("`{name}` cannot be the name of an output or a state")]
    Name {
        /// The name.
        name: String,
    },
    /// Somebody guessed a random number, or tries to end the value early.
    #[error("the value of `{name}` holds the delimiter that ends it")]
    Delimiter {
        /// The name.
        name: String,
    },
    /// The runner would drop all of it.
    #[error("the step summary would have {bytes} bytes, more than the {MAX_SUMMARY_BYTES} that the runner takes")]
    SummaryTooLong {
        /// With what stands there already.
        bytes: u64,
    },
}

impl FileCommandError {
    /// What to do about it.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Write { .. } => {
                "run as root in the container, as the runner does, and leave GITHUB_OUTPUT, GITHUB_STATE and GITHUB_STEP_SUMMARY as the runner sets them"
            }
            Self::Name { .. } => "use a name without `=`, `<<` and line breaks",
            Self::Delimiter { .. } => "run the step again; the delimiter is chosen anew each time",
            Self::SummaryTooLong { .. } => "build fewer images in one step, or set `report: none`",
        }
    }
}

impl FileCommands {
    /// The files that the environment names; what it does not name is printed to `console`.
    pub fn new(environment: &Environment, console: &Console) -> Self {
        let sink = |name| match environment.non_empty(name) {
            Some(path) => Sink::File(PathBuf::from(path)),
            None => Sink::Printed(console.clone()),
        };
        Self { output: sink("GITHUB_OUTPUT"), state: sink("GITHUB_STATE"), summary: sink("GITHUB_STEP_SUMMARY") }
    }

    /// Sets an output of the step.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn set_output(&self, output: Output, value: &str) -> Result<(), FileCommandError> {
        self.output.set(output.name(), value)
    }

    /// Keeps a value for the step's post stage, which reads it as `STATE_<name>`.
    ///
    /// # Errors
    /// If the name or the value cannot be said, or the file cannot be written.
    pub fn save_state(&self, name: &str, value: &str) -> Result<(), FileCommandError> {
        self.state.set(name, value)
    }

    /// Appends Markdown to the step summary. The report keeps itself far shorter; this is the last guard.
    ///
    /// # Errors
    /// If the summary would be longer than the runner takes, or the file cannot be written.
    pub fn append_summary(&self, markdown: &str) -> Result<(), FileCommandError> {
        let text = format!("{}\n", markdown.strip_suffix('\n').unwrap_or(markdown));
        if let Sink::File(path) = &self.summary {
            let present = path.metadata().map_or(0, |metadata| metadata.len());
            let bytes = present.saturating_add(text.len() as u64);
            if bytes > MAX_SUMMARY_BYTES {
                return Err(FileCommandError::SummaryTooLong { bytes });
            }
        }
        self.summary.append(&text)
    }
}

impl Sink {
    fn set(&self, name: &str, value: &str) -> Result<(), FileCommandError> {
        match self {
            Self::File(_) => self.append(&assignment(name, value, &format!("ghadelimiter_{}", Uuid::new_v4()))?),
            Self::Printed(_) => self.append(&format!("{name}={value}\n")),
        }
    }

    fn append(&self, text: &str) -> Result<(), FileCommandError> {
        match self {
            // The runner creates its files: one that is absent is a mistake, and not created.
            Self::File(path) => OpenOptions::new()
                .append(true)
                .open(path)
                .and_then(|mut file| file.write_all(text.as_bytes()))
                .map_err(|source| FileCommandError::Write { path: path.clone(), source }),
            Self::Printed(console) => {
                console.info(text);
                Ok(())
            }
        }
    }
}

/// `NAME<<DELIMITER`, the value, `DELIMITER`: the form that takes every value.
fn assignment(name: &str, value: &str, delimiter: &str) -> Result<String, FileCommandError> {
    if name.trim().is_empty() || name.contains(['=', '\n', '\r']) || name.contains("<<") || name.contains(delimiter) {
        return Err(FileCommandError::Name { name: name.to_owned() });
    }
    if value.contains(delimiter) {
        return Err(FileCommandError::Delimiter { name: name.to_owned() });
    }
    Ok(format!("{name}<<{delimiter}\n{value}\n{delimiter}\n"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::{FileCommandError, FileCommands, MAX_SUMMARY_BYTES, assignment};
    use crate::inputs::Output;
    use crate::runner::commands::tests::printed;
    use crate::runner::{Console, Environment, Mode};

    /// `EnvFileKeyValuePairs` of the runner: `NAME=VALUE` or `NAME<<DELIMITER` … `DELIMITER`, lines end with `\n`.
    fn oracle(text: &str) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        let mut lines = text.split_inclusive('\n');
        while let Some(line) = lines.next() {
            let line = line.strip_suffix('\n').unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            let (equals, heredoc) = (line.split_once('='), line.split_once("<<"));
            match (equals, heredoc) {
                (Some((name, value)), other) if other.is_none_or(|(other, _)| name.len() < other.len()) => {
                    pairs.push((name.to_owned(), value.to_owned()));
                }
                (_, Some((name, delimiter))) => {
                    assert!(!name.is_empty() && !delimiter.is_empty(), "invalid format: {line:?}");
                    let mut value = String::new();
                    loop {
                        let line = lines.next().expect("matching delimiter not found");
                        if line.strip_suffix('\n').unwrap_or(line) == delimiter {
                            break;
                        }
                        value.push_str(line);
                    }
                    pairs.push((name.to_owned(), value.strip_suffix('\n').unwrap_or(&value).to_owned()));
                }
                _ => panic!("invalid format: {line:?}"),
            }
        }
        pairs
    }

    fn commands(directory: &tempfile::TempDir) -> FileCommands {
        let environment: Environment =
            [("GITHUB_OUTPUT", "output"), ("GITHUB_STATE", "state"), ("GITHUB_STEP_SUMMARY", "summary")]
                .into_iter()
                .map(|(name, file)| {
                    let path = directory.path().join(file);
                    fs::write(&path, "").unwrap();
                    (name.to_owned(), path.to_str().unwrap().to_owned())
                })
                .collect();
        FileCommands::new(&environment, &Console::new(Mode::Runner, false, std::io::sink()))
    }

    #[test]
    fn writes_what_the_runner_reads() {
        let directory = tempfile::tempdir().unwrap();
        let commands = commands(&directory);
        commands.set_output(Output::StepsTotal, "12").unwrap();
        commands.set_output(Output::Result, "{\n \"a\": \"b=c<<d\"\n}\n").unwrap();
        commands.set_output(Output::Digest, "").unwrap();
        commands.save_state("phase", "done").unwrap();
        commands.append_summary("# one").unwrap();
        commands.append_summary("two\n").unwrap();
        let read = |file| fs::read_to_string(directory.path().join(file)).unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            oracle(&read("output")),
            [pair("steps-total", "12"), pair("result", "{\n \"a\": \"b=c<<d\"\n}\n"), pair("digest", "")]
        );
        assert_eq!(oracle(&read("state")), [pair("phase", "done")]);
        assert_eq!(read("summary"), "# one\ntwo\n");
    }

    #[test]
    fn prints_where_there_is_no_runner() {
        let output = printed(Mode::Plain, |console| {
            let commands = FileCommands::new(&Environment::default(), console);
            commands.set_output(Output::StepsTotal, "12").unwrap();
            commands.append_summary("# Built").unwrap();
        });
        assert_eq!(output, "steps-total=12\n# Built\n");
    }

    #[test]
    fn says_what_is_wrong_and_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let commands = commands(&directory);
        let absent = directory.path().join("absent");
        let environment = [("GITHUB_STATE".to_owned(), absent.to_str().unwrap().to_owned())].into_iter().collect();
        let nowhere = FileCommands::new(&environment, &Console::new(Mode::Runner, false, std::io::sink()));
        for (error, text) in [
            (
                nowhere.save_state("A", "b").unwrap_err(),
                format!("could not write to the runner's file `{}`", absent.display()),
            ),
            (
                commands.save_state("a=b", "c").unwrap_err(),
                "`a=b` cannot be the name of an output or a state".to_owned(),
            ),
            (
                assignment("a", "x\nend\ny", "end").unwrap_err(),
                "the value of `a` holds the delimiter that ends it".to_owned(),
            ),
        ] {
            assert_eq!(error.to_string(), text);
            assert!(!error.help().is_empty());
        }
        assert!(!absent.exists());
    }

    #[test]
    fn never_passes_the_limit_of_a_summary() {
        let directory = tempfile::tempdir().unwrap();
        let commands = commands(&directory);
        let limit = usize::try_from(MAX_SUMMARY_BYTES).unwrap();
        commands.append_summary(&"x".repeat(limit - 4)).unwrap();
        let error = commands.append_summary("yyyy").unwrap_err();
        assert!(
            matches!(error, FileCommandError::SummaryTooLong { bytes } if bytes == MAX_SUMMARY_BYTES + 2),
            "{error}"
        );
        commands.append_summary("yy").unwrap();
        assert_eq!(fs::metadata(directory.path().join("summary")).unwrap().len(), MAX_SUMMARY_BYTES);
    }

    proptest! {
        #[test]
        fn any_value_comes_back(values in prop::collection::vec("([=<\r\n]|ghadelimiter_|.){0,40}", 1..4)) {
            let text: String = values.iter().map(|value| assignment("n-1", value, "ghadelimiter_x-y").unwrap()).collect();
            let pairs: Vec<_> = values.into_iter().map(|value| ("n-1".to_owned(), value)).collect();
            prop_assert_eq!(oracle(&text), pairs);
        }
    }
}

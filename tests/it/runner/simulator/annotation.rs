//! Annotations of a step: `ActionCommandManager.cs` (`IssueCommandExtension`) and `ExecutionContext.cs` (`AddIssue`).

use super::command::Command;
use super::directories::Directories;

/// `_maxIssueMessageLength`, in UTF-16 code units.
const MAX_MESSAGE: usize = 4096;

/// How serious an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Error,
    Warning,
    Notice,
}

/// What the page of the run shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Annotation {
    pub(crate) level: Level,
    pub(crate) title: Option<String>,
    /// Relative to the workspace, if it lies in there.
    pub(crate) file: Option<String>,
    pub(crate) line: Option<u32>,
    pub(crate) message: String,
}

impl Annotation {
    /// What the runner makes of the command; `message` is masked already.
    pub(super) fn of(level: Level, command: &Command, message: &str, directories: &Directories) -> Self {
        let number = |name| command.property(name).and_then(|value| value.parse::<u32>().ok());
        let (line, end_line) = (number("line").or_else(|| number("endline")), number("endline"));
        let title = command.property("title").map(str::to_owned);
        let file = command.property("file").map(|file| directories.in_workspace(file));
        // An end before the beginning drops both.
        let line = line.filter(|line| end_line.is_none_or(|end| end >= *line));
        Self { level, title, file, line, message: cut(message) }
    }
}

fn cut(message: &str) -> String {
    let units: Vec<u16> = message.encode_utf16().take(MAX_MESSAGE).collect();
    String::from_utf16_lossy(&units)
}

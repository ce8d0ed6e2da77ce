//! What the runner makes of a step's output, line by line: `OutputManager.cs`, `ActionCommandManager.cs`.

use super::annotation::{Annotation, Level};
use super::command::{Command, NAMES};
use super::directories::Directories;

/// `_maxCountPerIssueType`.
const MAX_ANNOTATIONS: usize = 10;

/// The log of a step, as it is shown.
#[derive(Debug)]
pub(super) struct Log {
    directories: Directories,
    debug: bool,
    /// The token of `stop-commands`, while commands are stopped.
    stopped: Option<String>,
    masks: Vec<String>,
    pub(super) lines: Vec<String>,
    /// The first ten of each level; the rest is in the log only.
    pub(super) annotations: Vec<Annotation>,
    /// A command that is refused fails the step.
    pub(super) failed: bool,
}

impl Log {
    pub(super) fn new(directories: Directories, debug: bool, masks: Vec<String>) -> Self {
        Self { directories, debug, stopped: None, masks, lines: vec![], annotations: vec![], failed: false }
    }

    /// Takes a line of stdout or stderr; gives what the log shows of it.
    pub(super) fn line(&mut self, line: &str) -> Vec<String> {
        let before = self.lines.len();
        let command = Command::parse(line, self.stopped.as_deref());
        if !command.is_some_and(|command| self.command(&command, line)) {
            self.write(line);
        }
        self.lines[before..].to_vec()
    }

    pub(super) fn mask(&self, text: &str) -> String {
        self.masks.iter().fold(text.to_owned(), |text, mask| text.replace(mask, "***"))
    }

    /// An error of the runner's own.
    pub(super) fn error(&mut self, message: &str) {
        self.annotate(Level::Error, &Command { data: message.to_owned(), ..Command::default() });
    }

    /// One that fails the step, whatever it exits with.
    pub(super) fn fail(&mut self, message: &str) {
        self.failed = true;
        self.error(message);
    }

    fn write(&mut self, line: &str) {
        self.lines.push(self.mask(line));
    }

    /// Whether the line was one; it is text of the log otherwise.
    fn command(&mut self, command: &Command, line: &str) -> bool {
        if let Some(token) = &self.stopped {
            if *token.to_lowercase() != command.name {
                return false;
            }
            self.stopped = None;
            self.write(line);
            return true;
        }
        match command.name.as_str() {
            "stop-commands" => self.stop(&command.data, line),
            "error" => self.annotate(Level::Error, command),
            "warning" => self.annotate(Level::Warning, command),
            "notice" => self.annotate(Level::Notice, command),
            "add-mask" => self.add_mask(&command.data),
            "group" => self.write(&format!("##[group]{}", command.data)),
            "endgroup" => self.write("##[endgroup]"),
            "debug" if self.debug => self.write(&format!("##[debug]{}", command.data)),
            "debug" | "echo" => {}
            // Disabled, deprecated, or read from files: nothing that this action should print.
            name => self.fail(&format!("Unable to process command '{line}' successfully: {name}")),
        }
        true
    }

    fn stop(&mut self, token: &str, line: &str) {
        let lower = token.to_lowercase();
        if token.is_empty() || lower == "pause-logging" || NAMES.contains(&lower.as_str()) {
            return self.fail(&format!("Unable to process command '{line}' successfully: the token is refused"));
        }
        if token.len() > 6 {
            self.masks.push(token.to_owned());
        }
        self.stopped = Some(token.to_owned());
        self.write(line);
    }

    fn annotate(&mut self, level: Level, command: &Command) {
        let annotation = Annotation::of(level, command, &self.mask(&command.data), &self.directories);
        if annotation.message.trim().is_empty() {
            return;
        }
        let word = format!("{level:?}").to_lowercase();
        self.write(&format!("##[{word}]{}", annotation.message));
        if self.annotations.iter().filter(|annotation| annotation.level == level).count() < MAX_ANNOTATIONS {
            self.annotations.push(annotation);
        }
    }

    fn add_mask(&mut self, value: &str) {
        if value.trim().is_empty() {
            let data = "Can't add secret mask for empty string in ##[add-mask] command.".to_owned();
            return self.annotate(Level::Warning, &Command { data, ..Command::default() });
        }
        let lines = value.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty());
        self.masks.extend(std::iter::once(value).chain(lines).map(str::to_owned));
    }
}

#[cfg(test)]
mod tests {
    use super::{Level, Log};
    use crate::runner::simulator::Directories;

    fn log(lines: &[&str]) -> Log {
        let directories = Directories { workspace: "/r/w".into(), temp: "/r/t".into() };
        let mut log = Log::new(directories, false, vec!["hunter2".to_owned()]);
        lines.iter().for_each(|line| drop(log.line(line)));
        log
    }

    #[test]
    fn commands_are_carried_out_and_text_is_shown() {
        let log = log(&[
            "plain ::error::x",
            "::group::Build",
            "::debug::x",
            "::add-mask::s3cret%0A  line two ",
            "a s3cret hunter2 line two",
            "::error title=RUN,file=/github/workspace/a/Dockerfile,line=7,endLine=9::it is hunter2",
            "x ##[warning file=b;line=9;endLine=3]y",
        ]);
        assert_eq!(
            log.lines,
            ["plain ::error::x", "##[group]Build", "a *** *** ***", "##[error]it is ***", "##[warning]y",]
        );
        let shown: Vec<_> =
            log.annotations.iter().map(|a| (a.level, a.title.as_deref(), a.file.as_deref(), a.line)).collect();
        assert_eq!(
            shown,
            [(Level::Error, Some("RUN"), Some("a/Dockerfile"), Some(7)), (Level::Warning, None, Some("b"), None),]
        );
        assert!(!log.failed);
    }

    #[test]
    fn stopped_commands_are_text_until_the_token() {
        let log = log(&["::stop-commands::To-Ken-7", "::error::x", "##[error]y", "::to-ken-7::", "::notice::z"]);
        assert_eq!(log.lines, ["::stop-commands::***", "::error::x", "##[error]y", "::to-ken-7::", "##[notice]z"]);
        assert_eq!(log.annotations.len(), 1);
    }

    #[test]
    fn limits_hold_and_refused_commands_fail() {
        let long = format!("::error::{}", "ä".repeat(5000));
        let many: Vec<&str> = std::iter::repeat_n(long.as_str(), 12).chain(["::notice::x", "::warning::"]).collect();
        let limited = log(&many);
        assert_eq!((limited.annotations.len(), limited.lines.len()), (11, 13));
        assert_eq!(limited.annotations[0].message.chars().count(), 4096);
        assert!(!limited.failed);
        for line in ["::set-env name=A::b", "::add-path::x", "::stop-commands::", "::stop-commands::error"] {
            assert!(log(&[line]).failed, "{line}");
        }
    }
}

//! The one way to print: workflow commands on a runner, readable lines elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use crate::runner::{Context, Environment, escape};
use crate::secret::Secret;

/// The runner cuts longer messages (`_maxIssueMessageLength` in actions/runner `ExecutionContext.cs`); UTF-16 code units.
const MAX_MESSAGE: usize = 4096;
/// The runner keeps that many annotations of each level for one step, and drops the rest in silence.
const MAX_ANNOTATIONS: usize = 10;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A GitHub runner reads along: workflow commands.
    Runner,
    /// A person reads along.
    Terminal {
        /// Whether to use colour.
        colour: bool,
    },
    /// A file or a pipe.
    Plain,
}

/// How serious an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Worth knowing.
    Notice,
    /// Worth acting on.
    Warning,
    /// What failed the run.
    Error,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// SGR parameters: bold blue, yellow, red.
    const fn colour(self) -> &'static str {
        match self {
            Self::Notice => "1;34",
            Self::Warning => "1;33",
            Self::Error => "1;31",
        }
    }
}

/// A message that the runner shows on the page of the run and at its place in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// How serious it is.
    pub level: Level,
    /// What it says; nothing is printed if it is blank.
    pub message: String,
    /// A short title.
    pub title: Option<String>,
    /// The file it is about, relative to the workspace.
    pub file: Option<String>,
    /// First and last line in it, from 1.
    pub lines: Option<(u32, u32)>,
}

impl Annotation {
    /// An annotation without a place.
    pub fn new(level: Level, message: impl Into<String>) -> Self {
        Self { level, message: message.into(), title: None, file: None, lines: None }
    }

    /// The same with a title.
    #[must_use]
    pub fn title(self, title: impl Into<String>) -> Self {
        Self { title: Some(title.into()), ..self }
    }

    /// The same with a place.
    #[must_use]
    pub fn at(self, file: impl Into<String>, line: u32, end_line: u32) -> Self {
        Self { file: Some(file.into()), lines: Some((line, end_line)), ..self }
    }

    fn command(&self) -> String {
        let mut properties = Vec::new();
        let mut add = |name, value: &str| {
            if !value.is_empty() {
                properties.push(format!("{name}={}", escape::property(value)));
            }
        };
        add("title", self.title.as_deref().unwrap_or_default());
        add("file", self.file.as_deref().unwrap_or_default());
        // An end before the beginning makes the runner drop both.
        if let (Some(_), Some((line, end_line))) = (&self.file, self.lines) {
            add("line", &line.to_string());
            add("endLine", &end_line.max(line).to_string());
        }
        let blank = if properties.is_empty() { "" } else { " " };
        let message = escape::data(&escape::cut(&self.message, MAX_MESSAGE));
        format!("::{}{blank}{}::{message}", self.level.word(), properties.join(","))
    }

    fn readable(&self, mode: Mode) -> String {
        let word = match mode {
            Mode::Terminal { colour: true } => format!("\u{1b}[{}m{}\u{1b}[0m", self.level.colour(), self.level.word()),
            Mode::Terminal { colour: false } | Mode::Plain | Mode::Runner => self.level.word().to_owned(),
        };
        let place = match (&self.file, self.lines) {
            (Some(file), Some((line, _))) => format!(" ({file}:{line})"),
            (Some(file), None) => format!(" ({file})"),
            (None, _) => String::new(),
        };
        let title = self.title.as_ref().map(|title| format!("{title}: ")).unwrap_or_default();
        let text = format!("{title}{}{place}", escape::cut(&self.message, MAX_MESSAGE));
        let text = if mode == Mode::Runner { text } else { escape::for_terminal(&text) };
        format!("{word}: {text}")
    }
}

/// A handle on the standard output. Clones share it; every call prints whole lines.
///
/// What cannot be written is lost in silence: a reader that went away must not fail a build.
#[derive(Clone)]
pub struct Console {
    mode: Mode,
    verbose: bool,
    state: Arc<Mutex<State>>,
}

struct State {
    writer: Box<dyn Write + Send>,
    /// The token that makes the runner read commands again.
    paused: Option<String>,
    annotations: [usize; 3],
}

impl Console {
    /// The process's standard output. Colour needs a terminal and `NO_COLOR` unset (no-color.org).
    pub fn stdout(context: &Context, environment: &Environment) -> Self {
        let stdout = std::io::stdout();
        let mode = if context.on_runner {
            Mode::Runner
        } else if stdout.is_terminal() {
            Mode::Terminal { colour: environment.non_empty("NO_COLOR").is_none() }
        } else {
            Mode::Plain
        };
        Self::new(mode, context.debug, stdout)
    }

    /// Prints to `writer`; `verbose` shows debug messages where there is no runner to decide that.
    pub fn new(mode: Mode, verbose: bool, writer: impl Write + Send + 'static) -> Self {
        let state = State { writer: Box::new(writer), paused: None, annotations: [0; 3] };
        Self { mode, verbose, state: Arc::new(Mutex::new(state)) }
    }

    /// How this console prints.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Prints lines of this program. Values in them may come from outside: none becomes a command.
    pub fn info(&self, text: &str) {
        self.with(|state| match self.mode {
            Mode::Runner => {
                if escape::may_be_command(text) {
                    state.pause();
                }
                state.line(text);
            }
            Mode::Terminal { .. } | Mode::Plain => state.line(&escape::for_terminal(text)),
        });
    }

    /// Prints what a build printed: whole lines, of which none is a command, whatever it says.
    pub fn passthrough(&self, text: &str) {
        self.with(|state| match self.mode {
            Mode::Runner => {
                state.pause();
                state.line(text);
            }
            Mode::Terminal { .. } | Mode::Plain => state.line(&escape::for_terminal(text)),
        });
    }

    /// Begins a group of lines that folds. Groups do not nest.
    pub fn group(&self, title: &str) {
        self.with(|state| match self.mode {
            Mode::Runner => state.command(&format!("::group::{}", escape::data(title))),
            Mode::Terminal { colour: true } => {
                state.line(&format!("\u{1b}[1m{}\u{1b}[0m", escape::for_terminal(title)));
            }
            Mode::Terminal { colour: false } | Mode::Plain => state.line(&escape::for_terminal(title)),
        });
    }

    /// Ends the group.
    pub fn end_group(&self) {
        if self.mode == Mode::Runner {
            self.with(|state| state.command("::endgroup::"));
        }
    }

    /// Prints an annotation; beyond the runner's limit of its level it is a line of the log.
    pub fn annotate(&self, annotation: &Annotation) {
        if annotation.message.trim().is_empty() {
            return;
        }
        self.with(|state| {
            if self.mode != Mode::Runner {
                return state.line(&annotation.readable(self.mode));
            }
            let [notices, warnings, errors] = &mut state.annotations;
            let count = match annotation.level {
                Level::Notice => notices,
                Level::Warning => warnings,
                Level::Error => errors,
            };
            *count += 1;
            if *count <= MAX_ANNOTATIONS {
                return state.command(&annotation.command());
            }
            let text = annotation.readable(self.mode);
            if escape::may_be_command(&text) {
                state.pause();
            }
            state.line(&text);
        });
    }

    /// A notice without a place.
    pub fn notice(&self, message: &str) {
        self.annotate(&Annotation::new(Level::Notice, message));
    }

    /// A warning without a place.
    pub fn warning(&self, message: &str) {
        self.annotate(&Annotation::new(Level::Warning, message));
    }

    /// An error without a place.
    pub fn error(&self, message: &str) {
        self.annotate(&Annotation::new(Level::Error, message));
    }

    /// A message that shows only when debug logging is switched on.
    pub fn debug(&self, message: &str) {
        self.with(|state| match self.mode {
            Mode::Runner => state.command(&format!("::debug::{}", escape::data(message))),
            Mode::Terminal { .. } | Mode::Plain if self.verbose => {
                state.line(&format!("debug: {}", escape::for_terminal(message)));
            }
            Mode::Terminal { .. } | Mode::Plain => {}
        });
    }

    /// Makes the runner replace a value, and each line of it, by `***` from now on. Prints nothing elsewhere.
    pub fn mask(&self, secret: &Secret) {
        let value = secret.expose();
        if self.mode != Mode::Runner || value.trim().is_empty() {
            return;
        }
        self.with(|state| {
            let lines = value.lines().map(str::trim).filter(|line| !line.is_empty() && *line != value);
            for text in std::iter::once(value).chain(lines) {
                state.command(&format!("::add-mask::{}", escape::data(text)));
            }
        });
    }

    fn with(&self, print: impl FnOnce(&mut State)) {
        // A panic in another thread leaves at worst half a line behind.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        print(&mut state);
        let _ = state.writer.flush();
    }
}

impl State {
    /// Makes the runner take no line for a command. Each pause has a token of its own, that nothing inside can know.
    fn pause(&mut self) {
        if self.paused.is_none() {
            let token = Uuid::new_v4().to_string();
            self.line(&format!("::stop-commands::{token}"));
            self.paused = Some(token);
        }
    }

    fn command(&mut self, command: &str) {
        if let Some(token) = self.paused.take() {
            self.line(&format!("::{token}::"));
        }
        self.line(command);
    }

    fn line(&mut self, text: &str) {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let _ = self.writer.write_all(format!("{text}\n").as_bytes());
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;

    use super::{Annotation, Console, Level, Mode};
    use crate::secret::Secret;

    #[derive(Clone, Default)]
    pub(in crate::runner) struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Buffer {
        pub(in crate::runner) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    pub(in crate::runner) fn printed(mode: Mode, print: impl FnOnce(&Console)) -> String {
        let buffer = Buffer::default();
        print(&Console::new(mode, false, buffer.clone()));
        buffer.text()
    }

    /// What the runner makes of the output: the commands it executes, after `ActionCommandManager.TryProcessCommand`.
    fn executed(output: &str) -> Vec<String> {
        let mut token = None;
        let mut commands = Vec::new();
        for line in output.split(['\n', '\r']) {
            let command = line.trim_start();
            match &token {
                Some(end) if command == format!("::{end}::") => token = None,
                Some(_) => {}
                None => match command.strip_prefix("::stop-commands::") {
                    Some(new) => token = Some(new.to_owned()),
                    None if command.starts_with("::") || line.contains("##[") => commands.push(command.to_owned()),
                    None => {}
                },
            }
        }
        commands
    }

    #[test]
    fn prints_commands_on_a_runner() {
        let output = printed(Mode::Runner, |console| {
            console.group("a\nb");
            console.info("plain");
            console.end_group();
            console.debug("100%");
            console.annotate(&Annotation::new(Level::Error, "failed:\nexit 2").title("RUN make, all").at(
                "a:b/Dockerfile",
                7,
                3,
            ));
            console.annotate(&Annotation::new(Level::Warning, "  "));
            console.warning("careful");
            console.mask(&Secret::new("one\n  two \n\nthree"));
            console.mask(&Secret::new(" \n"));
        });
        assert_eq!(
            output,
            "::group::a%0Ab\nplain\n::endgroup::\n::debug::100%25\n\
             ::error title=RUN make%2C all,file=a%3Ab/Dockerfile,line=7,endLine=7::failed:%0Aexit 2\n\
             ::warning::careful\n\
             ::add-mask::one%0A  two %0A%0Athree\n::add-mask::one\n::add-mask::two\n::add-mask::three\n"
        );
    }

    #[test]
    fn prints_readable_lines_elsewhere() {
        let print = |console: &Console| {
            console.group("building");
            console.passthrough("::error::\u{1b}[2Jx\r\n");
            console.end_group();
            console.debug("hidden");
            console.mask(&Secret::new("hunter2"));
            console.annotate(&Annotation::new(Level::Error, "no").title("step").at("Dockerfile", 7, 9));
        };
        assert_eq!(printed(Mode::Plain, print), "building\n::error::x\nerror: step: no (Dockerfile:7)\n");
        assert_eq!(
            printed(Mode::Terminal { colour: true }, print),
            "\u{1b}[1mbuilding\u{1b}[0m\n::error::x\n\u{1b}[1;31merror\u{1b}[0m: step: no (Dockerfile:7)\n"
        );
    }

    #[test]
    fn stops_commands_once_for_a_run_of_build_output() {
        let output = printed(Mode::Runner, |console| {
            console.passthrough("::set-output name=a::b");
            console.passthrough("two\n");
            console.info("three");
            console.notice("four");
            console.info("ends with ::");
        });
        let lines: Vec<_> = output.lines().collect();
        let token = lines[0].strip_prefix("::stop-commands::").unwrap();
        assert!(uuid::Uuid::parse_str(token).is_ok());
        let resume = format!("::{token}::");
        assert_eq!(lines[1..], ["::set-output name=a::b", "two", "three", &resume, "::notice::four", "ends with ::"]);
    }

    #[test]
    fn further_annotations_are_lines() {
        let output = printed(Mode::Runner, |console| {
            for number in 1..=12 {
                console.error(&number.to_string());
            }
            console.warning("another level");
        });
        assert_eq!(executed(&output).len(), 11);
        assert!(output.ends_with("::error::10\nerror: 11\nerror: 12\n::warning::another level\n"), "{output}");
    }

    #[test]
    fn cuts_long_messages() {
        let output = printed(Mode::Runner, |console| console.notice(&"é".repeat(5000)));
        assert_eq!(output.trim_end().strip_prefix("::notice::").unwrap().encode_utf16().count(), 4096);
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
        let console = Console::new(Mode::Runner, false, Closed);
        console.info("x");
        console.passthrough("y");
        console.error("z");
    }

    proptest! {
        #[test]
        fn no_outside_text_is_ever_a_command(texts in prop::collection::vec("([:#\\[\r\n ]|::error::|##\\[error\\]|.){0,30}", 0..6)) {
            let output = printed(Mode::Runner, |console| {
                for (number, text) in texts.iter().enumerate() {
                    match number % 5 {
                        0 => console.passthrough(text),
                        1 => console.info(text),
                        2 => console.group(text),
                        3 => console.warning(text),
                        _ => console.annotate(&Annotation::new(Level::Error, "x").title(text.as_str()).at(text.as_str(), 1, 2)),
                    }
                }
            });
            for command in executed(&output) {
                let ours = ["::group::", "::warning::", "::error "].iter().any(|name| command.starts_with(name));
                prop_assert!(ours, "{:?} in {:?}", command, output);
            }
        }
    }
}

//! The stages of a run, in order.

mod build;
mod clear;
mod engine;
mod github;
mod report;
mod secrets;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::inputs::{Inputs, RawInputs, cli, parse};
use crate::outcome::build::ImageOutcome;
use crate::outcome::clear::ItemOutcome;
use crate::runner::{
    Annotation, Cancellation, Console, Context, Environment, ExitCode, FileCommands, Level, Signal, mask, trace_to,
};

/// How long an orderly end may take after a signal.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is said of a run that did not end after this time.
const NO_ANSWER: &str = "something that was asked for did not answer any more: what was begun may be half done, and is not all told \
                         here; look whether the engine answers (`docker info`), and run it again";

/// Where a run gets everything from.
#[derive(Debug)]
pub struct Process {
    /// The command line, the program's name first.
    pub arguments: Vec<OsString>,
    /// The environment.
    pub environment: Environment,
    /// The working directory.
    pub directory: PathBuf,
}

impl Process {
    /// This process.
    pub fn this() -> Self {
        Self {
            arguments: std::env::args_os().collect(),
            environment: Environment::of_process(),
            directory: std::env::current_dir().unwrap_or_else(|_gone| PathBuf::from("/")),
        }
    }
}

/// What every stage of a run can use.
struct Run {
    environment: Environment,
    context: Context,
    console: Console,
    files: FileCommands,
    cancellation: Cancellation,
    started: Instant,
    so_far: Mutex<SoFar>,
}

/// What is known of a run before its end, should it never come to a report.
#[derive(Debug, Default)]
struct SoFar {
    /// The images that are to be built, with what became of them.
    images: Vec<ImageOutcome>,
    /// What was cleared, or not.
    items: Vec<ItemOutcome>,
    /// Whether outputs and summary are written.
    reported: bool,
}

/// Runs to the end and gives the exit status.
pub fn run(process: Process) -> ExitCode {
    let started = Instant::now();
    let (context, warnings) = Context::read(&process.environment, &process.directory);
    let console = Console::stdout(&context, &process.environment);
    trace_to(&console, context.debug);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return broken(&console, "start the runtime", &error),
    };
    let code = runtime.block_on(async {
        // First of all, because PID 1 of a container ignores signals that it has no handlers for.
        let cancellation = match Cancellation::install() {
            Ok(cancellation) => cancellation,
            Err(error) => return broken(&console, "install the signal handlers", &error),
        };
        let files = FileCommands::new(&process.environment, &console);
        let environment = process.environment;
        let run = Run {
            environment,
            context,
            console: console.clone(),
            files,
            cancellation,
            started,
            so_far: Mutex::default(),
        };
        run.stages(process.arguments, &warnings).await
    });
    // Work that nobody waits for any more (a file that is being read) must not delay the end.
    runtime.shutdown_background();
    code
}

impl Run {
    async fn stages(&self, arguments: Vec<OsString>, warnings: &[String]) -> ExitCode {
        let inputs = match self.inputs(arguments) {
            Ok(inputs) => inputs,
            Err(code) => return code,
        };
        warnings.iter().for_each(|warning| self.console.warning(warning));
        let stages = async {
            match &inputs {
                Inputs::Build(inputs) => build::build(self, inputs).await,
                Inputs::Clear(inputs) => clear::clear(self, inputs).await,
            }
        };
        tokio::select! {
            code = stages => code,
            () = self.out_of_patience() => self.give_up(&inputs),
        }
    }

    /// Every stage ends by itself when it is cancelled. An engine that does not answer must not keep it from that: the
    /// runner kills what is still there after ten seconds.
    async fn out_of_patience(&self) {
        self.cancellation.cancelled().await;
        tokio::time::sleep(PATIENCE).await;
    }

    /// Ends a run that would not, with outputs and summary of what is known of it.
    fn give_up(&self, inputs: &Inputs) -> ExitCode {
        self.console.error(&format!("cancelled, and {NO_ANSWER}"));
        let so_far = std::mem::take(&mut *self.so_far());
        if !so_far.reported {
            match inputs {
                Inputs::Build(inputs) => build::give_up(self, inputs, so_far.images, NO_ANSWER),
                Inputs::Clear(inputs) => clear::give_up(self, inputs, so_far.items, NO_ANSWER),
            }
        }
        self.cancelled_code()
    }

    /// The exit status of a run that its signal ended early.
    fn cancelled_code(&self) -> ExitCode {
        self.cancellation.signal().map_or(ExitCode::BuildFailed, Signal::exit_code)
    }

    fn so_far(&self) -> MutexGuard<'_, SoFar> {
        self.so_far.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The inputs, with everything secret in them masked before anything else is said.
    fn inputs(&self, arguments: Vec<OsString>) -> Result<Inputs, ExitCode> {
        let flags = match cli::read(arguments) {
            Ok(cli::Invocation::Run(flags)) => flags,
            Ok(cli::Invocation::Print(text)) => {
                self.console.info(text.trim_end());
                return Err(ExitCode::Done);
            }
            Err(error) => {
                self.console.error(error.to_string().trim_end().trim_start_matches("error: "));
                return Err(ExitCode::BadInputs);
            }
        };
        let raw = RawInputs::new(&self.environment, &self.context, flags);
        if raw.is_empty() && !self.context.on_runner {
            self.console.info(cli::help().trim_end());
            return Err(ExitCode::BadInputs);
        }
        let (inputs, warnings) = parse(&raw).map_err(|errors| {
            for error in errors {
                self.explain(&error.to_string(), &error.help());
            }
            ExitCode::BadInputs
        })?;
        mask(&self.console, &inputs);
        warnings.iter().for_each(|warning| self.console.warning(warning));
        Ok(inputs)
    }

    /// Says an error and the way out.
    fn explain(&self, error: &str, help: &str) {
        let text = if help.is_empty() { error.to_owned() } else { format!("{error}\n{help}") };
        self.console.annotate(&Annotation::new(Level::Error, text).title("watchparty-cache"));
    }
}

fn broken(console: &Console, action: &str, error: &std::io::Error) -> ExitCode {
    console.error(&format!("{action}: {error}"));
    ExitCode::BuildFailed
}

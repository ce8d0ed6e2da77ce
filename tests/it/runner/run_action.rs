//! Runs the action's image as a step of a workflow: the program behind `scripts/run-action`.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![expect(clippy::print_stdout, reason = "a program of its own, which prints")]

#[path = "."]
mod runner {
    pub(crate) mod simulator;
    pub(crate) mod start;
}

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use runner::simulator::{Directories, Ended, Finished, Level, Manifest, Socket, Step, Summary};
use runner::start;

const USAGE: &str = "DOCKER ADDRESS IMAGE ACTION.YML ROOT WORKSPACE [OPTION VALUE]… [INPUT=VALUE]…";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    let mut required = || arguments.next().expect(USAGE);
    let (docker, address, image, manifest) = (required(), required(), required(), required());
    let (root, workspace) = (required(), required());
    let manifest = Manifest::parse(&std::fs::read_to_string(manifest).unwrap());
    let step = |directories| Step::new(Path::new(&docker), &address, &image, manifest.clone(), directories);
    if arguments.next_if(|argument| argument == "--measure-start").is_some() {
        let times = arguments.next().and_then(|times| times.parse().ok()).expect("--measure-start TIMES");
        let nothing = || {
            let mut command = Command::new(&docker);
            command.env("DOCKER_HOST", &address);
            command
        };
        let (step, nothing) = start::measure(times, Path::new(&root), step, nothing);
        let (step, nothing) = (step.as_secs_f64(), nothing.as_secs_f64());
        println!("to the first word to the engine: {step:.3} s; docker run of nothing: {nothing:.3} s");
        return ExitCode::SUCCESS;
    }
    let mut step = step(Directories::make(Path::new(&root), Some(Path::new(&workspace))));
    let mut cancel_after = None;
    while let Some(argument) = arguments.next() {
        if argument == "--cancel-after" {
            let seconds = arguments.next().and_then(|seconds| seconds.parse().ok());
            cancel_after = seconds.map(Duration::from_secs_f64);
        } else {
            step = changed(step, &argument, || arguments.next().unwrap_or_else(|| panic!("{argument} needs a value")));
        }
    }
    let interrupted = interrupted();
    let begun = Instant::now();
    let finished = step
        .start(|line| println!("{line}"))
        .finish(|| interrupted.load(Ordering::Relaxed) || cancel_after.is_some_and(|after| begun.elapsed() >= after));
    report(&finished);
    if finished.succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The step with one option or input more.
fn changed(step: Step, argument: &str, mut value: impl FnMut() -> String) -> Step {
    match argument {
        "--network" => step.network(&value()),
        "--user" => step.user(&value()),
        "--read-only" => step.read_only(),
        "--socket" => step.socket(match value().as_str() {
            "none" => Socket::Absent,
            path => Socket::From(PathBuf::from(path)),
        }),
        "--event" => {
            let (name, file) = (value(), value());
            step.event(&name, &std::fs::read_to_string(file).unwrap())
        }
        "--env" => {
            let pair = value();
            let (name, value) = pair.split_once('=').expect("--env NAME=VALUE");
            step.variable(name, value)
        }
        input => {
            let (name, value) = input.split_once('=').unwrap_or_else(|| panic!("INPUT=VALUE, and not '{input}'"));
            step.input(name, value)
        }
    }
}

/// Becomes true with the first Ctrl-C or SIGTERM.
fn interrupted() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
            loop {
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    _ = terminate.recv() => {}
                }
                set.store(true, Ordering::Relaxed);
            }
        });
    });
    flag
}

fn report(finished: &Finished) {
    let word = if finished.succeeded { "succeeded" } else { "failed" };
    let code = finished.code.map_or("killed".to_owned(), |code| format!("exit status {code}"));
    println!("\n=== the step {word}: {code}, container {}", finished.container);
    if let Some(took) = finished.cancelled_for {
        let how = match finished.ended {
            Ended::ByItself | Ended::Interrupted => "by SIGINT",
            Ended::Terminated => "by SIGTERM",
            Ended::Killed => "by SIGKILL: its container may still run",
        };
        println!("=== cancelled {how}, {:.1} s after SIGINT", took.as_secs_f64());
    }
    let kinds = [("output", &finished.outputs), ("state", &finished.state), ("environment", &finished.environment)];
    for (kind, values) in kinds {
        values.iter().for_each(|(name, value)| println!("{kind} {name}={value}"));
    }
    for annotation in &finished.annotations {
        let place = annotation.file.as_deref().unwrap_or_default();
        let line = annotation.line.map(|line| format!(":{line}")).unwrap_or_default();
        let title = annotation.title.as_deref().unwrap_or_default();
        let level = match annotation.level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Notice => "notice",
        };
        println!("{level} {place}{line} [{title}] {}", annotation.message);
    }
    match &finished.summary {
        Summary::None => println!("=== no summary; {} lines of log", finished.log.len()),
        Summary::Shown(_) => println!("=== summary: {}", finished.summary_file.display()),
        Summary::TooLong => println!("=== the summary is over the limit and not shown"),
    }
}

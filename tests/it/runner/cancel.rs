//! A job that is cancelled: SIGINT, SIGTERM, SIGKILL to `docker run`, as the runner sends them.

use std::time::{Duration, Instant};

use crate::support::{LongStep, on_every_engine, unique};

use super::simulator::Ended;
use super::{Runner, run_step};

/// The runner sends SIGTERM after 7.5 s.
const PATIENCE: Duration = Duration::from_secs(7);

on_every_engine!(the_first_signal_is_enough_and_everything_is_written, |engine| {
    let (name, long) = (unique("cancelled"), LongStep::new());
    let dockerfile = format!("FROM busybox:1.36\nRUN echo {name} && {}\n", long.command);
    let runner = Runner::new(engine, &[("Dockerfile", &dockerfile)]);
    let started = runner.step().input("tags", &name).start(|_line| {});
    let container = started.container.clone();
    assert!(long.waits_until(true, Duration::from_secs(30)), "the step never began");
    assert!(runner.has_container(&container));
    let finished = started.finish(|| true);
    assert_eq!((finished.code, finished.ended), (Some(130), Ended::Interrupted), "{}", finished.log.join("\n"));
    assert!(!finished.succeeded && finished.cancelled_for.unwrap() < PATIENCE, "{:?}", finished.cancelled_for);
    assert!(finished.shown_summary().to_lowercase().contains("cancelled"), "{}", finished.shown_summary());
    assert!(finished.outputs.contains_key("duration-seconds"), "{:?}", finished.outputs);
    // Nothing goes on: not the build's step, and not the action's container.
    assert!(long.waits_until(false, Duration::from_secs(5)), "the build's step still runs");
    assert!(ends(|| !runner.has_container(&container)), "the container is still there");
});

/// A signal that comes before there is anything to cancel ends the step as well.
#[test]
fn a_signal_at_the_very_beginning_ends_it_engine_28_containerd() {
    let engine = crate::support::engine("28-containerd");
    let name = unique("early");
    let long = LongStep::new();
    let dockerfile = format!("FROM busybox:1.36\nRUN echo {name} && {}\n", long.command);
    let runner = Runner::new(&engine, &[("Dockerfile", &dockerfile)]);
    let started = runner.step().input("tags", &name).start(|_line| {});
    let container = started.container.clone();
    let begun = Instant::now();
    // As soon as there is a process that could get it.
    assert!(ends(
        || !crate::support::docker(&engine, &["ps", "-q", "--filter", &format!("name={container}")]).is_empty()
    ));
    let finished = started.finish(|| true);
    assert!(!finished.succeeded && begun.elapsed() < Duration::from_secs(20), "{}", finished.log.join("\n"));
    // Before the program has its handlers, the kernel drops what PID 1 is sent: then it is SIGTERM that ends it.
    assert_ne!(finished.ended, Ended::Killed);
    assert!(ends(|| !runner.has_container(&container)), "the container is still there");
    assert!(long.waits_until(false, Duration::from_secs(5)), "the build's step still runs");
    // The next step of the job is none the worse for it.
    run_step(runner.step().input("tags", &name).input("pull", "maybe")).expect_code(2);
}

fn ends(mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

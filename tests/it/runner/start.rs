//! How long it takes from `docker run` to the program's first word to the engine.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::simulator::{Directories, Socket, Step};

/// Medians of `times` runs each, alternately: of the step, until its first connection to a socket in the place of the
/// engine's, and of `docker run busybox:1.36 true`, whose program is as static and does nothing, until its end.
pub(crate) fn measure(
    times: usize,
    root: &Path,
    step: impl Fn(Directories) -> Step,
    nothing: impl Fn() -> Command,
) -> (Duration, Duration) {
    let directories = Directories::make(root, None);
    let (mut steps, mut others) = (Vec::new(), Vec::new());
    for number in 0..times {
        let socket = root.join(format!("start-{number}.sock"));
        let listener = UnixListener::bind(&socket).unwrap();
        let step = step(directories.clone()).socket(Socket::From(socket)).input("tags", "x");
        let begun = Instant::now();
        let started = step.start(|_line| {});
        let connection = listener.accept().unwrap();
        steps.push(begun.elapsed());
        // Nobody there: the step ends by itself.
        drop((connection, listener));
        started.finish(|| false);

        let mut nothing = nothing();
        let begun = Instant::now();
        assert!(nothing.args(["run", "--rm", "busybox:1.36", "true"]).stdin(Stdio::null()).status().unwrap().success());
        others.push(begun.elapsed());
    }
    (median(steps), median(others))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

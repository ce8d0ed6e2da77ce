//! No way to the engine: each is said with what to do on this kind of runner.

use crate::support::Engine;

use super::simulator::{Socket, Step};
use super::{Level, Runner, run_step};

fn no_engine(engine: &Engine) {
    let runner = Runner::new(engine, &[("Dockerfile", "FROM scratch\n")]);
    // The engine makes a directory of a socket that is mounted and does not exist.
    let missing = runner.root.path().join("nowhere.sock");
    type Case<'a> = (&'a dyn Fn(Step) -> Step, &'a str, &'a str, &'a str);
    let cases: [Case<'_>; 3] = [
        (&|step| step.socket(Socket::Absent), "there is no socket", "ubuntu-slim", "Install and start Docker"),
        (
            &|step| step.socket(Socket::From(missing.clone())),
            "is a directory",
            "Remove the directory on the host",
            "Remove the directory on the host",
        ),
        (&|step| step.user("65534:65534"), "no permission", "Container actions run as root", "socket's group"),
    ];
    for (change, said, hosted, own) in cases {
        for (kind, help) in [("github-hosted", hosted), ("self-hosted", own)] {
            let step = change(runner.step()).variable("RUNNER_ENVIRONMENT", kind).input("tags", "x");
            let finished = run_step(step).expect_code(3);
            let errors = finished.messages(Level::Error).join("\n");
            assert!(errors.contains(said) && errors.contains(help), "{kind}, {said}: {errors}");
        }
    }
}

#[test]
fn no_engine_is_exit_3_with_the_way_out_engine_20_10() {
    no_engine(&crate::support::engine("20.10"));
}

#[test]
fn no_engine_is_exit_3_with_the_way_out_engine_28_containerd() {
    no_engine(&crate::support::engine("28-containerd"));
}

//! Bad input, dead engines, signals: the exit status, and what is said.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{
    Action, Engine, LongBuild, Manner, Meanwhile, Project, Proxy, command, docker, engine, on_every_engine, unique,
};

/// An engine that is not there.
fn at(address: &str) -> Engine {
    Engine { name: "none".to_owned(), address: address.to_owned() }
}

fn project() -> Project {
    Project::new(&[("Dockerfile", "FROM busybox:1.36\nRUN true\n")])
}

#[test]
fn an_engine_that_is_not_there_is_exit_3_with_the_way_out() {
    let project = project();
    let directory = tempfile::tempdir().unwrap();
    let refused = directory.path().join("refused.sock");
    drop(UnixListener::bind(&refused).unwrap());
    let folder = directory.path().join("folder.sock");
    std::fs::create_dir(&folder).unwrap();
    for (path, said) in [
        (directory.path().join("missing.sock"), "there is no socket"),
        (folder, "is a directory"),
        (refused, "refused"),
    ] {
        let run = Action::new(&at(&format!("unix://{}", path.display())), project.path()).input("tags", "x").run();
        let run = run.expect_code(3);
        let error = run.stdout.lines().find(|line| line.starts_with("::error")).unwrap_or_default();
        assert!(error.contains(said), "{said}: {}", run.stdout);
    }
}

#[test]
fn a_socket_without_permission_is_exit_3() {
    // Root may open everything, so the program runs as somebody else.
    let project = project();
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(project.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let action = Action::new(&at(&format!("unix://{}", socket.display())), project.path()).input("tags", "x");
    let finished = action.run_as_nobody().expect_code(3);
    assert!(finished.stdout.contains("permission"), "{}", finished.stdout);
}

#[test]
fn bad_inputs_are_all_reported_at_once_with_their_way_out() {
    let project = project();
    let run = Action::new(&at("unix:///nowhere"), project.path())
        .input("pull", "yes")
        .input("shm-size", "many")
        .input("outputs", "type=local,dest=x")
        .input("cache-max-age", "week")
        .run()
        .expect_code(2);
    for input in ["pull", "shm-size", "outputs", "cache-max-age"] {
        assert!(run.stdout.contains(&format!("input `{input}`")), "{input}: {}", run.stdout);
    }
    assert!(run.stdout.contains("`yes`") && run.stdout.contains("`many`"), "{}", run.stdout);
}

#[test]
fn what_is_missing_is_exit_2() {
    let project = project();
    project.write("compose.yaml", "services:\n  web:\n    build: .\n");
    project.write("broken.yaml", "services:\n  web:\n   build: [\n");
    project.write("stages/Dockerfile", "FROM busybox:1.36 AS build\n");
    let cases: [(&[(&str, &str)], &str); 6] = [
        (&[("compose-file", "nowhere.yaml")], "nowhere.yaml"),
        (&[("compose-file", "compose.yaml"), ("services", "wbe")], "wbe"),
        (&[("compose-file", "broken.yaml")], "broken.yaml:"),
        (&[("file", "No.Dockerfile")], "No.Dockerfile"),
        (&[("context", "nowhere")], "nowhere"),
        (&[("context", "stages"), ("target", "biuld")], "biuld"),
    ];
    for (inputs, said) in cases {
        let action = Action::new(&at("unix:///nowhere"), project.path());
        let run = inputs.iter().fold(action, |action, (name, value)| action.input(name, value)).run().expect_code(2);
        assert!(run.stdout.contains(said), "{said}: {}", run.stdout);
    }
}

fn signalled(engine: &Engine, signal: rustix::process::Signal, code: i32) {
    let build = LongBuild::start(engine);
    let pid = rustix::process::Pid::from_child(&build.child);
    rustix::process::kill_process(pid, signal).unwrap();
    let sent = Instant::now();
    let output = build.child.wait_with_output().unwrap();
    assert!(sent.elapsed() < Duration::from_secs(7), "{:?}", sent.elapsed());
    let finished = build.action.finish(&output).expect_code(code);
    assert!(finished.summary.to_lowercase().contains("cancelled"), "{}", finished.summary);
    assert!(finished.outputs.contains_key("duration-seconds"), "{:?}", finished.outputs);
    // The engine must not go on with it: its step is gone from the machine within seconds.
    assert!(build.step.waits_until(false, Duration::from_secs(5)), "the step still runs");
}

#[test]
fn a_signal_ends_a_run_whose_engine_does_not_answer() {
    let project = project();
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("silent.sock");
    // It accepts, and never says a word.
    let _listener = UnixListener::bind(&socket).unwrap();
    for mode in ["build", "clear"] {
        let engine = at(&format!("unix://{}", socket.display()));
        let action = Action::new(&engine, project.path()).input("mode", mode).input("tags", "x");
        let child = action.start();
        std::thread::sleep(Duration::from_secs(1));
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
        let sent = Instant::now();
        let output = child.wait_with_output().unwrap();
        assert!(sent.elapsed() < Duration::from_secs(7), "{mode}: {:?}", sent.elapsed());
        action.finish(&output).expect_code(143);
    }
}

// It built the image and answers nothing more.
on_every_engine!(a_run_that_gives_its_engine_up_says_what_it_knows, |engine| {
    given_up(engine, &["GET ", "/images/"]);
});

#[test]
fn a_run_that_gives_its_engine_up_while_it_keeps_records_says_what_it_knows_engine_28_graph() {
    given_up(&engine("28-graph"), &["DELETE ", "/images/watchparty-cache/capture"]);
}

/// A build whose engine does not answer requests with these parts once it solves.
fn given_up(engine: &Engine, unanswered: &'static [&'static str]) {
    let (project, tag) = (project(), unique("given-up"));
    let proxy = Arc::new(Proxy::new(engine, Manner::Watched));
    {
        let again = Arc::downgrade(&proxy);
        proxy.before_solve(move || {
            let proxy = again.upgrade().unwrap();
            proxy.on(unanswered, usize::MAX, || Meanwhile::Late(Duration::from_secs(60)));
        });
    }
    let action = Action::new(&proxy.engine(engine), project.path()).input("tags", &tag);
    let child = action.start();
    let built = || command(engine).args(["image", "inspect", &tag]).output().unwrap().status.success();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !built() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    // It looks at the image now.
    std::thread::sleep(Duration::from_secs(3));
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    let sent = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(sent.elapsed() < Duration::from_secs(7), "{:?}", sent.elapsed());
    let finished = action.finish(&output).expect_code(143);
    assert!(finished.stdout.contains("did not answer any more"), "{}", finished.stdout);
    let images = &finished.result()["images"];
    assert_eq!(
        (&images[0]["name"], &images[0]["result"]),
        (&json!(format!("{tag}:latest")), &json!("built")),
        "{images}"
    );
    assert!(finished.summary.contains(&tag), "{}", finished.summary);
    assert!(finished.summary.contains("did not answer any more"), "{}", finished.summary);
    assert!(finished.summary.contains("every image was built already"), "{}", finished.summary);
    docker(engine, &["image", "rm", "-f", &tag]);
}

on_every_engine!(an_interrupt_ends_the_build_everywhere, |engine| {
    signalled(engine, rustix::process::Signal::INT, 130);
});

on_every_engine!(a_termination_ends_the_build_everywhere, |engine| {
    signalled(engine, rustix::process::Signal::TERM, 143);
});

on_every_engine!(at_a_terminal_flags_have_the_inputs_names, |engine| {
    let project = project();
    let tag = unique("terminal");
    let context = project.path().display().to_string();
    let arguments = ["build", "--context", &context, "--tags", &tag];
    let run = Action::new(engine, project.path()).at_a_terminal(&arguments).run().expect_code(0);
    assert!(!run.stdout.contains("::"), "no workflow commands at a terminal: {}", run.stdout);
    assert!(run.stdout.contains("RUN true"), "{}", run.stdout);
    docker(engine, &["image", "rm", "-f", &tag]);
});

//! The other builders of an engine: emptied, kept where they build, and what is left of former ones.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Action, Builder, Engine, LongStep, Manner, Proxy, docker, on_every_engine, unique};

fn clear(engine: &Engine) -> Action {
    Action::new(engine, &std::env::temp_dir()).input("mode", "clear").input("scope", "builders")
}

fn has_volume(engine: &Engine, name: &str) -> bool {
    docker(engine, &["volume", "ls", "-q"]).lines().any(|line| line == name)
}

/// Makes a volume with something in it.
fn volume(engine: &Engine, name: &str) {
    let mount = format!("{name}:/v");
    docker(engine, &["run", "--rm", "-v", &mount, "busybox:1.36", "sh", "-c", "head -c 3000000 /dev/zero > /v/x"]);
}

on_every_engine!(builders_are_emptied_and_what_is_left_of_others_goes, |engine| {
    let (running, stopped) = (Builder::start(engine), Builder::start(engine));
    running.build();
    stopped.build();
    stopped.stop();
    let (old, bystander) = (format!("buildx_buildkit_{}0_state", unique("old")), unique("data") + "_state");
    volume(engine, &old);
    volume(engine, &bystander);
    assert!(running.records() >= 2);

    let dry = clear(engine).input("dry-run", "true").run().expect_code(0);
    for said in [&running.name, &stopped.name, &old] {
        assert!(dry.stdout.contains(said.as_str()) && dry.summary.contains(said.as_str()), "{said}: {}", dry.summary);
    }
    assert!(running.records() >= 2 && !stopped.is_running() && has_volume(engine, &old));

    let kept = clear(engine).input("keep", &running.name).run().expect_code(0);
    assert!(kept.summary.contains(&format!("keep: {}", running.name)), "{}", kept.summary);
    assert!(running.records() >= 2, "it was to be kept");
    assert_eq!(kept.output("verified"), "true");
    let freed: u64 = kept.output("freed-bytes").parse().unwrap();
    assert!(freed > 6_000_000, "the records of one builder and a volume: {freed}");
    assert!(!has_volume(engine, &old) && has_volume(engine, &bystander));
    assert!(!stopped.is_running(), "it was started for it, and did not run before");

    let cleared = clear(engine).run().expect_code(0);
    assert_eq!((cleared.output("verified"), running.records()), ("true", 0));
    assert!(cleared.output("cache-records-removed").parse::<u32>().unwrap() >= 2, "{}", cleared.summary);
    let again = clear(engine).run().expect_code(0);
    assert_eq!((again.output("verified"), again.output("freed-bytes")), ("true", "0"));
    docker(engine, &["start", &stopped.container()]);
    stopped.wait();
    assert_eq!(stopped.records(), 0);
    assert!(has_volume(engine, &running.volume()) && has_volume(engine, &stopped.volume()));
    running.build();
    docker(engine, &["volume", "rm", &bystander]);
});

on_every_engine!(a_builder_that_builds_is_kept_and_its_build_ends_well, |engine| {
    let builder = Builder::start(engine);
    builder.build();
    let step = LongStep::new();
    let (mut build, _project) = builder.begin(&format!("({} & sleep 5)", step.command));
    let building = build.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    assert!(step.waits_until(true, Duration::from_secs(30)), "the step never began");
    let before = builder.records();
    let kept = clear(engine).run().expect_code(4);
    assert!(kept.summary.contains("it is building") && kept.summary.contains(&builder.name), "{}", kept.summary);
    assert_eq!((kept.output("verified"), kept.output("freed-bytes")), ("false", "0"));
    assert!(builder.records() >= before);
    let ended = building.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let cleared = clear(engine).run().expect_code(0);
    assert_eq!((cleared.output("verified"), builder.records()), ("true", 0));
});

on_every_engine!(a_builder_that_was_started_for_it_is_not_stopped_under_a_build, |engine| {
    let builder = Builder::start(engine);
    builder.build();
    builder.stop();
    let step = clear(engine);
    let child = step.start();
    let pid = rustix::process::Pid::from_child(&child);
    let begun = Instant::now();
    while !builder.is_running() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it was never started");
        std::thread::sleep(Duration::from_millis(20));
    }
    // The clear stands still while somebody begins to build; then it is cancelled.
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    builder.wait();
    let long = LongStep::new();
    let (mut build, _project) = builder.begin(&format!("({} & sleep 8)", long.command));
    let building = build.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    assert!(long.waits_until(true, Duration::from_secs(60)), "the step never began");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    let run = step.finish(&child.wait_with_output().unwrap()).expect_code(130);
    assert!(builder.is_running(), "{}", run.stdout);
    assert!(run.stdout.contains("was started and runs on: somebody builds in it"), "{}", run.stdout);
    let ended = building.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
});

on_every_engine!(a_builder_that_somebody_else_starts_in_this_moment_is_emptied_and_runs_on, |engine| {
    let builder = Builder::start(engine);
    builder.build();
    builder.stop();
    let proxy = Proxy::new(engine, Manner::Itself);
    let (starting, container) = (engine.clone(), builder.container());
    // Between the last look at it and its start.
    proxy.before(&["POST", "/start "], move || drop(docker(&starting, &["start", &container])));
    let run = clear(&proxy.engine(engine)).run().expect_code(0);
    assert!(builder.is_running(), "who started it finds it stopped: {}", run.stdout);
    assert_eq!((run.output("verified"), builder.records()), ("true", 0), "{}", run.stdout);
});

on_every_engine!(a_volume_that_a_container_takes_in_this_moment_stays, |engine| {
    let left_over = format!("buildx_buildkit_{}0_state", unique("taken"));
    volume(engine, &left_over);
    let proxy = Proxy::new(engine, Manner::Itself);
    let (name, mount, taking) = (unique("taker"), format!("{left_over}:/v"), engine.clone());
    let container = name.clone();
    proxy.before(&["DELETE", "/volumes/"], move || {
        docker(&taking, &["create", "--name", &container, "-v", &mount, "busybox:1.36", "true"]);
    });
    let run = clear(&proxy.engine(engine)).run().expect_code(4);
    assert!(has_volume(engine, &left_over), "{}", run.stdout);
    assert!(run.stdout.contains(&format!("could not remove {left_over}")), "{}", run.stdout);
    assert_eq!(run.output("verified"), "false");
    docker(engine, &["rm", &name]);
    clear(engine).run().expect_code(0);
    assert!(!has_volume(engine, &left_over));
});

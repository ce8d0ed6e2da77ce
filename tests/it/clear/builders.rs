//! The other builders of an engine: emptied, kept where they build, and what is left of former ones.

use std::process::Stdio;
use std::time::Duration;

use crate::support::{Action, Builder, Engine, LongStep, docker, on_every_engine, unique};

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

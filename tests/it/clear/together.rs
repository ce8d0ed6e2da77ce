//! Clears beside clears, beside builds, and clears that only look.

use std::collections::BTreeMap;

use super::{Cleared, exists};
use crate::support::{Action, Builder, Images, LongBuild, Manner, Proxy, docker, on_every_engine, unique};

on_every_engine!(clears_at_once_do_not_disturb_each_other, |engine| {
    let it = Cleared::new();
    let images = Images::since_now(engine);
    it.build(engine);
    for number in 0..8 {
        docker(engine, &["tag", "busybox:1.36", &format!("{}:{number}", it.tag)]);
    }
    let clear = || it.clear(engine).input("images", &it.tag);
    let actions: Vec<Action> = (0..3).map(|_| clear()).collect();
    let children: Vec<_> = actions.iter().map(Action::start).collect();
    for (action, child) in actions.iter().zip(children) {
        let ended = action.finish(&child.wait_with_output().unwrap()).expect_code(0);
        assert_eq!(ended.output("verified"), "true");
    }
    assert!(!exists(engine, &it.tag) && exists(engine, "busybox:1.36"));
    assert_eq!((images.of_kind("ledger").len(), images.of_kind("tombstone").len(), images.dangling().len()), (0, 1, 0));
    assert_eq!(it.build(engine).cached(), (0, 3));
    clear().run().expect_code(0);
});

on_every_engine!(a_clear_beside_a_build_breaks_nothing, |engine| {
    let images = Images::since_now(engine);
    let build = LongBuild::start_for(engine, 4);
    let tag = build.tag.clone();
    let clear = || Action::new(engine, &std::env::temp_dir()).input("mode", "clear").input("tags", &tag);
    let beside = clear().run().expect_code(4);
    assert!(beside.summary.contains("in use by another build"), "{}", beside.summary);
    let (build, built) = build.finish();
    assert_eq!(built.output("steps-cached"), "0");

    // What the build left is whole: the image runs, its ledger and what the ledger names are there, and the next build,
    // which knows of the clear, says what it takes.
    docker(engine, &["run", "--rm", "--network", "none", &tag, "true"]);
    assert_eq!((images.of_kind("ledger").len(), images.of_kind("tombstone").len()), (1, 1));
    let again = build.again();
    assert!(again.summary.contains("cleared"), "{}", again.summary);
    docker(engine, &["run", "--rm", "--network", "none", &tag, "true"]);
    assert_eq!((images.of_kind("ledger").len(), images.of_kind("tombstone").len()), (1, 0));
    let cleared = clear().run().expect_code(0);
    assert_eq!(cleared.output("verified"), "true");
    assert!(!exists(engine, &tag) && images.of_kind("ledger").is_empty());
    // Nothing of before comes back.
    let fresh = build.again();
    assert_eq!((fresh.output("steps-cached"), images.of_kind("tombstone").len()), ("0", 0), "{}", fresh.stdout);
    clear().run().expect_code(0);
});

on_every_engine!(a_dry_run_asks_and_changes_nothing, |engine| {
    let it = Cleared::new();
    it.build(engine);
    let builder = Builder::start(engine);
    builder.build();
    let volume = format!("buildx_buildkit_{}0_state", unique("old"));
    docker(engine, &["volume", "create", &volume]);
    let proxy = Proxy::new(engine, Manner::Itself);
    let begun = now(engine);
    let dry = it.clear(&proxy.engine(engine)).input("scope", "images, builder, builders").input("dry-run", "true");
    let dry = dry.run().expect_code(0);
    for said in [&it.tag, &builder.name, &volume] {
        assert!(dry.summary.contains(said.as_str()), "{said}: {}", dry.summary);
    }
    // To ask a builder is to run its own client beside it; nothing else happened.
    let events = docker(engine, &["events", "--since", &begun, "--until", &now(engine), "--format", "{{.Action}}"]);
    let events: Vec<&str> = events.lines().filter(|event| !event.starts_with("exec_")).collect();
    assert_eq!(events, [""; 0]);
    let mut writes = BTreeMap::new();
    for line in proxy.seen().into_iter().filter(|line| !line.starts_with("GET ") && !line.starts_with("PRI ")) {
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let kind = path.trim_start_matches("/v1.41").trim_start_matches("/v1.51").split('/').nth(1).unwrap_or_default();
        *writes.entry(kind.to_owned()).or_insert(0) += 1;
    }
    assert!(writes.keys().all(|kind| ["grpc", "containers", "exec"].contains(&kind.as_str())), "{writes:?}");
    assert!(builder.records() >= 2 && exists(engine, &it.tag));
    docker(engine, &["volume", "rm", &volume]);
    it.clear(engine).run().expect_code(0);
});

/// The engine's clock, as its event stream counts.
fn now(engine: &crate::support::Engine) -> String {
    docker(engine, &["info", "--format", "{{.SystemTime}}"])
}

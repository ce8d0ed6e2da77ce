//! `fail-if-stale`: the first build after a clear takes no step from a cache, or fails.

use super::Cleared;
use crate::support::{Action, Engine, Finished, Project, docker, on_every_engine, unique};

fn gated(it: &Cleared, engine: &Engine) -> Finished {
    Action::new(engine, it.project.path()).input("tags", &it.tag).input("fail-if-stale", "true").run()
}

on_every_engine!(a_gate_holds_until_a_build_is_fresh, |engine| {
    let it = Cleared::new();
    gated(&it, engine).expect_code(0);
    let warm = gated(&it, engine).expect_code(0);
    assert_eq!(warm.cached(), (3, 3), "without a clear there is nothing to be stale");

    it.clear(engine).input("scope", "images").run().expect_code(0);
    let stale = gated(&it, engine).expect_code(5);
    assert!(stale.stdout.contains(&format!("{}:latest took 3 of 3 steps from a cache", it.tag)), "{}", stale.stdout);
    assert!(stale.summary.contains("Not a fresh build"), "{}", stale.summary);
    // To run it once more must not be enough.
    gated(&it, engine).expect_code(5);

    it.clear(engine).run().expect_code(0);
    assert_eq!(gated(&it, engine).expect_code(0).cached(), (0, 3));
    assert_eq!(gated(&it, engine).expect_code(0).cached(), (3, 3));
    docker(engine, &["image", "rm", "-f", &it.tag]);
});

on_every_engine!(what_a_failed_build_after_the_clear_has_built_is_fresh, |engine| {
    let it = Cleared::new();
    it.build(engine);
    it.clear(engine).run().expect_code(0);
    let dockerfile = std::fs::read_to_string(it.project.path().join("Dockerfile")).unwrap();
    it.project.write("Dockerfile", format!("{dockerfile}RUN exit 3\n"));
    gated(&it, engine).expect_code(1);
    it.project.write("Dockerfile", &dockerfile);
    // The builder has all of it from the build before, and nothing of before the clear.
    let fresh = gated(&it, engine).expect_code(0);
    assert_eq!(fresh.cached(), (3, 3));
    assert!(
        fresh.summary.contains("**Fresh build**") && fresh.summary.contains("after that clear"),
        "{}",
        fresh.summary
    );
    assert_eq!(fresh.result()["images"][0]["fresh_after"]["stale"], false);
    docker(engine, &["image", "rm", "-f", &it.tag]);
});

on_every_engine!(steps_that_two_services_share_in_one_run_are_not_stale, |engine| {
    let (one, two) = (unique("one"), unique("two"));
    let compose =
        format!("services:\n  one:\n    build: .\n    image: {one}\n  two:\n    build: .\n    image: {two}\n");
    let dockerfile = "FROM busybox:1.36\nCOPY compose.yaml /\nRUN cat /compose.yaml > /copy && sleep 1\n";
    let project = Project::new(&[("compose.yaml", &compose), ("Dockerfile", dockerfile)]);
    let step = || Action::new(engine, project.path()).input("compose-file", "compose.yaml");
    step().run().expect_code(0);
    step().input("mode", "clear").run().expect_code(0);
    let fresh = step().input("fail-if-stale", "true").run().expect_code(0);
    assert_eq!(fresh.cached(), (0, 4));
    docker(engine, &["image", "rm", "-f", &one, &two]);
});

//! What a builder holds besides layers: cache mounts, contexts, what the frontend made.

use super::Cleared;
use crate::support::{Action, Engine, Images, Project, docker, on_every_engine, unique};

/// The records of the engine's builder, by the beginnings of their lines.
fn records(engine: &Engine) -> Vec<String> {
    let listing = docker(engine, &["builder", "du"]);
    let is_record = |line: &&str| line.split_whitespace().any(|word| word == "true" || word == "false");
    let ids = listing.lines().filter(is_record);
    let mut ids: Vec<String> =
        ids.filter_map(|line| Some(line.split_whitespace().next()?.trim_end_matches('*').to_owned())).collect();
    ids.sort();
    ids
}

on_every_engine!(cache_mounts_and_the_frontends_records_go_with_the_builders, |engine| {
    let _images = Images::since_now(engine);
    let (tag, id) = (unique("mount"), unique("id"));
    let text = format!(
        "FROM busybox:1.36\nARG COMMIT\n\
         RUN --mount=type=cache,id={id},target=/c cat /c/kept > /seen 2>/dev/null; echo of $COMMIT >> /seen; echo kept > /c/kept\n"
    );
    let project = Project::new(&[("Dockerfile", &text)]);
    let step = || Action::new(engine, project.path()).input("tags", &tag);
    let build = |commit: &str| {
        step().input("build-args", &format!("COMMIT={commit}")).run().expect_code(0);
        crate::image_cache::read(engine, &tag, "/seen")
    };
    assert_eq!(build("1"), "of 1");
    assert_eq!(build("2"), "kept\nof 2", "the mount outlives a build");
    assert!(records(engine).len() >= 3, "{:?}", records(engine));

    let cleared = step().input("mode", "clear").run().expect_code(0);
    assert_eq!((cleared.output("verified"), records(engine)), ("true", vec![]), "{}", cleared.stdout);
    assert_eq!(build("3"), "of 3", "the mount was cleared");
    step().input("mode", "clear").run().expect_code(0);
});

on_every_engine!(a_dry_run_leaves_every_record_as_it_is, |engine| {
    let _images = Images::since_now(engine);
    let it = Cleared::new();
    it.build(engine);
    let listed = || {
        let all = docker(engine, &["images", "-a", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]);
        all.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
    };
    // What a build leaves comes to rest a moment after its end.
    let at_rest = || {
        let mut before = records(engine);
        loop {
            std::thread::sleep(std::time::Duration::from_millis(500));
            let now = records(engine);
            if now == before {
                return now;
            }
            before = now;
        }
    };
    let before = (at_rest(), listed());
    assert!(!before.0.is_empty());
    it.clear(engine).input("dry-run", "true").run().expect_code(0);
    assert_eq!((at_rest(), listed()), before);
    it.clear(engine).run().expect_code(0);
});

//! Clears: what goes, what stays, what is proven.

use crate::support::{Action, Engine, Finished, Project, docker, on_every_engine, unique};

struct Cleared {
    project: Project,
    tag: String,
}

impl Cleared {
    fn new() -> Self {
        let dockerfile = "FROM busybox:1.36\nCOPY marker /\nRUN cat /marker > /a\nRUN cat /a > /b\n";
        let project = Project::new(&[("Dockerfile", dockerfile)]);
        project.write("marker", unique("marker"));
        Self { project, tag: unique("clear") }
    }

    fn build(&self, engine: &Engine) -> Finished {
        Action::new(engine, self.project.path()).input("tags", &self.tag).run().expect_code(0)
    }

    fn clear(&self, engine: &Engine) -> Action {
        Action::new(engine, self.project.path()).input("mode", "clear").input("tags", &self.tag)
    }
}

fn exists(engine: &Engine, image: &str) -> bool {
    !docker(engine, &["image", "ls", "-q", image]).is_empty()
}

on_every_engine!(after_a_clear_nothing_is_cached_and_the_build_says_so, |engine| {
    let it = Cleared::new();
    it.build(engine);
    let warm = it.build(engine);
    assert_eq!(warm.cached(), (3, 3));

    let cleared = it.clear(engine).run().expect_code(0);
    assert_eq!(cleared.output("verified"), "true");
    assert_eq!(cleared.output("images-removed"), "1");
    assert!(cleared.output("cache-records-removed").parse::<u32>().unwrap() > 0);
    assert!(cleared.output("freed-bytes").parse::<u64>().unwrap() > 0);
    assert!(cleared.summary.contains(&it.tag), "{}", cleared.summary);
    assert!(!exists(engine, &it.tag));

    let fresh = it.build(engine);
    assert_eq!(fresh.cached(), (0, 3));
    assert!(fresh.summary.to_lowercase().contains("fresh"), "{}", fresh.summary);
    let warm = it.build(engine);
    assert_eq!(warm.cached(), (3, 3));
    assert!(!warm.summary.to_lowercase().contains("fresh"), "{}", warm.summary);
    docker(engine, &["image", "rm", "-f", &it.tag]);
});

on_every_engine!(a_dry_run_removes_nothing_and_says_what_would_go, |engine| {
    let it = Cleared::new();
    it.build(engine);
    let dry = it.clear(engine).input("dry-run", "true").run().expect_code(0);
    assert!(dry.summary.contains(&it.tag), "{}", dry.summary);
    assert!(exists(engine, &it.tag));
    assert_eq!(it.build(engine).cached(), (3, 3));
    docker(engine, &["image", "rm", "-f", &it.tag]);
});

on_every_engine!(images_in_use_and_kept_ones_stay_and_are_named, |engine| {
    let it = Cleared::new();
    it.build(engine);
    let container = unique("container");
    docker(engine, &["create", "--name", &container, &it.tag, "true"]);
    let kept = unique("kept");
    docker(engine, &["tag", "busybox:1.36", &kept]);
    let images = format!("{}\n{kept}", it.tag);
    let run = it.clear(engine).input("images", &images).input("keep", &kept).run();
    assert!(run.summary.contains(&container), "{}", run.summary);
    assert!(exists(engine, &it.tag) && exists(engine, &kept) && exists(engine, "busybox:1.36"));
    docker(engine, &["rm", "-f", &container]);
    docker(engine, &["image", "rm", "-f", &it.tag, &kept]);
});

on_every_engine!(clearing_twice_finds_nothing_and_is_verified, |engine| {
    let it = Cleared::new();
    it.build(engine);
    it.clear(engine).run().expect_code(0);
    let again = it.clear(engine).run().expect_code(0);
    assert_eq!((again.output("verified"), again.output("images-removed")), ("true", "0"));
    assert_eq!(again.output("freed-bytes"), "0");
});

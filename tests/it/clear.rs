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
    assert_eq!((dry.output("verified"), dry.output("freed-bytes")), ("", "0"));
    assert_eq!(dry.output("images-removed"), "0");
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
    let run = it.clear(engine).input("images", &images).input("keep", &kept).run().expect_code(4);
    assert_eq!((run.output("verified"), run.output("images-removed")), ("false", "0"));
    assert!(run.summary.contains(&container) && run.summary.contains(&it.tag), "{}", run.summary);
    assert!(run.summary.contains(&format!("keep: {kept}")), "{}", run.summary);
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

on_every_engine!(a_build_after_a_clear_of_images_alone_warns_of_what_the_builder_kept, |engine| {
    let it = Cleared::new();
    it.build(engine);
    let cleared = it.clear(engine).input("scope", "images").run().expect_code(0);
    assert_eq!((cleared.output("verified"), cleared.output("cache-records-removed")), ("true", "0"));
    assert!(!exists(engine, &it.tag));

    let stale = it.build(engine);
    assert_eq!(stale.cached(), (3, 3));
    let alert = stale.summary.split("[!WARNING]").nth(1).unwrap_or_else(|| panic!("no alert: {}", stale.summary));
    for said in ["Not a fresh build", "cleared", "all 3 steps cached", "left the builder's cache alone"] {
        assert!(alert.contains(said), "{said}: {}", stale.summary);
    }
    docker(engine, &["image", "rm", "-f", &it.tag]);
});

#[test]
fn every_bad_input_of_a_clear_is_reported_at_once() {
    let project = Project::new(&[]);
    let nowhere = Engine { name: "none".to_owned(), address: "unix:///nowhere".to_owned() };
    let run = Action::new(&nowhere, project.path())
        .input("mode", "clear")
        .input("images", "app, App")
        .input("keep", "older-than=soon")
        .input("dry-run", "maybe")
        .run()
        .expect_code(2);
    for said in ["input `images`, `App`: ", "input `keep`, `older-than=soon`: ", "input `dry-run`, `maybe`: "] {
        assert!(run.stdout.contains(said), "{said}: {}", run.stdout);
    }
    assert!(run.stdout.contains("label=key[=value]"), "the way out: {}", run.stdout);
    assert_eq!(run.stdout.matches("::error").count(), 3, "{}", run.stdout);
}

on_every_engine!(at_a_terminal_flags_have_the_inputs_names, |engine| {
    let it = Cleared::new();
    it.build(engine);
    let clear = |more: &[&str]| {
        let arguments = [&["clear", "--images", &it.tag, "--scope", "images"], more].concat();
        Action::new(engine, it.project.path()).at_a_terminal(&arguments).run().expect_code(0)
    };
    let dry = clear(&["--dry-run"]);
    assert!(dry.stdout.contains(&format!("remove  {}:latest", it.tag)), "{}", dry.stdout);
    assert!(exists(engine, &it.tag));
    let cleared = clear(&[]);
    assert!(cleared.stdout.contains(&format!("removed {}:latest", it.tag)), "{}", cleared.stdout);
    assert!(!cleared.stdout.contains("::"), "no workflow commands at a terminal: {}", cleared.stdout);
    assert!(!exists(engine, &it.tag));
});

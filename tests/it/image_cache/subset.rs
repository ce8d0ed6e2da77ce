//! Any of our images may be gone: the build succeeds, is never stale, and caches what is still there.

use super::{COMMIT, NEXT_COMMIT, Scene, assert_ran, prune, ran};
use crate::support::{Engine, on_every_engine, unique};

const DEPS: [&str; 2] = ["COPY deps.txt", "RUN cat /deps.txt"];
const BUILD: [&str; 2] = ["COPY app.txt", "RUN echo"];
const FROM_DEPS: &str = "COPY --from=deps";
const REST: [&str; 2] = ["COPY --from=build", "RUN cat /installed"];

fn all() -> Vec<&'static str> {
    [&DEPS[..], &BUILD, &[FROM_DEPS], &REST].concat()
}

/// What is there of our images when the next build begins.
#[derive(Debug, Clone, Copy)]
struct Left {
    image: bool,
    stages: bool,
    ledger: bool,
}

impl Left {
    fn is_left(self, engine: &Engine) -> Scene<'_> {
        let scene = Scene::three_stages(engine);
        scene.build();
        prune(engine);
        self.remove_the_others(&scene);
        scene
    }

    fn remove_the_others(self, scene: &Scene<'_>) {
        if !self.image {
            scene.images.remove(&[&scene.tag]);
        }
        for (kind, left) in [("stage", self.stages), ("ledger", self.ledger)] {
            let images = scene.images.of_kind(kind);
            assert!(!images.is_empty(), "the build made no {kind}");
            if !left {
                scene.images.remove(&images);
            }
        }
    }

    /// Whether the next build can know anything, and finds a layer of what it knows.
    fn is_a_cache(self) -> bool {
        self.ledger && (self.image || self.stages)
    }

    /// What a build of the same tree runs with an empty builder cache.
    fn runs_unchanged(self) -> Vec<&'static str> {
        match self {
            _ if !self.is_a_cache() => all(),
            // With or without the stages' images: they are known by their keys, and nothing needs their files.
            Self { image: true, .. } => Vec::new(),
            // The layers of the stages are there, those of the last stage are not.
            Self { image: false, .. } => [&[FROM_DEPS][..], &REST].concat(),
        }
    }

    /// The same for a build whose code and commit have changed.
    fn runs_changed(self) -> Vec<&'static str> {
        match self {
            _ if !self.is_a_cache() => all(),
            Self { image: true, stages: true, .. } => [&BUILD[..], &REST].concat(),
            // The build stage needs the files of the dependencies; the copy of them in the image is there.
            Self { image: true, stages: false, .. } => [&DEPS[..], &BUILD, &REST].concat(),
            Self { image: false, .. } => [&BUILD[..], &[FROM_DEPS], &REST].concat(),
        }
    }
}

fn every_subset(ledger: bool) -> [Left; 4] {
    [(true, true), (true, false), (false, true), (false, false)].map(|(image, stages)| Left { image, stages, ledger })
}

on_every_engine!(with_the_ledger_what_is_there_is_cached, |engine| {
    for left in every_subset(true) {
        let scene = left.is_left(engine);
        let run = scene.build();
        assert_ran(&run, &left.runs_unchanged(), &format!("{left:?}, nothing changed"));
        scene.assert_final(COMMIT, &format!("{left:?}, nothing changed"));
        // What was missing was made again, or nobody needs it.
        let again = scene.build_pruned();
        assert_ran(&again, &[], &format!("{left:?}, the build after"));
    }
});

on_every_engine!(with_the_ledger_a_change_runs_what_it_needs, |engine| {
    for left in every_subset(true) {
        let scene = left.is_left(engine);
        scene.project.write("app.txt", "second\n");
        let run = scene.action().input("commit", NEXT_COMMIT).run().expect_code(0);
        assert_ran(&run, &left.runs_changed(), &format!("{left:?}, code changed"));
        scene.assert_final(NEXT_COMMIT, &format!("{left:?}, code changed"));
    }
});

on_every_engine!(without_the_ledger_nothing_is_known, |engine| {
    for left in every_subset(false) {
        let scene = left.is_left(engine);
        let run = scene.build();
        assert_ran(&run, &left.runs_unchanged(), &format!("{left:?}"));
        assert_eq!(run.output("cache-source"), "none", "{left:?}");
        scene.assert_final(COMMIT, &format!("{left:?}"));
    }
});

on_every_engine!(what_the_builder_has_is_cached_whatever_is_removed, |engine| {
    let nothing = Left { image: false, stages: false, ledger: false };
    for left in every_subset(true).into_iter().chain([nothing]) {
        let scene = Scene::three_stages(engine);
        scene.build();
        left.remove_the_others(&scene);
        assert_ran(&scene.build(), &[], &format!("{left:?}, nothing changed"));
        scene.assert_final(COMMIT, &format!("{left:?}, nothing changed"));
        scene.project.write("app.txt", "second\n");
        let run = scene.action().input("commit", NEXT_COMMIT).run().expect_code(0);
        assert_ran(&run, &[&BUILD[..], &REST].concat(), &format!("{left:?}, code changed"));
        scene.assert_final(NEXT_COMMIT, &format!("{left:?}, code changed"));
        // What was removed is kept again, from what the builder had.
        prune(engine);
        let again = scene.action().input("commit", NEXT_COMMIT).run().expect_code(0);
        assert_ran(&again, &[], &format!("{left:?}, the build after"));
    }
});

on_every_engine!(a_stage_that_is_missing_is_kept_by_a_build_that_changes_nothing, |engine| {
    for how in ["removed", "not wanted before"] {
        let scene = Scene::three_stages(engine);
        scene.build();
        if how == "removed" {
            Left { image: true, stages: false, ledger: true }.remove_the_others(&scene);
        } else {
            scene.project.write("app.txt", "without stages\n");
            scene.action().input("cache-stages", "false").run().expect_code(0);
        }
        let same = scene.build();
        assert_ran(&same, &[], &format!("{how}, nothing changed"));
        assert_eq!(scene.images.of_kind("stage").len(), 1, "{how}: {}", same.stdout);
        scene.project.write("app.txt", "second\n");
        let changed = scene.build_pruned();
        scene.assert_final(COMMIT, how);
        // Of an import BuildKit 0.8 captures what the build before needed, and no ledger knows the rest of a stage that was not kept.
        if how == "removed" || !engine.is_20_10() {
            assert_ran(&changed, &[&BUILD[..], &REST].concat(), &format!("{how}, code changed"));
        }
    }
});

on_every_engine!(a_missing_stage_that_cannot_be_kept_is_no_warning, |engine| {
    let scene = Left { image: true, stages: false, ledger: true }.is_left(engine);
    for round in 0..2 {
        prune(engine);
        let same = scene.action().variable("RUNNER_DEBUG", "1").run().expect_code(0);
        assert_ran(&same, &[], &format!("round {round}"));
        assert!(!same.stdout.contains("not kept"), "{}", same.stdout);
        assert!(!same.stdout.contains("would run this step again"), "nothing is begun: {}", same.stdout);
    }
});

/// Two stages of which neither is built on the other, and an image that takes from both.
const TWO_HALVES: &str = "FROM busybox:1.36 AS left\n\
                          COPY left.txt /\n\
                          RUN cat /left.txt > /left\n\
                          FROM busybox:1.36 AS right\n\
                          COPY right.txt /\n\
                          RUN cat /right.txt > /right\n\
                          FROM busybox:1.36\n\
                          COPY app.txt /\n\
                          COPY --from=left /left /\n\
                          COPY --from=right /right /\n\
                          RUN cat /left /right /app.txt > /both\n";

on_every_engine!(without_one_stages_image_that_stage_runs_and_no_other, |engine| {
    let name = unique("half");
    let files = [
        ("Dockerfile", TWO_HALVES),
        ("left.txt", &format!("{name} left\n")),
        ("right.txt", &format!("{name} right\n")),
    ];
    let scene = Scene::new(engine, &files);
    // With new code the last stage copies from both again.
    let build = |code: &str| {
        scene.project.write("app.txt", format!("{code}\n"));
        let run = scene.build_pruned();
        assert_eq!(scene.read("/both"), format!("{name} left\n{name} right\n{code}"));
        run
    };
    let copies = ["COPY app.txt", "COPY --from=left", "COPY --from=right", "RUN cat /left /right"];
    build("nothing");
    assert_ran(&build("all"), &copies, "both stages are there");

    let stages = scene.images.of_kind("stage");
    assert_eq!(stages.len(), 2, "{stages:?}");
    let (left, right) = (["COPY left.txt", "RUN cat /left.txt"], ["COPY right.txt", "RUN cat /right.txt"]);
    let mut seen = Vec::new();
    for gone in &stages {
        scene.images.remove(&[gone]);
        let run = build(gone);
        let half = if ran(&run).iter().any(|step| step.starts_with("COPY left.txt")) { left } else { right };
        assert_ran(&run, &[&half[..], &copies].concat(), gone);
        seen.push(half);
        assert_ran(&build(&format!("after {gone}")), &copies, "that build kept the stage again");
    }
    seen.sort_unstable();
    assert_eq!(seen, [left, right]);
});

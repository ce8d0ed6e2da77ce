//! Any of our images may be gone: the build succeeds, is never stale, and caches what is still there.

use super::{COMMIT, NEXT_COMMIT, Scene, assert_ran, prune};
use crate::support::{Engine, on_every_engine};

const DEPS: [&str; 2] = ["COPY deps.txt", "RUN cat /deps.txt"];
const BUILD: [&str; 2] = ["COPY app.txt", "RUN echo"];
const FROM_DEPS: &str = "COPY --from=deps";
const REST: [&str; 2] = ["COPY --from=build", "RUN cat /installed"];

fn all() -> Vec<&'static str> {
    [&DEPS[..], &BUILD, &[FROM_DEPS], &REST].concat()
}

/// What is there when the next build begins, besides an empty builder cache.
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
        self.remove_the_others(&scene);
        scene
    }

    fn remove_the_others(self, scene: &Scene<'_>) {
        prune(scene.engine);
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

    /// What a build of the same tree runs.
    fn runs_unchanged(self) -> Vec<&'static str> {
        match self {
            _ if !self.is_a_cache() => all(),
            // With or without the stages' images: they are known by their keys, and nothing needs their files.
            Self { image: true, .. } => Vec::new(),
            // The layers of the stages are there, those of the last stage are not.
            Self { image: false, .. } => [&[FROM_DEPS][..], &REST].concat(),
        }
    }

    /// What a build runs whose code and commit have changed.
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
        // That build made again what was missing.
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

on_every_engine!(one_stage_image_is_removed_by_hand, |engine| {
    // The build stage begins with the layers of the dependencies, so either image holds those.
    let scene = Scene::three_stages(engine);
    scene.build();
    let stages = scene.images.of_kind("stage");
    assert_eq!(stages.len(), 2, "{stages:?}");
    for (index, gone) in stages.iter().enumerate() {
        prune(engine);
        scene.images.remove(&[gone]);
        scene.project.write("app.txt", format!("without {index}\n"));
        let run = scene.build();
        assert_ran(&run, &[&BUILD[..], &REST].concat(), gone);
        scene.assert_final(COMMIT, gone);
        assert_eq!(scene.images.of_kind("stage").len(), 2, "a build keeps all its stages again");
    }
});

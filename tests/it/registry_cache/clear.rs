//! Clears of the cache that builds wrote with `cache-to`, and clears of everything but it.

use super::{Scene, assert_ran, on_every_engine};
use crate::support::Action;

/// A clear with the very inputs of the builds.
fn clear(scene: &Scene<'_>, scope: &str) -> Action {
    scene.action().input("mode", "clear").input("scope", scope)
}

on_every_engine!(the_cache_that_builds_wrote_is_cleared_and_nothing_comes_from_it, |engine| {
    let scene = Scene::new(engine);
    scene.on_nothing(scene.action());
    scene.project.write("app.txt", "of the pull request\n");
    scene.on_nothing(scene.pull_request());
    let tags = ["main-cache", "main-pr-7-cache"];
    let there = |tag: &str| scene.registry.digest("org/app", tag).is_some();
    assert!(tags.iter().all(|tag| there(tag)), "{:?}", scene.registry.seen());

    let dry = clear(&scene, "registry").input("dry-run", "true").run().expect_code(0);
    let cleared = clear(&scene, "registry").run().expect_code(0);
    assert_eq!(cleared.output("verified"), "true", "{}", cleared.stdout);
    for tag in tags {
        assert!(dry.summary.contains(tag) && cleared.summary.contains(tag), "{tag}: {}", cleared.summary);
        assert!(!there(tag), "{tag}: {}", cleared.stdout);
    }
    let fresh = scene.on_nothing(scene.action());
    assert_eq!((fresh.cached(), fresh.output("cache-source")), ((0, 8), "none"), "{}", fresh.stdout);
});

on_every_engine!(after_a_clear_of_the_engine_no_record_of_a_registry_is_offered, |engine| {
    let scene = Scene::new(engine);
    scene.on_nothing(scene.action());
    let cleared = clear(&scene, "images, builder").input("cache-to", "").run().expect_code(0);
    assert_eq!(cleared.output("verified"), "true", "{}", cleared.stdout);
    assert!(scene.registry.digest("org/app", "main-cache").is_some(), "it was not in scope");
    // With the images of this build the mark would go as well, and the next one shows that.
    let fresh = scene.action().run().expect_code(0);
    assert_eq!(fresh.cached(), (0, 8), "{}", fresh.stdout);
    assert!(fresh.summary.contains("Fresh build"), "{}", fresh.summary);
    assert_ran(&scene.on_nothing(scene.action()), &[], "the mark is gone");
});

//! Another build of the same base image is at work: the builder holds what that one made of it.
//!
//! BuildKit, as of Docker 28, does not tell by which keys it knows a base image that a build at work has brought in. What stands upon
//! it is looked for in vain then (moby/buildkit#4674 and #6955); Docker's own clients run it again. Records that are offered
//! tell these keys.

use super::{Scene, prune};
use crate::support::{LongBuild, on_every_engine, unique};

on_every_engine!(cached_steps_are_found_while_another_build_holds_their_base_image, |engine| {
    let scene = Scene::three_stages(engine);
    scene.build();
    prune(engine);
    let other = LongBuild::start_for(engine, 12);
    let same = scene.build();
    assert_eq!(same.cached(), (7, 7), "{}", same.stdout);
    // Nothing of this was there before, and it is kept.
    scene.project.write("deps.txt", unique("dependency"));
    let changed = scene.build();
    assert!(!changed.stdout.contains("no cache for the next build"), "{}", changed.stdout);
    other.finish();
    let pruned = scene.build_pruned();
    assert_eq!(pruned.cached(), (7, 7), "{}", pruned.stdout);
});

on_every_engine!(a_first_build_beside_another_is_a_cache_when_it_is_built_again, |engine| {
    prune(engine);
    let other = LongBuild::start_for(engine, 12);
    let scene = Scene::three_stages(engine);
    // Nothing is there to be offered, and what it makes may not be found while the other one is at work.
    scene.build();
    other.finish();
    let again = scene.build();
    assert_eq!(again.cached(), (7, 7), "{}", again.stdout);
    let pruned = scene.build_pruned();
    assert_eq!(pruned.cached(), (7, 7), "{}", pruned.stdout);
});

//! Layers that go away between the look at the engine and the build: it is done once more, without records.

use std::time::{Duration, Instant};

use super::{COMMIT, Scene, prune};
use crate::support::{Action, Manner, Proxy, docker, on_every_engine};

on_every_engine!(images_that_go_away_before_the_build_cost_their_cache_and_nothing_else, |engine| {
    let scene = Scene::three_stages(engine);
    scene.build();
    scene.project.write("app.txt", "second\n");
    prune(engine);

    let proxy = Proxy::new(engine, Manner::Watched);
    let (real, names) = (engine.clone(), [scene.images.of_kind("stage"), vec![scene.tag.clone()]].concat());
    proxy.before_solve(move || {
        docker(&real, &[&["image", "rm", "-f"][..], &names.iter().map(String::as_str).collect::<Vec<_>>()].concat());
        prune(&real);
    });
    let begun = Instant::now();
    let action = Action::new(&proxy.engine(engine), scene.project.path()).input("tags", &scene.tag);
    let finished = action.run().expect_code(0);
    // The engine's own retries alone would take 50 s.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    scene.assert_final(COMMIT, "built once more");
    assert_eq!(finished.cached().0, 0, "{}", finished.stdout);
    let told =
        |line: &&str| line.starts_with("warning: ") && line.contains("built a second time, without the image cache");
    assert_eq!(finished.stdout.lines().filter(told).count(), 1, "{}", finished.stdout);

    // What was built is a cache again.
    let (cached, total) = scene.build_pruned().cached();
    assert_eq!(cached, total);
});

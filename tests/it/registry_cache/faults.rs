//! Caches that are gone, broken, forged or out of reach: they cost their hits, and never a build.

use std::time::{Duration, Instant};

use super::{OF_THE_APP, Scene, assert_ran, on_every_engine, prune};
use crate::support::{Finished, Images};

fn warnings(finished: &Finished) -> Vec<&str> {
    let lines = finished.stdout.lines();
    lines.filter_map(|line| line.strip_prefix("warning: ").or(line.strip_prefix("::warning::"))).collect()
}

on_every_engine!(a_cache_that_is_gone_or_broken_costs_its_hits_alone, |engine| {
    let scene = Scene::new(engine);
    scene.on_nothing(scene.action());
    let large = scene.registry.blob(&scene.large_layer("main-cache"));
    let content = std::fs::read(&large).unwrap();
    // Forged: as long as it should be, and something else.
    std::fs::write(&large, content.iter().map(|byte| !byte).collect::<Vec<_>>()).unwrap();
    scene.project.write("app.txt", "forged\n");
    let begun = Instant::now();
    let finished = scene.on_nothing(scene.action());
    assert!(warnings(&finished).iter().any(|line| line.contains("built a second time")), "{}", finished.stdout);
    assert_eq!(finished.cached().0, 0);
    // The engines' own attempts would take 50 s.
    assert!(begun.elapsed() < Duration::from_secs(45), "{:?}", begun.elapsed());

    // A new cache has been written meanwhile; its layer goes away.
    let large = scene.registry.blob(&scene.large_layer("main-cache"));
    std::fs::remove_file(&large).unwrap();
    scene.project.write("app.txt", "lost\n");
    let finished = scene.on_nothing(scene.action());
    assert!(warnings(&finished).iter().any(|line| line.contains("cannot be read")), "{}", finished.stdout);
    assert_eq!(finished.cached().0, 0);

    // To clear it is to delete the tag.
    scene.project.write("app.txt", "kept\n");
    assert_ran(&scene.on_nothing(scene.action()), &OF_THE_APP, "written anew");
    scene.registry.forget("org/app", "main-cache");
    let finished = scene.on_nothing(scene.action());
    assert_eq!((finished.cached(), finished.output("cache-source")), ((0, 8), "none"));
});

on_every_engine!(what_only_the_engine_has_is_written_again, |engine| {
    let scene = Scene::new(engine);
    let images = Images::since_now(engine);
    // Compressed as for a registry: then the layers of the records are the image's own blobs.
    let build = || scene.action().input("compression", "gzip").run().expect_code(0);
    build();
    let large = scene.large_layer("main-cache");
    std::fs::remove_file(scene.registry.blob(&large)).unwrap();
    scene.registry.forget("org/app", "main-cache");
    prune(engine);
    let finished = build();
    let (cached, total) = finished.cached();
    assert_eq!(cached, total, "{}", finished.stdout);
    assert!(!warnings(&finished).iter().any(|line| line.contains("its cache is not at")), "{}", finished.stdout);
    assert!(scene.registry.digest("org/app", "main-cache").is_some(), "{}", finished.stdout);
    drop(images);
});

on_every_engine!(a_registry_that_does_not_let_us_in_costs_a_warning, |engine| {
    let mut scene = Scene::new(engine);
    let stranger = scene.action().input("registry-auth", "");
    let finished = scene.on_nothing(stranger);
    let told = |what: &str| warnings(&finished).iter().filter(|line| line.contains(what)).count();
    assert_eq!(told("its cache is not at 127.0.0.1"), 1, "{}", finished.stdout);
    assert!(finished.summary.contains("main-cache"), "{}", finished.summary);
    assert_eq!(scene.registry.digest("org/app", "main-cache"), None);

    scene.registry.stop();
    let finished = scene.on_nothing(scene.action());
    assert_eq!(warnings(&finished).iter().filter(|line| line.contains("its cache is not at")).count(), 1);
});

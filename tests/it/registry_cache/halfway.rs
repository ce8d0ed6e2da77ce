//! A write that takes long, or does not come to its end: at every moment the tag names the cache of before or the new one.
//!
//! With a graph driver, where the program writes it. On the containerd store BuildKit does, whose last request is that for
//! the tag as well.

use std::process::Command;

use super::{OF_THE_APP, Scene, assert_ran, prune};
use crate::support::{Action, Engine, Images, docker, unique};

/// Names in the engine under which images went to the registry.
pub(super) fn left(engine: &Engine) -> Vec<String> {
    let names = docker(engine, &["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]);
    names.lines().filter(|name| name.contains("org/app")).map(str::to_owned).collect()
}

fn a_reader_during_a_write_hits(engine: &Engine) {
    let (scene, gate) = Scene::behind_gate(engine);
    scene.on_nothing(scene.action());
    let before = scene.registry.digest("org/app", "main-cache");
    scene.project.write("app.txt", "written\n");
    let images = Images::since_now(engine);
    prune(engine);
    gate.hold();
    let writer = scene.action();
    let writing = writer.start();
    gate.await_request();
    // The layers are in the registry, and what the tag names is as it was.
    assert_eq!(scene.registry.digest("org/app", "main-cache"), before);
    prune(engine);
    let reader = Action::new(engine, scene.project.path()).input("tags", &unique("reader"));
    let reader =
        scene.registry.known_to(reader).input("cache-from", &format!("{}/org/app:main", scene.registry.host()));
    let read = reader.run().expect_code(0);
    assert_ran(&read, &OF_THE_APP, "meanwhile");
    gate.open();
    let output = writing.wait_with_output().unwrap();
    let written = writer.finish(&output).expect_code(0);
    assert!(!written.stdout.contains("its cache is not at"), "{}", written.stdout);
    assert_ne!(scene.registry.digest("org/app", "main-cache"), before);
    drop(images);
    assert_ran(&scene.on_nothing(scene.action()), &[], "what was written");
    // The layers went under a tag beside it, which names nothing now.
    let tags = scene.registry.tags("org/app");
    assert_eq!(tags.iter().collect::<Vec<_>>(), ["main-cache", "main-layers-cache"]);
    let layers = scene.registry.digest("org/app", "main-layers-cache").unwrap();
    let manifest = std::fs::read_to_string(scene.registry.blob(&layers)).unwrap();
    assert!(manifest.len() < 1000 && manifest.contains("vnd.oci.empty"), "{manifest}");
}

fn a_write_that_does_not_end_leaves_the_cache_of_before(engine: &Engine) {
    let (scene, gate) = Scene::behind_gate(engine);
    scene.on_nothing(scene.action());
    let before = scene.registry.digest("org/app", "main-cache");

    scene.project.write("app.txt", "cut\n");
    gate.cut();
    let cut = scene.on_nothing(scene.action());
    assert!(cut.stdout.contains("its cache is not at 127.0.0.1"), "{}", cut.stdout);
    assert_eq!((scene.registry.digest("org/app", "main-cache"), left(engine)), (before.clone(), vec![]));

    scene.project.write("app.txt", "cancelled\n");
    gate.hold();
    let images = Images::since_now(engine);
    prune(engine);
    let action = scene.action();
    let running = action.start();
    gate.await_request();
    let killed = Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = running.wait_with_output().unwrap();
    let cancelled = action.finish(&output);
    // The image was built before.
    assert!(matches!(cancelled.code, Some(0 | 130)), "{:?}\n{}", cancelled.code, cancelled.stdout);
    assert!(cancelled.stdout.contains("the run was cancelled"), "{}", cancelled.stdout);
    assert_eq!((scene.registry.digest("org/app", "main-cache"), left(engine)), (before, vec![]));
    drop(images);

    gate.open();
    scene.project.write("app.txt", "after\n");
    assert_ran(&scene.on_nothing(scene.action()), &OF_THE_APP, "with the cache of before");
    assert_ran(&scene.on_nothing(scene.action()), &[], "with the new one");
}

#[test]
fn a_reader_during_a_write_hits_engine_20_10() {
    a_reader_during_a_write_hits(&crate::support::engine("20.10"));
}

#[test]
fn a_reader_during_a_write_hits_engine_28_graph() {
    a_reader_during_a_write_hits(&crate::support::engine("28-graph"));
}

#[test]
fn a_write_that_does_not_end_leaves_the_cache_of_before_engine_20_10() {
    a_write_that_does_not_end_leaves_the_cache_of_before(&crate::support::engine("20.10"));
}

#[test]
fn a_write_that_does_not_end_leaves_the_cache_of_before_engine_28_graph() {
    a_write_that_does_not_end_leaves_the_cache_of_before(&crate::support::engine("28-graph"));
}

//! Two runs on one engine that write the same cache give the same name to their images, one after the other. What is pushed under
//! it may then be the other run's, and is never taken for one's own.
//!
//! With a graph driver, where the program has the engine push. The other run comes when the engine is asked to.

use super::halfway::left;
use super::{OF_THE_APP, Scene, assert_ran};
use crate::support::{Action, Engine, Manner, Meanwhile, Proxy, docker};

const PUSH: &[&str] = &["POST ", "/org/app/push?tag=main-layers-cache "];

/// An engine where another run gives the name to an image of its own, before each of so many pushes.
fn with_another_run(scene: &Scene<'_>, pushes: usize) -> Proxy {
    let proxy = Proxy::new(scene.engine, Manner::Itself);
    let (engine, name) = (scene.engine.clone(), format!("{}/org/app:main-layers-cache", scene.registry.host()));
    proxy.on(PUSH, pushes, move || {
        let (engine, name) = (engine.clone(), name.clone());
        Meanwhile::After(Box::new(move || drop(docker(&engine, &["tag", "busybox:1.36", &name]))))
    });
    proxy
}

fn action(scene: &Scene<'_>, proxy: &Proxy) -> Action {
    scene.action().variable("DOCKER_HOST", &proxy.engine(scene.engine).address)
}

fn pushes(proxy: &Proxy) -> usize {
    proxy.seen().iter().filter(|line| PUSH.iter().all(|part| line.contains(part))).count()
}

fn what_another_run_pushed_is_pushed_again(engine: &Engine) {
    let scene = Scene::new(engine);
    let alone = with_another_run(&scene, 0);
    scene.on_nothing(action(&scene, &alone));
    scene.registry.forget("org/app", "main-cache");

    let proxy = with_another_run(&scene, 2);
    let finished = scene.on_nothing(action(&scene, &proxy));
    assert!(!finished.stdout.contains("its cache is not at"), "{}", finished.stdout);
    assert_eq!((pushes(&proxy), left(engine)), (pushes(&alone) + 2, vec![]));
    // Every layer is the one that the records say.
    assert_ran(&scene.on_nothing(scene.action()), &[], "what was written");
}

fn a_run_that_is_overtaken_leaves_the_cache_of_before(engine: &Engine) {
    let scene = Scene::new(engine);
    scene.on_nothing(scene.action());
    let before = scene.registry.digest("org/app", "main-cache");

    scene.project.write("app.txt", "overtaken\n");
    let proxy = with_another_run(&scene, 3);
    let overtaken = scene.on_nothing(action(&scene, &proxy));
    let warning = format!(
        "its cache is not at {}/org/app:main-cache: other runs on this engine write it at the same time",
        scene.registry.host()
    );
    assert!(overtaken.stdout.contains(&warning), "{}", overtaken.stdout);
    assert!(overtaken.summary.contains("other runs on this engine write it"), "{}", overtaken.summary);
    assert_eq!((pushes(&proxy), left(engine)), (3, vec![]));
    assert_eq!(scene.registry.digest("org/app", "main-cache"), before);

    scene.project.write("app.txt", "after\n");
    assert_ran(&scene.on_nothing(scene.action()), &OF_THE_APP, "with the cache of before");
}

#[test]
fn what_another_run_pushed_is_pushed_again_engine_20_10() {
    what_another_run_pushed_is_pushed_again(&crate::support::engine("20.10"));
}

#[test]
fn what_another_run_pushed_is_pushed_again_engine_28_graph() {
    what_another_run_pushed_is_pushed_again(&crate::support::engine("28-graph"));
}

#[test]
fn a_run_that_is_overtaken_leaves_the_cache_of_before_engine_20_10() {
    a_run_that_is_overtaken_leaves_the_cache_of_before(&crate::support::engine("20.10"));
}

#[test]
fn a_run_that_is_overtaken_leaves_the_cache_of_before_engine_28_graph() {
    a_run_that_is_overtaken_leaves_the_cache_of_before(&crate::support::engine("28-graph"));
}

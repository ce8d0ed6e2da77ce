//! Layers that go away between the look at the engine and the build: it is done once more, without records.

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{COMMIT, Scene, prune};
use crate::support::{Action, Manner, Proxy, docker, on_every_engine};

/// How long the records may be tried. The engine's own retries alone would take 50 s; it is well below 1 s where nothing else is
/// at work (docs/measurements.md).
const TRIED: Duration = Duration::from_secs(10);

on_every_engine!(images_that_go_away_before_the_build_cost_their_cache_and_nothing_else, |engine| {
    let scene = Scene::three_stages(engine);
    scene.build();
    scene.project.write("app.txt", "second\n");
    prune(engine);

    let proxy = Proxy::new(engine, Manner::Watched);
    let (real, names) = (engine.clone(), [scene.images.of_kind("stage"), vec![scene.tag.clone()]].concat());
    let removing = Arc::new(Mutex::new(Duration::ZERO));
    let took = Arc::clone(&removing);
    proxy.before_solve(move || {
        let begun = Instant::now();
        docker(&real, &[&["image", "rm", "-f"][..], &names.iter().map(String::as_str).collect::<Vec<_>>()].concat());
        prune(&real);
        *took.lock().unwrap() = begun.elapsed();
    });
    let action = Action::new(&proxy.engine(engine), scene.project.path()).input("tags", &scene.tag);
    let finished = action.variable("RUNNER_DEBUG", "1").run().expect_code(0);
    let tried = given_up(&finished.stdout).saturating_sub(*removing.lock().unwrap());
    let told = format!("{}: records of layers that are gone were given up in {tried:?}\n", engine.name);
    std::io::stdout().write_all(told.as_bytes()).unwrap();
    assert!(tried < TRIED, "{tried:?}");
    scene.assert_final(COMMIT, "built once more");
    assert_eq!(finished.cached().0, 0, "{}", finished.stdout);
    let told =
        |line: &&str| line.starts_with("warning: ") && line.contains("built a second time, without the image cache");
    assert_eq!(finished.stdout.lines().filter(told).count(), 1, "{}", finished.stdout);

    // What was built is a cache again.
    let (cached, total) = scene.build_pruned().cached();
    assert_eq!(cached, total);
});

/// How long the first solve took, by the program's debug log.
fn given_up(log: &str) -> Duration {
    let told = log.split_once("image cache: given up in ").expect("the records were given up").1;
    let milliseconds = told.split_once(" ms").unwrap().0;
    Duration::from_millis(milliseconds.parse().unwrap())
}

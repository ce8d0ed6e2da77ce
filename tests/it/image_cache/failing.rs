//! A build that fails with records offered has failed: it is not run again.

use super::{Scene, prune};
use crate::support::{on_every_engine, unique};

on_every_engine!(a_failing_step_runs_once, |engine| {
    let dockerfile = |command: &str| {
        format!("FROM busybox:1.36\nCOPY deps.txt /\nRUN cat /deps.txt > /installed\nCOPY app.txt /\nRUN {command}\n")
    };
    let scene = Scene::new(engine, &[("Dockerfile", &dockerfile("true")), ("app.txt", "first\n")]);
    scene.project.write("deps.txt", unique("dependency"));
    scene.build();

    scene.project.write("app.txt", "second\n");
    // The output is none of the instruction's own text, which is shown as well.
    scene.project.write("Dockerfile", dockerfile("echo \"it ran $((40 + 2)) times\" && false"));
    prune(engine);
    let failed = scene.action().run().expect_code(1);
    assert_eq!(failed.cached(), (2, 4), "records were offered, and used: {}", failed.stdout);
    let output = failed.stdout.lines().filter(|line| line.starts_with('#') && line.ends_with("it ran 42 times"));
    assert_eq!(output.count(), 1, "{}", failed.stdout);
    assert!(!failed.stdout.contains("built a second time"), "{}", failed.stdout);

    // What failed has not replaced what had succeeded.
    scene.project.write("app.txt", "first\n");
    scene.project.write("Dockerfile", dockerfile("true"));
    assert_eq!(scene.build_pruned().cached(), (4, 4));
});

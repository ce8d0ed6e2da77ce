//! The workspace is the job's: nothing is written there, whoever owns it and whether it could be or not.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use crate::support::{Engine, Images, docker, unique};

use super::{Runner, run_step};

/// Everything below: path, owner, mode, size, time of the last change.
fn listing(directory: &Path) -> Vec<(String, u32, u32, u64, i64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let data = entry.metadata().unwrap();
        found.push((entry.path().display().to_string(), data.uid(), data.mode(), data.size(), data.mtime_nsec()));
        if data.is_dir() {
            found.extend(listing(&entry.path()));
        }
    }
    found.sort();
    found
}

fn nothing_is_written(engine: &Engine) {
    let _images = Images::since_now(engine);
    let tag = unique("workspace");
    let files = [
        ("compose.yaml", format!("services:\n  app:\n    image: {tag}\n    build: {{ context: app }}\n")),
        ("app/Dockerfile", format!("FROM busybox:1.36 AS base\nRUN echo {tag} >/a\nFROM base\nCOPY secret /b\n")),
        ("app/secret", "x".to_owned()),
    ];
    let runner = Runner::new(engine, &files.each_ref().map(|(path, text)| (*path, text.as_str())));
    // As the runner's user has checked it out, and readable for nobody else.
    for (path, ..) in listing(runner.workspace()) {
        chown(&path, Some(1001), Some(1001)).unwrap();
        let mode = if Path::new(&path).is_dir() { 0o700 } else { 0o600 };
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    chown(runner.workspace(), Some(1001), Some(1001)).unwrap();
    let before = listing(runner.workspace());
    for mode in ["build", "clear"] {
        run_step(runner.step().input("mode", mode).input("compose-file", "compose.yaml")).expect_code(0);
        assert_eq!(listing(runner.workspace()), before, "{mode}");
    }
    let step = runner.step().read_only().input("compose-file", "compose.yaml");
    let built = run_step(step).expect_code(0);
    assert_eq!(built.output("image-id"), docker(engine, &["image", "inspect", "--format", "{{.Id}}", &tag]));
    assert_eq!(listing(runner.workspace()), before);
}

#[test]
fn nothing_is_written_to_it_engine_20_10() {
    nothing_is_written(&crate::support::engine("20.10"));
}

#[test]
fn nothing_is_written_to_it_engine_28_containerd() {
    nothing_is_written(&crate::support::engine("28-containerd"));
}

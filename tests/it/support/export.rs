//! The files of an image.

use super::{Engine, docker, peer};

/// The image's file system as a tar, by way of a container that is never started.
pub(crate) fn exported(engine: &Engine, image: &str) -> Vec<u8> {
    let container = docker(engine, &["create", image, "true"]);
    let output = peer::command(engine).args(["export", &container]).output().unwrap();
    docker(engine, &["rm", &container]);
    assert!(output.status.success(), "docker export: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

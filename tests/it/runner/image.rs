//! What is in the image, and what is not.

use std::io::{Cursor, Write};
use std::process::{Command, Stdio};

use crate::support::{docker, exported, on_every_engine};

use super::action_image;

/// Of what a runner downloads: the layers, compressed as registries hold them.
const MAX_BYTES: usize = 10_000_000;

on_every_engine!(it_is_one_program_and_the_certificates, |engine| {
    let image = action_image(engine);
    let config: serde_json::Value =
        serde_json::from_str(&docker(engine, &["image", "inspect", "--format", "{{json .Config}}", &image])).unwrap();
    assert_eq!(config["Entrypoint"], serde_json::json!(["/watchparty-cache"]));
    let unset = |name: &str| config.get(name).is_none_or(|value| value.is_null() || value == "" || value == "/");
    assert!(unset("User") && unset("WorkingDir") && unset("Cmd"), "{config}");

    let files = exported(engine, &image);
    let mut names = Vec::new();
    for entry in tar::Archive::new(Cursor::new(&files)).entries().unwrap() {
        let entry = entry.unwrap();
        // Those of no length are the engine's own: mount points of every container.
        if entry.header().entry_type().is_file() && entry.size() > 0 {
            names.push(entry.path().unwrap().display().to_string());
        }
    }
    names.sort_unstable();
    assert_eq!(names, ["etc/ssl/certs/ca-certificates.crt", "watchparty-cache"]);
    let bytes = compressed(files);
    assert!(bytes < MAX_BYTES, "{bytes} bytes");
});

fn compressed(files: Vec<u8>) -> usize {
    let mut gzip = Command::new("gzip").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = gzip.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(&files).unwrap());
    let output = gzip.wait_with_output().unwrap();
    writer.join().unwrap();
    output.stdout.len()
}

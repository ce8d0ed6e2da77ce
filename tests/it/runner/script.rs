//! `scripts/run-action`, as a person calls it.

use std::path::Path;
use std::process::Command;

use crate::support::{Images, Project, docker, engine, shared_engine, unique};

use super::action_image;

#[test]
fn run_action_builds_and_says_how_it_ended_engine_28_containerd() {
    let engine = engine("28-containerd");
    let (image, tag) = (action_image(&engine), unique("script"));
    let _images = Images::since_now(&engine);
    let project = Project::new(&[("Dockerfile", "FROM busybox:1.36\nRUN echo script\n")]);
    let run = |inputs: &[&str]| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/run-action");
        let mut command = Command::new(script);
        command.args(["--engine", &engine.name, "--image", &image, "--workspace"]).arg(project.path()).args(inputs);
        // The script goes by names. The second engine of a name is in a set of its own (`scripts/test`, `second_engine`).
        if engine.address != shared_engine(&engine.name).address {
            command.env("WATCHPARTY_ENGINE_SET", format!("{}-second", std::env::var("WATCHPARTY_ENGINE_SET").unwrap()));
        }
        let output = command.output().unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (code, said) = run(&[&format!("tags={tag}")]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("steps-total") && said.contains("image-id"), "{said}");
    assert!(!docker(&engine, &["image", "ls", "--quiet", &tag]).is_empty());
    // A step that fails is a command that fails.
    let (code, said) = run(&["pull=maybe"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("input `pull`"), "{said}");
    let (code, said) = run(&["--unknown"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("scripts/run-action --help"), "{said}");
}

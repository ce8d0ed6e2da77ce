//! Docker's own client, to compare with and to look at an engine from outside.

use std::env;
use std::process::Command;

use super::Engine;

/// Runs `docker ARGS` against the engine and gives its standard output; a failure of it fails the test.
pub(crate) fn docker(engine: &Engine, args: &[&str]) -> String {
    let output = command(engine).args(args).output().expect("docker's own client starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(output.status.success(), "docker {args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// `docker` with the plugins of `scripts/engine peers`, against the engine.
pub(crate) fn command(engine: &Engine) -> Command {
    let peers = env::var("WATCHPARTY_TEST_PEERS").expect("WATCHPARTY_TEST_PEERS is unset: run scripts/test");
    let mut command = Command::new(format!("{peers}/docker"));
    command.env("DOCKER_CONFIG", &peers).env("DOCKER_HOST", &engine.address);
    command
}

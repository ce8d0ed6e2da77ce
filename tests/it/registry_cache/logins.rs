//! Logins that are missing where a cache is in a registry: a warning that says whose, and what to do.

use super::{Scene, on_every_engine};
use crate::support::Action;

on_every_engine!(a_login_that_a_helper_keeps_is_named_with_its_file_and_the_way_out, |engine| {
    let scene = Scene::new(engine);
    let host = scene.registry.host();
    scene.project.write("ci/helper.json", format!(r#"{{"credHelpers": {{"{host}": "ecr-login"}}}}"#));
    scene.project.write(".dockerignore", "ci\n");
    let says = |action: Action, what: &str| {
        let finished = scene.on_nothing(action.input("registry-auth", "ci/helper.json"));
        assert!(finished.stdout.contains(what), "{}", finished.stdout);
        // An annotation.
        let mut warnings = finished.stdout.lines().filter_map(|line| line.strip_prefix("::warning::"));
        let way_out = ["`ci/helper.json`", "`docker-credential-ecr-login`", &format!("`{host} USER PASSWORD`")];
        let is_told = |text: &str| way_out.iter().all(|said| text.contains(said));
        assert!(warnings.any(is_told), "{}", finished.stdout);
        let told = finished.summary.matches("docker-credential-ecr-login").count();
        assert_eq!(told, 1, "{}", finished.summary);
    };
    says(scene.action(), "its cache is not at 127.0.0.1");
    let source = format!("{host}/org/app:main");
    says(scene.action().input("cache-to", "").input("cache-from", &source), "could not be used");
});

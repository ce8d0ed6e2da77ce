//! Registries from inside of the action's container: pushes, caches, and logins that it does not have.

use std::fs;

use crate::image_cache::prune;
use crate::support::{Engine, Images, Registry, on_every_engine, unique};

use super::simulator::Step;
use super::{Level, Runner, run_step};

/// A registry with TLS that engine and container know by the same name, and a step that trusts it.
struct Scene {
    registry: Registry,
    runner: Runner,
    tag: String,
}

impl Scene {
    fn new(engine: &Engine) -> Self {
        let registry = Registry::with_tls_beside(engine);
        registry.trust();
        let dockerfile = format!("FROM busybox:1.36\nRUN echo {} >/a\nCOPY file /file\n", unique("registry"));
        let runner = Runner::new(engine, &[("Dockerfile", &dockerfile), ("file", "1"), (".dockerignore", "ci")]);
        let tag = format!("{}/org/app:1", registry.host());
        let scene = Self { registry, runner, tag };
        scene.write("ca.pem", &scene.registry.authority());
        scene
    }

    fn write(&self, name: &str, text: &str) {
        let directory = self.runner.workspace().join("ci");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(name), text).unwrap();
    }

    fn step(&self, auth: &str) -> Step {
        let step = self.runner.step().variable("SSL_CERT_FILE", "/github/workspace/ci/ca.pem");
        step.input("tags", &self.tag).input("registry-auth", auth)
    }

    fn cached(&self, auth: &str) -> Step {
        self.step(auth).input("cache-to", &format!("{}/org/app:main", self.registry.host()))
    }

    fn login(&self) -> String {
        format!("{} user secret", self.registry.host())
    }
}

on_every_engine!(an_image_and_its_cache_go_to_a_registry_with_the_login_of_the_step, |engine| {
    let scene = Scene::new(engine);
    let nothing = || {
        let images = Images::since_now(engine);
        prune(engine);
        images
    };
    let images = nothing();
    let first = run_step(scene.cached(&scene.login()).input("push", "true")).expect_code(0);
    assert_eq!(first.messages(Level::Warning), [""; 0]);
    assert_eq!(scene.registry.digest("org/app", "1").as_deref(), Some(first.output("digest")));
    assert!(scene.registry.digest("org/app", "main-cache").is_some());
    drop(images);
    let images = nothing();
    fs::write(scene.runner.workspace().join("file"), "2").unwrap();
    let second = run_step(scene.cached(&scene.login())).expect_code(0);
    assert_eq!(second.output("steps-cached"), "1", "{}", second.log.join("\n"));
    drop(images);
});

on_every_engine!(a_config_json_whose_helper_is_not_in_the_image_says_so, |engine| {
    let scene = Scene::new(engine);
    let _images = Images::since_now(engine);
    let host = scene.registry.host();
    scene.write("config.json", &format!(r#"{{"auths": {{"{host}": {{}}}}, "credsStore": "desktop"}}"#));
    let said = ["`ci/config.json`", "`docker-credential-desktop`", &format!("`{host} USER PASSWORD`")];
    let refused = run_step(scene.step("ci/config.json").input("push", "true")).expect_code(2);
    let errors = refused.messages(Level::Error);
    assert!(errors.iter().any(|error| said.iter().all(|said| error.contains(said))), "{errors:?}");
    // A cache is worth a warning, and no failed build.
    let warned = run_step(scene.cached("ci/config.json")).expect_code(0);
    let (log, warnings) = (warned.log.join("\n"), warned.messages(Level::Warning));
    assert!(log.contains("its cache is not at"), "{log}");
    assert!(warnings.iter().any(|warning| said.iter().all(|said| warning.contains(said))), "{warnings:?}");
});

on_every_engine!(a_registry_at_localhost_is_said_to_be_two_places, |engine| {
    let runner = Runner::new(engine, &[("Dockerfile", "FROM busybox:1.36\nRUN echo localhost\n")]);
    let _images = Images::since_now(engine);
    let step = runner.step().input("tags", &unique("two")).input("cache-to", "localhost:5000/app:main");
    let finished = run_step(step).expect_code(0);
    let warnings = finished.messages(Level::Warning);
    assert!(warnings.iter().any(|warning| warning.contains("localhost:5000 is two places")), "{warnings:?}");
});

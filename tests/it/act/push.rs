//! The README's *Build and push*, to the letter, on runners that are new for every job: a push to main, another one, and a pull
//! request.
//!
//! Its registry is `ghcr.io`. Here that name leads to a registry of our own in the engine's network, which has a certificate for it
//! and takes what `act` has for the workflow's actor and token.

use std::fs;

use super::{Repository, Run, path, shown};
use crate::image_cache::prune;
use crate::support::{Images, Registry, unique};

const WORKFLOW: &str = ".github/workflows/build-and-push.yml";

struct Scene {
    repository: Repository,
    registry: Registry,
}

impl Scene {
    fn new() -> Self {
        let dockerfile = format!(
            "FROM busybox:1.36\nRUN echo {} >/dependencies\nARG GIT_COMMIT_HASH\nRUN echo $GIT_COMMIT_HASH >/commit\nCOPY app /app\n",
            unique("push")
        );
        let repository = Repository::of(|directory| {
            fs::create_dir_all(directory.join(".github/workflows")).unwrap();
            fs::write(directory.join(WORKFLOW), shown("README.md", "Build and push")).unwrap();
            fs::write(directory.join("Dockerfile"), dockerfile).unwrap();
            fs::write(directory.join(".dockerignore"), "*\n!app\n").unwrap();
            fs::write(directory.join("app"), "1").unwrap();
        });
        let registry = Registry::in_the_place_of("ghcr.io", &repository.engine);
        registry.trust();
        fs::write(repository.directory.path().join("ca.pem"), registry.authority()).unwrap();
        Self { repository, registry }
    }

    /// The workflow on a runner that has nothing, of a commit of its own.
    fn on_a_new_runner(&self, event: &str, app: &str, payload: &str) -> Run {
        let at = self.repository.directory.path();
        fs::write(at.join("app"), app).unwrap();
        self.repository.commit();
        fs::write(at.join(".git/event.json"), payload).unwrap();
        let engine = &self.repository.engine;
        let _images = Images::since_now(engine);
        prune(engine);
        let trusted = format!("SSL_CERT_FILE={}", path(&at.join("ca.pem")));
        let event_file = path(&at.join(".git/event.json"));
        let job = ["--actor", "user", "--secret", "GITHUB_TOKEN=secret", "--env", &trusted, "--eventpath", &event_file];
        self.repository.act(event, WORKFLOW, &job)
    }

    fn digest(&self, tag: &str) -> Option<String> {
        self.registry.digest("org/app", tag)
    }
}

#[test]
fn the_readmes_build_and_push_pushes_and_finds_its_cache_on_a_new_runner() {
    let scene = Scene::new();
    let cached = |run: &Run| (run.output("steps-cached").to_owned(), run.output("steps-total").to_owned());

    let first = scene.on_a_new_runner("push", "1", "{}");
    assert_eq!(cached(&first), ("0".to_owned(), "3".to_owned()), "{}", first.log);
    let pushed = scene.digest("main").expect("an image in the registry");
    assert_eq!(first.output("digest"), pushed);
    assert!(first.summary.contains("ghcr.io/org/app:main") && first.summary.contains(", pushed"), "{}", first.summary);
    let kept = scene.digest("main-cache").expect("a cache in the registry");

    let second = scene.on_a_new_runner("push", "2", "{}");
    assert_eq!(cached(&second), ("1".to_owned(), "3".to_owned()), "{}", second.log);
    assert_eq!(second.output("cache-source"), "registry");
    assert_eq!(scene.digest("main").as_deref(), Some(second.output("digest")));
    assert!(scene.digest("main") != Some(pushed) && scene.digest("main-cache") != Some(kept), "both are new");

    let before = (scene.digest("main"), scene.digest("main-cache"));
    let payload = r#"{"number": 12, "repository": {"default_branch": "main"},
        "pull_request": {"number": 12, "base": {"ref": "main"}, "head": {"ref": "other"}}}"#;
    let pull_request = scene.on_a_new_runner("pull_request", "3", payload);
    assert_eq!(cached(&pull_request), ("1".to_owned(), "3".to_owned()), "{}", pull_request.log);
    assert_eq!((pull_request.output("cache-source"), pull_request.output("digest")), ("registry", ""));
    assert!(scene.digest("main-pr-12-cache").is_some(), "{}", pull_request.log);
    assert_eq!((scene.digest("main"), scene.digest("main-cache")), before, "a pull request leaves them as they are");
    let log = [first.log, second.log, pull_request.log].concat();
    assert!(!log.contains("secret"), "{log}");
}

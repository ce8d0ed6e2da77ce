//! The workflows of `docs/clearing.md`, and the repository's own button, to the letter.
//!
//! GitHub is one of our own, which stands under GitHub's names in the engine's network and gives a job what its `permissions:`
//! say. `act` runs a workflow for an event whatever `types:` it has: that GitHub runs it for the closed ones is GitHub's part.

use std::collections::BTreeSet;
use std::fs;

use saphyr::{LoadableYamlNode, Yaml};

use super::{Repository, Run, released_manifest, root, run, shown};
use crate::support::github::{FakeGithub, TOKEN};
use crate::support::{Action, Images, docker};

const WORKFLOW: &str = ".github/workflows/clear.yml";
const APP: &str = "org/app";
/// Where the container finds who signed the certificate of this GitHub.
const AUTHORITY: &str = ".git/ca.pem";

/// A repository at a GitHub, with one workflow.
struct Scene {
    repository: Repository,
    workflow: String,
    fake: FakeGithub,
}

impl Scene {
    fn new(workflow: String) -> Self {
        let repository = Repository::of(|directory| {
            fs::create_dir_all(directory.join(".github/workflows")).unwrap();
            fs::write(directory.join(WORKFLOW), &workflow).unwrap();
        });
        // The repository's own workflow uses the action that it is.
        repository.write("action.yml", &released_manifest(&repository.engine));
        repository.commit();
        let origin = ["remote", "add", "origin", &format!("https://github.com/{APP}")];
        run("git", &origin, repository.directory.path());
        let fake = FakeGithub::in_its_own_place(&repository.engine);
        repository.write(AUTHORITY, fake.authority());
        Self { repository, workflow, fake }
    }

    /// Runs a job of it, with the permissions that this job has; `what` are the words for `act` that say more of the event.
    fn job(&self, name: &str, event: &str, what: &[&str]) -> Run {
        let document = Yaml::load_from_str(&self.workflow).unwrap().remove(0);
        let permissions = document["jobs"][name]["permissions"].as_mapping().unwrap();
        let permissions = permissions.iter().map(|(what, access)| (what.as_str().unwrap(), access.as_str().unwrap()));
        let permissions: Vec<String> = permissions.map(|(what, access)| format!("{what}: {access}")).collect();
        self.fake.permit(&permissions.iter().map(String::as_str).collect::<Vec<_>>());
        let at = self.repository.directory.path();
        let (token, trusted) = (format!("GITHUB_TOKEN={TOKEN}"), format!("SSL_CERT_FILE={}/{AUTHORITY}", at.display()));
        let arguments = [&["--bind", "--secret", &token, "--env", &trusted], what].concat();
        let run = self.repository.act(event, WORKFLOW, &arguments);
        assert!(!run.log.contains(TOKEN), "{}", run.log);
        run
    }

    /// Somebody presses the button.
    fn dispatch(&self, job: &str, inputs: &[(&str, &str)]) -> Run {
        let inputs: Vec<String> = inputs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let words: Vec<&str> = inputs.iter().flat_map(|input| ["--input", input]).collect();
        self.job(job, "workflow_dispatch", &words)
    }

    /// Versions of the package with a tag each.
    fn push(&self, tags: &[&str]) {
        self.fake.state(|state| tags.iter().for_each(|tag| drop(state.storage.image(APP, &[tag], 1))));
    }

    /// The tags that the package has.
    fn tags(&self) -> BTreeSet<String> {
        self.fake.state(|state| state.storage.packages[APP].versions.iter().flat_map(|it| it.tags.clone()).collect())
    }

    /// The refs and the keys of the Actions caches that there are.
    fn caches(&self) -> Vec<(String, String)> {
        self.fake.state(|state| {
            state.storage.caches.iter().map(|cache| (cache.reference.clone(), cache.key.clone())).collect()
        })
    }
}

fn set(tags: &[&str]) -> BTreeSet<String> {
    tags.iter().map(|tag| (*tag).to_owned()).collect()
}

#[test]
fn a_closed_pull_request_takes_along_what_it_left_and_nothing_else() {
    let scene = Scene::new(shown("docs/clearing.md", "Clear caches of a closed pull request"));
    let closed = |number: u64| {
        let payload = format!(
            r#"{{"action": "closed", "number": {number}, "repository": {{"default_branch": "main"}},
            "pull_request": {{"number": {number}, "merged": true, "base": {{"ref": "main"}}, "head": {{"ref": "other"}}}}}}"#
        );
        let payload = scene.repository.write(".git/event.json", &payload);
        scene.job("clear", "pull_request", &["--eventpath", &payload])
    };
    let (own, shared) = scene.fake.state(|state| {
        let storage = &mut state.storage;
        storage.package(APP);
        storage.package("org/bystander");
        storage.image("org/bystander", &["pr-12"], 1);
        let (own, shared) = (storage.image(APP, &[], 1), storage.image(APP, &[], 2));
        storage.index(APP, &["main"], &[&shared]);
        storage.index(APP, &["pr-12"], &[&own, &shared]);
        for reference in ["refs/heads/main", "refs/pull/12/merge", "refs/pull/1/merge", "refs/pull/120/merge"] {
            storage.cache("deps-linux", reference, 100);
            storage.cache("buildkit-blob", reference, 1_000);
        }
        (own, shared)
    });
    let of_12 = [
        "pr-12",
        "main-pr-12-cache",
        "main-pr-12-layers-cache",
        "main-backend-pr-12-cache",
        "main-backend-pr-12-layers-cache",
        // A service that is called like a pull request.
        "main-pr-1-pr-12-cache",
    ];
    let of_120 = ["pr-120", "main-pr-120-cache", "main-backend-pr-120-cache", "main-pr-12-pr-120-cache"];
    let of_others = [
        "main",
        "main-cache",
        "main-layers-cache",
        "main-backend-cache",
        "pr-1",
        "main-pr-1-cache",
        "main-backend-pr-1-cache",
        // What pushes wrote of the services `pr-12` and `pr-12-x`, and what pull request 1 wrote of the latter.
        "main-pr-12_-cache",
        "main-pr-12_-layers-cache",
        "main-pr-12-x-cache",
        "main-pr-12-x-pr-1-cache",
    ];
    scene.push(&[&of_12[1..], &of_120, &of_others[1..]].concat());

    let run = closed(12);
    assert_eq!(scene.tags(), set(&[&of_120[..], &of_others].concat()), "{}", run.log);
    let digests = scene.fake.state(|state| state.storage.digests(APP));
    assert!(digests.contains(&shared) && !digests.contains(&own), "{}", run.log);
    let left: BTreeSet<String> = scene.caches().into_iter().map(|(reference, _)| reference).collect();
    assert_eq!(left, set(&["refs/heads/main", "refs/pull/1/merge", "refs/pull/120/merge"]));
    assert_eq!((run.output("verified"), scene.caches().len()), ("true", 6), "{}", run.log);
    for what in ["org/app:main-backend-pr-12-cache", "deps-linux"] {
        assert!(run.summary.contains(what), "{what}: {}", run.summary);
    }

    // Of the next one it is the next one's.
    let run = closed(120);
    assert_eq!(scene.tags(), set(&of_others), "{}", run.log);
    assert_eq!((run.output("verified"), scene.caches().len()), ("true", 4), "{}", run.log);
    assert_eq!(scene.fake.state(|state| state.storage.digests("org/bystander").len()), 1);
}

/// A project of two images, each with a pattern of its own.
fn project(scene: &Scene) {
    let service = |name: &str| {
        format!("  {name}:\n    image: clearing-{name}:1\n    build: {{dockerfile: Dockerfile, args: [NAME={name}]}}\n")
    };
    let services = format!("services:\n{}{}", service("app"), service("web"));
    scene.repository.write("compose.yaml", &services);
    scene.repository.write("Dockerfile", "FROM busybox:1.36\nARG NAME\nRUN echo $NAME >/name\n");
    scene.repository.commit();
}

fn build(scene: &Scene) {
    let step = Action::new(&scene.repository.engine, scene.repository.directory.path());
    // Ledgers are of a repository.
    let step = step.variable("GITHUB_REPOSITORY", APP);
    step.input("compose-file", "compose.yaml").run().expect_code(0);
}

#[test]
fn the_button_of_the_documentation_clears_what_its_pattern_names() {
    let scene = Scene::new(shown("docs/clearing.md", "Clear caches"));
    let engine = scene.repository.engine.clone();
    let images = Images::since_now(&engine);
    project(&scene);
    build(&scene);
    let clear = |inputs: &[(&str, &str)]| scene.dispatch("clear", inputs);
    let named = || scene.repository.images("clearing-*");
    let both = ["clearing-app:1", "clearing-web:1"];

    let dry = clear(&[("scope", "images"), ("pattern", "clearing-a*")]);
    assert_eq!((named().as_slice(), images.of_kind("tombstone").len()), (&both.map(str::to_owned)[..], 0));
    assert!(dry.summary.contains("`clearing-app:1`") && dry.summary.contains("would be removed"), "{}", dry.summary);
    assert!(!dry.summary.contains("clearing-web"), "{}", dry.summary);

    let one = clear(&[("scope", "images"), ("pattern", "clearing-a*"), ("dry-run", "false")]);
    assert_eq!((named(), one.output("verified")), (vec![both[1].to_owned()], "true"), "{}", one.summary);
    let ledgers = images.of_kind("ledger");
    assert!(ledgers.len() == 1 && ledgers[0].contains("clearing-web"), "{ledgers:?}");

    // Without a pattern it is the project, and what it begins with is a dry run.
    build(&scene);
    clear(&[("scope", "images, builder")]);
    assert_eq!(named(), both);
    let all = clear(&[("scope", "images, builder"), ("dry-run", "false")]);
    assert_eq!((named().len(), all.output("verified")), (0, "true"), "{}", all.summary);
    assert_eq!(images.of_kind("ledger"), [""; 0]);
}

#[test]
fn the_repositorys_own_button_clears_each_place_and_keeps_what_it_is_told_to() {
    let workflow = fs::read_to_string(root().join(".github/workflows/clear-caches.yml")).unwrap();
    let scene = Scene::new(workflow);
    let engine = scene.repository.engine.clone();
    let _images = Images::since_now(&engine);
    for tag in ["clearing-own:1", "clearing-own:2", "clearing-other:1"] {
        docker(&engine, &["tag", "busybox:1.36", tag]);
    }
    let of = |scope: &'static str, pattern: &'static str, keep: &'static str, dry: &'static str| {
        [("scope", scope), ("pattern", pattern), ("keep", keep), ("runner", "self-hosted"), ("dry-run", dry)]
    };
    let clear = |job: &str, inputs: &[(&str, &str)]| scene.dispatch(job, inputs);

    let inputs = of("images", "clearing-own", "clearing-own:2", "true");
    clear("engine", &inputs);
    assert_eq!(scene.repository.images("clearing-*").len(), 3);
    let run = clear("engine", &of("images", "clearing-own", "clearing-own:2", "false"));
    assert_eq!(scene.repository.images("clearing-*"), ["clearing-other:1", "clearing-own:2"], "{}", run.log);
    assert_eq!(run.output("verified"), "true");

    scene.fake.state(|state| {
        state.storage.package(APP);
        for (key, reference) in
            [("deps-1", "refs/heads/main"), ("deps-2", "refs/pull/5/merge"), ("other", "refs/heads/main")]
        {
            state.storage.cache(key, reference, 1);
        }
    });
    scene.push(&["main", "pr-1", "pr-2"]);
    let run = clear("packages", &of("packages", "package=org/app:pr-*", "ghcr.io/org/app:pr-2", "false"));
    assert_eq!((scene.tags(), run.output("verified")), (set(&["main", "pr-2"]), "true"), "{}", run.log);
    assert_eq!(scene.caches().len(), 3);

    let run =
        clear("actions-cache", &of("actions-cache", "actions-cache=deps-*", "actions-cache=deps-*;ref=main", "false"));
    let left: Vec<String> = scene.caches().into_iter().map(|(_, key)| key).collect();
    assert_eq!((left, run.output("verified")), (vec!["deps-1".to_owned(), "other".to_owned()], "true"), "{}", run.log);
}

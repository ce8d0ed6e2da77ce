//! The cache in a registry: engines that have nothing find there what the runs before them built.
//!
//! An engine "has nothing" here when its builder is pruned and every image is gone but the base image, which no registry
//! of these tests has; `nothing` proves it by what the engine has on its disk.

mod clear;
mod faults;
mod halfway;
mod logins;
mod nothing;
mod overtaken;

use crate::image_cache::{assert_ran, prune, ran, read};
use crate::support::{Action, Engine, Finished, Gate, Images, Project, Registry, docker, on_every_engine, unique};
use nothing::Nothing;

/// A stage with a large layer that only the first build of the second stage needs; an image that takes from both.
const STAGES: &str = "FROM busybox:1.36 AS deps\n\
                      COPY deps.txt /deps.txt\n\
                      RUN cat /deps.txt > /installed; dd if=/dev/urandom of=/large bs=1024 count=1024\n\
                      FROM deps AS build\n\
                      COPY app.txt /app.txt\n\
                      RUN cat /app.txt /installed > /out\n\
                      FROM busybox:1.36\n\
                      COPY --from=deps /installed /installed\n\
                      RUN cat /installed > /copied\n\
                      COPY --from=build /out /out\n\
                      RUN cat /out /copied > /final\n";
/// What runs when `app.txt` has changed.
const OF_THE_APP: [&str; 4] = ["COPY app.txt", "RUN cat /app.txt", "COPY --from=build", "RUN cat /out"];

/// An image whose cache is in a registry.
struct Scene<'a> {
    engine: &'a Engine,
    registry: Registry,
    project: Project,
    tag: String,
}

impl<'a> Scene<'a> {
    fn new(engine: &'a Engine) -> Self {
        Self::at(engine, Registry::beside(engine))
    }

    /// One where the program's last request of a write may be stopped, on an engine that does not write by itself.
    fn behind_gate(engine: &'a Engine) -> (Self, Gate) {
        let (registry, gate) = Registry::behind_gate(engine, "PUT /v2/org/app/manifests/main-cache ");
        (Self::at(engine, registry), gate)
    }

    fn at(engine: &'a Engine, registry: Registry) -> Self {
        let project = Project::new(&[("Dockerfile", STAGES), ("app.txt", "0\n"), ("deps.txt", &unique("deps"))]);
        Self { engine, registry, project, tag: unique("kept") }
    }

    fn action(&self) -> Action {
        let action = Action::new(self.engine, self.project.path()).input("tags", &self.tag);
        self.registry.known_to(action).input("cache-to", &format!("{}/org/app:main", self.registry.host()))
    }

    fn pull_request(&self) -> Action {
        let payload =
            r#"{"repository": {"default_branch": "main"}, "pull_request": {"number": 7, "base": {"ref": "main"}}}"#;
        let payload = self.project.write(".event/payload.json", payload);
        let action = self.action().variable("GITHUB_EVENT_NAME", "pull_request");
        let action = action.variable("GITHUB_EVENT_PATH", payload.to_str().unwrap());
        action.variable("GITHUB_REF", "refs/pull/7/merge").variable("GITHUB_BASE_REF", "main")
    }

    fn merge_queue(&self) -> Action {
        let action = self.action().variable("GITHUB_EVENT_NAME", "merge_group");
        action.variable("GITHUB_REF", "refs/heads/gh-readonly-queue/main/pr-7-0123456789abcdef")
    }

    /// The step on an engine that has nothing, and has nothing afterwards.
    fn on_nothing(&self, action: Action) -> Finished {
        let images = Images::since_now(self.engine);
        prune(self.engine);
        let finished = action.run().expect_code(0);
        let read = |name: &str| std::fs::read_to_string(self.project.path().join(name)).unwrap();
        let (app, deps) = (read("app.txt"), read("deps.txt"));
        assert_eq!(self::read(self.engine, &self.tag, "/final"), format!("{app}{deps}{deps}").trim());
        drop(images);
        finished
    }

    fn descriptors(&self, tag: &str) -> Vec<serde_json::Value> {
        let digest = self.registry.digest("org/app", tag).expect("a cache");
        let manifest = std::fs::read(self.registry.blob(&digest)).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(manifest["config"]["mediaType"], "application/vnd.buildkit.cacheconfig.v0", "{manifest}");
        manifest["layers"].as_array().unwrap().clone()
    }

    /// The layers of a cache by their sizes, with their digests.
    fn layers(&self, tag: &str) -> Vec<(u64, String)> {
        let layers = self.descriptors(tag).into_iter();
        layers.map(|layer| (layer["size"].as_u64().unwrap(), layer["digest"].as_str().unwrap().to_owned())).collect()
    }

    /// The layers of a cache: the digest of what the registry has, and that of what is in it.
    fn diff_ids(&self, tag: &str) -> Vec<(String, String)> {
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let layers = self.descriptors(tag).into_iter();
        layers.map(|it| (text(&it["digest"]), text(&it["annotations"]["containerd.io/uncompressed"]))).collect()
    }

    /// The layer that `dd` made. The base image's may be larger, and is never there alone.
    fn large_layer(&self, tag: &str) -> String {
        let layers = self.layers(tag);
        let large = layers.iter().find(|(size, _)| (1 << 20..(1 << 20) + 4096).contains(size));
        large.unwrap_or_else(|| panic!("{layers:?}")).1.clone()
    }

    /// How often a blob was read.
    fn reads(&self, digest: &str) -> usize {
        self.registry.seen().iter().filter(|line| line.starts_with("GET ") && line.ends_with(digest)).count()
    }
}

on_every_engine!(an_engine_with_nothing_has_its_dependencies_cached_at_every_generation, |engine| {
    let asked = std::env::var("WATCHPARTY_TEST_REGISTRY_GENERATIONS").ok();
    let generations: u32 = asked.as_ref().map_or(3, |text| text.parse().unwrap());
    let scene = Scene::new(engine);
    let nothing = Nothing::on(engine);
    // An engine that this test has for itself is empty to the last record.
    assert!(asked.is_none() || nothing.is_empty(), "{nothing:?}");
    assert_eq!(scene.on_nothing(scene.action()).cached(), (0, 8));
    let large = scene.large_layer("main-cache");
    for generation in 1..=generations {
        scene.project.write("app.txt", format!("{generation}\n"));
        prune(engine);
        nothing.assert_all_there_is(engine, &scene.diff_ids("main-cache"));
        let before = scene.reads(&large);
        let finished = scene.on_nothing(scene.action());
        assert_ran(&finished, &OF_THE_APP, &format!("generation {generation}"));
        // With records of others in the builder, which no prune takes, nobody can tell.
        let source = finished.output("cache-source");
        assert!(source == "registry" || (source == "mixed" && !nothing.is_empty()), "{source}");
        assert_eq!(scene.large_layer("main-cache"), large);
        // The step that runs stands upon it.
        assert_eq!(scene.reads(&large) - before, 1, "generation {generation}");
    }
    // Where nothing runs, nobody needs the stages, and there is nothing to write.
    let (before, written) = (scene.reads(&large), scene.registry.digest("org/app", "main-cache"));
    let finished = scene.on_nothing(scene.action());
    assert_ran(&finished, &[], "nothing has changed");
    assert_eq!(scene.reads(&large), before);
    assert_eq!(scene.registry.digest("org/app", "main-cache"), written);
    // Nothing of ours stays in the engine under the registry's name.
    let left = docker(engine, &["image", "ls", "--format", "{{.Repository}}"]);
    assert!(!left.contains("org/app"), "{left}");
});

on_every_engine!(a_pull_request_reads_the_branch_and_writes_a_tag_of_its_own, |engine| {
    let scene = Scene::new(engine);
    scene.on_nothing(scene.action());
    let main = scene.registry.digest("org/app", "main-cache");
    scene.project.write("app.txt", "of the pull request\n");
    assert_ran(&scene.on_nothing(scene.pull_request()), &OF_THE_APP, "a pull request");
    assert_eq!(scene.registry.digest("org/app", "main-cache"), main);
    let again = scene.on_nothing(scene.pull_request());
    // With both branches' records of one instruction Docker 28 may look at the other's alone, and run it again
    // (docs/decisions/0006); what does not differ between the branches is found in any case.
    let ran = ran(&again);
    let of_the_app = |step: &String| OF_THE_APP.iter().any(|known| step.starts_with(known));
    assert!(ran.is_empty() || (!engine.is_20_10() && ran.iter().all(of_the_app)), "{ran:?}\n{}", again.stdout);
    assert!(scene.registry.digest("org/app", "main-pr-7-cache").is_some());
    // A merge queue's branch is deleted after its run: it reads what the branch wrote, and writes nothing.
    let tags = scene.registry.tags("org/app");
    assert_ran(&scene.on_nothing(scene.merge_queue()), &OF_THE_APP, "a merge queue");
    assert_eq!(scene.registry.tags("org/app"), tags);
    assert_eq!(scene.registry.digest("org/app", "main-cache"), main);
    // What it wrote is nothing for the branch.
    assert_ran(&scene.on_nothing(scene.action()), &OF_THE_APP, "the branch");
});

// Of two tags with one manifest a clear can take neither away: GitHub deletes versions and no tags.
on_every_engine!(a_pull_request_that_changes_nothing_shares_no_manifest_with_its_base, |engine| {
    let scene = Scene::new(engine);
    scene.on_nothing(scene.action());
    let same = scene.on_nothing(scene.pull_request());
    assert_eq!(same.cached(), (8, 8));
    let digest = |tag: &str| scene.registry.digest("org/app", tag).expect("a cache");
    assert_ne!(digest("main-pr-7-cache"), digest("main-cache"));

    // Nor on an engine that has everything: the builder tells both the very same records.
    let images = Images::since_now(scene.engine);
    scene.project.write("app.txt", "warm\n");
    for (action, tag) in [(scene.action(), "main-cache"), (scene.pull_request(), "main-pr-7-cache")] {
        let before = digest(tag);
        let finished = action.run().expect_code(0);
        assert_ne!(digest(tag), before, "{}", finished.stdout);
    }
    assert_ne!(digest("main-pr-7-cache"), digest("main-cache"));
    drop(images);
});

//! Clears: what goes, what stays, what is proven.

mod builders;
mod digest;
mod everything;
mod faults;
mod held;
mod marks;
mod meanwhile;
mod records;
mod stale;
mod together;

use crate::support::{Action, Engine, Finished, Project, docker, on_every_engine, unique};

struct Cleared {
    project: Project,
    tag: String,
}

impl Cleared {
    fn new() -> Self {
        let dockerfile = "FROM busybox:1.36\nCOPY marker /\nRUN cat /marker > /a\nRUN cat /a > /b\n";
        let project = Project::new(&[("Dockerfile", dockerfile)]);
        project.write("marker", unique("marker"));
        Self { project, tag: unique("clear") }
    }

    fn build(&self, engine: &Engine) -> Finished {
        Action::new(engine, self.project.path()).input("tags", &self.tag).run().expect_code(0)
    }

    fn clear(&self, engine: &Engine) -> Action {
        Action::new(engine, self.project.path()).input("mode", "clear").input("tags", &self.tag)
    }
}

fn exists(engine: &Engine, image: &str) -> bool {
    !docker(engine, &["image", "ls", "-q", image]).is_empty()
}

on_every_engine!(after_a_clear_nothing_is_cached_and_the_build_says_so, |engine| {
    let it = Cleared::new();
    it.build(engine);
    let warm = it.build(engine);
    assert_eq!(warm.cached(), (3, 3));

    let cleared = it.clear(engine).run().expect_code(0);
    assert_eq!(cleared.output("verified"), "true");
    // The image and its ledger.
    assert_eq!(cleared.output("images-removed"), "2");
    assert!(cleared.output("cache-records-removed").parse::<u32>().unwrap() > 0);
    assert!(cleared.output("freed-bytes").parse::<u64>().unwrap() > 0);
    assert!(cleared.summary.contains(&it.tag), "{}", cleared.summary);
    assert!(!exists(engine, &it.tag));

    let fresh = it.build(engine);
    assert_eq!(fresh.cached(), (0, 3));
    assert!(fresh.summary.to_lowercase().contains("fresh"), "{}", fresh.summary);
    let warm = it.build(engine);
    assert_eq!(warm.cached(), (3, 3));
    assert!(!warm.summary.to_lowercase().contains("fresh"), "{}", warm.summary);
    docker(engine, &["image", "rm", "-f", &it.tag]);
});

on_every_engine!(a_dry_run_removes_nothing_and_says_what_would_go, |engine| {
    let it = Cleared::new();
    it.build(engine);
    let dry = it.clear(engine).input("dry-run", "true").run().expect_code(0);
    assert_eq!((dry.output("verified"), dry.output("freed-bytes")), ("", "0"));
    assert_eq!(dry.output("images-removed"), "0");
    assert!(dry.summary.contains(&it.tag), "{}", dry.summary);
    assert!(exists(engine, &it.tag));
    assert_eq!(it.build(engine).cached(), (3, 3));
    docker(engine, &["image", "rm", "-f", &it.tag]);
});

on_every_engine!(images_in_use_and_kept_ones_stay_and_are_named, |engine| {
    let it = Cleared::new();
    it.build(engine);
    let container = unique("container");
    docker(engine, &["create", "--name", &container, &it.tag, "true"]);
    let kept = unique("kept");
    docker(engine, &["tag", "busybox:1.36", &kept]);
    let images = format!("{}\n{kept}", it.tag);
    let run = it.clear(engine).input("images", &images).input("keep", &kept).run().expect_code(4);
    // Its ledger goes: what a container holds is no cache any more.
    assert_eq!((run.output("verified"), run.output("images-removed")), ("false", "1"));
    assert!(run.summary.contains(&container) && run.summary.contains(&it.tag), "{}", run.summary);
    assert!(run.summary.contains(&format!("keep: {kept}")), "{}", run.summary);
    assert!(exists(engine, &it.tag) && exists(engine, &kept) && exists(engine, "busybox:1.36"));
    docker(engine, &["rm", "-f", &container]);
    docker(engine, &["image", "rm", "-f", &it.tag, &kept]);
});

on_every_engine!(clearing_twice_finds_nothing_and_is_verified, |engine| {
    let it = Cleared::new();
    it.build(engine);
    it.clear(engine).run().expect_code(0);
    let again = it.clear(engine).run().expect_code(0);
    assert_eq!((again.output("verified"), again.output("images-removed")), ("true", "0"));
    assert_eq!(again.output("freed-bytes"), "0");
});

on_every_engine!(a_build_after_a_clear_of_images_alone_warns_of_what_the_builder_kept, |engine| {
    let it = Cleared::new();
    it.build(engine);
    let cleared = it.clear(engine).input("scope", "images").run().expect_code(0);
    assert_eq!((cleared.output("verified"), cleared.output("cache-records-removed")), ("true", "0"));
    assert!(!exists(engine, &it.tag));

    let stale = it.build(engine);
    assert_eq!(stale.cached(), (3, 3));
    let alert = stale.summary.split("[!WARNING]").nth(1).unwrap_or_else(|| panic!("no alert: {}", stale.summary));
    for said in ["Not a fresh build", "cleared", "all 3 steps cached", "left the builder's cache alone"] {
        assert!(alert.contains(said), "{said}: {}", stale.summary);
    }
    docker(engine, &["image", "rm", "-f", &it.tag]);
});

#[test]
fn every_bad_input_of_a_clear_is_reported_at_once() {
    let project = Project::new(&[]);
    let nowhere = Engine { name: "none".to_owned(), address: "unix:///nowhere".to_owned() };
    let run = Action::new(&nowhere, project.path())
        .input("mode", "clear")
        .input("images", "app, App")
        .input("keep", "older-than=soon")
        .input("dry-run", "maybe")
        .run()
        .expect_code(2);
    for said in ["input `images`, `App`: ", "input `keep`, `older-than=soon`: ", "input `dry-run`, `maybe`: "] {
        assert!(run.stdout.contains(said), "{said}: {}", run.stdout);
    }
    assert!(run.stdout.contains("label=key[=value]"), "the way out: {}", run.stdout);
    assert_eq!(run.stdout.matches("::error").count(), 3, "{}", run.stdout);
}

on_every_engine!(at_a_terminal_flags_have_the_inputs_names, |engine| {
    let it = Cleared::new();
    it.build(engine);
    let clear = |more: &[&str]| {
        let arguments = [&["clear", "--images", &it.tag, "--scope", "images"], more].concat();
        Action::new(engine, it.project.path()).at_a_terminal(&arguments).run().expect_code(0)
    };
    let dry = clear(&["--dry-run"]);
    assert!(dry.stdout.contains(&format!("remove  {}:latest", it.tag)), "{}", dry.stdout);
    assert!(exists(engine, &it.tag));
    let cleared = clear(&[]);
    assert!(cleared.stdout.contains(&format!("removed {}:latest", it.tag)), "{}", cleared.stdout);
    assert!(!cleared.stdout.contains("::"), "no workflow commands at a terminal: {}", cleared.stdout);
    assert!(!exists(engine, &it.tag));
});

/// Images of the image cache as they lie in an engine, made by hand: docker does not know that their names are reserved.
struct Cache<'a> {
    engine: &'a Engine,
    /// `GITHUB_REPOSITORY`, of this test alone.
    repository: String,
    /// The images' repository.
    app: String,
    made: std::cell::RefCell<Vec<String>>,
}

impl<'a> Cache<'a> {
    fn new(engine: &'a Engine) -> Self {
        Self { engine, repository: unique("org/repo"), app: unique("app"), made: std::cell::RefCell::default() }
    }

    /// An image of the user's, with something of its own in it, under these names; gives its id.
    fn image(&self, names: &[&str]) -> String {
        let project = Project::new(&[]);
        project.write("Dockerfile", format!("FROM busybox:1.36\nRUN echo {} > /it\n", unique("content")));
        let path = project.path().display().to_string();
        let id = docker(self.engine, &["build", "-q", &path]).trim().to_owned();
        for name in names {
            docker(self.engine, &["tag", &id, name]);
        }
        self.made.borrow_mut().extend(names.iter().map(ToString::to_string).chain([id.clone()]));
        id
    }

    /// An image of the cache; gives its name.
    fn cache(&self, kind: &str, label: Option<(&str, serde_json::Value)>) -> String {
        let name = format!("watchparty-cache/{kind}:{}", unique("t"));
        let project = Project::new(&[]);
        // The end of a tar archive, and nothing before it.
        let tar = project.write("empty.tar", [0; 1024]).display().to_string();
        let change = label.map(|(key, json)| format!("LABEL {key}='{json}'")).unwrap_or_default();
        let mut arguments = vec!["import"];
        if !change.is_empty() {
            arguments.extend(["--change", &change]);
        }
        docker(self.engine, &[arguments.as_slice(), &[&tar, &name]].concat());
        self.made.borrow_mut().push(name.clone());
        name
    }

    fn ledger(&self, repository: &str, app: Option<&str>, images: &[&str]) -> String {
        let label = serde_json::json!({
            "schema": 1, "class": "trusted", "repository": repository, "ref": "refs/heads/main",
            "identity": identity(app), "images": images,
        });
        self.cache("ledger", Some(("watchparty-cache.ledger", label)))
    }

    fn stage(&self, repository: &str) -> String {
        let label = serde_json::json!({
            "schema": 1, "class": "trusted", "repository": repository, "ref": "refs/heads/main",
            "identity": identity(Some(&self.app)), "stage": "build",
        });
        self.cache("stage", Some(("watchparty-cache.stage", label)))
    }

    fn clear(&self) -> Action {
        let nowhere = std::env::temp_dir();
        Action::new(self.engine, &nowhere)
            .variable("GITHUB_REPOSITORY", &self.repository)
            .input("mode", "clear")
            .input("scope", "images")
    }

    /// Whether the engine has it, by name or id.
    fn has(&self, image: &str) -> bool {
        let all = docker(self.engine, &["images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]);
        let tagged = if image.contains(':') { image.to_owned() } else { format!("{image}:latest") };
        all.lines().any(|line| line.split(' ').any(|word| word == image || word == tagged))
    }

    #[track_caller]
    fn gone(&self, images: &[&str]) {
        images.iter().for_each(|image| assert!(!self.has(image), "{image} is still there"));
    }

    #[track_caller]
    fn there(&self, images: &[&str]) {
        images.iter().for_each(|image| assert!(self.has(image), "{image} is gone"));
    }
}

impl Drop for Cache<'_> {
    fn drop(&mut self) {
        for image in self.made.borrow().iter().filter(|image| self.has(image)) {
            docker(self.engine, &["image", "rm", "-f", image]);
        }
    }
}

on_every_engine!(ledgers_stage_images_and_predecessors_go_with_the_images, |engine| {
    let it = Cache::new(engine);
    let image = it.image(&[&it.app]);
    let (predecessor, stranger) = (it.image(&[]), it.image(&[]));
    let ledger = it.ledger(&it.repository, Some(&it.app), &[&image, &predecessor]);
    let (stage, capture) = (it.stage(&it.repository), it.cache("capture", None));
    let another = it.ledger("org/another", Some(&it.app), &[&image]);
    let theirs = it.stage("org/another");
    let of_another = it.ledger(&it.repository, Some("another-app"), &[&stranger]);
    let newer = it.cache("ledger", Some(("watchparty-cache.ledger", serde_json::json!({"schema": 9}))));
    let everything =
        [it.app.as_str(), &predecessor, &stranger, &ledger, &stage, &capture, &another, &theirs, &of_another, &newer];

    let dry = it.clear().input("tags", &it.app).input("dry-run", "true").run().expect_code(0);
    it.there(&everything);
    assert!(dry.stdout.contains(&format!("remove  {ledger} ({}, refs/heads/main)", it.app)), "{}", dry.stdout);
    for (said, name) in [("stage image", &stage), ("ledger", &ledger)] {
        assert!(dry.summary.contains(&format!("{said} `{name}`")), "{}", dry.summary);
    }
    assert!(dry.summary.contains("2 images, 1 stage image and 1 ledger"), "{}", dry.summary);

    let cleared = it.clear().input("tags", &it.app).run().expect_code(4);
    it.gone(&[&it.app, &image, &predecessor, &ledger, &stage]);
    it.there(&[&stranger, &capture, &another, &theirs, &of_another, &newer]);
    // What a newer version wrote, that one may read; nothing else is left.
    assert_eq!((cleared.output("verified"), cleared.output("images-removed")), ("false", "4"));
    assert_eq!(cleared.stdout.matches("not cleared: ").count(), 1, "{}", cleared.stdout);
    assert!(cleared.stdout.contains(&format!("not cleared: ledger {newer} stays")), "{}", cleared.stdout);
    assert!(cleared.summary.contains("2 images, 1 stage image and 1 ledger"), "{}", cleared.summary);
    for (name, why) in [(&newer, "its label has schema 9"), (&capture, "it has no label")] {
        let line = cleared.summary.lines().find(|line| line.contains(name.as_str())).unwrap_or_default();
        assert!(line.contains(why), "{}", cleared.summary);
    }
    for bystander in [&another, &theirs, &of_another] {
        assert!(!cleared.summary.contains(bystander.as_str()), "{}", cleared.summary);
    }
    docker(engine, &["image", "rm", &newer]);
    let again = it.clear().input("tags", &it.app).run().expect_code(0);
    assert_eq!(again.output("verified"), "true");
});

on_every_engine!(the_ledger_goes_also_where_a_container_holds_the_image_or_the_image_is_gone, |engine| {
    let it = Cache::new(engine);
    let (image, predecessor) = (it.image(&[&it.app]), it.image(&[]));
    let ledger = it.ledger(&it.repository, Some(&it.app), &[&image, &predecessor]);
    let stage = it.stage(&it.repository);
    let (container, second) = (unique("container"), unique("container"));
    docker(engine, &["create", "--name", &container, &it.app, "true"]);
    docker(engine, &["create", "--name", &second, &predecessor, "true"]);
    let held = it.clear().input("images", &it.app).run().expect_code(4);
    it.there(&[&it.app, &predecessor]);
    it.gone(&[&ledger, &stage]);
    assert_eq!((held.output("verified"), held.output("images-removed")), ("false", "2"));
    assert!(held.summary.contains(&container), "{}", held.summary);
    // The second survey finds no ledger that names it, and knows it all the same.
    let left = format!("not cleared: image {predecessor} stays: used by container {second}");
    assert!(held.stdout.contains(&left), "{}", held.stdout);

    docker(engine, &["rm", "-f", &container, &second]);
    docker(engine, &["image", "rm", &it.app]);
    let (ledger, stage) = (it.ledger(&it.repository, Some(&it.app), &[&image]), it.stage(&it.repository));
    let orphaned = it.clear().input("images", &format!("{}:v[0-9]", it.app)).run().expect_code(0);
    it.gone(&[&ledger, &stage]);
    assert_eq!((orphaned.output("verified"), orphaned.output("images-removed")), ("true", "2"));
    assert!(orphaned.stdout.contains(&format!("were cleared: {}", it.app)), "{}", orphaned.stdout);
});

on_every_engine!(without_a_checkout_the_ledgers_say_what_to_clear, |engine| {
    let it = Cache::new(engine);
    let (elsewhere, bystander) = (unique("elsewhere"), unique("bystander"));
    let tagged = format!("{}:sha-1", it.app);
    let image = it.image(&[&tagged]);
    let shared = it.image(&[&it.app, &elsewhere]);
    let theirs = it.image(&[&bystander]);
    let ledger = it.ledger(&it.repository, Some(&it.app), &[&image, &shared]);
    let another = it.ledger("org/another", Some(&bystander), &[&theirs]);
    let stage = it.stage(&it.repository);

    let cleared = it.clear().run().expect_code(0);
    it.gone(&[&tagged, &image, &it.app, &ledger, &stage]);
    it.there(&[&elsewhere, &bystander, &another]);
    assert_eq!(cleared.output("verified"), "true");
    assert!(cleared.stdout.contains(&format!("were cleared: {}\n", it.app)), "{}", cleared.stdout);
    let again = it.clear().run().expect_code(0);
    assert_eq!((again.output("verified"), again.output("images-removed")), ("true", "0"));

    // A machine has no bounds as a repository has.
    let refused = it.clear().variable("GITHUB_REPOSITORY", "").run().expect_code(2);
    assert!(refused.stdout.contains("nothing says which"), "{}", refused.stdout);
});

on_every_engine!(keep_holds_for_images_of_the_cache_as_well, |engine| {
    let it = Cache::new(engine);
    it.image(&[&it.app]);
    let (ledger, stage) = (it.ledger(&it.repository, Some(&it.app), &[]), it.stage(&it.repository));
    let run = it.clear().input("images", &it.app).input("keep", "*/stage").run().expect_code(0);
    it.gone(&[&it.app, &ledger]);
    it.there(&[&stage]);
    assert_eq!(run.output("verified"), "true");
    assert!(run.summary.contains("keep: &#42;/stage"), "{}", run.summary);
});

/// Whose cache it is, as a label says it.
fn identity(app: Option<&str>) -> serde_json::Value {
    match app {
        Some(repository) => serde_json::json!({"image": {"repository": repository, "platforms": []}}),
        None => serde_json::json!({"key": "key"}),
    }
}

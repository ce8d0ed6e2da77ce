//! Images go to a real registry, with a password, on every engine.

mod faults;
mod logins;

use crate::support::{
    Action, Engine, Finished, Images, Project, Registry, command, docker, engine, on_every_engine, unique,
};

fn project(marker: &str) -> Project {
    Project::new(&[("Dockerfile", "FROM busybox:1.36\nCOPY marker /\nRUN cat /marker > /copy\n"), ("marker", marker)])
}

/// The images of a result, as `(name, digest)`.
fn digests(finished: &Finished) -> Vec<(String, Option<String>)> {
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let result = finished.result();
    let images = result["images"].as_array().unwrap().iter();
    images.map(|image| (text(&image["name"]).unwrap(), text(&image["digest"]))).collect()
}

on_every_engine!(every_tag_is_in_the_registry_under_the_digest_that_is_told, |engine| {
    let registry = Registry::beside(engine);
    let project = project(&unique("pushed"));
    let name = format!("{}/org/{}", registry.host(), unique("app"));
    let path = name.split_once('/').unwrap().1;
    let tags = [format!("{name}:1"), format!("{name}:latest")];
    let build = || {
        let action = Action::new(engine, project.path()).input("tags", &tags.join("\n")).input("push", "true");
        registry.known_to(action).run().expect_code(0)
    };
    let first = build();
    let digest = first.output("digest").to_owned();
    assert!(digest.starts_with("sha256:") && digest.len() == 71, "{digest}");
    for tag in ["1", "latest"] {
        assert_eq!(registry.digest(path, tag).as_deref(), Some(digest.as_str()), "{tag}");
    }
    if engine.has_containerd_store() {
        assert_eq!(
            first.output("image-id"),
            digest,
            "the store knows images by the digest that they have in a registry"
        );
    }
    assert!(first.summary.contains(", pushed"), "{}", first.summary);
    assert!(first.stdout.contains("pushing "), "progress: {}", first.stdout);
    assert_eq!(first.result()["pushes"].as_array().unwrap().len(), 2);

    // Nothing changed: the same image, and no layer travels again.
    let before = registry.seen().len();
    let again = build();
    assert_eq!((again.output("digest"), again.cached()), (digest.as_str(), (2, 2)));
    let asked = registry.seen().split_off(before);
    assert!(!asked.iter().any(|line| line.starts_with("PATCH ")), "{asked:#?}");

    // What was pushed is the image.
    docker(engine, &["image", "rm", "-f", &tags[0], &tags[1]]);
    let private = Project::new(&[("Dockerfile", &format!("FROM {}\nRUN cat /copy\n", tags[0]))]);
    let based = || Action::new(engine, private.path()).input("no-cache", "true");
    // Its registry wants a login: the base image comes with it, and not without.
    let refused = based().run().expect_code(1);
    assert!(refused.stdout.contains("registry-auth"), "{}", refused.stdout);
    registry.known_to(based()).run().expect_code(0);
    docker(engine, &["image", "rm", "-f", &tags[0]]);
});

fn in_two_repositories(registry: &Registry) -> [String; 2] {
    ["one", "two"].map(|name| format!("{}/{name}/{}:1", registry.host(), unique("app")))
}

/// The id of an image that is built and pushed.
fn pushed(engine: &Engine, registry: &Registry, project: &Project, tags: &[String]) -> String {
    let action = Action::new(engine, project.path()).input("tags", &tags.join("\n")).input("push", "true");
    registry.known_to(action).run().expect_code(0).output("image-id").to_owned()
}

on_every_engine!(what_was_pushed_to_two_repositories_goes_when_it_is_replaced, |engine| {
    let registry = Registry::beside(engine);
    let images = Images::since_now(engine);
    let project = project(&unique("replaced"));
    let tags = in_two_repositories(&registry);
    let build = || pushed(engine, &registry, &project, &tags);
    let first = build();
    project.write("marker", unique("again"));
    assert_ne!(build(), first);
    let left = command(engine).args(["image", "inspect", &first]).output().unwrap();
    assert!(!left.status.success(), "{}", String::from_utf8_lossy(&left.stdout));
    assert!(images.dangling().is_empty(), "{:?}", images.dangling());
    images.remove(&tags);
});

#[test]
fn what_was_pushed_to_two_repositories_keeps_both_digests_while_a_container_uses_it_engine_28_graph() {
    let engine = &engine("28-graph");
    let registry = Registry::beside(engine);
    let images = Images::since_now(engine);
    let project = project(&unique("used"));
    let tags = in_two_repositories(&registry);
    let build = || pushed(engine, &registry, &project, &tags);
    let first = build();
    let container = docker(engine, &["create", &first]);
    project.write("marker", unique("again"));
    assert_ne!(build(), first);
    let digests = docker(engine, &["image", "inspect", "--format", "{{len .RepoDigests}}", &first]);
    assert_eq!(digests, "2");
    docker(engine, &["rm", &container]);
    project.write("marker", unique("and again"));
    build();
    let left = command(engine).args(["image", "inspect", &first]).output().unwrap();
    assert!(!left.status.success(), "it goes with the next build: {}", String::from_utf8_lossy(&left.stdout));
    images.remove(&tags);
}

on_every_engine!(what_is_not_pushed_is_named_and_what_was_built_stays, |engine| {
    let mut registry = Registry::beside(engine);
    let project = project(&unique("refused"));
    let tag = format!("{}/org/{}:1", registry.host(), unique("app"));
    let action = || Action::new(engine, project.path()).input("tags", &tag).input("push", "true");
    let auth = |login: &str| action().input("registry-auth", &format!("{} {login}", registry.host()));
    for (action, cached) in [(action(), (0, 2)), (auth("user wrong-word"), (2, 2))] {
        let refused = action.run().expect_code(6);
        assert_eq!(refused.cached(), cached, "it is built");
        assert_eq!(refused.output("digest"), "");
        assert_ne!(refused.output("image-id"), "");
        for text in [&refused.stdout, &refused.summary] {
            assert!(text.contains("not pushed") && text.contains("registry-auth"), "{text}");
            let said = text.lines().filter(|line| !line.starts_with("::add-mask::"));
            assert!(!said.collect::<String>().contains("wrong-word"), "{text}");
        }
        assert!(refused.stdout.contains("::error"), "{}", refused.stdout);
        docker(engine, &["image", "inspect", &tag]);
    }
    let host = registry.host();
    registry.stop();
    let gone = action().input("registry-auth", &format!("{host} user secret")).run().expect_code(6);
    assert!(gone.summary.contains("cannot reach"), "{}", gone.summary);
    docker(engine, &["image", "rm", "-f", &tag]);
});

on_every_engine!(services_are_pushed_together_or_not_at_all, |engine| {
    let registry = Registry::beside(engine);
    let project = Project::new(&[("good", "FROM busybox:1.36\nRUN true\n"), ("bad", "FROM busybox:1.36\nRUN false\n")]);
    let (one, two) = (unique("one"), unique("two"));
    let compose = |dockerfile: &str| {
        let host = registry.host();
        format!(
            "services:\n  one:\n    image: {host}/{one}:1\n    build: {{context: ., dockerfile: good}}\n  two:\n    image: {host}/{two}:1\n    \
             build: {{context: ., dockerfile: {dockerfile}, tags: ['{host}/{two}:2']}}\n  mine:\n    build: {{context: ., dockerfile: good, tags: ['{host}/mine:1']}}\n"
        )
    };
    let build = || {
        let action = Action::new(engine, project.path()).input("compose-file", "compose.yaml").input("push", "true");
        registry.known_to(action).run()
    };
    project.write("compose.yaml", compose("bad"));
    let failed = build().expect_code(1);
    assert!(failed.summary.contains("Nothing was pushed"), "{}", failed.summary);
    assert_eq!(registry.digest(&one, "1"), None);

    project.write("compose.yaml", compose("good"));
    let pushed = build().expect_code(0);
    for (repository, tag) in [(&one, "1"), (&two, "1"), (&two, "2")] {
        let digest = registry.digest(repository, tag);
        let name = if *repository == one { "one" } else { "two" };
        assert!(digest.is_some() && digests(&pushed).contains(&(name.to_owned(), digest)), "{repository}:{tag}");
    }
    assert!(digests(&pushed).contains(&("mine".to_owned(), None)));
    assert_eq!(
        registry.digest("mine", "1"),
        None,
        "Compose leaves a service without `image:` out, whatever its tags are"
    );
    assert!(pushed.stdout.contains("mine: it is not pushed"), "{}", pushed.stdout);
    let mut images: Vec<String> = docker(engine, &["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"])
        .lines()
        .filter(|line| line.contains(&one) || line.contains(&two) || line.contains("-mine:"))
        .map(str::to_owned)
        .collect();
    images.dedup();
    docker(engine, &[&["image", "rm", "-f"][..], &images.iter().map(String::as_str).collect::<Vec<_>>()].concat());
});

on_every_engine!(what_has_no_name_cannot_be_pushed, |engine| {
    let project = project("nameless");
    let refused = Action::new(engine, project.path()).input("push", "true").run().expect_code(2);
    assert!(refused.stdout.contains("no image has a name to be pushed by"), "{}", refused.stdout);
    assert!(refused.stdout.contains("tags: ghcr.io/org/app:1"), "{}", refused.stdout);
});

on_every_engine!(the_classic_builders_image_is_pushed_as_well, |engine| {
    let registry = Registry::beside(engine);
    let project = project(&unique("classic"));
    let name = format!("{}/{}", registry.host(), unique("app"));
    let action = Action::new(engine, project.path()).input("tags", &name).input("push", "true");
    let built = registry.known_to(action.input("builder", "classic")).run().expect_code(0);
    let digest = registry.digest(name.split_once('/').unwrap().1, "latest");
    assert_eq!(digest.as_deref(), Some(built.output("digest")));
    docker(engine, &["image", "rm", "-f", &name]);
});

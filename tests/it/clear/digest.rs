//! A name by digest, as a pull leaves one: the containerd image store lists it among the tags, and with it every tag of its
//! repository would go.

use super::{Cleared, exists};
use crate::support::{Action, Images, Registry, command, docker, on_every_engine, unique};

on_every_engine!(a_tag_that_is_kept_does_not_go_with_a_name_by_digest, |engine| {
    let _images = Images::since_now(engine);
    let it = Cleared::new();
    let registry = Registry::beside(engine);
    let app = format!("{}/org/app", registry.host());
    let (first, second) = (format!("{app}:1"), format!("{app}:2"));
    let push =
        Action::new(engine, it.project.path()).input("tags", &format!("{first}\n{second}")).input("push", "true");
    registry.known_to(push).run().expect_code(0);
    let digest = registry.digest("org/app", "1").unwrap();
    let by_digest = format!("{app}@{digest}");
    let config = tempfile::tempdir().unwrap();
    let as_user = |arguments: &[&str]| {
        let output = command(engine).env("DOCKER_CONFIG", config.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    as_user(&["login", "-u", "user", "-p", "secret", &registry.host()]);
    as_user(&["pull", &by_digest]);
    let id = || docker(engine, &["image", "inspect", "--format", "{{.Id}}", &first]);
    let before = id();
    let clear = |images: &str| it.clear(engine).input("scope", "images").input("images", images);

    for images in [app.as_str(), &by_digest] {
        let run = clear(images).input("keep", &first).run().expect_code(0);
        assert_eq!((run.output("verified"), exists(engine, &second)), ("true", false), "{}", run.stdout);
        assert_eq!(id(), before, "{images}: {}", run.stdout);
        docker(engine, &["tag", &first, &second]);
    }
    let run = clear(&by_digest).run().expect_code(0);
    assert_eq!(run.output("verified"), "true", "{}", run.stdout);
    let names = docker(engine, &["images", "--digests", "--format", "{{.Repository}}@{{.Digest}} {{.Tag}}"]);
    assert!(!names.contains(&app), "{names}");
});

on_every_engine!(what_two_repositories_named_goes_with_both, |engine| {
    let _images = Images::since_now(engine);
    let it = Cleared::new();
    let registry = Registry::beside(engine);
    let tags = ["one", "two"].map(|name| format!("{}/org/{name}:1", registry.host()));
    let build = || {
        let push = Action::new(engine, it.project.path()).input("tags", &tags.join("\n")).input("push", "true");
        registry.known_to(push).input("remove-superseded", "false").run().expect_code(0).output("image-id").to_owned()
    };
    let first = build();
    it.project.write("marker", unique("again"));
    assert_ne!(build(), first);
    let inspected = || command(engine).args(["image", "inspect", &first]).output().unwrap();
    // The containerd image store keeps nothing without a name.
    assert!(engine.has_containerd_store() || inspected().status.success());
    let run = it.clear(engine).input("scope", "images").input("tags", &tags.join("\n")).run().expect_code(0);
    assert_eq!(run.output("verified"), "true", "{}", run.stdout);
    let left = inspected();
    assert!(!left.status.success(), "{}", String::from_utf8_lossy(&left.stdout));
});

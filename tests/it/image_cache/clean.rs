//! The user's images stay what they are, and the disk does not grow with every commit.

use std::collections::BTreeSet;

use super::{COMMIT, Scene, THREE_STAGES, prune};
use crate::support::{Action, Engine, Images, Project, command, docker, engine, on_every_engine, unique};

/// The field in which inline cache hides its records.
const INLINE_RECORDS: &[u8] = b"moby.buildkit.cache.v0";

/// Whether an image holds records, by everything that `docker save` writes of it.
fn holds_records(engine: &Engine, image: &str) -> bool {
    let output = command(engine).args(["save", image]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.windows(INLINE_RECORDS.len()).any(|window| window == INLINE_RECORDS)
}

fn inspect(engine: &Engine, image: &str, format: &str) -> String {
    docker(engine, &["image", "inspect", "-f", format, image])
}

on_every_engine!(the_users_images_are_the_ones_that_buildx_makes, |engine| {
    let scene = Scene::three_stages(engine);
    // Buildx compresses on the containerd store; there the id is the manifest's.
    let action = || scene.action().input("compression", "gzip");
    let without = unique("without");
    let first = action().input("tags", &without).input("cache-stages", "false").run().expect_code(0);
    assert_eq!(scene.images.of_kind("stage"), [""; 0], "stages are not kept");
    let with = action().run().expect_code(0);
    assert_eq!(scene.images.of_kind("stage").len(), 1, "{:?}", scene.images.ours());
    assert_eq!(with.output("image-id"), first.output("image-id"), "with and without stage images");

    let (theirs, inline) = (unique("theirs"), unique("inline"));
    let commit = format!("GIT_COMMIT_HASH={COMMIT}");
    let path = scene.project.path().to_str().unwrap();
    let buildx = ["buildx", "build", "-q", "--provenance=false", "--build-arg", &commit, "-t"];
    docker(engine, &[&buildx[..], &[&theirs, path]].concat());
    assert_eq!(inspect(engine, &theirs, "{{.Id}}"), with.output("image-id"), "ours and buildx's");

    prune(engine);
    let pruned = action().run().expect_code(0);
    assert_eq!(pruned.output("image-id"), with.output("image-id"), "with records offered");
    for image in [&scene.tag, &without] {
        assert_eq!(
            inspect(engine, image, "{{json .Config.Labels}}"),
            inspect(engine, &theirs, "{{json .Config.Labels}}")
        );
        assert!(!holds_records(engine, image), "{image}");
    }
    docker(engine, &[&buildx[..], &[&inline, "--build-arg", "BUILDKIT_INLINE_CACHE=1", path]].concat());
    assert!(holds_records(engine, &inline), "it is found where it is");
});

/// On a graph driver: the containerd store keeps no image without a name.
fn a_stage_of_a_run_that_was_cancelled_goes(engine: &Engine) {
    let scene = Scene::three_stages(engine);
    let container = docker(engine, &["create", "busybox:1.36"]);
    let change = format!("LABEL watchparty-cache.stage='{}'", unique("left"));
    let left = docker(engine, &["commit", "--change", &change, &container]);
    docker(engine, &["rm", &container]);
    assert!(scene.images.dangling().iter().any(|id| left.contains(id.trim_start_matches("sha256:"))), "{left}");
    scene.build();
    assert_eq!(scene.images.dangling(), BTreeSet::new());
}

#[test]
fn a_stage_of_a_run_that_was_cancelled_goes_engine_20_10() {
    a_stage_of_a_run_that_was_cancelled_goes(&engine("20.10"));
}

#[test]
fn a_stage_of_a_run_that_was_cancelled_goes_engine_28_graph() {
    a_stage_of_a_run_that_was_cancelled_goes(&engine("28-graph"));
}

/// Leaves an image without a name that is none of ours.
fn leave_a_strangers_image(engine: &Engine) {
    let project = Project::new(&[("Dockerfile", "FROM busybox:1.36\nCOPY marker /\n")]);
    project.write("marker", unique("stranger"));
    let tag = unique("stranger");
    docker(engine, &["build", "-q", "-t", &tag, project.path().to_str().unwrap()]);
    docker(engine, &["tag", "busybox:1.36", &tag]);
    docker(engine, &["image", "rm", &tag]);
}

/// What the engine keeps of images whose name went to another one: on the containerd store nothing, whoever builds.
fn replaced_ones(engine: &Engine, ids: &[impl AsRef<str>]) -> BTreeSet<String> {
    let kept = if engine.has_containerd_store() { &[] } else { ids };
    kept.iter().map(|id| id.as_ref().to_owned()).collect()
}

on_every_engine!(the_disk_does_not_grow_with_every_commit, |engine| {
    let scene = Scene::three_stages(engine);
    leave_a_strangers_image(engine);
    let strangers = scene.images.dangling();
    assert_eq!(strangers.len(), 1, "{strangers:?}");
    let build = |content: &str| {
        scene.project.write("app.txt", content);
        scene.build().output("image-id").to_owned()
    };
    build("0");
    let kinds = |images: &Images<'_>| ["stage", "ledger", "capture"].map(|kind| images.of_kind(kind).len());
    assert_eq!(kinds(&scene.images), [1, 1, 0], "{:?}", scene.images.ours());

    let used = build("1");
    let container = docker(engine, &["create", &scene.tag, "none"]);
    for content in ["2", "3"] {
        build(content);
        let used = replaced_ones(engine, &[&used]);
        assert_eq!(scene.images.dangling(), &strangers | &used, "an image in use stays, build {content}");
        assert_eq!(kinds(&scene.images), [1, 1, 0], "{:?}", scene.images.ours());
    }
    docker(engine, &["rm", &container]);
    for content in ["4", "5"] {
        build(content);
        assert_eq!(
            scene.images.dangling(),
            strangers,
            "what nobody uses goes, a stranger's image stays, build {content}"
        );
        assert_eq!(kinds(&scene.images), [1, 1, 0], "{:?}", scene.images.ours());
    }
});

on_every_engine!(superseded_images_stay_if_they_are_to, |engine| {
    let scene = Scene::three_stages(engine);
    let ids = ["0", "1", "2"].map(|content| {
        scene.project.write("app.txt", content);
        let run = scene.action().input("remove-superseded", "false").run().expect_code(0);
        run.output("image-id").to_owned()
    });
    let [superseded @ .., _] = ids;
    // And the stage images that were replaced.
    let dangling = scene.images.dangling();
    assert!(dangling.is_superset(&replaced_ones(engine, &superseded)), "{superseded:?}: {dangling:?}");

    // A clear takes them with the ledger that remembers them, and names the one that is in use.
    let used = replaced_ones(engine, &superseded[..1]);
    let containers: Vec<String> = used.iter().map(|id| docker(engine, &["create", id, "none"])).collect();
    let clear = scene.action().input("mode", "clear").input("scope", "images").run();
    containers.iter().for_each(|container| drop(docker(engine, &["rm", container])));
    let clear = clear.expect_code(if used.is_empty() { 0 } else { 4 });
    assert_eq!(scene.images.dangling(), used, "{}", clear.stdout);
    assert!(used.iter().all(|id| clear.stdout.contains(&format!("not cleared: image {id}"))), "{}", clear.stdout);
});

on_every_engine!(a_stage_that_is_not_kept_any_more_goes, |engine| {
    let scene = Scene::three_stages(engine);
    scene.build();
    let kept = scene.images.of_kind("stage");
    assert!(kept.len() == 1 && kept[0].contains(".build."), "{kept:?}");
    // Somebody gives it a name: then it is not ours alone any more.
    let taken = unique("taken");
    docker(engine, &["tag", &kept[0], &taken]);
    scene.project.write("Dockerfile", THREE_STAGES.replace("AS build", "AS make").replace("=build", "=make"));
    scene.project.write("app.txt", "renamed\n");
    scene.build();
    let renamed = scene.images.of_kind("stage");
    // The new stage has the same content, and so may be the same image.
    assert!(renamed.iter().any(|name| name.contains(".make.")), "{renamed:?}");
    docker(engine, &["image", "inspect", &taken]);
    docker(engine, &["image", "rm", &taken]);

    scene.project.write("deps.txt", unique("other"));
    scene.build();
    let stages = scene.images.of_kind("stage");
    assert!(stages.len() == 1 && stages[0].contains(".make."), "{stages:?}");
    scene.project.write("app.txt", "switched off\n");
    scene.action().input("cache-stages", "false").run().expect_code(0);
    assert_eq!(scene.images.of_kind("stage"), [""; 0]);
});

#[test]
fn nobody_may_name_our_own_images() {
    let nowhere = Engine { name: "none".to_owned(), address: "unix:///nowhere".to_owned() };
    let reserved = "watchparty-cache/x";
    let project = Project::new(&[("Dockerfile", "FROM busybox:1.36\nRUN true\n")]);
    let service = |lines: &str| format!("services:\n  app:\n    build:\n      context: .\n{lines}");
    for (file, lines) in [
        ("image.yaml", format!("    image: {reserved}\n")),
        ("tags.yaml", format!("      tags: ['{reserved}']\n")),
        ("cache.yaml", format!("      cache_from: ['{reserved}']\n")),
    ] {
        project.write(file, service(&lines));
    }
    for inputs in [
        [("tags", "watchparty-cache/x")].as_slice(),
        &[("tags", "docker.io/watchparty-cache/stage:abc")],
        &[("tags", "app"), ("cache-from", "watchparty-cache/ledger:abc")],
        &[("compose-file", "image.yaml")],
        &[("compose-file", "tags.yaml")],
        &[("compose-file", "cache.yaml")],
    ] {
        let action = Action::new(&nowhere, project.path());
        let run = inputs.iter().fold(action, |action, (name, value)| action.input(name, value)).run().expect_code(2);
        assert!(run.stdout.contains("watchparty-cache/"), "{inputs:?}: {}", run.stdout);
    }
}

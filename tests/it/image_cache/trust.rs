//! Whose records a build reads: a pull request must not plant layers for a deploy.

use chrono::{TimeDelta, Utc};

use super::{COMMIT, Scene, assert_ran, label_and_document, prune, write_ledger};
use crate::support::{Action, Engine, docker, on_every_engine, unique};

/// A build as one event starts it.
struct Event {
    name: &'static str,
    reference: &'static str,
    repository: &'static str,
    payload: &'static str,
}

const REPOSITORY: &str = "org/watchparty";
const PUSH_PAYLOAD: &str = r#"{"repository": {"full_name": "org/watchparty", "default_branch": "main"}}"#;
const PULL_REQUEST_5: &str = r#"{
    "number": 5,
    "pull_request": {
        "number": 5,
        "head": {"ref": "topic", "sha": "fedcba9876543210fedcba9876543210fedcba98", "repo": {"full_name": "org/watchparty"}},
        "base": {"ref": "main", "repo": {"full_name": "org/watchparty"}}
    },
    "repository": {"full_name": "org/watchparty", "default_branch": "main"}
}"#;

const MAIN: Event = Event { name: "push", reference: "refs/heads/main", repository: REPOSITORY, payload: PUSH_PAYLOAD };
const FEATURE: Event = Event { reference: "refs/heads/feature", ..MAIN };
const DISPATCH: Event = Event { name: "workflow_dispatch", ..FEATURE };
const STRANGER: Event = Event {
    repository: "someone/else",
    payload: r#"{"repository": {"full_name": "someone/else", "default_branch": "main"}}"#,
    ..MAIN
};
const PULL_REQUEST: Event =
    Event { name: "pull_request", reference: "refs/pull/5/merge", repository: REPOSITORY, payload: PULL_REQUEST_5 };

const MERGE_QUEUE: Event = Event {
    name: "merge_group",
    reference: "refs/heads/gh-readonly-queue/main/pr-5-0123456789abcdef0123456789abcdef01234567",
    ..MAIN
};

/// The same commit everywhere, so that nothing but trust keeps a build from what another one made.
fn with(scene: &Scene<'_>, event: &Event) -> Action {
    let payload = scene.project.write(".event/payload.json", event.payload);
    let action = scene
        .action()
        .variable("GITHUB_EVENT_NAME", event.name)
        .variable("GITHUB_REF", event.reference)
        .variable("GITHUB_REPOSITORY", event.repository)
        .variable("GITHUB_EVENT_PATH", payload.to_str().unwrap())
        .input("commit", COMMIT);
    if event.name == "pull_request" {
        action.variable("GITHUB_HEAD_REF", "topic").variable("GITHUB_BASE_REF", "main")
    } else {
        action
    }
}

/// How many of the seven steps are cached with an empty builder.
#[track_caller]
fn assert_reads(scene: &Scene<'_>, event: &Event, cached: u32, when: &str) {
    prune(scene.engine);
    let run = with(scene, event).run().expect_code(0);
    assert_eq!(run.cached(), (cached, 7), "{when}: {}", run.stdout);
    scene.assert_final(COMMIT, when);
}

on_every_engine!(a_push_does_not_read_what_a_pull_request_wrote, |engine| {
    let scene = Scene::three_stages(engine);
    assert_reads(&scene, &PULL_REQUEST, 0, "a pull request's first build");
    assert_reads(&scene, &PULL_REQUEST, 7, "its second");
    assert_reads(&scene, &MAIN, 0, "a push after a pull request");
    assert_reads(&scene, &MAIN, 7, "the push after that");
    // Nor by its name: the image of the pull request's build is named as a source.
    let topic = format!("{}-topic", scene.tag);
    scene.project.write("deps.txt", unique("planted"));
    with(&scene, &PULL_REQUEST).input("tags", &topic).run().expect_code(0);
    prune(engine);
    let push = with(&scene, &MAIN).input("cache-from", &topic).run().expect_code(0);
    assert_eq!(push.cached(), (0, 7), "a push that names the pull request's image: {}", push.stdout);
});

/// The value of a secret is in no key: whoever built with another one has another layer under the same key.
const WITH_SECRET: &str = "FROM busybox:1.36\n\
                           COPY deps.txt /deps.txt\n\
                           RUN --mount=type=secret,id=s cat /run/secrets/s > /installed\n";

on_every_engine!(a_push_does_not_read_what_a_pull_request_hid_in_an_image, |engine| {
    let scene = Scene::new(engine, &[("Dockerfile", WITH_SECRET), ("deps.txt", &unique("dependency"))]);
    let build = |event: &Event, secret: &str| {
        prune(engine);
        with(&scene, event).input("secrets", &format!("s={secret}"))
    };
    build(&PULL_REQUEST, "evil").input("build-args", "BUILDKIT_INLINE_CACHE=1").run().expect_code(0);
    // The pull request's ledger knows another image now; the first one still has the name that the push builds.
    let other = format!("{}:two", scene.tag);
    scene.project.write("deps.txt", unique("other"));
    build(&PULL_REQUEST, "evil").input("tags", &other).run().expect_code(0);
    let written = docker(engine, &["run", "--rm", &scene.tag, "cat", "/deps.txt"]);
    scene.project.write("deps.txt", written.trim_end());
    for source in ["", scene.tag.as_str()] {
        let push = build(&MAIN, "good").input("cache-from", source).run().expect_code(0);
        assert_eq!(docker(engine, &["run", "--rm", &scene.tag, "cat", "/installed"]).trim(), "good", "{}", push.stdout);
    }
});

on_every_engine!(what_a_pull_request_built_is_not_read_where_its_ledger_is_gone, |engine| {
    let scene = Scene::new(engine, &[("Dockerfile", WITH_SECRET), ("deps.txt", &unique("dependency"))]);
    let inline = |event: &Event, secret: &str| {
        prune(engine);
        let action = with(&scene, event).input("secrets", &format!("s={secret}"));
        action.input("build-args", "BUILDKIT_INLINE_CACHE=1")
    };
    // As where the run was cancelled before it could write it.
    inline(&PULL_REQUEST, "evil").run().expect_code(0);
    docker(engine, &["image", "rm", &scene.images.of_kind("ledger").remove(0)]);
    let of_pull_request = scene.tag.clone();
    let own = format!("{}-of-main", scene.tag);
    let push = inline(&MAIN, "good").input("tags", &own).input("cache-from", &of_pull_request).run().expect_code(0);
    assert_eq!(docker(engine, &["run", "--rm", &own, "cat", "/installed"]).trim(), "good", "{}", push.stdout);
    assert!(push.stdout.contains("has built an image of that name"), "{}", push.stdout);

    // All that is ours can be left out of a prune by one label: a graph driver keeps only what has each of several.
    let listed =
        docker(engine, &["image", "ls", "--filter", "label=watchparty-cache", "--format", "{{.Repository}}:{{.Tag}}"]);
    assert!(scene.images.ours().iter().all(|ours| listed.lines().any(|line| line == ours)), "{listed}");
    assert!(listed.contains("watchparty-cache/untrusted:"), "{listed}");
});

on_every_engine!(an_image_that_calls_itself_a_ledger_is_none, |engine| {
    let scene = Scene::three_stages(engine);
    with(&scene, &MAIN).run().expect_code(0);
    let ledger = scene.images.of_kind("ledger").remove(0);
    let (label, document) = label_and_document(engine, &ledger);
    // What a Dockerfile can make of it: label and author of a ledger, true to the letter, under a name of its own.
    let forged = unique("forged");
    let container = docker(engine, &["create", &scene.tag, "none"]);
    let label = format!("LABEL watchparty-cache.ledger='{label}'");
    docker(engine, &["commit", "--author", &document, "--change", &label, &container, &forged]);
    docker(engine, &["rm", &container]);
    docker(engine, &["image", "rm", &ledger]);
    prune(engine);
    let push = with(&scene, &MAIN).input("cache-from", &forged).run().expect_code(0);
    assert_eq!(push.cached(), (0, 7), "{}", push.stdout);
    let unused = &push.result()["images"][0]["unused_sources"];
    assert!(unused.to_string().contains(&forged), "it is named as a source without records: {unused}");
    scene.assert_final(COMMIT, "a forged ledger");
    docker(engine, &["image", "rm", &forged]);
});

on_every_engine!(a_merge_queue_reads_its_base_and_leaves_nothing, |engine| {
    let scene = Scene::three_stages(engine);
    assert_reads(&scene, &MAIN, 0, "a push to main");
    let ours = || {
        let names = scene.images.ours();
        names
            .into_iter()
            .map(|name| (docker(engine, &["image", "inspect", "-f", "{{.Id}}", &name]), name))
            .collect::<Vec<_>>()
    };
    let before = ours();
    assert_reads(&scene, &MERGE_QUEUE, 7, "a merge queue");
    scene.project.write("app.txt", "queued\n");
    assert_reads(&scene, &MERGE_QUEUE, 3, "a merge queue with a change");
    assert_eq!(ours(), before);
});

on_every_engine!(what_main_wrote_is_read_by_its_branches_and_by_nobody_else, |engine| {
    let scene = Scene::three_stages(engine);
    assert_reads(&scene, &MAIN, 0, "a push to main");
    assert_reads(&scene, &PULL_REQUEST, 7, "a pull request reads its base");
    assert_reads(&scene, &FEATURE, 7, "a push to a branch reads the default branch's");
    assert_reads(&scene, &DISPATCH, 7, "so does a dispatch");
    assert_reads(&scene, &STRANGER, 0, "another repository on the same engine");
});

on_every_engine!(a_change_in_a_pull_request_builds_on_the_base_branch, |engine| {
    let scene = Scene::three_stages(engine);
    assert_reads(&scene, &MAIN, 0, "a push to main");
    scene.project.write("app.txt", "proposed\n");
    prune(engine);
    let first = with(&scene, &PULL_REQUEST).run().expect_code(0);
    let code = ["COPY app.txt", "RUN echo", "COPY --from=build", "RUN cat /installed"];
    assert_ran(&first, &code, "the pull request's first build");
    scene.assert_final(COMMIT, "the pull request's first build");
    assert_reads(&scene, &PULL_REQUEST, 7, "its own ledger and its base's, merged");
    scene.project.write("app.txt", "first\n");
    prune(engine);
    let back = with(&scene, &MAIN).run().expect_code(0);
    // The image that main made has lost its name to the pull request's; its stages have not.
    assert!(back.cached().0 >= 4, "{}", back.stdout);
    scene.assert_final(COMMIT, "main again");
});

/// Makes the engine believe that a ledger was written so many days ago.
fn age(engine: &Engine, ledger: &str, days: i64) {
    let (label, document) = label_and_document(engine, ledger);
    write_ledger(engine, ledger, &label, &document, Utc::now() - TimeDelta::days(days));
}

on_every_engine!(a_pull_requests_cache_is_given_up_after_two_weeks, |engine| {
    let scene = Scene::three_stages(engine);
    with(&scene, &PULL_REQUEST).run().expect_code(0);
    let of_pull_request = scene.images.ours();
    assert_eq!(of_pull_request.len(), 2, "a ledger and a stage: {of_pull_request:?}");
    let ledger = scene.images.of_kind("ledger").remove(0);
    let push = |content: &str| {
        scene.project.write("deps.txt", unique(content));
        with(&scene, &MAIN).run().expect_code(0);
        scene.images.ours()
    };
    age(engine, &ledger, 13);
    assert!(push("young").is_superset(&of_pull_request), "another pull request's may be needed still");
    age(engine, &ledger, 15);
    let left = push("old");
    assert!(left.is_disjoint(&of_pull_request), "{left:?}");
    assert_eq!(left.len(), 2, "main's own: {left:?}");
    assert_eq!(scene.images.dangling().len(), 0, "what the pull request built has no name any more: {left:?}");
});

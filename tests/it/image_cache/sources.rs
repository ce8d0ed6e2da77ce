//! What cannot be a source: it is named in the log and in the summary, and skipped.

use chrono::Utc;

use super::{COMMIT, Scene, label_and_document, prune, write_ledger};
use crate::support::{Finished, docker, on_every_engine, unique};

/// The build was told of one source that it could not use, in the log, in the summary and in `result`.
#[track_caller]
fn assert_unused(finished: &Finished, source: &str, reason: &str) {
    let result = finished.result();
    let unused = result["images"][0]["unused_sources"].as_array().unwrap_or_else(|| panic!("{}", finished.stdout));
    let found =
        unused.iter().find(|unused| unused["source"] == source).unwrap_or_else(|| panic!("{source}: {unused:?}"));
    assert!(found["reason"].as_str().unwrap().contains(reason), "{found}");
    for (place, text) in [("log", &finished.stdout), ("summary", &finished.summary)] {
        let line = text.lines().find(|line| line.contains(source) && line.contains(reason));
        assert!(line.is_some(), "no line of the {place} tells of {source} that '{reason}':\n{text}");
    }
}

on_every_engine!(a_ledger_that_cannot_be_read_is_named_and_replaced_by_the_build, |engine| {
    let scene = Scene::three_stages(engine);
    scene.build();
    let ledger = scene.images.of_kind("ledger").remove(0);
    let (label, document) = label_and_document(engine, &ledger);
    let replace = |label: &str, document: &str| write_ledger(engine, &ledger, label, document, Utc::now());
    let newer = |text: &str| text.replacen("\"schema\":1", "\"schema\":2", 1);
    let cut = document.split_at(document.len() / 2).0;
    let foreign = unique("foreign");
    // Not the base image itself: the containerd store calls one dangling that lost a name, and it would go with the rest.
    docker(engine, &["create", "--name", &foreign, "busybox:1.36", "true"]);
    docker(engine, &["commit", &foreign, &foreign]);
    docker(engine, &["rm", &foreign]);
    let broken: [(&str, &dyn Fn()); 3] = [
        ("its schema is 2, which is newer than this program", &|| {
            replace(&newer(&label), &newer(&document));
        }),
        ("it cannot be read", &|| replace(&label, cut)),
        ("it is not a ledger", &|| drop(docker(engine, &["tag", &foreign, &ledger]))),
    ];
    for (reason, damage) in broken {
        damage();
        prune(engine);
        let finished = scene.build();
        assert_unused(&finished, &ledger, reason);
        assert_eq!(finished.cached(), (0, 7), "{reason}: {}", finished.stdout);
        scene.assert_final(COMMIT, reason);
        let again = scene.build_pruned();
        assert_eq!(again.cached(), (7, 7), "after '{reason}': {}", again.stdout);
        assert!(again.result()["images"][0].get("unused_sources").is_none(), "{}", again.stdout);
    }
});

on_every_engine!(an_image_that_is_not_there_or_has_no_records_is_named, |engine| {
    let scene = Scene::three_stages(engine);
    let missing = unique("missing") + ":1";
    let sources = format!("{missing}\nbusybox:1.36");
    let build = || scene.action().input("cache-from", &sources).run().expect_code(0);
    let first = build();
    assert_unused(&first, &missing, "the engine has no such image yet");
    assert_unused(&first, "busybox:1.36", "no ledger knows it, and it has no records inside");
    scene.assert_final(COMMIT, "the first build");
    prune(engine);
    let second = build();
    assert_eq!(second.cached(), (7, 7), "the image's own ledger counts all the same: {}", second.stdout);
    assert_unused(&second, &missing, "the engine has no such image yet");
});

//! What a ledger keeps: how old a record is, and what went into the build.

use super::{COMMIT, Scene, prune};
use crate::support::{docker, on_every_engine};

on_every_engine!(records_are_not_offered_beyond_their_age, |engine| {
    let scene = Scene::three_stages(engine);
    scene.build();
    prune(engine);
    let old = scene.action().input("cache-max-age", "0s").run().expect_code(0);
    assert_eq!(old.cached(), (0, 7), "{}", old.stdout);
    prune(engine);
    let young = scene.action().input("cache-max-age", "1h").run().expect_code(0);
    assert_eq!(young.cached(), (7, 7), "{}", young.stdout);
});

on_every_engine!(a_ledger_tells_what_went_into_the_build_and_no_value_of_it, |engine| {
    let scene = Scene::three_stages(engine);
    scene.action().input("secrets", "token=s3cr3t-of-the-build").run().expect_code(0);
    let ledgers = scene.images.of_kind("ledger");
    assert_eq!(ledgers.len(), 1, "{ledgers:?}");
    let text = docker(engine, &["image", "inspect", "--format", "{{.Author}}", &ledgers[0]]);
    let ledger: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(ledger["steps"].as_array().unwrap().len(), 7);
    assert_eq!(ledger["history"].as_array().unwrap().len(), 1);
    assert_eq!(ledger["images"].as_array().unwrap().len(), 2, "the image and the stage that it takes from");
    let evidence = &ledger["evidence"];
    assert!(evidence["arguments"]["GIT_COMMIT_HASH"].is_string(), "{evidence}");
    assert!(evidence["bases"]["busybox:1.36"].as_str().unwrap().starts_with("sha256:"), "{evidence}");
    assert!(evidence["contexts"]["context"].is_object(), "{evidence}");
    assert!(!evidence.to_string().contains(COMMIT) && !text.contains("s3cr3t-of-the-build"), "{evidence}");
});

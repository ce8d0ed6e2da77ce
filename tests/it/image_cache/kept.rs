//! What a ledger keeps: how old a record is, and what went into the build.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use super::{COMMIT, Scene, label_and_document, prune, write_ledger};
use crate::support::{Action, docker, on_every_engine, unique};

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

on_every_engine!(a_record_is_as_old_as_what_it_was_made_with_however_often_it_was_reused, |engine| {
    const ENOUGH: Duration = Duration::from_secs(2);
    let scene = Scene::three_stages(engine);
    scene.build();
    std::thread::sleep(ENOUGH);
    let between = Instant::now();
    std::thread::sleep(ENOUGH);
    // These come out of the image, twice, and are written down again.
    for code in ["second\n", "third\n"] {
        scene.project.write("app.txt", code);
        assert_eq!(scene.build_pruned().cached(), (3, 7));
    }
    let build = |age: Duration| {
        prune(engine);
        scene.action().input("cache-max-age", &format!("{}s", age.as_secs())).run().expect_code(0)
    };
    let all = build(between.elapsed() + Duration::from_secs(3600));
    assert_eq!(all.cached(), (7, 7), "{}", all.stdout);
    let young = build(between.elapsed());
    // All of it is made of the dependencies, and they are older.
    assert_eq!(young.cached(), (0, 7), "{}", young.stdout);
});

on_every_engine!(a_ledger_of_builds_that_change_nothing_does_not_grow_old, |engine| {
    let scene = Scene::three_stages(engine);
    scene.build();
    let ledger = scene.images.of_kind("ledger").remove(0);
    let (label, document) = label_and_document(engine, &ledger);
    let mut document: serde_json::Value = serde_json::from_str(&document).unwrap();
    let mut days_after = |age: i64| {
        let written = Utc::now() - TimeDelta::days(age);
        document["writtenAt"] = serde_json::to_value(written).unwrap();
        write_ledger(engine, &ledger, &label, &document.to_string(), written);
        assert_eq!(scene.build().cached(), (7, 7));
        let created = docker(engine, &["image", "inspect", "--format", "{{.Created}}", &ledger]);
        (Utc::now() - created.trim().parse::<DateTime<Utc>>().unwrap()).num_days()
    };
    assert_eq!(days_after(6), 6, "such a build writes nothing");
    assert_eq!(days_after(8), 0, "others would soon take it for given up");
    assert_eq!(scene.images.dangling(), BTreeSet::new(), "what it replaces goes");
    assert_eq!(scene.build_pruned().cached(), (7, 7));
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

/// Two images of one Dockerfile, built by runs of their own. The second takes a file that no edit of the stage changes.
const TWO_IMAGES: &str = "FROM busybox:1.36 AS stage\n\
                          ARG FLAVOR\n\
                          COPY source.txt /source\n\
                          COPY note.txt /note\n\
                          RUN echo \"$FLAVOR\" | cat - /note > /trail # INSTRUCTION\n\
                          FROM busybox:1.36 AS first\n\
                          COPY --from=stage /trail /trail\n\
                          FROM busybox:1.36 AS second\n\
                          COPY --from=stage /source /taken\n\
                          RUN cat /taken > /copied\n";

on_every_engine!(a_stage_that_another_run_made_is_kept_although_nothing_ran_and_the_image_is_the_same, |engine| {
    let dockerfile = |instruction: &str| TWO_IMAGES.replace("INSTRUCTION", instruction);
    let files = [("Dockerfile", dockerfile("one")), ("source.txt", unique("source")), ("note.txt", "one\n".to_owned())];
    let scene = Scene::new(engine, &files.each_ref().map(|(name, content)| (*name, content.as_str())));
    let write = |name: &str, content: &str| std::fs::write(scene.project.path().join(name), content).unwrap();
    let build = |target: &str, flavor: &str| {
        let action = scene.action().input("tags", &format!("{}-{target}", scene.tag)).input("target", target);
        action.input("build-args", &format!("FLAVOR={flavor}")).run().expect_code(0)
    };
    build("first", "one");
    let image = build("second", "one").output("image-id").to_owned();
    let edits: [(&str, &dyn Fn(), &str); 4] = [
        ("the instruction", &|| write("Dockerfile", &dockerfile("two")), "one"),
        ("the argument", &|| {}, "two"),
        ("the file", &|| write("note.txt", "two\n"), "two"),
        ("nothing", &|| {}, "two"),
    ];
    for (what, edit, flavor) in edits {
        edit();
        build("first", flavor);
        let second = build("second", flavor);
        assert_eq!((second.cached(), second.output("image-id")), ((5, 5), image.as_str()), "{what}: {}", second.stdout);
        prune(engine);
        let pruned = build("second", flavor);
        assert_eq!((pruned.cached(), pruned.output("image-id")), ((5, 5), image.as_str()), "{what}: {}", pruned.stdout);
    }
});

/// Two services of one Dockerfile whose arguments differ, so that a step of the one may be another's than one of the same text.
const TWO_SERVICES: &str = "services:\n  \
                            first: {image: NAME-first, build: {context: ., target: first, args: {ONLY: first}}}\n  \
                            second: {image: NAME-second, build: {context: ., target: second, args: {ONLY: second}}}\n";

on_every_engine!(a_stage_that_another_image_of_the_run_made_is_kept_as_well, |engine| {
    let dockerfile = TWO_IMAGES.replace("ARG FLAVOR\n", "").replace("$FLAVOR", "flavor");
    let name = unique("services");
    let compose = TWO_SERVICES.replace("NAME", &name);
    let source = unique("source");
    let files = [
        ("compose.yaml", compose.as_str()),
        ("Dockerfile", &dockerfile),
        ("source.txt", &source),
        ("note.txt", "one\n"),
    ];
    let scene = Scene::new(engine, &files);
    let build = |services: &str| {
        let action = Action::new(engine, scene.project.path()).input("compose-file", "compose.yaml");
        action.input("services", services).run().expect_code(0)
    };
    build("first\nsecond");
    scene.project.write("note.txt", "two\n");
    let both = build("first\nsecond");
    assert!(both.cached().0 < both.cached().1, "{}", both.stdout);
    prune(engine);
    let second = build("second");
    assert_eq!(second.cached(), (5, 5), "{}", second.stdout);
});

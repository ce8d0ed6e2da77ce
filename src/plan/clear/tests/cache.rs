//! What becomes of the images of the image cache: ledgers, stage images, and what ledgers name.

use serde_json::{Value, json};

use super::{container, decisions, id, identity, image, patterns, request, survey};
use crate::engine::{Image, ImageStore};
use crate::plan::clear::{ClearRequest, ProjectImages, plan, plan_again};
use crate::survey::clear::ClearSurvey;

fn labelled(number: u32, name: &str, key: &str, json: &Value) -> Image {
    let mut image = image(number, &[name]);
    image.labels.insert(format!("watchparty-cache.{key}"), json.to_string());
    image
}

/// A ledger of the repository that clears.
fn ledger(number: u32, tag: &str, of: Option<&str>, images: &[u32]) -> Image {
    ledger_of(Some("org/repo"), number, tag, of, images)
}

fn ledger_of(repository: Option<&str>, number: u32, tag: &str, of: Option<&str>, images: &[u32]) -> Image {
    let images: Vec<_> = images.iter().copied().map(id).collect();
    let label = json!({
        "schema": 1, "class": if repository.is_some() { "untrusted" } else { "local" }, "repository": repository,
        "ref": "pull/1", "identity": identity(of, tag), "images": images
    });
    labelled(number, &format!("watchparty-cache/ledger:{tag}"), "ledger", &label)
}

fn stage(number: u32, name: &str, of: Option<&str>, word: &str) -> Image {
    let label = json!({
        "schema": 1, "class": "trusted", "repository": "org/repo", "ref": "refs/heads/main",
        "identity": identity(of, word), "stage": "build"
    });
    labelled(number, &format!("watchparty-cache/{name}"), "stage", &label)
}

fn by_ledgers(images: &[&str]) -> ClearRequest {
    ClearRequest { project: ProjectImages::OfLedgers, ..request(images) }
}

fn short(number: u32) -> String {
    id(number).chars().skip("sha256:".len()).take(12).collect()
}

#[test]
fn they_go_with_the_repository_that_they_are_for() {
    let survey = survey(vec![
        ledger(1, "main", Some("app"), &[10, 11, 12]),
        ledger(2, "other", Some("other"), &[13]),
        ledger_of(Some("org/theirs"), 3, "theirs", Some("app"), &[]),
        ledger_of(None, 4, "unclear", Some("app"), &[]),
        ledger_of(None, 5, "unclear-other", Some("other"), &[]),
        stage(6, "stage:build", Some("app"), ""),
        stage(7, "capture:killed", Some("app"), ""),
        stage(8, "stage:other", Some("other"), ""),
        labelled(9, "watchparty-cache/ledger:newer", "ledger", &json!({"schema": 2})),
        image(10, &["app:latest"]),
        image(11, &[]),
        image(13, &[]),
        image(14, &["watchparty-cache/stage:bare"]),
        image(15, &["watchparty-cache/tombstone:x"]),
    ]);
    let expected = [
        "remove  app:latest  (20.0 MB)",
        &format!("remove  {}  (20.0 MB)", short(11)),
        "keep    watchparty-cache/stage:bare  (it has no label that says whose it is)",
        "remove  watchparty-cache/stage:build (build of app, refs/heads/main)  (20.0 MB)",
        "remove  watchparty-cache/capture:killed (build of app, refs/heads/main)  (20.0 MB)",
        "remove  watchparty-cache/ledger:main (app, pull/1)  (20.0 MB)",
        "keep    watchparty-cache/ledger:newer  (its label has schema 2, which this version does not know)",
        "keep    watchparty-cache/ledger:unclear (app)  (its label does not say that it is of this repository)",
    ];
    assert_eq!(decisions(&request(&[]), &survey), expected);
    assert_eq!(decisions(&request(&["app:latest"]), &survey), expected, "by a pattern of one tag as well");
}

#[test]
fn what_a_newer_version_wrote_is_not_proven_to_be_no_cache() {
    let survey = survey(vec![
        labelled(1, "watchparty-cache/ledger:newer", "ledger", &json!({"schema": 2})),
        labelled(2, "watchparty-cache/ledger:broken", "ledger", &json!({"schema": "1"})),
        image(3, &["watchparty-cache/stage:bare"]),
    ]);
    assert_eq!(
        plan(&request(&["app"]), &survey).left(),
        ["ledger watchparty-cache/ledger:newer stays: its label has schema 2, which this version does not know"]
    );
}

#[test]
fn a_terminal_clears_what_terminals_wrote() {
    let survey = survey(vec![ledger_of(None, 1, "mine", Some("app"), &[]), ledger(2, "job", Some("app"), &[])]);
    let request = ClearRequest { repository: None, ..request(&["app"]) };
    assert_eq!(decisions(&request, &survey), ["remove  watchparty-cache/ledger:mine (app)  (20.0 MB)"]);
}

#[test]
fn a_ledger_goes_though_its_image_is_held_or_gone() {
    let mut survey = survey(vec![ledger(1, "a", Some("app"), &[3]), image(2, &["app:latest"]), image(3, &[])]);
    survey.containers = vec![container("web", &id(2), "app:latest"), container("old", &id(3), "gone")];
    let held = plan(&request(&["app"]), &survey);
    assert_eq!(
        held.images.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "keep    app:latest  (used by container web)".to_owned(),
            format!("keep    {}  (used by container old)", short(3)),
            "remove  watchparty-cache/ledger:a (app, pull/1)  (20.0 MB)".to_owned()
        ]
    );
    // The second survey finds no ledger any more, and the plan still knows what it named.
    survey.images.remove(0);
    let left = plan_again(&request(&["app"]), &held, &survey).left();
    let old = format!("image {} stays: used by container old", id(3));
    assert_eq!(left, ["image app:latest stays: used by container web", &old]);

    survey.images = vec![ledger(1, "a", Some("app"), &[])];
    for named in [vec!["app"], vec!["app:v1"], vec!["*"], vec![]] {
        let plan = plan(&request(&named), &survey);
        assert_eq!((plan.images.len(), plan.is_empty()), (1, false), "{named:?}");
        assert!(plan.tombstones.contains("app"), "{named:?}");
        assert_eq!(plan.left(), ["ledger watchparty-cache/ledger:a is still there"], "{named:?}");
    }
    for not_named in [vec!["web"], vec!["label=team"], vec!["app", "older-than=1d"]] {
        assert_eq!(decisions(&request(&not_named), &survey), [""; 0], "{not_named:?}");
    }
}

#[test]
fn keep_holds_here_too() {
    let survey = survey(vec![ledger(1, "a", Some("app"), &[3]), stage(2, "stage:a", Some("app"), ""), image(3, &[])]);
    let keep = |texts: &[&str]| ClearRequest { keep: patterns(texts), ..request(&["app"]) };
    assert_eq!(decisions(&keep(&["app"]), &survey), [""; 0], "all of the repository stays");
    let kept = [
        "remove  watchparty-cache/stage:a (build of app, refs/heads/main)  (20.0 MB)",
        "keep    watchparty-cache/ledger:a (app, pull/1)  (keep: */ledger)",
    ];
    assert_eq!(decisions(&keep(&["*/ledger"]), &survey), kept, "with what the ledger names");
    assert_eq!(decisions(&keep(&["app:stable"]), &survey).len(), 3, "the cache is not of one tag");
}

#[test]
fn a_predecessor_stays_that_another_ledger_names() {
    let survey = survey(vec![
        ledger(1, "a", Some("app"), &[3]),
        ledger_of(Some("org/theirs"), 2, "b", Some("app"), &[3]),
        image(3, &[]),
    ]);
    assert_eq!(
        decisions(&request(&["app"]), &survey)[0],
        format!("keep    {}  (watchparty-cache/ledger:b names it as well)", short(3))
    );
}

#[test]
fn a_digest_of_the_cleared_repository_is_no_name_of_a_predecessor() {
    let pulled = |of: &str| Image { digests: vec![format!("{of}@{}", id(9))], ..image(2, &[]) };
    let with = |of: &str| survey(vec![ledger(1, "a", Some("app"), &[2]), pulled(of)]);
    assert_eq!(decisions(&request(&[]), &with("app"))[0], format!("remove  app@{}  (20.0 MB)", id(9)));
    assert_eq!(decisions(&request(&[]), &with("base")), ["remove  watchparty-cache/ledger:a (app, pull/1)  (20.0 MB)"]);
}

#[test]
fn a_predecessor_of_several_repositories_goes_with_all_of_them() {
    // The project's images are `app:latest` and `ghcr.io/org/web:1`.
    let [app, web, other] = ["app", "ghcr.io/org/web", "other"].map(|of| format!("{of}@{}", id(9)));
    let pushed = |to: &[&String]| Image { digests: to.iter().copied().cloned().collect(), ..image(2, &[]) };
    let with = |to: &[&String]| survey(vec![ledger(1, "a", Some("app"), &[2]), pushed(to)]);
    assert_eq!(
        decisions(&request(&[]), &with(&[&app, &web]))[..2],
        [format!("remove  {app}  (20.0 MB)"), format!("remove  {web}")]
    );
    assert_eq!(
        decisions(&request(&[]), &with(&[&app, &other]))[0],
        format!("untag   {app}  (the image stays as {other})")
    );
}

#[test]
fn a_cache_of_a_key_goes_with_an_image_that_it_names() {
    let caches = || {
        vec![
            ledger(1, "key", None, &[5]),
            stage(2, "stage:key", None, "key"),
            ledger(3, "else", None, &[9]),
            stage(4, "stage:else", None, "else"),
        ]
    };
    let reason = "it belongs to a cache-key, and nothing says that it is meant";
    let mut with_image = caches();
    with_image.push(image(5, &["app:latest"]));
    assert_eq!(
        decisions(&request(&[]), &survey(with_image)),
        [
            "remove  app:latest  (20.0 MB)",
            &format!("keep    watchparty-cache/stage:else (build of a cache-key, refs/heads/main)  ({reason})"),
            "remove  watchparty-cache/stage:key (build of a cache-key, refs/heads/main)  (20.0 MB)",
            &format!("keep    watchparty-cache/ledger:else (a cache-key, pull/1)  ({reason})"),
            "remove  watchparty-cache/ledger:key (a cache-key, pull/1)  (20.0 MB)",
        ]
    );
    let all = plan(&request(&["**"]), &survey(caches()));
    assert_eq!(all.left().len(), 4, "everything is named: {all}");
}

#[test]
fn without_a_checkout_the_ledgers_name_the_images() {
    let found: ClearSurvey = ClearSurvey {
        store: ImageStore::GraphDriver("overlay2".into()),
        ..survey(vec![
            ledger(1, "a", Some("app"), &[2, 3, 4]),
            image(2, &["app:sha-1", "app:latest"]),
            image(3, &["app:v1", "prod:1"]),
            // A stage that changes nothing may have the id of its base image.
            image(4, &["python:3.11"]),
            ledger_of(Some("org/theirs"), 5, "b", Some("web"), &[6]),
            image(6, &["web:1"]),
            ledger(7, "key", None, &[8]),
            image(8, &["keyed:1"]),
            image(9, &["app:stranger"]),
        ])
    };
    let expected = [
        "remove  app:latest",
        "remove  app:sha-1  (20.0 MB)",
        "untag   app:v1  (the image stays as prod:1)",
        "keep    keyed:1  (it belongs to a cache-key, and nothing says that it is meant)",
        "remove  watchparty-cache/ledger:a (app, pull/1)  (20.0 MB)",
        "remove  watchparty-cache/ledger:key (a cache-key, pull/1)  (20.0 MB)",
    ];
    assert_eq!(decisions(&by_ledgers(&[]), &found), expected);
    assert_eq!(plan(&by_ledgers(&[]), &found).tombstones.into_iter().collect::<Vec<_>>(), ["app"]);
    assert_eq!(
        decisions(&by_ledgers(&["web"]), &found)[0],
        "remove  web:1  (20.0 MB)",
        "only if nothing else names any"
    );
}

#[test]
fn ages_hold_for_images_and_the_cache_follows_them() {
    let survey = survey(vec![ledger(1, "a", Some("app"), &[2, 3]), image(2, &["app:1"]), image(3, &[])]);
    assert_eq!(decisions(&request(&["app", "older-than=1d"]), &survey).len(), 3);
    assert_eq!(decisions(&request(&["app", "older-than=7d"]), &survey), [""; 0]);
}

#[test]
fn prints_them_apart() {
    let survey = survey(vec![
        image(1, &["app:latest"]),
        ledger(2, "a", Some("app"), &[]),
        stage(3, "stage:a", Some("app"), ""),
        stage(4, "capture:a", Some("app"), ""),
    ]);
    insta::assert_snapshot!(plan(&request(&["app"]), &survey), @"
    Images
      remove  app:latest  (20.0 MB)
    Stage images of the image cache
      remove  watchparty-cache/stage:a (build of app, refs/heads/main)  (20.0 MB)
      remove  watchparty-cache/capture:a (build of app, refs/heads/main)  (20.0 MB)
    Ledgers of the image cache
      remove  watchparty-cache/ledger:a (app, pull/1)  (20.0 MB)
    Builder cache of the engine, whichever project it is of
      empty
    The next build will know that these were cleared: app
    ");
}

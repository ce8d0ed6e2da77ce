//! Plans of clears: surveys and requests in, decisions and texts out.

mod cache;
mod oracle;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    ClearPlan, ClearRequest, ImageAction, KeepReason, Name, ProjectImages, candidate, names_of, plan, plan_again,
};
use crate::buildkit::usage::Record;
use crate::engine::{Container, Image, ImageStore, OwnContainer, Parents, sorted_names};
use crate::image::pattern::Pattern;
use crate::inputs::ClearScope;
use crate::survey::clear::ClearSurvey;

const GUID: &str = "0123456789abcdef0123456789abcdef";

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn id(number: u32) -> String {
    format!("sha256:{number:064x}")
}

fn image(number: u32, tags: &[&str]) -> Image {
    Image {
        id: id(number),
        tags: tags.iter().map(ToString::to_string).collect(),
        digests: vec![],
        created: Some(now() - TimeDelta::days(3)),
        size: 30_000_000,
        shared_size: Some(10_000_000),
        labels: BTreeMap::new(),
        parent: None,
    }
}

fn container(name: &str, image_id: &str, image: &str) -> Container {
    Container {
        id: format!("{name}-id"),
        name: name.into(),
        image_id: image_id.into(),
        image: image.into(),
        labels: BTreeMap::new(),
        running: true,
        volumes: vec![],
    }
}

fn record(size: u64, in_use: bool) -> Record {
    Record { id: String::new(), kind: "regular".into(), description: String::new(), size, in_use, shared: false }
}

fn survey(images: Vec<Image>) -> ClearSurvey {
    ClearSurvey {
        images,
        layers_size: 0,
        store: ImageStore::Containerd,
        containers: vec![],
        own: None,
        builder: vec![],
    }
}

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn request(images: &[&str]) -> ClearRequest {
    ClearRequest {
        images: patterns(images),
        project: ProjectImages::Named(vec!["app".parse().unwrap(), "ghcr.io/org/web:1".parse().unwrap()]),
        repository: Some("org/repo".into()),
        keep: vec![],
        scope: ClearScope { images: true, builder: true, ..ClearScope::default() },
        now: now(),
    }
}

/// Each planned name with what becomes of it, one a line.
fn decisions(request: &ClearRequest, survey: &ClearSurvey) -> Vec<String> {
    plan(request, survey).images.iter().map(ToString::to_string).collect()
}

#[test]
fn takes_the_projects_own_images_by_default() {
    let survey = survey(vec![
        image(1, &["app:latest"]),
        image(2, &["app:old"]),
        image(3, &["ghcr.io/org/web:1", "ghcr.io/org/web:2"]),
        image(4, &["python:3.11"]),
        image(5, &[]),
    ]);
    assert_eq!(
        decisions(&request(&[]), &survey),
        ["remove  app:latest  (20.0 MB)", "untag   ghcr.io/org/web:1  (the image stays as ghcr.io/org/web:2)"]
    );
}

#[test]
fn counts_an_image_with_several_names_once() {
    let survey = survey(vec![image(1, &["app:1", "app:2", "org/app:1"])]);
    assert_eq!(
        decisions(&request(&["app", "org/*"]), &survey),
        ["remove  app:1  (20.0 MB)", "remove  app:2", "remove  org/app:1"]
    );
}

#[test]
fn protects_what_is_in_use() {
    let mut survey = survey(vec![
        image(1, &["app:latest", "app:1"]),
        image(2, &["web:1"]),
        image(3, &["own/action:v1"]),
        image(4, &[&format!("abc123:{GUID}")]),
        Image { id: format!("sha256:{}", "abcdef".repeat(10)), ..image(5, &["moved:1"]) },
        image(6, &["free:1"]),
    ]);
    survey.containers = vec![
        container("web-1", &id(1), "app:latest"),
        container("web-2", &id(1), &id(1)),
        // The id is one that the engine does not list; the name still tells.
        container("stopped", &id(99), "web:1"),
        container("by-short-id", "gone", "abcdefabcdef"),
    ];
    survey.own = Some(OwnContainer {
        id: "own".into(),
        name: "own".into(),
        image_id: id(3),
        image: "own/action:v1".into(),
        mounts: vec![],
    });
    assert_eq!(
        decisions(&request(&["**"]), &survey),
        [
            format!("keep    abc123:{GUID}  (the runner built it for an action of this job)"),
            "keep    app:1  (used by container web-1 and 1 more)".into(),
            "keep    app:latest  (used by container web-1 and 1 more)".into(),
            "remove  free:1  (20.0 MB)".into(),
            "keep    moved:1  (used by container by-short-id)".into(),
            "keep    own/action:v1  (this action runs from it)".into(),
            "keep    web:1  (used by container stopped)".into(),
        ]
    );
}

#[test]
fn keep_protects_a_name_and_with_it_the_image() {
    let survey = survey(vec![image(1, &["app:1", "app:2"]), image(2, &["app:3"])]);
    let keep = |texts: &[&str]| ClearRequest { keep: patterns(texts), ..request(&["app"]) };
    assert_eq!(
        decisions(&keep(&["app:2"]), &survey),
        ["untag   app:1  (the image stays as app:2)", "keep    app:2  (keep: app:2)", "remove  app:3  (20.0 MB)"]
    );
    let by_id = id(1);
    assert_eq!(
        decisions(&keep(&[by_id.as_str()]), &survey),
        [
            format!("keep    app:1  (keep: {by_id})"),
            format!("keep    app:2  (keep: {by_id})"),
            "remove  app:3  (20.0 MB)".into()
        ]
    );
    assert_eq!(plan(&keep(&["app:2"]), &survey).parents, Parents::Remove);
    assert_eq!(plan(&keep(&[by_id.as_str()]), &survey).parents, Parents::Keep);
}

#[test]
fn ages_narrow_down_what_else_selects() {
    let mut young = image(1, &["app:latest"]);
    young.created = Some(now() - TimeDelta::hours(1));
    let undated = Image { created: None, ..image(4, &["app:undated"]) };
    let survey = survey(vec![young, image(2, &["app:old"]), image(3, &["other:old"]), undated]);
    assert_eq!(decisions(&request(&["app", "older-than=1d"]), &survey), ["remove  app:old  (20.0 MB)"]);
    assert_eq!(decisions(&request(&["older-than=1d"]), &survey), [""; 0], "of the project's own images only");
}

#[test]
fn labels_and_ids_select_images_under_all_names() {
    let mut labelled = image(1, &["a:1", "b:1"]);
    labelled.labels.insert("team".into(), "blue".into());
    let nameless = Image { labels: labelled.labels.clone(), ..image(2, &[]) };
    let survey = survey(vec![labelled, nameless, image(3, &["c:1"])]);
    assert_eq!(
        decisions(&request(&["label=team=blue"]), &survey),
        ["remove  a:1  (20.0 MB)", "remove  b:1", "remove  000000000000  (20.0 MB)"]
    );
    let by_id = id(3);
    assert_eq!(decisions(&request(&[by_id.as_str()]), &survey), ["remove  c:1  (20.0 MB)"]);
}

#[test]
fn an_image_without_names_stays_while_another_was_made_from_it() {
    let child = Image { parent: Some(id(2)), ..image(1, &["app:1"]) };
    let survey = survey(vec![child, image(2, &[])]);
    let by_id = id(2);
    assert_eq!(
        decisions(&request(&[by_id.as_str()]), &survey),
        ["keep    000000000000  (image app:1 was made from it)"]
    );
}

#[test]
fn knows_images_that_only_a_digest_names() {
    let digest = id(7);
    let pulled = Image { digests: vec![format!("base@{digest}")], ..image(1, &[]) };
    // Of a tagged repository the digest is no name of its own, of another it is.
    let both = Image { digests: vec![format!("app@{digest}"), format!("base@{digest}")], ..image(2, &["app:latest"]) };
    let survey = survey(vec![pulled, both]);
    assert_eq!(decisions(&request(&[]), &survey), [format!("untag   app:latest  (the image stays as base@{digest})")]);
    assert_eq!(
        decisions(&request(&["base"]), &survey),
        [
            format!("remove  base@{digest}  (20.0 MB)"),
            format!("untag   base@{digest}  (the image stays as app:latest)")
        ]
    );
}

#[test]
fn a_name_that_cannot_be_read_keeps_its_image() {
    let survey = survey(vec![image(1, &["app:latest", "Not A Name"])]);
    assert_eq!(decisions(&request(&["**"]), &survey), ["untag   app:latest  (the image stays as Not A Name)"]);
}

#[test]
fn never_plans_its_own_marks() {
    let mut mark = image(1, &["watchparty-cache/tombstone:abc"]);
    mark.labels.insert("team".into(), "blue".into());
    let by_id = id(1);
    let survey = survey(vec![mark]);
    assert_eq!(decisions(&request(&["**", "label=team", by_id.as_str()]), &survey), [""; 0]);
}

#[test]
fn marks_what_the_next_build_must_know() {
    let mut survey = survey(vec![image(1, &["app:latest"]), image(2, &["other:1"]), image(3, &["kept:1"])]);
    survey.containers = vec![container("c", &id(3), "kept:1")];
    let marks = |request: &ClearRequest| plan(request, &survey).tombstones.into_iter().collect::<Vec<_>>();
    assert_eq!(marks(&request(&[])), ["app", "ghcr.io/org/web"], "also where there is no image");
    assert_eq!(marks(&request(&["other", "kept"])), ["kept", "other"]);
    assert_eq!(marks(&request(&["ghcr.io/**"])), ["ghcr.io/org/web"]);
    assert_eq!(marks(&request(&["older-than=1d"])), ["app"], "only what was old enough");
    assert_eq!(marks(&ClearRequest { keep: patterns(&["ghcr.io/**"]), ..request(&[]) }), ["app"]);
    let builder_only = ClearScope { builder: true, ..ClearScope::default() };
    assert_eq!(marks(&ClearRequest { scope: builder_only, ..request(&[]) }), [""; 0]);
}

#[test]
fn says_what_is_left() {
    let mut survey = survey(vec![image(1, &["app:latest"]), image(2, &["ghcr.io/org/web:1"])]);
    survey.builder = vec![record(5, true)];
    survey.containers = vec![container("web", &id(2), "ghcr.io/org/web:1")];
    assert_eq!(
        plan(&request(&[]), &survey).left(),
        [
            "image app:latest is still there",
            "image ghcr.io/org/web:1 stays: used by container web",
            "1 builder record in use by another build"
        ]
    );
    let keep = ClearRequest { keep: patterns(&["**"]), ..request(&[]) };
    survey.containers.clear();
    survey.builder.clear();
    assert_eq!(plan(&keep, &survey).left(), [""; 0], "what is kept on purpose is not left over");
}

#[test]
fn prints_itself() {
    let mut survey =
        survey(vec![image(1, &["app:latest", "app:1"]), image(2, &["ghcr.io/org/web:1"]), image(3, &["db:1"])]);
    survey.containers = vec![container("db-1", &id(3), "db:1")];
    survey.builder = vec![record(25_000_000, false), record(0, false), record(10_000_000, true)];
    insta::assert_snapshot!(plan(&request(&["app:latest", "ghcr.io/org/*", "db"]), &survey), @"
    Images
      untag   app:latest  (the image stays as app:1)
      keep    db:1  (used by container db-1)
      remove  ghcr.io/org/web:1  (20.0 MB)
    Builder cache of the engine, whichever project it is of
      remove  2 builder records (25.0 MB)
      keep    1 builder record (10.0 MB, in use by another build)
    The next build will know that these were cleared: app, db, ghcr.io/org/web
    ");
    survey.images.clear();
    survey.builder.clear();
    insta::assert_snapshot!(plan(&request(&["none"]), &survey), @"
    Builder cache of the engine, whichever project it is of
      empty
    Nothing to remove.
    ");
}

fn any_tag() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "(app|web|ghcr\\.io/org/app|org/web):[12]",
        1 => Just(format!("abc123:{GUID}")),
        1 => Just("watchparty-cache/tombstone:1".to_owned()),
        1 => Just("Not A Name".to_owned()),
    ]
}

/// The identity of a cache for images of a repository, or for a cache key.
fn identity(of: Option<&str>, word: &str) -> Value {
    match of {
        Some(repository) => json!({"image": {"repository": repository, "stage": word, "platforms": []}}),
        None => json!({"key": word}),
    }
}

/// Of a ledger, a stage image or a capture: its name, and a label that fits, or does not.
fn any_cache() -> impl Strategy<Value = (String, Option<(&'static str, String)>)> {
    let kind = prop_oneof![
        3 => Just(("ledger", "watchparty-cache.ledger")),
        2 => Just(("stage", "watchparty-cache.stage")),
        1 => Just(("capture", "watchparty-cache.stage")),
    ];
    let repository = prop_oneof![3 => Just(Some("org/repo")), 1 => Just(Some("org/other")), 1 => Just(None)];
    let of = prop_oneof![
        3 => Just(Some("app")), 1 => Just(Some("web")), 1 => Just(Some("gone")), 1 => Just(Some("B A D")), 1 => Just(None)
    ];
    let ids = || proptest::collection::vec((0_u32..6).prop_map(id), 0..3);
    let rest = (1_u32..3, any::<bool>(), (ids(), ids()), 1_u32..8, 1_u32..10);
    (kind, repository, of, rest).prop_map(|((kind, label), repository, of, (tag, push, images, schema, labelled))| {
        let (images, superseded) = images;
        let json = json!({
            "schema": if schema == 7 { 2 } else { 1 }, "class": if push { "trusted" } else { "untrusted" },
            "repository": repository, "ref": "refs/heads/main", "identity": identity(of, "key"),
            "images": images, "superseded": superseded,
        });
        (format!("watchparty-cache/{kind}:{tag}"), (labelled > 1).then(|| (label, json.to_string())))
    })
}

/// A name of an image by its digest, or the bare digest; and whether it stands among the tags.
fn any_digest(number: u32) -> impl Strategy<Value = (String, bool)> {
    let named = "(app|web|ghcr\\.io/org/app|org/web)@".prop_map(move |name| name + &id(number));
    let name = prop_oneof![4 => named, 1 => Just(id(number))];
    (name, any::<bool>()).prop_map(|(name, as_tag)| {
        let as_tag = as_tag && name.contains('@');
        (name, as_tag)
    })
}

fn any_image(number: u32) -> impl Strategy<Value = Image> {
    let tags = prop_oneof![2 => proptest::collection::btree_set(any_tag(), 0..4), 1 => Just(BTreeSet::new())];
    let cache = proptest::option::weighted(0.4, any_cache());
    let digests = proptest::collection::vec(any_digest(number), 0..3);
    (tags, cache, any::<bool>(), 0..20_i64, digests).prop_map(move |(mut tags, cache, labelled, days, digests)| {
        let mut image = image(number, &[]);
        if let Some((name, label)) = cache {
            // Mostly it has no other names.
            if days % 4 > 0 {
                tags.clear();
            }
            tags.insert(name);
            image.labels.extend(label.map(|(key, json)| (key.to_owned(), json)));
        }
        // As the containerd image store lists them: names with digests among the tags as well, bare digests among the names.
        let (listed_as_tags, listed): (Vec<_>, Vec<_>) = digests.into_iter().partition(|(_, as_tag)| *as_tag);
        let names = |listed: Vec<(String, bool)>| listed.into_iter().map(|(name, _)| name);
        let tags = tags.into_iter().chain(names(listed_as_tags)).collect();
        (image.tags, image.digests) = sorted_names(tags, names(listed).collect());
        image.created = (days > 0).then(|| now() - TimeDelta::days(days));
        if labelled {
            image.labels.insert("team".into(), "blue".into());
        }
        image
    })
}

fn any_patterns() -> impl Strategy<Value = Vec<Pattern>> {
    // Read once: compiling is what takes the time.
    static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
        let mut all =
            patterns(&["**", "app", "app:1", "*:2", "ghcr.io/**", "org/*", "label=team", "older-than=7d", "abc123"]);
        all.extend((0..6).map(|number| id(number).parse::<Pattern>().unwrap()));
        all
    });
    proptest::sample::subsequence(PATTERNS.as_slice(), 0..4)
}

prop_compose! {
    fn any_case()(
        images in (0_u32..6).prop_map(|count| (0..count).map(any_image).collect::<Vec<_>>()).prop_flat_map(|images| images),
        select in any_patterns(),
        keep in any_patterns(),
        used in proptest::collection::vec((0_u32..6, any_tag(), any::<bool>()), 0..3),
        own in proptest::option::of(0_u32..6),
        checkout in any::<bool>(),
    ) -> (ClearRequest, ClearSurvey) {
        let mut survey = survey(images);
        survey.containers = used
            .into_iter()
            // Some containers are known by id, others only by a name.
            .map(|(number, tag, by_id)| if by_id { container("c", &id(number), "gone") } else { container("c", "gone", &tag) })
            .collect();
        survey.own = own.map(|number| OwnContainer {
            id: "own".into(), name: "own".into(), image_id: id(number), image: "gone".into(), mounts: vec![],
        });
        let mut request = ClearRequest { images: select, keep, ..request(&[]) };
        if !checkout {
            request.project = ProjectImages::OfLedgers;
        }
        (request, survey)
    }
}

/// Said once more, in another way: what allows a plan to take an image under this name.
fn reason_to_go(
    request: &ClearRequest,
    survey: &ClearSurvey,
    cleared: &BTreeSet<String>,
    image: &Image,
    name: &str,
) -> Option<&'static str> {
    let label = |image: &Image| -> Option<Value> {
        let read = |key: &str| serde_json::from_str::<Value>(image.labels.get(key)?).ok();
        read("watchparty-cache.ledger").or_else(|| read("watchparty-cache.stage"))
    };
    let ours = |label: &Value| {
        label["schema"] == 1 && label["repository"] == "org/repo" && label["identity"]["image"]["repository"] != "B A D"
    };
    if name.starts_with("watchparty-cache/") {
        let label = label(image).filter(ours)?;
        return match label["identity"]["image"]["repository"].as_str() {
            Some(repository) => cleared.contains(repository).then_some("its repository is cleared"),
            None => Some("of a cache-key"),
        };
    }
    let read = Name { text: name.to_owned(), reference: name.parse().ok() };
    if request.selects(image, (name != image.id).then_some(&read)) {
        return Some("the request names it");
    }
    let is_nameless = image.tags.is_empty();
    let names_it = |ledger: &&Image| {
        let made = |label: &Value, what: &str| label[what].to_string().contains(&image.id);
        let is_made = |label: &Value| made(label, "images") || is_nameless && made(label, "superseded");
        label(ledger).is_some_and(|label| ours(&label) && is_made(&label))
    };
    let mut ledgers =
        survey.images.iter().filter(|image| image.tags.iter().any(|tag| tag.starts_with("watchparty-cache/l")));
    let by_ledgers = request.project == ProjectImages::OfLedgers || is_nameless;
    (by_ledgers && ledgers.any(|ledger| names_it(&ledger))).then_some("a ledger of ours names it")
}

/// As an engine does it: with the last tag of a repository its digests go as well.
fn remove_name(image: &mut Image, name: &str) {
    image.tags.retain(|tag| tag != name);
    image.digests.retain(|digest| digest != name);
    let Some((repository, _)) = name.rsplit_once(':').filter(|_| !name.contains('@')) else { return };
    let of_it = |tag: &String| tag.rsplit_once(':').is_some_and(|(of, _)| of == repository);
    if !image.tags.iter().any(of_it) {
        image.digests.retain(|digest| digest.split_once('@').is_none_or(|(of, _)| of != repository));
    }
}

proptest! {
    #[test]
    fn nothing_protected_is_ever_removed((request, survey) in any_case()) {
        let first = plan(&request, &survey);
        for planned in first.images.iter().filter(|planned| !matches!(planned.action, ImageAction::Keep(_))) {
            let image = survey.images.iter().find(|image| image.id == planned.id).unwrap();
            let known = |word: &str| image.tags.iter().any(|tag| tag == word);
            prop_assert!(!survey.own.iter().any(|own| own.image_id == image.id), "own image: {planned}");
            prop_assert!(!survey.containers.iter().any(|c| c.image_id == image.id || known(&c.image)), "in use: {planned}");
            prop_assert!(!image.tags.iter().any(|tag| tag.starts_with("abc123:")), "another action's: {planned}");
            prop_assert!(!planned.name.starts_with("watchparty-cache/tombstone"), "a mark: {planned}");
            let name = (planned.name != image.id).then(|| super::Name {
                text: planned.name.clone(), reference: planned.name.parse().ok(),
            });
            // The containerd image store takes every tag of the repository along with a name by digest.
            if let Some((repository, _)) = planned.name.split_once('@') {
                let of_it = |tag: &&String| tag.rsplit_once(':').is_some_and(|(of, _)| of == repository);
                prop_assert!(image.tags.iter().find(of_it).is_none(), "takes tags along: {planned}");
            }
            prop_assert!(!request.keep.iter().any(|keep| keep.matches(&candidate(image, name.as_ref()), now())), "keep: {planned}");
            let reason = reason_to_go(&request, &survey, &first.tombstones, image, &planned.name);
            prop_assert!(reason.is_some(), "not named: {planned}");
        }
    }

    /// An image goes only if every one of its names does; otherwise each is only untagged, for one that stays.
    #[test]
    fn an_image_goes_only_with_its_last_name((request, survey) in any_case()) {
        let plan = plan(&request, &survey);
        for image in &survey.images {
            let of_image = || plan.images.iter().filter(|planned| planned.id == image.id);
            let gone = of_image().filter(|planned| !matches!(planned.action, ImageAction::Keep(_))).count();
            if of_image().any(|planned| planned.action == ImageAction::Remove) {
                prop_assert_eq!(gone, names_of(image).len().max(1));
            }
            for planned in of_image() {
                if let ImageAction::Untag { remains } = &planned.action {
                    prop_assert!(image.tags.contains(remains) || image.digests.contains(remains));
                    let stays = plan.images.iter().all(|other| {
                        other.id != image.id || other.name != *remains || matches!(other.action, ImageAction::Keep(_))
                    });
                    prop_assert!(stays);
                }
            }
        }
    }

    /// Carrying the plan out and planning again leaves nothing to remove.
    #[test]
    fn a_plan_that_was_carried_out_is_empty((request, mut survey) in any_case()) {
        let first = plan(&request, &survey);
        for planned in first.images.iter().filter(|planned| !matches!(planned.action, ImageAction::Keep(_))) {
            for image in survey.images.iter_mut().filter(|image| image.id == planned.id) {
                remove_name(image, &planned.name);
            }
            let action = &planned.action;
            survey.images.retain(|image| {
                image.id != planned.id || *action != ImageAction::Remove || !names_of(image).is_empty()
            });
        }
        survey.builder.clear();
        let second = plan_again(&request, &first, &survey);
        prop_assert!(second.is_empty(), "{}", second);
        // Neither does it forget what the ledgers said: what was kept, and could be a cache, is still left over.
        let kept = |plan: &ClearPlan| plan.left().into_iter().filter(|left| left.contains("stays")).collect::<Vec<_>>();
        prop_assert_eq!(kept(&first), kept(&second));
    }
}

#[test]
fn reasons_are_phrases() {
    let reason = KeepReason::UsedBy { container: "web".into(), others: 2 };
    assert_eq!(reason.to_string(), "used by container web and 2 more");
}

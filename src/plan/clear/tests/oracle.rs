//! The plan against an oracle that shares no code with it, nor with the patterns: what must go goes, what is protected stays.

use chrono::TimeDelta;
use proptest::prelude::*;

use super::{any_case, now, patterns};
use crate::engine::Image;
use crate::image::pattern::Pattern;
use crate::plan::clear::{ClearRequest, ImageAction, ProjectImages, plan};
use crate::survey::clear::ClearSurvey;

/// Whether a glob fits the whole of a text: `**/` is any number of components, `**` anything, `*` and `?` stop at slashes.
fn fits(glob: &[u8], text: &[u8]) -> bool {
    match glob {
        [] => text.is_empty(),
        [b'*', b'*', b'/', rest @ ..] => {
            fits(rest, text) || (0..text.len()).any(|at| text[at] == b'/' && fits(rest, &text[at + 1..]))
        }
        [b'*', b'*', rest @ ..] => (0..=text.len()).any(|at| fits(rest, &text[at..])),
        [b'*', rest @ ..] => {
            let reach = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
            (0..=reach).any(|at| fits(rest, &text[at..]))
        }
        [b'[', rest @ ..] => {
            let end = rest.iter().position(|byte| *byte == b']').unwrap();
            let (negated, members) = match &rest[..end] {
                [b'!' | b'^', members @ ..] => (true, members),
                members => (false, members),
            };
            let [first, text @ ..] = text else { return false };
            let is_in = members.contains(first)
                || members.windows(3).any(|range| range[1] == b'-' && (range[0]..=range[2]).contains(first));
            *first != b'/' && is_in != negated && fits(&rest[end + 1..], text)
        }
        [wanted, rest @ ..] => match text {
            [first, text @ ..] => (*wanted == b'?' && *first != b'/' || wanted == first) && fits(rest, text),
            [] => false,
        },
    }
}

/// `org/web:1` as its familiar repository, its full repository, and its tag.
fn parts(name: &str) -> (String, String, String) {
    let (repository, tag) = match name.split_once('@') {
        Some((repository, _)) => (repository, ""),
        None => name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).unwrap_or((name, "latest")),
    };
    let host = repository.split('/').next().filter(|first| first.contains('.') && repository.contains('/'));
    let full = match host {
        Some(_) => repository.to_owned(),
        None if repository.contains('/') => format!("docker.io/{repository}"),
        None => format!("docker.io/library/{repository}"),
    };
    (repository.to_owned(), full, tag.to_owned())
}

fn matches(pattern: &str, image: &Image, name: Option<&str>) -> bool {
    if let Some(label) = pattern.strip_prefix("label=") {
        return image.labels.contains_key(label);
    }
    if let Some(days) = pattern.strip_prefix("older-than=") {
        let days = days.trim_end_matches('d').parse().unwrap();
        return image.created.is_some_and(|created| created < now() - TimeDelta::days(days));
    }
    if pattern.starts_with("sha256:") {
        return image.id.starts_with(pattern);
    }
    let Some(name) = name else { return false };
    let (familiar, full, tag) = parts(name);
    let (repository, wanted) = match pattern.rsplit_once(':') {
        Some((repository, wanted)) if !wanted.contains('/') => (repository, wanted),
        _ => (pattern, "**"),
    };
    // A name by digest has no tag: only a pattern of all tags means it.
    [familiar, full].iter().any(|text| fits(repository.as_bytes(), text.as_bytes()))
        && (matches!(wanted, "*" | "**") || !tag.is_empty() && fits(wanted.as_bytes(), tag.as_bytes()))
}

fn is_protected(survey: &ClearSurvey, image: &Image) -> bool {
    let holds =
        |container: &crate::engine::Container| container.image_id == image.id || image.tags.contains(&container.image);
    survey.own.as_ref().is_some_and(|own| own.image_id == image.id)
        || survey.containers.iter().any(holds)
        || image.tags.iter().any(|tag| tag.starts_with("abc123:"))
}

fn is_kept(request: &ClearRequest, image: &Image, name: Option<&str>) -> bool {
    request.keep.iter().any(|pattern| matches(&pattern.to_string(), image, name))
}

/// Whether the patterns mean an image of the user's under this name, or without any.
fn is_meant(request: &ClearRequest, image: &Image, name: Option<&str>) -> bool {
    if name.is_some_and(|name| name.contains(' ') || name.starts_with("watchparty-cache/")) {
        return false;
    }
    let texts: Vec<String> = request.images.iter().map(ToString::to_string).collect();
    let (ages, selectors): (Vec<&String>, Vec<&String>) =
        texts.iter().partition(|text| text.starts_with("older-than="));
    let selected = if selectors.is_empty() {
        let project = ["app:latest", "ghcr.io/org/web:1"];
        matches!(request.project, ProjectImages::Named(_)) && name.is_some_and(|name| project.contains(&name))
    } else {
        selectors.iter().any(|text| matches(text, image, name))
    };
    selected && ages.iter().all(|text| matches(text, image, name))
}

const REPOSITORIES: [&str; 15] = [
    "app",
    "org[.-9]web",
    "a[a-q]p",
    "[!w]pp",
    "a?p",
    "w*",
    "*",
    "**",
    "org/*",
    "**/app",
    "*/w[a-f]b",
    "ghcr.io/**",
    "ghcr.io/*/app",
    "docker.io/library/*",
    "[aw]??",
];
const TAGS: [&str; 8] = ["", "", "", ":1", ":*", ":?", ":[1-2]", ":[!1]"];

fn any_pattern() -> impl Strategy<Value = String> {
    let select = |from: &'static [&'static str]| proptest::sample::select(from);
    prop_oneof![
        6 => (select(&REPOSITORIES), select(&TAGS)).prop_map(|(repository, tag)| format!("{repository}{tag}")),
        1 => Just("label=team".to_owned()),
        1 => (1..20_i64).prop_map(|days| format!("older-than={days}d")),
        1 => (0_u32..6).prop_map(super::id),
    ]
}

fn any_asked() -> impl Strategy<Value = (Vec<Pattern>, Vec<Pattern>)> {
    let some = |count| proptest::collection::vec(any_pattern(), 0..count);
    (some(4), some(3)).prop_map(|(images, keep)| {
        let read = |texts: &[String]| patterns(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        (read(&images), read(&keep))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn the_plan_does_what_the_oracle_says((request, survey) in any_case(), (images, keep) in any_asked()) {
        let request = ClearRequest { images, keep, ..request };
        let plan = plan(&request, &survey);
        let goes = |image: &Image, name: &str| {
            let is_it = |planned: &&crate::plan::clear::PlannedImage| planned.id == image.id && planned.name == name;
            plan.images.iter().find(is_it).is_some_and(|planned| !matches!(planned.action, ImageAction::Keep(_)))
        };
        let by_patterns = request.images.iter().any(|pattern| !pattern.is_restriction());
        for image in &survey.images {
            // A digest is a name where no tag names its repository.
            let of_a_tag = |digest: &str| {
                let repository = digest.split_once('@').map(|(repository, _)| repository);
                image.tags.iter().any(|tag| tag.rsplit_once(':').map(|(of, _)| of) == repository)
            };
            let digests = image.digests.iter().map(String::as_str).filter(|digest| !of_a_tag(digest));
            let mut names: Vec<_> = image.tags.iter().map(String::as_str).chain(digests).map(Some).collect();
            if names.is_empty() {
                names.push(None);
            }
            for name in names {
                let text = name.unwrap_or(&image.id);
                let (protected, kept) = (is_protected(&survey, image), is_kept(&request, image, name));
                let goes = goes(image, text);
                prop_assert!(!(goes && protected), "protected: {} in {}", text, plan);
                prop_assert!(!(goes && kept), "kept: {} in {}", text, plan);
                let must = is_meant(&request, image, name) && !protected && !kept;
                prop_assert!(goes || !must, "unprotected, meant and not taken: {} in {}", text, plan);
                // What has no name may also go because a ledger names it, and what the cache made goes by other rules.
                let by_other_rules = image.tags.is_empty() || text.starts_with("watchparty-cache/") || !by_patterns;
                prop_assert!(!goes || must || by_other_rules, "not meant and taken: {} in {}", text, plan);
            }
        }
    }
}

#[test]
fn the_oracle_reads_globs() {
    for (glob, text, expected) in [
        ("a?p", "app", true),
        ("a?p", "a/p", false),
        ("*", "org/app", false),
        ("**", "org/app", true),
        ("**/app", "app", true),
        ("ghcr.io/**/app", "ghcr.io/a/b/app", true),
        ("ghcr.io/**/app", "ghcr.io/myapp", false),
        ("[!w]pp", "app", true),
        ("[a-c]pp", "dpp", false),
    ] {
        assert_eq!(fits(glob.as_bytes(), text.as_bytes()), expected, "{glob} {text}");
    }
}

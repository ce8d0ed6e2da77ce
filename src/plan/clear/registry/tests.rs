use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{RegistryPlan, TagReason};
use crate::image::pattern::Pattern;
use crate::registry::{Digest, RegistrySelector, Repository};
use crate::survey::clear::registry::{RepositorySurvey, SurveyedTag};

fn digest(of: &str) -> Digest {
    Digest::of(of.as_bytes())
}

fn survey(tags: &[(&str, &str, &[&str])]) -> RepositorySurvey {
    let tag = |(tag, of, children): &(&str, &str, &[&str])| SurveyedTag {
        tag: (*tag).to_owned(),
        digest: digest(of),
        children: children.iter().map(|child| digest(child)).collect(),
    };
    let repository = Repository::of(&"r.io/app".parse().unwrap());
    RepositorySurvey { repository, exists: true, tags: tags.iter().map(tag).collect() }
}

fn plan(tags: &[(&str, &str, &[&str])], selector: &str, keep: &[&str]) -> RegistryPlan {
    let keep: Vec<Pattern> = keep.iter().map(|pattern| pattern.parse().unwrap()).collect();
    let selectors = [selector.parse().unwrap(), "r.io/another:*".parse().unwrap()];
    RegistryPlan::new(&survey(tags), &selectors, &keep)
}

/// `tag` for what goes, `tag: why` for what stays.
fn shown(plan: &RegistryPlan) -> Vec<String> {
    let shown = plan.tags.iter().map(|planned| match &planned.keep {
        None => planned.tag.clone(),
        Some(why) => format!("{}: {why}", planned.tag),
    });
    shown.collect()
}

#[test]
fn a_tag_goes_unless_something_that_stays_needs_its_manifest() {
    let signature = digest("a").referrers_tag() + ".sig";
    for (tags, selector, keep, expected) in [
        (vec![("1", "a", &[][..]), ("1-cache", "b", &[])], "r.io/app", vec![], vec!["1-cache"]),
        (vec![("1", "a", &[]), ("1-cache", "a", &[])], "r.io/app", vec![], vec!["1-cache: also tagged 1"]),
        (vec![("1-cache", "a", &[]), ("2-cache", "a", &[])], "r.io/app", vec![], vec!["1-cache", "2-cache"]),
        (vec![("1", "i", &["a"]), ("1-cache", "a", &[])], "r.io/app", vec![], vec!["1-cache: part of 1"]),
        (vec![("1-cache", "i", &["a"]), ("1", "a", &[])], "r.io/app", vec![], vec!["1-cache"]),
        (
            vec![("1-cache", "a", &[]), ("2-cache", "b", &[])],
            "r.io/app",
            vec!["r.io/app:2-*"],
            vec!["1-cache", "2-cache: keep: r.io/app:2-*"],
        ),
        // What stays because of another protects in its turn.
        (
            vec![("1", "i", &["j"]), ("2-cache", "j", &["a"]), ("3-cache", "a", &[]), ("4-cache", "b", &[])],
            "r.io/app",
            vec![],
            vec!["2-cache: part of 1", "3-cache: part of 2-cache", "4-cache"],
        ),
        (
            vec![("1", "a", &[]), ("2", "b", &[]), (&signature, "s", &[])],
            "r.io/app:[!1]*",
            vec![],
            vec!["2", &format!("{signature}: it describes 1")],
        ),
        (vec![("1", "a", &[]), (&signature, "s", &[])], "r.io/app:*", vec![], vec!["1", &signature]),
        (vec![("1", "a", &[])], "r.io/other:*", vec![], vec![]),
    ] {
        let mut expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
        let mut found = shown(&plan(&tags, selector, &keep));
        // The order is the survey's.
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "{selector} of {tags:?}");
    }
}

#[test]
fn what_keep_may_mean_stays() {
    let tags: &[(&str, &str, &[&str])] = &[("1-cache", "a", &[]), ("2-cache", "b", &[])];
    let by_digest = format!("r.io/*@{}", digest("a"));
    assert_eq!(
        shown(&plan(tags, "r.io/app", &[&by_digest])),
        [format!("1-cache: keep: {by_digest}"), "2-cache".to_owned()]
    );
    // Of an id, a label and an age a registry says nothing: nothing is removed that they might mean.
    for entry in ["sha256:0123456789ab", "label=team=blue", "older-than=7d"] {
        let plan = plan(tags, "r.io/app", &["r.io/app:1-*", entry]);
        let unknown = format!("2-cache: keep: {entry}, which a registry does not tell of a tag");
        assert_eq!(shown(&plan), ["1-cache: keep: r.io/app:1-*".to_owned(), unknown], "{entry}");
        assert_eq!(plan.left().len(), 1, "it was to go, and nobody can tell: {:?}", plan.left());
    }
}

#[test]
fn a_plan_prints_itself_and_says_what_is_left() {
    let tags: &[(&str, &str, &[&str])] =
        &[("1", "a", &[]), ("1-cache", "a", &[]), ("2-cache", "b", &[]), ("3-cache", "b", &[]), ("4-cache", "c", &[])];
    let plan = plan(tags, "r.io/app", &["r.io/app:4-cache"]);
    let shown = plan.to_string().replace(&digest("b").to_string(), "DIGEST");
    insta::assert_snapshot!(shown, @r"
    Tags of r.io/app
      keep    r.io/app:1-cache  (also tagged 1)
      remove  r.io/app:2-cache  (DIGEST)
      remove  r.io/app:3-cache  (DIGEST)
      keep    r.io/app:4-cache  (keep: r.io/app:4-cache)
    ");
    assert_eq!(
        plan.left(),
        [
            "tag r.io/app:1-cache stays: also tagged 1",
            "tag r.io/app:2-cache is still there",
            "tag r.io/app:3-cache is still there",
        ]
    );
    let removals = plan.removals();
    assert_eq!(removals.len(), 1);
    assert_eq!(removals[0].1.iter().map(|planned| planned.tag.as_str()).collect::<Vec<_>>(), ["2-cache", "3-cache"]);
    let nothing = RepositorySurvey { exists: false, ..survey(&[]) };
    let plan = RegistryPlan::new(&nothing, &[], &[]);
    assert_eq!(plan.to_string(), "Tags of r.io/app\n  none: there is no such repository\n");
    assert!(plan.left()[0].starts_with("r.io/app: the registry knows no such repository"), "{:?}", plan.left());
    assert!(RegistryPlan::new(&survey(&[]), &[], &[]).left().is_empty(), "a repository without tags is clear");
}

proptest! {
    /// What goes is needed by nothing that stays; what is named and needed by nothing goes.
    #[test]
    fn nothing_that_stays_loses_a_manifest(
        tags in prop::collection::btree_map("[a-c](-cache)?", (0..5_u8, prop::collection::vec(0..5_u8, 0..3)), 0..7),
        keep in prop::option::of("[a-c]"),
    ) {
        let repository = Repository::of(&"r.io/app".parse().unwrap());
        let name = |number: u8| digest(&number.to_string());
        let tags: Vec<SurveyedTag> = tags.into_iter().map(|(tag, (of, children))| SurveyedTag {
            tag, digest: name(of), children: children.into_iter().map(name).collect(),
        }).collect();
        let survey = RepositorySurvey { repository, exists: true, tags };
        let selector: RegistrySelector = "r.io/app".parse().unwrap();
        let keep: Vec<Pattern> = keep.iter().map(|tag| format!("r.io/app:{tag}-*").parse().unwrap()).collect();
        let plan = RegistryPlan::new(&survey, std::slice::from_ref(&selector), &keep);

        let going: BTreeSet<&str> = plan.tags.iter().filter(|tag| tag.keep.is_none()).map(|tag| tag.tag.as_str()).collect();
        let removed: BTreeSet<&Digest> = plan.removals().into_iter().map(|(digest, _)| digest).collect();
        for tag in &survey.tags {
            if going.contains(tag.tag.as_str()) {
                prop_assert!(selector.names(&tag.tag));
                continue;
            }
            prop_assert!(!removed.contains(&tag.digest) && !tag.children.iter().any(|child| removed.contains(child)));
        }
        for planned in &plan.tags {
            let needed = survey.tags.iter().any(|tag| {
                !going.contains(tag.tag.as_str()) && tag.tag != planned.tag
                    && (tag.digest == planned.digest || tag.children.contains(&planned.digest))
            });
            let kept = matches!(planned.keep, Some(TagReason::Keep(_)));
            prop_assert_eq!(planned.keep.is_some(), needed || kept);
        }
    }
}

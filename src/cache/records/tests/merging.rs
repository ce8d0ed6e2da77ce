//! What merging does with records as builds write them.

use super::super::Records;
use super::{Spec, built, digest, key, records, second};

/// Every record: its digest's name, its inputs as `selector>record`, and its layers and time.
pub(super) fn drawn(records: &Records) -> Vec<String> {
    const NAMES: [&str; 14] = [
        "alpine", "busybox", "sources", "run", "make", "copy", "link", "one", "two", "three", "final", "v1", "v2", "v3",
    ];
    let name = |wanted: super::super::Digest| {
        let letters = ('a'..='z').map(|letter| letter.to_string());
        let names = NAMES.iter().map(ToString::to_string).chain(letters);
        names.into_iter().find(|name| digest(name) == wanted).expect("a name")
    };
    let draw = |record: &super::super::Record| {
        let link = |link: &super::super::Link| match link.selector.as_str() {
            "" => link.record.to_string(),
            selector => format!("{selector}>{}", link.record),
        };
        let inputs = record.inputs.iter().map(|links| links.iter().map(link).collect::<Vec<_>>().join("|"));
        let inputs: Vec<_> = inputs.collect();
        let result = record.results.iter().map(|outcome| {
            let result = super::super::ResultRef { records, outcome: *outcome };
            let layers: String = result.layers().iter().map(|layer| name(layer.blob)).collect();
            format!(" = {layers} at {}", outcome.created_at.map(|at| at.format("%S").to_string()).unwrap_or_default())
        });
        format!("{}({}){}", name(record.digest), inputs.join(", "), result.collect::<String>())
    };
    records.records.iter().map(draw).collect()
}

fn merged(sources: &[&[Spec]]) -> Vec<String> {
    drawn(&Records::merge(sources.iter().map(|specs| records(specs))))
}

#[test]
fn the_same_instruction_on_two_branches_stays_two_records() {
    let main = [key("alpine", &[]), built("run", &[&[("", 0)]], "ab", 1), built("make", &[&[("", 1)]], "abc", 2)];
    let branch = [key("busybox", &[]), built("run", &[&[("", 0)]], "de", 3), built("make", &[&[("", 1)]], "def", 4)];
    assert_eq!(
        merged(&[&branch, &main]),
        [
            "busybox()",
            "run(0) = de at 03",
            "make(1) = def at 04",
            "alpine()",
            "run(3) = ab at 01",
            "make(4) = abc at 02"
        ]
    );
}

#[test]
fn of_two_builds_of_the_same_the_newer_counts_wherever_it_comes_from() {
    let old = [key("alpine", &[]), built("run", &[&[("", 0)]], "ab", 1), built("make", &[&[("", 1)]], "abc", 2)];
    let new = [key("alpine", &[]), built("run", &[&[("", 0)]], "ad", 3), built("make", &[&[("", 1)]], "ade", 4)];
    let expected = ["alpine()", "run(0) = ad at 03", "make(1) = ade at 04"];
    assert_eq!(merged(&[&old, &new]), expected);
    assert_eq!(merged(&[&new, &old]), expected);
    assert_eq!(merged(&[&new, &old, &new]), expected);
}

#[test]
fn of_two_equally_new_results_the_first_source_s_counts() {
    let one = [built("alpine", &[], "a", 1)];
    let other = [built("alpine", &[], "b", 1)];
    assert_eq!(merged(&[&one, &other]), ["alpine() = a at 01"]);
    assert_eq!(merged(&[&other, &one]), ["alpine() = b at 01"]);
}

#[test]
fn a_stage_image_gives_its_results_to_the_keys_of_the_final_image() {
    let last = [
        key("alpine", &[]),
        key("run", &[&[("", 0)]]),
        key("busybox", &[]),
        key("sources", &[]),
        built("copy", &[&[("", 2)], &[("/app", 1), ("", 3)]], "de", 5),
    ];
    let stage = [key("alpine", &[]), built("run", &[&[("", 0)]], "ab", 4)];
    assert_eq!(
        merged(&[&last, &stage]),
        ["alpine()", "run(0) = ab at 04", "busybox()", "sources()", "copy(2, 3|/app>1) = de at 05"]
    );
}

#[test]
fn contents_that_only_one_build_saw_never_lead_to_the_other_s_layers() {
    // `run` is not deterministic: once it wrote v1 and once v2, and `copy` copied that.
    let build = |content, layers: &str, second| {
        [
            key("alpine", &[]),
            key("run", &[&[("", 0)]]),
            key(content, &[]),
            built("copy", &[&[("", 0)], &[("/v", 1), ("", 2)]], layers, second),
            built("make", &[&[("", 3)]], &format!("{layers}z"), second + 1),
        ]
    };
    assert_eq!(
        merged(&[&build("v2", "b", 4), &build("v1", "a", 2)]),
        [
            "alpine()",
            "run(0)",
            "v2()",
            "copy(0, /v>1) = b at 04",
            "make(3) = bz at 05",
            "v1()",
            "copy(0, 2) = b at 04",
            "copy(0, 5) = a at 02",
            "make(6) = bz at 05",
            "make(7) = az at 03",
        ]
    );
}

#[test]
fn a_record_that_joins_two_others_unites_neither_of_them() {
    // The third source found both sources to be the same content; the first two did not.
    let one = [key("v1", &[]), built("copy", &[&[("", 0)]], "a", 1), built("make", &[&[("", 1)]], "ab", 2)];
    let two = [key("v2", &[]), built("copy", &[&[("", 0)]], "c", 3), built("make", &[&[("", 1)]], "cd", 4)];
    let three = [
        key("v1", &[]),
        key("v2", &[]),
        key("v3", &[]),
        built("copy", &[&[("", 0), ("", 1), ("", 2)]], "e", 2),
        built("make", &[&[("", 3)]], "ef", 3),
    ];
    assert_eq!(
        merged(&[&one, &two, &three]),
        [
            "v1()",
            "copy(0) = e at 02",
            "make(1) = ef at 03",
            "v2()",
            "copy(3) = c at 03",
            "make(4) = cd at 04",
            "v3()",
            "copy(6) = e at 02",
            "make(7) = ef at 03",
        ]
    );
}

#[test]
fn a_diamond_stays_one() {
    let diamond = [
        built("alpine", &[], "a", 1),
        built("one", &[&[("", 0)]], "ab", 2),
        built("two", &[&[("", 0)]], "ac", 3),
        built("three", &[&[("", 1)], &[("/x", 2)]], "abd", 4),
    ];
    let expected = ["alpine() = a at 01", "one(0) = ab at 02", "two(0) = ac at 03", "three(1, /x>2) = abd at 04"];
    assert_eq!(merged(&[&diamond]), expected);
    assert_eq!(merged(&[&diamond, &diamond]), expected);
}

#[test]
fn a_selector_is_part_of_what_is_meant() {
    let source = |selector, layers, second| [key("sources", &[]), built("copy", &[&[(selector, 0)]], layers, second)];
    assert_eq!(
        merged(&[&source("/a", "a", 1), &source("/b", "b", 2), &source("/a", "c", 3)]),
        ["sources()", "copy(/a>0) = c at 03", "copy(/b>0) = b at 02"]
    );
}

#[test]
fn one_digest_never_has_two_numbers_of_inputs() {
    // BuildKit would take the first for the second, whose inputs include its own.
    let two = [key("v1", &[]), key("v2", &[]), built("copy", &[&[("", 0)], &[("", 1)]], "a", 1)];
    let one = [key("v1", &[]), built("copy", &[&[("", 0)]], "b", 2), built("make", &[&[("", 1)]], "bc", 3)];
    assert_eq!(merged(&[&two, &one]), ["v1()", "v2()", "copy(0, 1) = a at 01"]);
    assert_eq!(merged(&[&one, &two]), ["v1()", "copy(0) = b at 02", "make(1) = bc at 03"]);
}

#[test]
fn a_layer_that_two_sources_describe_differently_is_the_first_source_s() {
    let one = records(&[built("alpine", &[], "a", 1)]);
    let mut other = records(&[built("alpine", &[], "a", 2), built("run", &[&[("", 0)]], "ab", 3)]);
    for layer in &mut other.layers {
        if layer.blob == digest("a") {
            layer.diff_id = digest("another content");
        }
    }
    assert_eq!(drawn(&Records::merge([one.clone(), other.clone()])), ["alpine() = a at 01"]);
    assert_eq!(drawn(&Records::merge([other, one])), ["alpine() = a at 02", "run(0) = ab at 03"]);
}

#[test]
fn keeping_results_drops_what_leads_to_none() {
    let records = records(&[
        key("alpine", &[]),
        built("run", &[&[("", 0)]], "ab", 1),
        built("make", &[&[("", 1)]], "abc", 2),
        key("busybox", &[]),
        built("copy", &[&[("", 3)]], "d", 3),
    ]);
    assert_eq!(records.count_with_results(), 3);
    assert_eq!((records.oldest(), records.newest()), (second(1).parse().ok(), second(3).parse().ok()));

    // An image with layers a, b and c, lowest first: chains that are no prefix of it have no image.
    let image = ["a", "b", "c"].map(|layer| digest(format!("{layer} uncompressed")));
    let owned = records
        .clone()
        .keep(|result| image.starts_with(&result.layers().iter().map(|layer| layer.diff_id).collect::<Vec<_>>()));
    assert_eq!(drawn(&owned), ["alpine()", "run(0) = ab at 01", "make(1) = abc at 02"]);
    assert_eq!(owned.layers().len(), 3);

    let young = records.clone().keep(|result| result.created_at() >= second(2).parse().ok());
    assert_eq!(drawn(&young), ["alpine()", "run(0)", "make(1) = abc at 02", "busybox()", "copy(3) = d at 03"]);

    let none = records.keep(|_| false);
    assert!(none.is_empty());
    assert_eq!(none, Records::default());
}

#[test]
fn a_result_whose_layers_are_gone_makes_room_for_an_older_one() {
    let old = records(&[built("alpine", &[], "a", 1)]);
    let new = records(&[built("alpine", &[], "b", 2)]);
    let gone = digest("b");
    let sources =
        [new, old].map(|records| records.keep(|result| result.layers().iter().all(|layer| layer.blob != gone)));
    assert_eq!(drawn(&Records::merge(sources)), ["alpine() = a at 01"]);
}

#[test]
fn five_sets_of_two_thousand_records_merge_in_no_time() {
    let source = |source: usize| {
        let mut specs = vec![key("alpine", &[]), key(&format!("content {source}"), &[])];
        for index in 2..2_000 {
            let layers = ["a", "ab", "abc"][(index + source) % 3];
            let below = if index % 50 == 2 { 0 } else { index - 1 };
            let other = usize::from(index % 7 == 0);
            let operation = if index % 3 == 0 { "copy".to_owned() } else { format!("run {index}") };
            specs.push(built(&operation, &[&[("", below)], &[("", other), ("/x", 0)]], layers, 1));
        }
        records(&specs)
    };
    let sources: Vec<_> = (0..5).map(source).collect();
    let begin = std::time::Instant::now();
    let merged = Records::merge(sources);
    let took = begin.elapsed();
    println!("{merged}: {took:?}");
    assert!(merged.count() >= 2_000);
    // In a release it takes a hundredth of that; a machine that tests may be busy.
    assert!(took.as_secs() < 5, "{took:?}");
}

#[test]
fn what_is_built_upon_something_old_is_old() {
    let specs = [
        // A base image is as old as it likes.
        built("alpine", &[], "a", 1),
        built("run", &[&[("", 0)]], "ab", 5),
        built("make", &[&[("", 1)]], "abc", 9),
        built("copy", &[&[("", 0)]], "ad", 8),
        // Found by one of two keys, of which one leads to something old.
        built("link", &[&[("", 1), ("", 3)]], "ae", 9),
    ];
    let at = |second: u32| chrono::DateTime::parse_from_rfc3339(&super::second(second)).expect("a time").to_utc();
    let left = |oldest: u32| drawn(&records(&specs).younger_than(at(oldest)));
    assert_eq!(left(5).len(), 5);
    let old = left(6);
    assert!(old.iter().any(|record| record.starts_with("alpine() = a")), "{old:?}");
    assert!(old.iter().any(|record| record.contains("= ad at 08")), "{old:?}");
    assert!(old.iter().any(|record| record.contains("= ae at 09")), "{old:?}");
    assert!(!old.iter().any(|record| record.contains("= ab") || record.contains("= abc")), "{old:?}");
    assert_eq!(left(10), ["alpine() = a at 01"]);
}

#[test]
fn how_old_a_stage_is_may_be_known_to_another_source() {
    let at = |second: u32| chrono::DateTime::parse_from_rfc3339(&super::second(second)).expect("a time").to_utc();
    // The image copies from a stage: its own records have the stage's key, and not its result.
    let image = records(&[key("alpine", &[]), key("run", &[&[("", 0)]]), built("copy", &[&[("", 1)]], "x", 9)]);
    let stage = records(&[key("alpine", &[]), built("run", &[&[("", 0)]], "ab", 1)]);
    let copied = |records: &Records| drawn(records).iter().any(|record| record.contains("= x at 09"));
    assert!(copied(&image.clone().younger_than(at(5))), "alone it does not say how old the stage is");
    assert!(!copied(&Records::merge([image.clone(), stage.clone()]).younger_than(at(5))));
    assert!(copied(&Records::merge([image, stage]).younger_than(at(1))));
}

#[test]
fn what_was_copied_from_a_stage_is_as_old_as_the_stage_also_where_it_is_known_by_its_content() {
    let at = |second: u32| chrono::DateTime::parse_from_rfc3339(&super::second(second)).expect("a time").to_utc();
    // The base image has changed since, so the copy is newer than what it copied.
    let image = |again: u32| {
        records(&[
            key("busybox", &[]),
            key("alpine", &[]),
            key("sources", &[]),
            built("run", &[&[("", 1)]], "ab", 1),
            built("make", &[&[("", 1)]], "ac", again),
            built("copy", &[&[("", 0)], &[("", 2), ("", 3), ("", 4)]], "x", 9),
        ])
    };
    let copied = |records: &Records| drawn(records).iter().any(|record| record.contains("= x at 09"));
    assert!(copied(&image(1).younger_than(at(1))));
    assert!(!copied(&image(1).younger_than(at(5))), "a content has no age");
    assert!(copied(&image(6).younger_than(at(5))), "the same content was made again");
}

#[test]
fn a_capture_without_the_results_in_between_gets_them_from_the_one_before() {
    let before = records(&[
        key("alpine", &[]),
        key("sources", &[]),
        built("copy", &[&[("", 0)], &[("", 1)]], "ab", 1),
        built("run", &[&[("", 2)]], "abc", 2),
        built("make", &[&[("", 2)]], "abd", 2),
    ]);
    let now = records(&[
        key("busybox", &[]),
        key("alpine", &[]),
        key("sources", &[]),
        key("copy", &[&[("", 0), ("", 1)], &[("", 2)]]),
        built("run", &[&[("", 3)]], "abc", 2),
    ]);
    // Nobody has said that `copy` upon the other image gave these layers, nor is `make` a step of this image.
    assert_eq!(
        drawn(&now.completed_by(before)),
        [
            "busybox()",
            "alpine()",
            "sources()",
            "copy(1, 2) = ab at 01",
            "run(3) = abc at 02",
            "copy(0, 2)",
            "run(5) = abc at 02"
        ]
    );
}

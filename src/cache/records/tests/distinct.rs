//! One record for each result, for the importer that needs it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::{Record, Records, ResultRef};
use super::model::source;
use super::{built, digest, key, records};

fn count(records: &Records, name: &str) -> (usize, usize) {
    let digest = digest(name);
    let named: Vec<&Record> = records.records.iter().filter(|record| record.digest == digest).collect();
    (named.len(), named.iter().filter(|record| !record.results.is_empty()).count())
}

/// Two base images with the same files, and all that was built on them.
#[test]
fn what_is_one_thing_said_twice_is_said_once() {
    let source = records(&[
        key("one", &[]),
        key("two", &[]),
        key("context", &[]),
        built("copy", &[&[("", 0)], &[("", 2)]], "ab", 1),
        built("copy", &[&[("", 1)], &[("", 2)]], "ab", 1),
        built("run", &[&[("", 3)]], "abc", 2),
        built("run", &[&[("", 4)]], "abc", 2),
    ]);
    let distinct = source.distinct();
    assert_eq!((count(&distinct, "copy"), count(&distinct, "run")), ((1, 1), (1, 1)));
    let copy = distinct.records.iter().find(|record| record.inputs.len() == 2).unwrap();
    assert_eq!(copy.inputs.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn what_would_say_more_than_is_known_stays_apart_and_one_has_the_result() {
    let twice = |other: &str| {
        records(&[
            key("a", &[]),
            key("b", &[]),
            key("c", &[]),
            key("d", &[]),
            built("copy", &[&[("", 0)], &[("", 1)]], "x", 1),
            built(other, &[&[("", 2)], &[("", 3)]], "x", 1),
        ])
    };
    assert_eq!(count(&twice("copy").distinct(), "copy"), (1, 1));
    let distinct = twice("copy").distinct();
    assert!(distinct.records.iter().flat_map(|record| &record.inputs).all(|links| links.len() == 1));
    assert_eq!(twice("other").distinct().count_with_results(), 1);
    // Without a result nothing says that they are the same.
    let apart = records(&[
        key("a", &[]),
        key("b", &[]),
        key("run", &[&[("", 0)]]),
        key("run", &[&[("", 1)]]),
        built("make", &[&[("", 2)]], "x", 1),
        built("make", &[&[("", 3)]], "y", 1),
    ]);
    assert_eq!(count(&apart.distinct(), "run").0, 2);
}

proptest! {
    #[test]
    fn every_result_is_left_at_one_record_that_had_it(sources in prop::collection::vec(source(false), 1..4)) {
        let merged = Records::merge(sources);
        let claims = |records: &Records| -> Vec<(String, Vec<String>)> {
            let all = records.records.iter().flat_map(|record| record.results.iter().map(move |outcome| (record, outcome)));
            all.map(|(record, outcome)| {
                let result = ResultRef { records, outcome: *outcome };
                (record.digest.to_string(), result.layers().iter().map(|layer| layer.blob.to_string()).collect())
            }).collect()
        };
        let (before, after) = (claims(&merged), claims(&merged.clone().distinct()));
        let results = |claims: &[(String, Vec<String>)]| claims.iter().map(|(_, layers)| layers.clone()).collect::<BTreeSet<_>>();
        prop_assert!(after.iter().all(|claim| before.contains(claim)), "a claim is new");
        prop_assert_eq!(results(&after).len(), after.len(), "two records share a result");
        prop_assert!(results(&after).is_subset(&results(&before)));
    }
}

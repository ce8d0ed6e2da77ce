//! Keys that an older set knows a record by.

use super::super::Records;
use super::merging::drawn;
use super::{built, key, records};

/// A copy out of a stage, known by how the stage was made and by what is in it.
fn before() -> Records {
    records(&[
        key("alpine", &[]),
        key("sources", &[]),
        key("make", &[&[("", 1)]]),
        built("copy", &[&[("", 0)], &[("/out", 2), ("", 1)]], "ab", 1),
        built("run", &[&[("", 3)]], "abc", 2),
    ])
}

/// The copy, out of the stage that [`captured`] knows.
fn before_of_link() -> Records {
    records(&[
        key("alpine", &[]),
        key("link", &[]),
        key("sources", &[]),
        key("make", &[&[("", 1)]]),
        built("copy", &[&[("", 0)], &[("/out", 3), ("", 2)]], "ab", 1),
    ])
}

/// The same after an import: only how the stage was made is known.
fn captured(layers: &str) -> Records {
    records(&[
        key("alpine", &[]),
        key("link", &[]),
        key("make", &[&[("", 1)]]),
        built("copy", &[&[("", 0)], &[("/out", 2)]], layers, 5),
        built("final", &[&[("", 3)]], &format!("{layers}d"), 6),
    ])
}

#[test]
fn a_copy_is_found_by_the_content_again() {
    let older = before_of_link();
    let found = captured("ab").with_keys_of(&older);
    assert_eq!(
        drawn(&found),
        [
            "alpine()",
            "link()",
            "make(1)",
            "sources()",
            "copy(0, 3|/out>2) = ab at 05",
            // What stands upon it stands upon the same files.
            "final(4) = abd at 06"
        ]
    );
    assert_eq!(found.clone().with_keys_of(&older), found, "a second time nothing is new");
    assert_eq!(Records::merge([found.clone()]).count(), found.count());
}

#[test]
fn nothing_is_taken_that_the_older_set_does_not_say() {
    // Other layers: somebody made the copy again.
    let again = captured("ax");
    assert_eq!(again.clone().with_keys_of(&before()), again);
}

#[test]
fn a_content_that_only_later_steps_know_is_found() {
    let own = records(&[
        key("alpine", &[]),
        key("link", &[]),
        key("make", &[&[("", 1)]]),
        built("copy", &[&[("", 0)], &[("/out", 2)]], "ab", 5),
        key("sources", &[]),
        built("final", &[&[("", 3)], &[("", 4)]], "abd", 6),
    ]);
    let older = before_of_link();
    assert_eq!(
        drawn(&own.with_keys_of(&older)),
        ["alpine()", "link()", "make(1)", "sources()", "copy(0, 3|/out>2) = ab at 05", "final(4, 3) = abd at 06"]
    );
}

#[test]
fn a_source_that_is_not_known_any_more_comes_along() {
    // The stage of before was another one, upon what is known and upon what is not, and gave the same.
    let older = records(&[
        key("alpine", &[]),
        key("link", &[]),
        key("v1", &[]),
        key("make", &[&[("", 1)]]),
        key("run", &[&[("", 3)], &[("", 2)]]),
        built("copy", &[&[("", 0)], &[("/out", 4)]], "ab", 1),
    ]);
    let own = records(&[
        key("alpine", &[]),
        key("link", &[]),
        key("make", &[&[("", 1)]]),
        key("two", &[&[("", 2)]]),
        built("copy", &[&[("", 0)], &[("/out", 3)]], "ab", 5),
        built("final", &[&[("", 4)]], "abd", 6),
    ]);
    let found = own.with_keys_of(&older);
    assert_eq!(
        drawn(&found),
        [
            "alpine()",
            "link()",
            "make(1)",
            "two(2)",
            "v1()",
            "run(2, 4)",
            "copy(0, /out>3|/out>5) = ab at 05",
            "final(6) = abd at 06",
        ]
    );
    assert_eq!(found.clone().with_keys_of(&older), found, "a second time nothing is new");
}

#[test]
fn nothing_is_made_of_itself() {
    // In the older set the stage was made of what is made of it now.
    let older = records(&[
        key("alpine", &[]),
        built("final", &[&[("", 0)]], "abd", 1),
        key("run", &[&[("", 1)]]),
        built("copy", &[&[("", 0)], &[("/out", 2)]], "ab", 1),
    ]);
    let own = records(&[
        key("alpine", &[]),
        key("two", &[&[("", 0)]]),
        built("copy", &[&[("", 0)], &[("/out", 1)]], "ab", 5),
        built("final", &[&[("", 2)]], "abd", 6),
    ]);
    assert_eq!(
        drawn(&own.with_keys_of(&older)),
        ["alpine()", "two(0)", "copy(0, /out>1) = ab at 05", "final(0|2) = abd at 06"],
        "what was said of the final one counts, and the copy is not made of it"
    );
}

#[test]
fn there_is_an_end_to_it() {
    let copied = |number: usize| {
        records(&[
            key("alpine", &[]),
            key("sources", &[]),
            key(&('c'..='z').nth(number).unwrap().to_string(), &[&[("", 0)]]),
            built("copy", &[&[("", 0)], &[("/out", 2), ("", 1)]], "ab", 1),
        ])
    };
    let mut known = copied(0);
    for number in 1..24 {
        known = copied(number).with_keys_of(&known);
    }
    let drawn = drawn(&known);
    let copy = drawn.last().unwrap();
    assert_eq!(copy.matches("/out>").count(), 15, "{copy}");
    assert!(drawn.contains(&"z(0)".to_owned()), "the newest is always there: {drawn:?}");
}

#[test]
fn a_stage_that_was_made_anew_keeps_the_key_of_its_content() {
    let copied = |stage: &[&str], keys: &[(&'static str, usize)]| {
        let mut specs = vec![key("alpine", &[])];
        specs.extend(stage.iter().map(|name| key(name, &[])));
        let made = specs.len();
        specs.push(key("make", &[&[("", made - 1)]]));
        specs.push(built("copy", &[&[("", 0)], &[keys, &[("/out", made)]].concat()], "ab", 1));
        records(&specs)
    };
    // The older set knows the content (`sources`) and another way to make it, which the builder may find.
    let older = copied(&["sources", "one"], &[("", 1)]);
    let found = copied(&["two"], &[]).with_keys_of(&older);
    assert_eq!(
        drawn(&found),
        ["alpine()", "two()", "make(1)", "sources()", "one()", "make(4)", "copy(0, 3|/out>2|/out>5) = ab at 01"]
    );
    // Where two inputs are other ones, nobody has said it of both.
    let elsewhere =
        records(&[key("busybox", &[]), key("sources", &[]), built("copy", &[&[("", 0)], &[("", 1)]], "ab", 1)]);
    let own = copied(&["two"], &[]);
    assert_eq!(own.clone().with_keys_of(&elsewhere), own);
}

#[test]
fn what_a_step_gives_now_counts_and_not_what_it_gave_before() {
    // `run` upon `alpine` gave `e` once, and gives `a` now; what gives `e` now is another one.
    let older = records(&[key("alpine", &[]), built("run", &[&[("", 0)]], "e", 0)]);
    let other = built("run", &[&[("sel", 0)]], "e", 0);
    let own = records(&[key("alpine", &[]), other.clone(), built("run", &[&[("", 0), ("", 1)]], "a", 0)]);
    assert_eq!(own.clone().with_keys_of(&older), own);
    // Where nothing says otherwise, it is the same.
    let alone = records(&[key("alpine", &[]), other]);
    assert_eq!(drawn(&alone.with_keys_of(&older)), ["alpine()", "run(0|sel>0) = e at 00"]);
}

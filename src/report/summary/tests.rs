//! The drawn texts, and what must hold for any of them.

use crate::report::fixtures;
use crate::report::summary::{LIMIT, build, clear};

/// Compares with `snapshots/NAME.snap`; read them as Markdown, or drawn.
fn check(name: &str, markdown: &str) {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, markdown);
    });
}

#[test]
fn of_builds() {
    for (name, outcome) in [
        ("warm", fixtures::warm()),
        ("cold", fixtures::cold()),
        ("one_image", fixtures::one_image()),
        ("failed", fixtures::failed()),
        ("cancelled", fixtures::cancelled()),
        ("fresh", fixtures::fresh()),
        ("fresh_but_cached", fixtures::fresh_but_cached()),
        ("twelve_services", fixtures::twelve_services()),
        ("two_hundred_steps", fixtures::two_hundred_steps()),
        ("hostile", fixtures::hostile()),
    ] {
        check(name, &build(&outcome));
    }
}

#[test]
fn of_clears() {
    for (name, outcome) in [
        ("cleared", fixtures::cleared()),
        ("cleared_in_part", fixtures::cleared_in_part()),
        ("cleared_everywhere", fixtures::cleared_everywhere()),
        ("cleared_many", fixtures::cleared_many()),
        ("dry_run", fixtures::dry_run()),
    ] {
        check(name, &clear(&outcome));
    }
}

#[test]
fn a_huge_build_is_cut_where_nothing_is_open() {
    let markdown = build(&fixtures::huge());
    assert!(markdown.len() <= LIMIT, "{} bytes", markdown.len());
    assert!(markdown.len() > LIMIT / 2, "there was room for more than {} bytes", markdown.len());
    assert_eq!(markdown.matches("<details>").count(), markdown.matches("</details>").count());
    assert!(markdown.trim_end().ends_with("the log has everything.*"));
    let fences = markdown.lines().filter(|line| line.starts_with("```"));
    assert_eq!(fences.count() % 2, 0);
}

#[test]
fn a_hostile_build_adds_no_cell_and_no_element() {
    let markdown = build(&fixtures::hostile());
    let mut separators = 0;
    for line in markdown.lines() {
        let count = line.matches('|').count();
        match line.starts_with('|') {
            true if separators > 0 => assert_eq!(count, separators, "{line}"),
            true => separators = count,
            false => separators = 0,
        }
    }
    let outside: String = outside_of_code(&markdown);
    for forbidden in ["<img", "</td", "@octocat", "](javascript", "::error", "\n# h"] {
        assert!(!outside.contains(forbidden), "{forbidden} in:\n{outside}");
    }
}

/// The text without fenced blocks and without code spans: what Markdown looks into.
fn outside_of_code(markdown: &str) -> String {
    let mut fence: Option<String> = None;
    let mut outside = String::new();
    for line in markdown.lines() {
        let mark: String = line.chars().take_while(|c| *c == '`').collect();
        match &fence {
            Some(open) if line == open => fence = None,
            Some(_) => {}
            None if mark.len() >= 3 && line.ends_with("text") => fence = Some(mark),
            None => outside = outside + &without_spans(line) + "\n",
        }
    }
    outside
}

fn without_spans(line: &str) -> String {
    let runs = regex::Regex::new("`+").unwrap();
    let mut rest = line;
    let mut outside = String::new();
    while let Some(open) = runs.find(rest) {
        let (before, _) = rest.split_at(open.start());
        let (_, after) = rest.split_at(open.end());
        outside.push_str(before);
        let close = runs.find_iter(after).find(|run| run.len() == open.len());
        rest = close.map_or("", |run| after.split_at(run.end()).1);
    }
    outside + rest
}

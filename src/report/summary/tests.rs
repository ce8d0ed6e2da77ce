//! The drawn texts, and what must hold for any of them.

use proptest::prelude::*;

use crate::outcome::advice::AdviceKind;
use crate::outcome::build::BuildOutcome;
use crate::outcome::reason::MissReason;
use crate::report::fixtures;
use crate::report::summary::escape::tests::nasty;
use crate::report::summary::{CHECK_LIMIT, LIMIT, build, clear, for_check};

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
        ("commit_too_high", fixtures::commit_too_high()),
        ("slower", fixtures::slower()),
        ("all_reasons", fixtures::all_reasons()),
        ("cold", fixtures::cold()),
        ("first", fixtures::first()),
        ("unbased", fixtures::unbased()),
        ("one_image", fixtures::one_image()),
        ("failed", fixtures::failed()),
        ("pushed_in_part", fixtures::pushed_in_part()),
        ("cancelled", fixtures::cancelled()),
        ("fresh", fixtures::fresh()),
        ("fresh_but_cached", fixtures::fresh_but_cached()),
        ("fresh_again", fixtures::fresh_again()),
        ("stale", fixtures::stale()),
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
        ("cleared_in_use", fixtures::cleared_in_use()),
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
fn a_check_has_the_same_blocks_within_its_limit() {
    let outcome = fixtures::commit_too_high();
    assert_eq!(for_check(&outcome, CHECK_LIMIT), build(&outcome));
    for limit in [CHECK_LIMIT, 3_000, 200] {
        let text = for_check(&fixtures::huge(), limit);
        assert!(text.len() <= limit, "{}", text.len());
        assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
        assert!(text.trim_end().ends_with("the log has everything.*"), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn nothing_breaks_out(texts in prop::collection::vec(nasty(), 12)) {
        let markdown = build(&of_texts(&texts));
        let bars = holds(&markdown);
        prop_assert!(bars > 0, "{}", markdown);
        prop_assert_eq!(outside_of_code(&markdown).matches("<details>").count(), 3, "{}", markdown);
    }
}

/// A build in which every text is somebody's.
fn of_texts(texts: &[String]) -> BuildOutcome {
    let mut texts = texts.iter().cloned().cycle();
    let mut next = || texts.next().unwrap_or_default();
    let mut outcome = fixtures::commit_too_high();
    outcome.warnings = vec![next()];
    let image = &mut outcome.images[0];
    image.name = next();
    image.tags = vec![next()];
    image.steps[3].name = next();
    image.steps[3].reason = Some(MissReason::ArgumentChanged { name: next() });
    image.steps[4].reason = Some(MissReason::EarlierStep { step: next() });
    image.steps[5].reason = Some(MissReason::SourceUnreadable { source: next(), reason: next() });
    image.other[0].name = next();
    image.history[0].commit = Some(next());
    outcome.advice[0].image = next();
    outcome.advice[0].kind =
        AdviceKind::ContextUnused { sent: 1, used: 1, largest: vec![(next(), 1), (next(), 1), (next(), 1)] };
    outcome
}

/// What must hold for any text: a table's rows have as many cells as its head, and a chart has nothing but what we put
/// into it. Gives the number of the chart's bars.
fn holds(markdown: &str) -> usize {
    let (mut separators, mut in_chart, mut bars) = (0, false, 0);
    let statement = regex::Regex::new(
        "^(gantt|dateFormat HH:mm:ss.SSS|axisFormat [%A-Z:.]+|todayMarker off|section [^:;#,`<>{}]+)$",
    )
    .unwrap();
    let bar = regex::Regex::new(
        r"^[\[\x{2060}][^:;#,`<>{}]* :(crit, )?(done, |active, )?\d\d:\d\d:\d\d\.\d{3}, \d\d:\d\d:\d\d\.\d{3}$",
    )
    .unwrap();
    for line in markdown.lines() {
        let count = line.matches('|').count();
        match line {
            "```mermaid" => in_chart = true,
            "```" => in_chart = false,
            _ if in_chart && bar.is_match(line) => bars += 1,
            _ if in_chart => assert!(statement.is_match(line) && !line.contains("%%"), "{line}"),
            _ if line.starts_with('|') && separators > 0 => assert_eq!(count, separators, "{line}"),
            _ if line.starts_with('|') => separators = count,
            _ => separators = 0,
        }
    }
    bars
}

#[test]
fn a_hostile_build_adds_no_cell_and_no_element() {
    let markdown = build(&fixtures::hostile());
    assert_eq!(holds(&markdown), 6, "{markdown}");
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
            None if mark.len() >= 3 && (line.ends_with("text") || line.ends_with("mermaid")) => fence = Some(mark),
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

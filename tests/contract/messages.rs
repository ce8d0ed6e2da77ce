//! `docs/troubleshooting.md` knows every kind of error, and quotes what the program says.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::{files, text};

const PAGE: &str = "docs/troubleshooting.md";

/// A section of the page: the sources that its comment names, and the first cells of the table below.
struct Section {
    sources: Vec<PathBuf>,
    quotes: Vec<String>,
}

#[test]
fn every_kind_of_error_has_its_section() {
    let told: BTreeSet<PathBuf> = sections().into_iter().flat_map(|section| section.sources).collect();
    let missing: Vec<PathBuf> = files("src", ".rs")
        .into_iter()
        .filter(|path| text(path).lines().any(has_help) && !told.contains(path))
        .collect();
    assert_eq!(missing, Vec::<PathBuf>::new(), "they have a way out that {PAGE} does not tell");
}

#[test]
fn what_is_quoted_is_what_the_program_says() {
    let mut checked = 0;
    let mut invented = Vec::new();
    for section in sections() {
        let sources: String = section.sources.iter().map(|path| one_line(&text(path))).collect();
        for quote in &section.quotes {
            checked += 1;
            let pieces = quote.split('…').map(str::trim).filter(|piece| piece.len() > 3);
            invented
                .extend(pieces.filter(|piece| !sources.contains(*piece)).map(|piece| format!("{piece} (of {quote})")));
        }
    }
    assert_eq!(invented, Vec::<String>::new(), "{PAGE} quotes what none of the sources above the table says");
    assert!(checked > 80, "only {checked} quotes were found");
}

/// A function that tells what to do about an error, or about what an engine said; `cli::help` is the command line's.
fn has_help(line: &str) -> bool {
    line.contains("fn help(&self") || line.contains("fn help(message")
}

fn sections() -> Vec<Section> {
    let page = text(PAGE);
    let parts = page.split("<!-- ").skip(1);
    parts
        .map(|part| {
            let (comment, rest) = part.split_once(" -->").unwrap();
            let sources = comment.split(", ").map(PathBuf::from).collect();
            let table = rest.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
            let quotes: Vec<String> = table
                .skip(2)
                .filter_map(|row| row.strip_prefix("| ")?.split(" | ").next())
                .flat_map(|cell| cell.split("`, `"))
                .map(|quote| quote.trim_matches('`').to_owned())
                .collect();
            assert!(!quotes.is_empty(), "no table follows {comment}");
            Section { sources, quotes }
        })
        .collect()
}

/// The source with string literals that go on over several lines put together, and quotes as they are printed.
fn one_line(source: &str) -> String {
    let mut text = String::new();
    for line in source.lines() {
        match line.trim_start().strip_suffix('\\') {
            Some(line) => text.push_str(line),
            None => {
                text.push_str(line.trim_start());
                text.push('\n');
            }
        }
    }
    text.replace("\\\"", "\"")
}

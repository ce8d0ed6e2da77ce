//! The tables of the README are those of the program.

use std::fmt::Write as _;
use std::{env, fs};

use watchparty_cache::inputs::{Output, table};
use watchparty_cache::runner::ExitCode;

use crate::{repository, text};

/// Writes what follows from the program into the README instead of comparing it.
const UPDATE: &str = "WATCHPARTY_UPDATE";

/// In one test, because it writes one file.
#[test]
fn inputs_and_outputs_are_those_of_the_program() {
    section("inputs", &inputs());
    section("outputs", &outputs());
}

#[test]
fn exit_statuses_are_those_of_the_program() {
    let readme = text("README.md");
    let table = readme.split("\n## Exit status\n").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let told: Vec<u8> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .flat_map(|statuses| statuses.split(", "))
        .filter_map(|status| status.parse().ok())
        .collect();
    use ExitCode::{
        BadInputs, BuildFailed, ClearedInPart, Done, GateNotMet, Interrupted, NoEngine, NotPushed, Terminated,
    };
    let all = [Done, BuildFailed, BadInputs, NoEngine, ClearedInPart, GateNotMet, NotPushed, Interrupted, Terminated];
    assert_eq!(told, all.map(ExitCode::code));
}

fn outputs() -> String {
    let mut rows = "| output | |\n|---|---|\n".to_owned();
    for output in Output::ALL {
        writeln!(rows, "| `{}` | {} |", output.name(), cell(output.description())).unwrap();
    }
    rows
}

/// A table for each group of inputs, as the comments of `action.yml` part them.
fn inputs() -> String {
    let action = text("action.yml");
    let declared = action.split("\ninputs:\n").nth(1).and_then(|rest| rest.split("\noutputs:\n").next()).unwrap();
    let mut tables = String::new();
    let mut title = None;
    let mut left = table::ALL.iter();
    for line in declared.lines() {
        if let Some(comment) = line.strip_prefix("  # ") {
            title = Some(comment);
        } else if line.starts_with("  ") && !line.starts_with("   ") {
            let input = left.next().unwrap();
            assert_eq!(line.trim(), format!("{}:", input.name), "the order of action.yml is another");
            if let Some(title) = title.take() {
                writeln!(tables, "\n**{}**\n", title.trim_end_matches('.')).unwrap();
            }
            if tables.is_empty() || tables.ends_with("**\n\n") {
                tables.push_str("| input | default | |\n|---|---|---|\n");
            }
            let default = input.default.map(|default| format!("`{default}` ")).unwrap_or_default();
            writeln!(tables, "| `{}` | {default}| {} |", input.name, cell(input.description)).unwrap();
        }
    }
    assert_eq!(left.next(), None, "action.yml has fewer inputs");
    tables
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Compares what the README has between the two marks of a section, or replaces it.
fn section(name: &str, expected: &str) {
    let readme = text("README.md");
    let begin = readme.find(&format!("<!-- {name}:")).unwrap();
    let begin = begin + readme[begin..].find("-->\n").unwrap() + "-->\n".len();
    let end = begin + readme[begin..].find(&format!("<!-- /{name} -->")).unwrap();
    let expected = format!("\n{}\n\n", expected.trim());
    if env::var_os(UPDATE).is_some() {
        let updated = format!("{}{expected}{}", &readme[..begin], &readme[end..]);
        fs::write(repository().join("README.md"), updated).unwrap();
    } else if readme[begin..end] != expected {
        let differs = expected.lines().find(|line| !readme[begin..end].lines().any(|told| told == *line));
        panic!("README.md is not current, its {name} lack {differs:?}: run `{UPDATE}=1 cargo test --test contract`");
    }
}

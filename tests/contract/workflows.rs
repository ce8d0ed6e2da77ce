//! Whoever copies a workflow from the documentation gets one that was checked, and from the README one that was run.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use crate::{files, repository, text};

const EXAMPLE: &str = "examples/watchparty/.github/workflows";

/// `tests/it/act` runs the example's to the letter.
#[test]
fn the_readmes_workflows_are_the_ones_of_the_example() {
    let blocks = workflows("README.md");
    for (name, file) in [("Build", "build.yml"), ("Clear caches", "clear-caches.yml")] {
        let shown: Vec<&String> = blocks.iter().filter(|block| block.starts_with(&format!("name: {name}\n"))).collect();
        assert_eq!(shown, [&text(format!("{EXAMPLE}/{file}"))], "README.md and {EXAMPLE}/{file}");
    }
    let run: BTreeSet<PathBuf> = files(EXAMPLE, ".yml").into_iter().collect();
    assert_eq!(run.len(), 2, "a workflow of the example that README.md does not show: {run:?}");
}

/// `tests/it/act` takes them from the page itself, or they are the example's.
#[test]
fn every_whole_workflow_that_is_shown_is_run_by_act() {
    let tests: String = files("tests/it/act", ".rs").iter().map(text).collect();
    let example: Vec<String> = files(EXAMPLE, ".yml").iter().map(text).collect();
    let mut pages = files("docs", ".md");
    pages.push("README.md".into());
    let mut run = 0;
    for page in pages {
        let page = page.to_str().unwrap();
        for block in workflows(page).iter().filter(|block| block.contains("\njobs:\n")) {
            let name = block.lines().next().and_then(|line| line.strip_prefix("name: ")).unwrap();
            let is_run = example.contains(block) || tests.contains(&format!("shown(\"{page}\", \"{name}\")"));
            assert!(is_run, "{page}: no test in tests/it/act runs '{name}'");
            run += 1;
        }
    }
    assert_eq!(run, 5);
}

/// Every one that uses an action is among what `scripts/test` has its linters read.
#[test]
fn what_is_shown_is_checked() {
    let mut pages = files("docs", ".md");
    pages.push("README.md".into());
    let target = tempfile::tempdir().unwrap();
    let script = r#"
        source scripts/lib/common.bash
        source scripts/lib/checks.bash
        copy_workflows "$1" "${@:2}"
        copy_example "$1"
    "#;
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script, "-"])
        .arg(target.path())
        .args(&pages)
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let checked: Vec<String> = std::fs::read_dir(target.path().join(".github/workflows"))
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    // Each with what the linters know of our inputs.
    assert!(
        checked.iter().all(|workflow| workflow.contains("uses: ./\n") && !workflow.contains("org/watchparty-cache@"))
    );
    let shown: usize = pages.iter().map(|page| workflows(page.to_str().unwrap()).len()).sum();
    assert_eq!(checked.len(), shown + files(EXAMPLE, ".yml").len());
    assert!(shown >= 8, "only {shown} were found");
}

/// One version of each action in all of the repository, by its commit.
#[test]
fn actions_are_pinned_once() {
    let mut pages = files("docs", ".md");
    pages.extend(files(".github", ".yml"));
    pages.extend(files(EXAMPLE, ".yml"));
    pages.push("README.md".into());
    let pins: BTreeSet<String> = pages
        .iter()
        .flat_map(|page| {
            text(page).lines().filter_map(|line| Some(line.split_once("uses: ")?.1.to_owned())).collect::<Vec<_>>()
        })
        .filter(|used| !used.starts_with("./") && !used.starts_with("org/watchparty-cache@") && used.contains('@'))
        // What is shown beside ours in a comparison.
        .filter(|used| !used.starts_with("docker/"))
        .collect();
    let names: BTreeSet<&str> = pins.iter().filter_map(|pin| pin.split('@').next()).collect();
    assert_eq!(pins.len(), names.len(), "{pins:#?}");
    for pin in &pins {
        let (commit, version) = pin.split_once('@').unwrap().1.split_once(" # v").unwrap_or_else(|| panic!("{pin}"));
        assert!(commit.len() == 40 && commit.chars().all(|c| c.is_ascii_hexdigit()) && !version.is_empty(), "{pin}");
    }
}

/// The blocks of YAML in a page that use an action; what is no YAML to copy is marked as text.
pub(crate) fn workflows(page: &str) -> Vec<String> {
    let text = text(page);
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(fence) = line.trim_start().strip_prefix("```") else { continue };
        let block: String = lines
            .by_ref()
            .take_while(|line| !line.trim_start().starts_with("```"))
            .flat_map(|line| [line, "\n"])
            .collect();
        if fence.starts_with('y') && block.contains("uses: ") {
            blocks.push(block);
        }
    }
    blocks
}

//! What `scripts/test` does where a machine lacks something, and what `scripts/end-to-end` accepts.

use std::process::{Command, Output};

use crate::{Programs, repository};

/// Runs functions of `scripts/lib`; `note` writes to stdout what would stand behind the result.
fn library(programs: &Programs, script: &str, environment: &[(&str, &str)]) -> Output {
    let home = programs.directory.path().join("cache");
    let sources = "source scripts/lib/common.bash; source scripts/lib/tools.bash; source scripts/lib/checks.bash; \
                   note() { echo \"$1\"; }; ";
    Command::new("bash")
        .args(["-euo", "pipefail", "-c", &format!("{sources}{script}")])
        .current_dir(repository())
        .env("PATH", programs.path())
        .env("WATCHPARTY_CACHE_HOME", home)
        .env_remove("GITHUB_ACTIONS")
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const MISSING: &str = "advisories not checked: their database could not be reached";

#[test]
fn advisories_that_were_not_checked_are_no_success_in_ci() {
    let programs = Programs::new();
    programs.add("cargo-deny", "echo cargo-deny 99.0.0");
    programs.add("cargo", r#"[[ $* != *" fetch db" ]] || exit 1"#);
    let output = library(&programs, "check_dependencies", &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), MISSING);
    let output = library(&programs, "check_dependencies", &[("GITHUB_ACTIONS", "true")]);
    assert!(!output.status.success() && said(&output).contains(MISSING), "{}", said(&output));

    programs.add("cargo", r#"echo "$*" >>called"#);
    let output = library(&programs, "check_dependencies", &[("GITHUB_ACTIONS", "true")]);
    assert!(output.status.success() && output.stdout.is_empty(), "{}", said(&output));
    assert!(programs.read("called").ends_with("check --disable-fetch advisories\n"), "{}", programs.read("called"));
    programs.add("cargo", r#"[[ $* != *" advisories" ]] || exit 1"#);
    assert!(!library(&programs, "check_dependencies", &[]).status.success(), "an advisory was found");
}

/// One that is older than the pinned version is not used.
#[test]
fn tools_are_at_least_what_is_pinned() {
    let programs = Programs::new();
    let compiled = |installed: &str| {
        programs.add("cargo-thing", &format!("echo 'cargo-thing {installed}'; echo 'release: 1'"));
        programs.add("cargo", r#"echo "$*" >called"#);
        let _ = std::fs::remove_file(programs.directory.path().join("called"));
        let output = library(&programs, "need_cargo_tool cargo-thing 0.9.143 --no-default-features", &[]);
        assert!(output.status.success(), "{}", said(&output));
        programs.read("called").contains("--version 0.9.143 --no-default-features cargo-thing")
    };
    for (installed, expected) in [
        ("0.9.143", false),
        ("0.9.143 (60fa45f63 2026-08-04)", false),
        ("0.9.144", false),
        ("0.10.0", false),
        ("1.0.0", false),
        ("0.9.97", true),
        ("0.9.9", true),
        ("0.8.200", true),
        ("of no version", true),
    ] {
        assert_eq!(compiled(installed), expected, "{installed}");
    }
}

/// The builder may have records of the action's own build.
#[test]
fn the_previous_image_as_the_cache_end_to_end() {
    let accepted = |arguments: [&str; 3]| {
        let script = repository().join("scripts/end-to-end");
        Command::new(script).arg("cached").args(arguments).output().unwrap().status.success()
    };
    assert!(accepted(["7", "7", "image"]) && accepted(["7", "7", "mixed"]));
    for refused in [["6", "7", "image"], ["0", "0", "image"], ["7", "7", "builder"], ["7", "7", "none"], ["7", "7", ""]]
    {
        assert!(!accepted(refused), "{refused:?}");
    }
}

//! The project's name, on which the default image names depend.
//!
//! Facts: compose-go's `loader.projectName` and `NormalizeProjectName`.

use std::collections::BTreeSet;

use super::environment::Environment;
use super::errors::{Problem, Report};
use super::interpolation::interpolate;
use super::loader::Parsed;
use super::yaml::Value;

/// `COMPOSE_PROJECT_NAME`, else the last `name:` of the files, else the base name of the project's directory.
///
/// The variable must be a valid name; the others are made one.
pub(super) fn project_name(
    files: &[Parsed],
    environment: &Environment,
    directory: &str,
    report: &mut Report,
) -> String {
    if let Some(name) = environment.get("COMPOSE_PROJECT_NAME").filter(|name| !name.is_empty()) {
        if normalise(name) != name {
            report.error_without_place("COMPOSE_PROJECT_NAME", Problem::ProjectName { name: name.to_owned() });
        }
        return name.to_owned();
    }
    let name = [name_of_files(files, environment, report), directory.to_owned()]
        .iter()
        .map(|name| normalise(name))
        .find(|name| !name.is_empty());
    name.unwrap_or_else(|| {
        report.error_without_place("", Problem::ProjectName { name: directory.to_owned() });
        String::new()
    })
}

fn name_of_files(files: &[Parsed], environment: &Environment, report: &mut Report) -> String {
    let names = files.iter().flat_map(|(_, documents)| documents).filter_map(|document| document.as_map()?.get("name"));
    let mut last = String::new();
    for node in names {
        match &node.value {
            Value::Text(name) if !name.is_empty() => last.clone_from(name),
            Value::Text(_) | Value::Null => {}
            other => report.error(&node.place, "name", Problem::Type { expected: "a string", found: other.kind() }),
        }
    }
    // What cannot be interpolated is reported when the files are loaded.
    interpolate(&last, &|name| environment.get(name), &mut BTreeSet::new()).unwrap_or_default()
}

/// Lower case; nothing but letters, digits, `_` and `-`; no `_` or `-` at the start.
fn normalise(name: &str) -> String {
    let kept: String = name
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
        .collect();
    kept.trim_start_matches(['_', '-']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn normalises_as_compose_does() {
        for (name, expected) in [
            ("My App", "myapp"),
            ("_a-b_c", "a-b_c"),
            ("-_-", ""),
            ("watch.party", "watchparty"),
            ("Ünï1", "n1"),
            ("9a", "9a"),
        ] {
            assert_eq!(normalise(name), expected, "{name}");
        }
    }
}

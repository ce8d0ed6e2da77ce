//! Raw inputs: what the runner's variables and the command line's flags say, before anything is understood.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::inputs::table::{self, Input};
use crate::runner::{Context, Environment};

const PREFIX: &str = "INPUT_";
/// Inputs that the runner itself takes for every container action, declared or not.
const OF_THE_RUNNER: &[&str] = &["ARGS", "ENTRYPOINT", "PRE-ENTRYPOINT", "POST-ENTRYPOINT"];

/// Where a value came from, so that a message can say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `with:` of a workflow, which arrives as an `INPUT_…` variable; or nothing at all.
    Input,
    /// A flag of the command line.
    Flag,
}

impl Origin {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Flag => "flag",
        }
    }
}

/// Every input as text, and what its meaning depends on.
pub struct RawInputs {
    values: BTreeMap<&'static str, (Origin, String)>,
    unknown: Vec<String>,
    environment: Environment,
    workspace: PathBuf,
    host_workspace: Option<PathBuf>,
}

impl RawInputs {
    /// Collects the `INPUT_…` variables; flags, `(input's name, value)`, go before them. Empty means unset.
    pub fn new(environment: &Environment, context: &Context, flags: Vec<(&'static str, String)>) -> Self {
        let mut values = BTreeMap::new();
        let mut unknown = Vec::new();
        for (variable, value) in environment.iter() {
            let Some(name) = variable.strip_prefix(PREFIX).filter(|_| !value.trim().is_empty()) else {
                continue;
            };
            match table::ALL.iter().find(|input| input.variable() == variable) {
                Some(input) => drop(values.insert(input.name, (Origin::Input, value.to_owned()))),
                None if OF_THE_RUNNER.contains(&name) => {}
                None => unknown.push(name.to_owned()),
            }
        }
        for (name, value) in flags {
            values.insert(name, (Origin::Flag, value));
        }
        Self {
            values,
            unknown,
            environment: environment.clone(),
            workspace: context.workspace.clone(),
            host_workspace: context.host_workspace.clone(),
        }
    }

    /// Whether nothing was given at all: a person who typed the bare command.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The value as given, untrimmed, and where it came from.
    pub(super) fn given(&self, input: &Input) -> Option<(Origin, &str)> {
        self.values
            .get(input.name)
            .map(|(origin, value)| (*origin, value.as_str()))
            .filter(|(_, value)| !value.trim().is_empty())
    }

    pub(super) const fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Warnings for `INPUT_…` variables that no input has, with the name that was probably meant.
    pub(super) fn unknown(&self) -> Vec<String> {
        self.unknown
            .iter()
            .map(|name| {
                let name = name.to_lowercase();
                let hint = nearest(&name).map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
                format!("there is no input `{name}`{hint}")
            })
            .collect()
    }

    /// An absolute path for one that is relative to the workspace. The host's own path of the workspace, which expressions
    /// such as `${{ github.workspace }}` put into lists, is translated; the runner does that only for whole values.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        let path = Path::new(text);
        let inside = self.host_workspace.as_deref().and_then(|host| path.strip_prefix(host).ok());
        let path = self.workspace.join(inside.unwrap_or(path));
        path.components().filter(|component| *component != Component::CurDir).collect()
    }
}

/// The input whose name is at most a third of its letters away.
fn nearest(name: &str) -> Option<&'static str> {
    let name = name.replace('_', "-");
    table::ALL
        .iter()
        .map(|input| (distance(&name, input.name), input.name))
        .filter(|(distance, near)| *distance <= (near.len() / 3).max(1))
        .min()
        .map(|(_, near)| near)
}

/// The Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut last = i + 1;
        let mut next = vec![last];
        for (to, above) in b.iter().zip(row.windows(2)) {
            let [diagonal, up] = above else { continue };
            last = (diagonal + usize::from(from != *to)).min(up + 1).min(last + 1);
            next.push(last);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Origin, RawInputs, distance};
    use crate::inputs::table;
    use crate::runner::{Context, Environment};

    fn raw(variables: &[(&str, &str)]) -> RawInputs {
        let environment: Environment = variables
            .iter()
            .copied()
            .chain([
                ("GITHUB_WORKSPACE", "/github/workspace"),
                ("RUNNER_WORKSPACE", "/home/runner/work/app"),
                ("GITHUB_REPOSITORY", "octo/app"),
            ])
            .collect();
        let (context, _) = Context::read(&environment, Path::new("/"));
        RawInputs::new(&environment, &context, vec![("target", "from-flag".to_owned())])
    }

    #[test]
    fn reads_variables_as_the_runner_sets_them() {
        let raw = raw(&[
            ("INPUT_COMPOSE-FILE", " compose.yaml "),
            ("INPUT_TARGET", "from-input"),
            ("INPUT_TAGS", " \n"),
            ("INPUT_COMPOSE_FILE", "not this one"),
        ]);
        assert_eq!(raw.given(&table::COMPOSE_FILE), Some((Origin::Input, " compose.yaml ")));
        assert_eq!(raw.given(&table::TARGET), Some((Origin::Flag, "from-flag")));
        assert_eq!(raw.given(&table::TAGS), None);
    }

    #[test]
    fn warns_about_names_that_no_input_has() {
        let raw = raw(&[
            ("INPUT_COMPOSE_FILE", "a"),
            ("INPUT_CACHE-FORM", "a"),
            ("INPUT_SOMETHING-ELSE", "a"),
            ("INPUT_ARGS", "a"),
            ("INPUT_ENTRYPOINT", "a"),
            ("INPUT_UNUSED", ""),
        ]);
        assert_eq!(
            raw.unknown(),
            [
                "there is no input `cache-form`, did you mean `cache-from`?",
                "there is no input `compose_file`, did you mean `compose-file`?",
                "there is no input `something-else`",
            ]
        );
    }

    #[test]
    fn paths_are_those_of_the_container() {
        let raw = raw(&[]);
        for (text, path) in [
            (".", "/github/workspace"),
            ("./backend/./x", "/github/workspace/backend/x"),
            ("../x", "/github/workspace/../x"),
            ("/tmp/x", "/tmp/x"),
            ("/home/runner/work/app/app/backend", "/github/workspace/backend"),
            ("/home/runner/work/app/app", "/github/workspace"),
            ("/home/runner/work/app/apple", "/home/runner/work/app/apple"),
        ] {
            assert_eq!(raw.path(text), PathBuf::from(path), "{text}");
        }
    }

    #[test]
    fn measures_distance() {
        assert_eq!((distance("", "abc"), distance("kitten", "sitting"), distance("a", "a")), (3, 3, 0));
    }
}

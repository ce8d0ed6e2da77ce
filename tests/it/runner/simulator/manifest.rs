//! `action.yml`: `ActionManifestManager.cs`, as far as this action needs it.

use std::collections::BTreeMap;

use saphyr::{LoadableYamlNode, Yaml};

/// What the runner takes from `action.yml`.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    /// Every declared input with its default, expressions and all; the empty string if it has none.
    inputs: Vec<(String, String)>,
    pub(super) entrypoint: Option<String>,
}

impl Manifest {
    /// Reads the text of `action.yml`.
    pub(crate) fn parse(text: &str) -> Self {
        let documents = Yaml::load_from_str(text).unwrap();
        let root = documents[0].as_mapping().unwrap();
        let get = |node: &Yaml<'_>, key: &str| {
            node.as_mapping().and_then(|mapping| mapping.get(&Yaml::value_from_str(key))).and_then(scalar)
        };
        let inputs = root[&Yaml::value_from_str("inputs")].as_mapping().unwrap();
        let inputs = inputs
            .iter()
            .map(|(name, input)| (name.as_str().unwrap().to_owned(), get(input, "default").unwrap_or_default()))
            .collect();
        Self { inputs, entrypoint: get(&root[&Yaml::value_from_str("runs")], "entrypoint") }
    }

    /// The `INPUT_…` variables of a step: every declared input, and what `with:` says besides.
    pub(super) fn variables(&self, with: &BTreeMap<String, String>, token: &str) -> BTreeMap<String, String> {
        let defaults = self.inputs.iter().map(|(name, default)| {
            let value = with.get(name).cloned().unwrap_or_else(|| default.replace("${{ github.token }}", token));
            (variable(name), value)
        });
        let given = with.iter().map(|(name, value)| (variable(name), value.clone()));
        given.chain(defaults).collect()
    }
}

/// `Handler.AddInputsToEnvironment`: dashes and dots are kept.
fn variable(input: &str) -> String {
    format!("INPUT_{}", input.replace(' ', "_").to_uppercase())
}

fn scalar(node: &Yaml<'_>) -> Option<String> {
    node.as_str()
        .map(str::to_owned)
        .or_else(|| node.as_bool().map(|value| value.to_string()))
        .or_else(|| node.as_integer().map(|value| value.to_string()))
}

#[cfg(test)]
mod tests {
    use super::Manifest;

    #[test]
    fn every_declared_input_is_there() {
        let manifest = Manifest::parse(
            "inputs:\n  mode:\n    default: build\n  build-args:\n    description: x\n  token:\n    \
             default: ${{ github.token }}\n  pull:\n    default: false\nruns:\n  using: docker\n  entrypoint: /a\n",
        );
        let with = [("build-args", "A=b"), ("not declared", "x")].map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        let variables = manifest.variables(&with, "t0ken");
        let shown: Vec<_> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            shown,
            [
                "INPUT_BUILD-ARGS=A=b",
                "INPUT_MODE=build",
                "INPUT_NOT_DECLARED=x",
                "INPUT_PULL=false",
                "INPUT_TOKEN=t0ken"
            ]
        );
        assert_eq!(manifest.entrypoint.as_deref(), Some("/a"));
    }
}

//! From files to one merged model: interpolation, `include`, `extends`, then each file over the ones before it.
//!
//! The order is compose-go's (`loader/loader.go`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::canonical::canonicalise;
use super::environment::{Environment, warn_unset};
use super::errors::{Problem, Report};
use super::files;
use super::interpolation::interpolate;
use super::merge::merge_maps;
use super::yaml::{self, KeyPath, Map, Node, Value};
use super::{extends, include, paths};

/// A file with its documents.
pub(super) type Parsed = (Arc<PathBuf>, Vec<Node>);

/// What a set of files is loaded with.
pub(super) struct Scope<'a> {
    /// What relative paths start from.
    pub(super) directory: &'a Path,
    pub(super) environment: &'a Environment,
    /// The files that are being loaded now, outermost first: including one of them again is a cycle.
    pub(super) chain: &'a [Arc<PathBuf>],
}

/// Loads models and collects what is wrong with them.
pub(super) struct Loader<'a> {
    /// The environment of the whole project, which extended files are interpolated with.
    pub(super) environment: &'a Environment,
    pub(super) report: Report,
}

impl Loader<'_> {
    /// Reads a file and parses it; what is wrong inside is reported, that it cannot be read is returned.
    pub(super) fn parse(&mut self, file: &Arc<PathBuf>) -> Result<Vec<Node>, Problem> {
        let text = files::read("Compose file", file)?;
        Ok(yaml::parse(file, &text, &mut self.report))
    }

    /// Merges files into one settled model with absolute paths.
    pub(super) fn load_model(&mut self, files: Vec<Parsed>, scope: &Scope<'_>) -> Map {
        let mut model = Map::default();
        for (file, documents) in files {
            for document in documents {
                let Some(mut document) = self.prepare(document, scope.environment) else { continue };
                let chain: Vec<_> = scope.chain.iter().chain([&file]).cloned().collect();
                include::apply(self, &mut document, &Scope { chain: &chain, ..*scope });
                extends::apply(self, &mut document, &file, scope.directory);
                model = settled(merge_maps(model, document, &KeyPath::default(), &mut self.report));
            }
        }
        paths::default_contexts(&mut model, scope.directory);
        paths::resolve(&mut model, scope.directory);
        model
    }

    /// The model of a file that a service extends: its documents merged, nothing resolved. Tags are kept where they
    /// say how its services are laid over those that they extend in turn.
    pub(super) fn load_extended(&mut self, file: &Arc<PathBuf>) -> Result<Map, Problem> {
        let documents = self.parse(file)?;
        let mut model = Map::default();
        for document in documents {
            if let Some(document) = self.prepare(document, self.environment) {
                model = merge_maps(model, document, &KeyPath::default(), &mut self.report);
            }
        }
        Ok(model)
    }

    fn prepare(&mut self, mut document: Node, environment: &Environment) -> Option<Map> {
        let mut unset = BTreeSet::new();
        interpolate_tree(&mut document, &KeyPath::default(), environment, &mut unset, &mut self.report);
        warn_unset(unset, &mut self.report);
        match document.value {
            Value::Map(mut map) => {
                canonicalise(&mut map, &mut self.report);
                Some(map)
            }
            other => {
                let problem = Problem::Type { expected: "a mapping", found: other.kind() };
                self.report.error(&document.place, "", problem);
                None
            }
        }
    }
}

fn settled(model: Map) -> Map {
    Map(model
        .0
        .into_iter()
        .filter(|(_, node)| node.tag != yaml::Tag::Reset)
        .map(|(key, node)| (key, node.settled()))
        .collect())
}

/// Substitutes variables in every string, keys excepted.
pub(super) fn interpolate_tree(
    node: &mut Node,
    path: &KeyPath,
    environment: &Environment,
    unset: &mut BTreeSet<String>,
    report: &mut Report,
) {
    match &mut node.value {
        Value::Text(text) => match interpolate(text, &|name| environment.get(name), unset) {
            Ok(value) => *text = value,
            Err(error) => report.error(&node.place, path, Problem::Interpolation(error)),
        },
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                interpolate_tree(item, &path.index(index), environment, unset, report);
            }
        }
        Value::Map(map) => {
            for (key, value) in &mut map.0 {
                interpolate_tree(value, &path.child(&key.text), environment, unset, report);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

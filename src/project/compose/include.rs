//! `include`: another Compose application, loaded with its own directory and env file, whose resources join this one's.
//!
//! Facts: compose-go's `loader/include.go`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::environment::{Environment, default_env_file};
use super::errors::{Place, Problem};
use super::loader::{Loader, Scope};
use super::merge::merge;
use super::paths;
use super::schema;
use super::yaml::{Key, KeyPath, Map, Node, Value};

/// One entry of `include`, paths absolute.
struct Include {
    files: Vec<Arc<PathBuf>>,
    directory: PathBuf,
    env_files: Vec<PathBuf>,
    place: Place,
    path: KeyPath,
}

/// Loads what a document includes and adds its services and secrets; what the document says of them wins.
pub(super) fn apply(loader: &mut Loader<'_>, document: &mut Map, scope: &Scope<'_>) {
    let Some(node) = document.remove("include") else { return };
    let path = KeyPath::of(&["include"]);
    let items = match node.value {
        Value::Null => return,
        Value::List(items) => items,
        other => {
            let problem = Problem::Type { expected: "a list", found: other.kind() };
            loader.report.error(&node.place, &path, problem);
            return;
        }
    };
    for (index, item) in items.iter().enumerate() {
        let Some(include) = read(loader, item, &path.index(index), scope.directory) else { continue };
        if let Some(model) = load(loader, &include, scope) {
            add(loader, document, model);
        }
    }
}

fn read(loader: &mut Loader<'_>, item: &Node, path: &KeyPath, directory: &Path) -> Option<Include> {
    let empty = Map::default();
    let map = match &item.value {
        Value::Text(_) => &empty,
        Value::Map(map) => map,
        other => {
            let problem = Problem::Type { expected: "a path or a mapping", found: other.kind() };
            loader.report.error(&item.place, path, problem);
            return None;
        }
    };
    schema::check_keys(map, &[schema::INCLUDE], path, &mut loader.report);
    let named = match item.as_text() {
        Some(text) => vec![text.to_owned()],
        None => map.get("path").map(|node| strings(loader, node, &path.child("path"))).unwrap_or_default(),
    };
    if let Some(remote) = named.iter().find(|file| paths::is_remote_file(file)) {
        let what = format!("a Compose file of another machine ('{remote}')");
        let help = "check it out into the workspace and name the local file";
        loader.report.error(&item.place, path, Problem::Unsupported { what, help });
        return None;
    }
    let files: Vec<_> = named.iter().map(|file| Arc::new(paths::absolute(directory, file))).collect();
    let Some(first) = files.first() else {
        loader.report.error(&item.place, path, Problem::MissingKey { key: "path" });
        return None;
    };
    let project_directory = match map.get("project_directory").map(|node| (node, node.as_text())) {
        Some((_, Some(project))) if !project.is_empty() => paths::absolute(directory, project),
        Some((node, None)) if node.value != Value::Null => {
            let problem = Problem::Type { expected: "a string", found: node.value.kind() };
            loader.report.error(&node.place, path.child("project_directory"), problem);
            return None;
        }
        _ => first.parent().unwrap_or(Path::new("/")).to_owned(),
    };
    let env_files = match map.get("env_file") {
        None => default_env_file(&project_directory),
        Some(node) => strings(loader, node, &path.child("env_file"))
            .into_iter()
            // The documented way to have no env file at all.
            .filter(|file| file != "/dev/null")
            .map(|file| paths::absolute(directory, &file))
            .collect(),
    };
    Some(Include { files, directory: project_directory, env_files, place: item.place.clone(), path: path.clone() })
}

/// A string or a list of strings.
fn strings(loader: &mut Loader<'_>, node: &Node, path: &KeyPath) -> Vec<String> {
    let items = match &node.value {
        Value::Text(text) => return vec![text.clone()],
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    items
        .iter()
        .filter_map(|item| {
            let text = item.as_text().map(ToOwned::to_owned);
            if text.is_none() {
                let problem = Problem::Type { expected: "a string", found: item.value.kind() };
                loader.report.error(&item.place, path, problem);
            }
            text
        })
        .collect()
}

fn load(loader: &mut Loader<'_>, include: &Include, scope: &Scope<'_>) -> Option<Map> {
    let first = include.files.first()?;
    if let Some(start) = scope.chain.iter().position(|file| file == first) {
        let mut chain: Vec<_> = scope.chain.iter().skip(start).map(|file| file.display().to_string()).collect();
        chain.push(first.display().to_string());
        loader.report.error(&include.place, &include.path, Problem::Cycle { what: "include", chain });
        return None;
    }
    let environment: Environment = scope.environment.with_files(&include.env_files, &mut loader.report);
    let mut documents = Vec::new();
    for file in &include.files {
        match loader.parse(file) {
            Ok(parsed) => documents.push((Arc::clone(file), parsed)),
            Err(problem) => loader.report.error(&include.place, &include.path, problem),
        }
    }
    let scope = Scope { directory: &include.directory, environment: &environment, chain: scope.chain };
    Some(loader.load_model(documents, &scope))
}

/// Adds the resources of `model` to `document`.
fn add(loader: &mut Loader<'_>, document: &mut Map, model: Map) {
    for (section, node) in model.0 {
        let Value::Map(resources) = node.value else { continue };
        if section.text != "services" && section.text != "secrets" {
            continue;
        }
        for (name, resource) in resources.0 {
            add_resource(loader, document, &section, name, resource);
        }
    }
}

fn add_resource(loader: &mut Loader<'_>, document: &mut Map, section: &Key, name: Key, resource: Node) {
    if document.get(&section.text).is_none_or(|node| node.value == Value::Null) {
        document.insert(section.clone(), Node::new(Value::Map(Map::default()), section.place.clone()));
    }
    let Some(existing) = document.get_mut(&section.text).and_then(Node::as_map_mut) else { return };
    let merged = match existing.get(&name.text).cloned() {
        Some(own) => merge(resource, own, &KeyPath::of(&[&section.text, &name.text]), &mut loader.report),
        None => resource,
    };
    existing.insert(name, merged);
}

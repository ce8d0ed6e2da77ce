//! `extends`: a service that starts from another one, of the same file or of another.
//!
//! Facts: compose-go's `loader/extends.go`. The other service is resolved first, with paths relative to its own file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::errors::{Place, Problem};
use super::loader::Loader;
use super::merge::merge;
use super::paths;
use super::schema;
use super::yaml::{KeyPath, Map, Node, Value};

/// The services among which names are looked up, and the file that they come from.
struct Family<'a> {
    file: &'a Path,
    services: &'a Map,
    /// What `file:` is relative to.
    directory: &'a Path,
}

/// A reference to a service.
struct Reference {
    service: String,
    file: Option<String>,
    place: Place,
}

/// Replaces every service of a document that extends another by the merged one.
pub(super) fn apply(loader: &mut Loader<'_>, document: &mut Map, file: &Arc<PathBuf>, directory: &Path) {
    let Some(services) = document.get("services").and_then(Node::as_map).cloned() else { return };
    let family = Family { file, services: &services, directory };
    let resolved: Vec<_> = services
        .0
        .iter()
        .map(|(key, node)| (key.clone(), resolve(loader, &family, &key.text, node, &mut Vec::new())))
        .collect();
    if let Some(services) = document.get_mut("services").and_then(Node::as_map_mut) {
        *services = Map(resolved);
    }
}

fn resolve(
    loader: &mut Loader<'_>,
    family: &Family<'_>,
    name: &str,
    node: &Node,
    chain: &mut Vec<(PathBuf, String)>,
) -> Node {
    let mut service = node.clone();
    let Some(extends) = service.as_map_mut().and_then(|service| service.remove("extends")) else { return service };
    let path = KeyPath::of(&["services", name, "extends"]);
    let Some(reference) = read_reference(loader, &extends, &path) else { return service };
    let link = (family.file.to_owned(), name.to_owned());
    if chain.contains(&link) {
        chain.push(link);
        let chain = chain.iter().map(|(file, service)| format!("{service} ({})", file.display())).collect();
        loader.report.error(&reference.place, &path, Problem::Cycle { what: "extends", chain });
        return service;
    }
    chain.push(link);
    let base = match &reference.file {
        None => base_of(loader, family, &reference, &path, chain),
        Some(file) => base_of_file(loader, family.directory, file, &reference, &path, chain),
    };
    chain.pop();
    match base.map(Node::settled) {
        Some(base) if base.value != Value::Null => {
            merge(base, service, &KeyPath::of(&["services", name]), &mut loader.report)
        }
        _ => service,
    }
}

fn base_of(
    loader: &mut Loader<'_>,
    family: &Family<'_>,
    reference: &Reference,
    path: &KeyPath,
    chain: &mut Vec<(PathBuf, String)>,
) -> Option<Node> {
    let Some(base) = family.services.get(&reference.service) else {
        let problem = Problem::Undefined {
            kind: "service",
            name: reference.service.clone(),
            file: Some(family.file.to_owned()),
            existing: family.services.keys().map(ToOwned::to_owned).collect(),
        };
        loader.report.error(&reference.place, path, problem);
        return None;
    };
    Some(resolve(loader, family, &reference.service, base, chain))
}

fn base_of_file(
    loader: &mut Loader<'_>,
    directory: &Path,
    file: &str,
    reference: &Reference,
    path: &KeyPath,
    chain: &mut Vec<(PathBuf, String)>,
) -> Option<Node> {
    if paths::is_remote_file(file) {
        let what = format!("a Compose file of another machine ('{file}')");
        let help = "check it out into the workspace and name the local file";
        loader.report.error(&reference.place, path, Problem::Unsupported { what, help });
        return None;
    }
    let file = Arc::new(paths::absolute(directory, file));
    let mut model = match loader.load_extended(&file) {
        Ok(model) => model,
        Err(problem) => {
            loader.report.error(&reference.place, path, problem);
            return None;
        }
    };
    let directory = file.parent().unwrap_or(Path::new("/"));
    paths::resolve(&mut model, directory);
    let services = model.get("services").and_then(Node::as_map).cloned().unwrap_or_default();
    base_of(loader, &Family { file: &file, services: &services, directory }, reference, path, chain)
}

fn read_reference(loader: &mut Loader<'_>, extends: &Node, path: &KeyPath) -> Option<Reference> {
    let Value::Map(map) = &extends.value else {
        let problem = Problem::Type { expected: "a service's name or a mapping", found: extends.value.kind() };
        loader.report.error(&extends.place, path, problem);
        return None;
    };
    schema::check_keys(map, &[schema::EXTENDS], path, &mut loader.report);
    let mut text = |key: &str| {
        map.get(key).and_then(|node| {
            let text = node.as_text().map(ToOwned::to_owned);
            if text.is_none() {
                let problem = Problem::Type { expected: "a string", found: node.value.kind() };
                loader.report.error(&node.place, path.child(key), problem);
            }
            text
        })
    };
    let (service, file) = (text("service"), text("file"));
    if map.get("service").is_none() {
        loader.report.error(&extends.place, path, Problem::MissingKey { key: "service" });
    }
    Some(Reference { service: service?, file, place: extends.place.clone() })
}

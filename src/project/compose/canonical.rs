//! One form for what Compose lets one write in several: short syntaxes become mappings, key-value lists too.
//!
//! Only what a build depends on is kept; values of a wrong type stay as they are and are named when they are read.

use super::errors::{Place, Problem, Report};
use super::schema;
use super::yaml::{Key, KeyPath, Map, Node, Value};

/// Brings a document into canonical form and drops what no build depends on.
pub(super) fn canonicalise(document: &mut Map, report: &mut Report) {
    document.0.retain(|(key, _)| !schema::is_ignored_top_level(&key.text));
    let Some(services) = document.get_mut("services").and_then(Node::as_map_mut) else { return };
    for (name, service) in &mut services.0 {
        let Some(service) = service.as_map_mut() else { continue };
        service.0.retain(|(key, _)| !schema::is_ignored_in_service(&key.text));
        if let Some(extends) = service.get_mut("extends") {
            wrap(extends, "service");
        }
        if let Some(build) = service.get_mut("build") {
            let path = KeyPath::of(&["services", &name.text, "build"]);
            canonicalise_build(build, &path, report);
        }
    }
}

fn canonicalise_build(build: &mut Node, path: &KeyPath, report: &mut Report) {
    wrap(build, "context");
    let Some(build) = build.as_map_mut() else { return };
    build.0.retain(|(key, _)| !key.text.starts_with("x-"));
    for key in ["args", "labels", "additional_contexts", "ssh"] {
        if let Some(node) = build.get_mut(key) {
            list_to_map(node, &path.child(key), report);
        }
    }
    if let Some(hosts) = build.get_mut("extra_hosts") {
        map_to_list(hosts);
    }
    if let Some(Value::List(secrets)) = build.get_mut("secrets").map(|node| &mut node.value) {
        for secret in secrets {
            wrap(secret, "source");
        }
    }
}

/// Turns a string into a mapping with that string under `key`.
fn wrap(node: &mut Node, key: &str) {
    if let Value::Text(_) = node.value {
        let inner = Node::new(std::mem::replace(&mut node.value, Value::Null), node.place.clone());
        let key = Key { text: key.to_owned(), place: node.place.clone() };
        node.value = Value::Map(Map(vec![(key, inner)]));
    }
}

/// `[A=1, B]` becomes `{A: "1", B: null}`.
fn list_to_map(node: &mut Node, path: &KeyPath, report: &mut Report) {
    let Value::List(items) = &node.value else { return };
    let mut map = Map::default();
    for (index, item) in items.iter().enumerate() {
        let Some(text) = item.as_text() else {
            let problem = Problem::Type { expected: "a string", found: item.value.kind() };
            report.error(&item.place, path.index(index), problem);
            continue;
        };
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Value::Text(value.to_owned())),
            None => (text, Value::Null),
        };
        if name.is_empty() || name.ends_with(char::is_whitespace) {
            let problem = Problem::Value { value: name.to_owned(), expected: "NAME=value without a space around NAME" };
            report.error(&item.place, path.index(index), problem);
            continue;
        }
        let key = Key { text: name.to_owned(), place: item.place.clone() };
        map.insert(key, Node::new(value, item.place.clone()));
    }
    node.value = Value::Map(map);
}

/// `{host: ip, other: [a, b]}` becomes `[host=ip, other=a, other=b]`, the form in which hosts are merged.
fn map_to_list(node: &mut Node) {
    let Value::Map(map) = &node.value else { return };
    let mut items = Vec::new();
    for (host, address) in map.iter() {
        match &address.value {
            Value::List(addresses) => items.extend(addresses.iter().map(|address| join(host, address))),
            _ => items.push(join(host, address)),
        }
    }
    node.value = Value::List(items);
}

fn join(host: &Key, address: &Node) -> Node {
    let place: Place = address.place.clone();
    let value = match &address.value {
        Value::Text(address) => Value::Text(format!("{}={address}", host.text)),
        Value::Null => Value::Text(format!("{}=", host.text)),
        other => other.clone(),
    };
    Node::new(value, place)
}

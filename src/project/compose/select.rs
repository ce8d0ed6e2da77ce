//! Which services are built: profiles, the services that are wanted, and those that their contexts come from.
//!
//! Facts: compose-go's `Project.WithProfiles`, compose's `addBuildDependencies`.

use std::collections::BTreeSet;

use super::errors::{Place, Problem, Report};
use super::yaml::{KeyPath, Map, Node, Value};

/// What one run is asked for.
pub(super) struct Wanted<'a> {
    /// Service names; all active services if empty.
    pub(super) services: &'a [String],
    /// Active profiles.
    pub(super) profiles: &'a [String],
}

/// Names of the services to build, in file order.
///
/// A service of an inactive profile is built only if it is named or another one's context comes from it.
pub(super) fn select<'a>(services: &'a Map, wanted: &Wanted<'_>, report: &mut Report) -> Vec<&'a str> {
    let mut chosen: BTreeSet<&str> = BTreeSet::new();
    for (name, service) in services.iter() {
        let is_wanted = if wanted.services.is_empty() {
            is_active(service, wanted.profiles)
        } else {
            wanted.services.contains(&name.text)
        };
        let Some(map) = service.as_map().filter(|_| is_wanted) else { continue };
        if map.get("build").is_some() {
            chosen.insert(&name.text);
        } else if map.get("image").is_none() && map.get("provider").is_none() {
            let path = KeyPath::of(&["services", &name.text]);
            report.error(&name.place, path, Problem::NeitherImageNorBuild);
        } else if !wanted.services.is_empty() {
            report.warn(format!("service '{}' has no build section: there is nothing to build", name.text));
        }
    }
    for name in wanted.services.iter().filter(|name| services.get(name).is_none()) {
        report.error_without_place("services", undefined_service(name, services));
    }
    let mut queue: Vec<&str> = chosen.iter().copied().collect();
    while let Some(name) = queue.pop() {
        for reference in service_contexts(services, name) {
            if let Some((key, _)) = services.iter().find(|(key, node)| key.text == reference.service && has_build(node))
                && chosen.insert(&key.text)
            {
                queue.push(&key.text);
            }
        }
    }
    report_cycles(services, &chosen, report);
    services.keys().filter(|name| chosen.contains(name)).collect()
}

/// The error for a service that does not exist, with those that do.
pub(super) fn undefined_service(name: &str, services: &Map) -> Problem {
    let existing = services.keys().map(ToOwned::to_owned).collect();
    Problem::Undefined { kind: "service", name: name.to_owned(), file: None, existing }
}

fn has_build(service: &Node) -> bool {
    service.as_map().is_some_and(|service| service.get("build").is_some())
}

/// A service without profiles is always active, `*` activates all.
fn is_active(service: &Node, profiles: &[String]) -> bool {
    let Some(Value::List(own)) = service.as_map().and_then(|map| map.get("profiles")).map(|node| &node.value) else {
        return true;
    };
    own.is_empty()
        || own.iter().filter_map(Node::as_text).any(|own| profiles.iter().any(|active| active == own || active == "*"))
}

/// `service:x` among a service's additional contexts.
struct ContextReference<'a> {
    service: &'a str,
    place: &'a Place,
}

fn service_contexts<'a>(services: &'a Map, name: &str) -> Vec<ContextReference<'a>> {
    let contexts =
        services.get(name).and_then(|node| node.as_map()?.get("build")?.as_map()?.get("additional_contexts")?.as_map());
    contexts
        .into_iter()
        .flat_map(Map::iter)
        .filter_map(|(_, node)| {
            let service = node.as_text()?.strip_prefix("service:")?;
            Some(ContextReference { service, place: &node.place })
        })
        .collect()
}

/// Services whose contexts come from each other can never be built.
fn report_cycles(services: &Map, chosen: &BTreeSet<&str>, report: &mut Report) {
    let mut done = BTreeSet::new();
    for name in chosen {
        visit(services, name, &mut Vec::new(), &mut done, report);
    }
}

fn visit<'a>(
    services: &'a Map,
    name: &'a str,
    chain: &mut Vec<&'a str>,
    done: &mut BTreeSet<&'a str>,
    report: &mut Report,
) {
    if done.contains(name) {
        return;
    }
    chain.push(name);
    for reference in service_contexts(services, name) {
        if let Some(start) = chain.iter().position(|known| *known == reference.service) {
            let mut cycle: Vec<String> = chain.iter().skip(start).map(ToString::to_string).collect();
            cycle.push(reference.service.to_owned());
            let path = KeyPath::of(&["services", name, "build", "additional_contexts"]);
            report.error(reference.place, path, Problem::Cycle { what: "additional_contexts", chain: cycle });
        } else {
            visit(services, reference.service, chain, done, report);
        }
    }
    chain.pop();
    done.insert(name);
}

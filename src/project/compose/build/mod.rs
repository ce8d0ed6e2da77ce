//! The `build:` section of a service, read into a [`Target`].
//!
//! Facts: the Compose Build Specification, and what compose makes of it for BuildKit (`pkg/compose/build_bake.go`).

mod cache;
mod context;
mod fields;
mod limits;
mod secrets;

use std::collections::BTreeMap;

use self::fields::{Section, Text, wrong_type};
use super::environment::Environment;
use super::errors::{Problem, Report};
use super::yaml::{KeyPath, Map, Node, Value};
use crate::image::ImageReference;
use crate::project::target::{NamedContext, NoCache, Target};

/// The Compose version whose behaviour this module has; the label below carries it, as Compose's own images do.
const COMPOSE_VERSION: &str = "2.40.3";
const PROJECT_LABEL: &str = "com.docker.compose.project";
const SERVICE_LABEL: &str = "com.docker.compose.service";
const VERSION_LABEL: &str = "com.docker.compose.version";

/// What a `build:` section can refer to.
pub(super) struct Project<'a> {
    pub(super) name: &'a str,
    /// The variables of the process and of env files.
    pub(super) environment: &'a Environment,
    /// The variables of the process alone, in which an SSH agent announces itself.
    pub(super) process: &'a BTreeMap<String, String>,
    pub(super) services: &'a Map,
    pub(super) secrets: &'a Map,
}

/// Reads a service that has a `build:` section. Where something is wrong it is reported and left out.
pub(super) fn read_target(name: &str, service: &Map, project: &Project<'_>, report: &mut Report) -> Option<Target> {
    let service_path = KeyPath::of(&["services", name]);
    let service = Section { map: service, path: &service_path };
    let node = service.map.get("build")?;
    let Value::Map(map) = &node.value else {
        report.error(&node.place, service_path.child("build"), wrong_type("a path or a mapping", &node.value));
        return None;
    };
    let path = service_path.child("build");
    let build = Section { map, path: &path };
    let isolation = build.text("isolation", report);
    if let Some(isolation) = isolation.filter(|isolation| isolation.text != "default") {
        let what = format!("isolation '{}', which only Windows engines have,", isolation.text);
        isolation.error(Problem::Unsupported { what, help: "remove the key or set it to 'default'" }, report);
    }
    let main_context = context::read_context(build, report);
    let named_contexts = context::read_named_contexts(build, project.services, report);
    let mut after: Vec<String> = named_contexts
        .values()
        .filter_map(|context| match context {
            NamedContext::Target(service) => Some(service.clone()),
            NamedContext::Local(_) | NamedContext::Remote(_) => None,
        })
        .collect();
    after.sort();
    after.dedup();
    Some(Target {
        name: name.to_owned(),
        tags: read_tags(service, build, &node.place, project.name, report),
        default_name: service.map.get("image").is_none(),
        dockerfile: context::read_dockerfile(build, &main_context, report),
        context: main_context,
        stage: build.text("target", report).map(|text| text.text.to_owned()),
        build_args: read_args(build, project.environment, report),
        labels: read_labels(build, name, project.name, report),
        annotations: Vec::new(),
        named_contexts,
        cache_from: cache::read_cache_from(build, report),
        cache_to: cache::read_cache_to(build, report),
        secrets: secrets::read_secrets(build, project, report),
        ssh: secrets::read_ssh(build, project.process, report),
        platforms: read_platforms(service, build, project.environment, report),
        network: build.text("network", report).map(|text| text.text.to_owned()),
        extra_hosts: limits::read_extra_hosts(build, report),
        shm_size: limits::read_shm_size(build, report),
        ulimits: limits::read_ulimits(build, report),
        entitlements: read_entitlements(build, report),
        pull: build.boolean("pull", report),
        no_cache: read_no_cache(build, report),
        provenance: read_attestation(build, "provenance", report),
        sbom: read_attestation(build, "sbom", report),
        after,
    })
}

/// `image:` or `project-service`, then `build.tags`; each once.
fn read_tags(
    service: Section<'_>,
    build: Section<'_>,
    place: &super::errors::Place,
    project: &str,
    report: &mut Report,
) -> Vec<ImageReference> {
    let mut tags = Vec::new();
    let name = service.path.parts().last().copied().unwrap_or_default();
    match service.text("image", report) {
        Some(image) => tags.extend(read_image(&image, report)),
        None => match format!("{project}-{name}").parse() {
            Ok(image) => tags.push(image),
            Err(source) => {
                report.error(place, service.path, Problem::ImageName { name: format!("{project}-{name}"), source });
            }
        },
    }
    for tag in build.texts("tags", report) {
        tags.extend(read_image(&tag, report).filter(|image| !tags.contains(image)));
    }
    tags
}

/// An image's name, if it is one and not one of ours.
fn read_image(text: &Text<'_>, report: &mut Report) -> Option<ImageReference> {
    match text.text.parse::<ImageReference>() {
        Ok(image) if image.is_reserved() => {
            text.error(Problem::ReservedImage { name: text.text.to_owned() }, report);
            None
        }
        Ok(image) => Some(image),
        Err(source) => {
            text.error(Problem::ImageName { name: text.text.to_owned(), source }, report);
            None
        }
    }
}

/// An argument without a value takes the variable of its name, and is absent if there is none.
fn read_args(build: Section<'_>, environment: &Environment, report: &mut Report) -> BTreeMap<String, String> {
    build
        .scalars("args", report)
        .into_iter()
        .filter_map(|(name, value)| {
            let value = value.or_else(|| environment.get(name).map(ToOwned::to_owned))?;
            Some((name.to_owned(), value))
        })
        .collect()
}

fn read_labels(build: Section<'_>, service: &str, project: &str, report: &mut Report) -> BTreeMap<String, String> {
    let written = build.scalars("labels", report);
    let own = [(PROJECT_LABEL, project), (SERVICE_LABEL, service), (VERSION_LABEL, COMPOSE_VERSION)];
    written
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.unwrap_or_default()))
        .chain(own.map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect()
}

/// `build.platforms`, else the service's `platform`, else `DOCKER_DEFAULT_PLATFORM`. Where several are set, the list
/// has to hold the others (`applyPlatforms` and `BuildOptions.Apply` of compose).
fn read_platforms(
    service: Section<'_>,
    build: Section<'_>,
    environment: &Environment,
    report: &mut Report,
) -> Vec<String> {
    let mut platforms: Vec<String> = Vec::new();
    for text in build.texts("platforms", report) {
        if !platforms.iter().any(|known| known == text.text) {
            platforms.push(text.text.to_owned());
        }
    }
    let own = service.text("platform", report);
    let default = environment.get("DOCKER_DEFAULT_PLATFORM").filter(|platform| !platform.is_empty());
    let place = build.map.get("platforms").or_else(|| service.map.get("platform")).map(|node: &Node| &node.place);
    let sources = [
        ("'platform'", own.map(|own| own.text.to_owned())),
        ("DOCKER_DEFAULT_PLATFORM", default.map(ToOwned::to_owned)),
    ];
    for (origin, platform) in sources {
        let Some(platform) = platform else { continue };
        if platforms.is_empty() {
            platforms.push(platform);
        } else if !platforms.contains(&platform)
            && let Some(place) = place
        {
            report.error(place, build.path.child("platforms"), Problem::Platform { platform, origin });
        }
    }
    platforms
}

/// `entitlements`, and what `privileged` stands for.
fn read_entitlements(build: Section<'_>, report: &mut Report) -> Vec<String> {
    let mut entitlements: Vec<String> = Vec::new();
    for text in build.texts("entitlements", report) {
        match text.text {
            "network.host" | "security.insecure" | "device" => entitlements.push(text.text.to_owned()),
            device if device.starts_with("device=") => entitlements.push(device.to_owned()),
            _ => text.invalid("'network.host', 'security.insecure' or 'device'", report),
        }
    }
    if build.boolean("privileged", report) {
        entitlements.push("security.insecure".to_owned());
    }
    entitlements.sort();
    entitlements.dedup();
    entitlements
}

fn read_no_cache(build: Section<'_>, report: &mut Report) -> NoCache {
    let stages = build.text_or_texts("no_cache_filter", report);
    if build.boolean("no_cache", report) {
        NoCache::All
    } else if stages.is_empty() {
        NoCache::Off
    } else {
        NoCache::Stages(stages.iter().map(|stage| stage.text.to_owned()).collect())
    }
}

/// `true`, `false` or attributes as `mode=max`.
fn read_attestation(build: Section<'_>, key: &str, report: &mut Report) -> Option<String> {
    match build.node(key).map(|node| &node.value)? {
        Value::Bool(value) => Some(value.to_string()),
        _ => build.text(key, report).map(|text| text.text.to_owned()),
    }
}

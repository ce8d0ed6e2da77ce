//! Where files come from: the context, the Dockerfile, and named contexts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::fields::{Section, Text, text};
use super::read_image;
use crate::project::compose::errors::{Problem, Report};
use crate::project::compose::paths::{absolute, is_remote_context};
use crate::project::compose::select::undefined_service;
use crate::project::compose::yaml::Map;
use crate::project::target::{Context, Dockerfile, NamedContext};

/// What a build without `dockerfile` reads.
const DEFAULT_DOCKERFILE: &str = "Dockerfile";

/// The main context. A section without one has been given the project's directory; what is no string is reported.
pub(super) fn read_context(build: Section<'_>, report: &mut Report) -> Context {
    let Some(context) = build.text("context", report) else { return Context::Local(PathBuf::new()) };
    if is_remote_context(context.text) {
        return Context::Remote(context.text.to_owned());
    }
    if context.text.starts_with("service:") || context.text.contains("://") {
        let what = format!("context '{}'", context.text);
        let help = "use a directory or a Git or HTTP(S) URL; other sources go into 'additional_contexts'";
        context.error(Problem::Unsupported { what, help }, report);
    }
    Context::Local(PathBuf::from(context.text))
}

/// `dockerfile` is relative to a local context; in a remote one it is BuildKit that looks for it.
pub(super) fn read_dockerfile(build: Section<'_>, context: &Context, report: &mut Report) -> Dockerfile {
    let inline = build.text("dockerfile_inline", report);
    let file = build.text("dockerfile", report);
    if let (Some(inline), Some(_)) = (&inline, &file) {
        inline.error(Problem::Exclusive { first: "dockerfile", second: "dockerfile_inline" }, report);
    }
    if let Some(inline) = inline {
        return Dockerfile::Inline(inline.text.to_owned());
    }
    let file = file.map_or(DEFAULT_DOCKERFILE, |file| file.text);
    match context {
        Context::Local(directory) => Dockerfile::File(absolute(directory, file)),
        Context::Remote(_) => Dockerfile::InContext(file.to_owned()),
    }
}

/// `additional_contexts`.
pub(super) fn read_named_contexts(
    build: Section<'_>,
    services: &Map,
    report: &mut Report,
) -> BTreeMap<String, NamedContext> {
    let path = build.path.child("additional_contexts");
    let mut contexts = BTreeMap::new();
    for (name, node) in build.entries("additional_contexts", report) {
        let Some(source) = text(node, path.child(&name.text), report) else { continue };
        if let Some(context) = read_named_context(&source, services, report) {
            contexts.insert(name.text.clone(), context);
        }
    }
    contexts
}

fn read_named_context(source: &Text<'_>, services: &Map, report: &mut Report) -> Option<NamedContext> {
    if let Some(service) = source.text.strip_prefix("service:") {
        match services.get(service).map(|node| node.as_map().is_some_and(|map| map.get("build").is_some())) {
            Some(true) => return Some(NamedContext::Target(service.to_owned())),
            Some(false) => source.error(Problem::NotBuildable { name: service.to_owned() }, report),
            None => source.error(undefined_service(service, services), report),
        }
        return None;
    }
    if let Some(image) = source.text.strip_prefix("docker-image://") {
        read_image(&Text { text: image, path: source.path.clone(), ..*source }, report)?;
        return Some(NamedContext::Remote(source.text.to_owned()));
    }
    if is_remote_context(source.text) {
        return Some(NamedContext::Remote(source.text.to_owned()));
    }
    if source.text.contains("://") {
        let what = format!("context '{}'", source.text);
        let help = "use a directory, 'docker-image://…', 'service:…', or a Git or HTTP(S) URL";
        source.error(Problem::Unsupported { what, help }, report);
        return None;
    }
    if source.text.is_empty() {
        source.invalid("a directory, 'docker-image://…', 'service:…', or a Git or HTTP(S) URL", report);
        return None;
    }
    Some(NamedContext::Local(PathBuf::from(source.text)))
}

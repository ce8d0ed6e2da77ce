//! Secrets and SSH agents of a build.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Project;
use super::fields::{Section, Text, text, wrong_type};
use crate::project::compose::errors::{Problem, Report};
use crate::project::compose::schema;
use crate::project::compose::yaml::Value;
use crate::project::target::{BuildSecret, SecretSource, SshSource};
use crate::secret::Secret;

/// `build.secrets`; of two with one id the later counts, as in BuildKit.
pub(super) fn read_secrets(build: Section<'_>, project: &Project<'_>, report: &mut Report) -> Vec<BuildSecret> {
    let path = build.path.child("secrets");
    let Some(node) = build.node("secrets") else { return Vec::new() };
    let Value::List(items) = &node.value else {
        report.error(&node.place, path, wrong_type("a list", &node.value));
        return Vec::new();
    };
    let mut secrets: Vec<BuildSecret> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = path.index(index);
        let Value::Map(map) = &item.value else {
            report.error(&item.place, path, wrong_type("a secret's name or a mapping", &item.value));
            continue;
        };
        schema::check_keys(map, &[schema::BUILD_SECRET], &path, report);
        let entry = Section { map, path: &path };
        let Some(source) = entry.text("source", report) else {
            report.error(&item.place, &path, Problem::MissingKey { key: "source" });
            continue;
        };
        if ["uid", "gid", "mode"].iter().any(|key| entry.node(key).is_some()) {
            report.warn(format!(
                "{}: {path}: 'uid', 'gid' and 'mode' have no effect on a build: set them at RUN --mount=type=secret",
                item.place
            ));
        }
        let id = entry.text("target", report).map_or(source.text, |target| target.text).to_owned();
        if let Some(content) = read_content(&source, project, report) {
            secrets.retain(|secret| secret.id != id);
            secrets.push(BuildSecret { id, source: content });
        }
    }
    secrets
}

/// What the top-level `secrets` say of a secret's content.
fn read_content(source: &Text<'_>, project: &Project<'_>, report: &mut Report) -> Option<SecretSource> {
    let Some(node) = project.secrets.get(source.text) else {
        let existing = project.secrets.keys().map(ToOwned::to_owned).collect();
        let problem = Problem::Undefined { kind: "secret", name: source.text.to_owned(), file: None, existing };
        source.error(problem, report);
        return None;
    };
    let map = node.as_map()?;
    let path = crate::project::compose::yaml::KeyPath::of(&["secrets", source.text]);
    let secret = Section { map, path: &path };
    // The deprecated form `external: {name: …}` is external too.
    let external = secret.node("external").is_some_and(|node| node.as_map().is_some())
        || (secret.node("external").is_some() && secret.boolean("external", report));
    if external {
        let what = format!("external secret '{}', which no engine holds outside of a swarm,", source.text);
        source.error(Problem::Unsupported { what, help: "define it with 'file:' or 'environment:'" }, report);
        return None;
    }
    let file = secret.text("file", report);
    let variable = secret.text("environment", report);
    match (file, variable) {
        (Some(file), Some(_)) => {
            file.error(Problem::Exclusive { first: "file", second: "environment" }, report);
            None
        }
        (Some(file), None) => Some(SecretSource::File(PathBuf::from(file.text))),
        (None, Some(variable)) => {
            let value = project.environment.get(variable.text);
            if value.is_none() {
                report.warn(format!("secret '{}' is empty: the variable {} is not set", source.text, variable.text));
            }
            Some(SecretSource::Value(Secret::new(value.unwrap_or_default())))
        }
        (None, None) => {
            report.error(&node.place, &path, Problem::MissingKey { key: "'file' or 'environment'" });
            None
        }
    }
}

/// `build.ssh`: an id with key files or an agent's socket; without one, the agent that `SSH_AUTH_SOCK` names.
pub(super) fn read_ssh(build: Section<'_>, process: &BTreeMap<String, String>, report: &mut Report) -> Vec<SshSource> {
    let path = build.path.child("ssh");
    let mut sources = Vec::new();
    for (id, node) in build.entries("ssh", report) {
        let path = path.child(&id.text);
        let paths = match &node.value {
            Value::Null if id.text != "default" => {
                report.error(&node.place, path, Problem::MissingKey { key: "the path of a key or socket" });
                continue;
            }
            Value::Null => match process.get("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty()) {
                Some(socket) => vec![PathBuf::from(socket)],
                None => {
                    let what = "the SSH agent, as SSH_AUTH_SOCK is not set,".to_owned();
                    let help = "start an agent before this step, or write 'default=path/to/key'";
                    report.error(&node.place, path, Problem::Unsupported { what, help });
                    continue;
                }
            },
            _ => match text(node, path, report) {
                Some(text) => text.text.split(',').map(PathBuf::from).collect(),
                None => continue,
            },
        };
        sources.push(SshSource { id: id.text.clone(), paths });
    }
    sources
}

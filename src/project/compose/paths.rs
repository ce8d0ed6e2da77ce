//! Relative paths: which values are paths, and which only look like one.
//!
//! Facts: compose-go's `paths` package.

use std::path::{Component, Path, PathBuf};

use super::yaml::{Key, Map, Node, Value};

/// Prefixes of what BuildKit fetches by itself (`dockerui/context.go` and compose-go's `isRemoteContext`).
const REMOTE_PREFIXES: &[&str] = &["https://", "http://", "git://", "ssh://", "github.com/", "git@"];

/// Whether a context is a Git reference or an HTTP(S) URL.
pub(super) fn is_remote_context(text: &str) -> bool {
    REMOTE_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}

/// Whether a Compose file is named that is not on this machine (`oci://…`, a Git reference).
pub(super) fn is_remote_file(text: &str) -> bool {
    text.contains("://") || is_remote_context(text)
}

/// `path` from `directory`, without `.` and `..` where that can be told from the text.
pub(super) fn absolute(directory: &Path, path: &str) -> PathBuf {
    let mut result = PathBuf::new();
    for component in directory.join(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                result.pop();
            }
            other => result.push(other),
        }
    }
    result
}

/// Makes the relative paths of a model absolute. Those that are absolute stay, so this may be done again.
pub(super) fn resolve(model: &mut Map, directory: &Path) {
    for (_, service) in map_mut(model.get_mut("services")) {
        let Some(service) = service.as_map_mut() else { continue };
        for (key, value) in map_mut(service.get_mut("extends")) {
            if key.text == "file" {
                rewrite(value, |file| (!is_remote_file(file)).then(|| absolute(directory, file)));
            }
        }
        let Some(build) = service.get_mut("build").and_then(Node::as_map_mut) else { continue };
        if let Some(context) = build.get_mut("context") {
            rewrite(context, |text| context_path(directory, text));
        }
        for (_, context) in map_mut(build.get_mut("additional_contexts")) {
            rewrite(context, |text| context_path(directory, text));
        }
        for (_, keys) in map_mut(build.get_mut("ssh")) {
            if let Value::Text(text) = &mut keys.value {
                let paths = text.split(',').map(|path| absolute(directory, path).to_string_lossy().into_owned());
                *text = paths.collect::<Vec<_>>().join(",");
            }
        }
    }
    for (_, secret) in map_mut(model.get_mut("secrets")) {
        for (key, value) in map_mut(Some(secret)) {
            if key.text == "file" {
                rewrite(value, |file| Some(absolute(directory, file)));
            }
        }
    }
}

/// Gives every `build:` section without a context the directory of its model.
pub(super) fn default_contexts(model: &mut Map, directory: &Path) {
    for (_, service) in map_mut(model.get_mut("services")) {
        let Some(build) = service.as_map_mut().and_then(|service| service.get_mut("build")) else { continue };
        let place = build.place.clone();
        let Some(build) = build.as_map_mut() else { continue };
        if build.get("context").is_none() {
            let context = Value::Text(directory.to_string_lossy().into_owned());
            build.insert(Key { text: "context".to_owned(), place: place.clone() }, Node::new(context, place));
        }
    }
}

fn map_mut(node: Option<&mut Node>) -> impl Iterator<Item = &mut (Key, Node)> {
    node.and_then(Node::as_map_mut).into_iter().flat_map(|map| map.0.iter_mut())
}

fn context_path(directory: &Path, text: &str) -> Option<PathBuf> {
    let is_path = !text.contains("://") && !text.starts_with("service:") && !is_remote_context(text);
    is_path.then(|| absolute(directory, text))
}

/// Replaces a string by the path, if there is one to replace it by. Paths of Compose files are UTF-8, as YAML is.
fn rewrite(node: &mut Node, path: impl FnOnce(&str) -> Option<PathBuf>) {
    if let Value::Text(text) = &mut node.value
        && let Some(path) = path(text)
    {
        *text = path.to_string_lossy().into_owned();
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{absolute, context_path, is_remote_context};

    #[test]
    fn normalises_without_looking() {
        for (path, expected) in
            [("x", "/a/b/x"), (".", "/a/b"), ("./x/", "/a/b/x"), ("../x", "/a/x"), ("/x/../y", "/y"), ("../../..", "/")]
        {
            assert_eq!(absolute(Path::new("/a/b"), path), PathBuf::from(expected), "{path}");
        }
    }

    #[test]
    fn tells_paths_from_addresses() {
        for remote in ["https://x/y.git#main", "git@github.com:a/b", "github.com/a/b", "ssh://h/r", "git://h/r"] {
            assert!(is_remote_context(remote), "{remote}");
        }
        for text in ["docker-image://alpine", "service:base", "https://x", "oci-layout:///x"] {
            assert_eq!(context_path(Path::new("/a"), text), None, "{text}");
        }
        assert_eq!(context_path(Path::new("/a"), "githubcom/x"), Some(PathBuf::from("/a/githubcom/x")));
    }
}

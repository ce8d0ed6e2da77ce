//! An image as it is compared: its files without their times, and its configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::rc::Rc;
use std::sync::Arc;

use crate::support::{Engine, docker, exported};

/// Files by absolute path.
pub(super) type Tree = BTreeMap<String, Entry>;

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) owner: (u64, u64),
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    File(Arc<[u8]>),
    Directory,
    /// A symbolic link and its target.
    Link(String),
}

/// What of an image's configuration a build decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) env: Vec<String>,
    pub(super) cmd: Vec<String>,
    pub(super) entrypoint: Vec<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) workdir: String,
    pub(super) user: String,
    pub(super) ports: BTreeSet<String>,
}

/// An image of an engine.
pub(super) struct Image {
    pub(super) id: String,
    /// Diff ids of its layers, the base image's first.
    pub(super) layers: Vec<String>,
    pub(super) tree: Tree,
    pub(super) config: Config,
}

impl Entry {
    /// Of root.
    pub(super) fn new(kind: Kind, mode: u32) -> Self {
        Self { kind, mode, owner: (0, 0) }
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:o} {}:{} ", self.mode, self.owner.0, self.owner.1)?;
        match &self.kind {
            Kind::File(content) if content.len() < 4096 => {
                write!(formatter, "file {:?}", String::from_utf8_lossy(content))
            }
            Kind::File(content) => write!(formatter, "file of {} bytes", content.len()),
            Kind::Directory => write!(formatter, "directory"),
            Kind::Link(target) => write!(formatter, "link to {target}"),
        }
    }
}

impl Image {
    pub(super) fn read(engine: &Engine, image: &str) -> Self {
        Self::of(engine, &inspect(engine, image))
    }

    fn of(engine: &Engine, inspected: &serde_json::Value) -> Self {
        let id = inspected["Id"].as_str().unwrap();
        Self {
            id: id.to_owned(),
            layers: strings(&inspected["RootFS"]["Layers"]),
            tree: read_tree(&exported(engine, id)),
            config: read_config(&inspected["Config"]),
        }
    }
}

/// Images that were read before and that somebody still holds: an id says what is in an image.
#[derive(Default)]
pub(super) struct Images(BTreeMap<String, Rc<Image>>);

impl Images {
    pub(super) fn read(&mut self, engine: &Engine, image: &str) -> Rc<Image> {
        self.0.retain(|_, image| Rc::strong_count(image) > 1);
        let inspected = inspect(engine, image);
        let id = inspected["Id"].as_str().unwrap().to_owned();
        Rc::clone(self.0.entry(id).or_insert_with(|| Rc::new(Image::of(engine, &inspected))))
    }
}

fn inspect(engine: &Engine, image: &str) -> serde_json::Value {
    let mut inspected: serde_json::Value = serde_json::from_str(&docker(engine, &["image", "inspect", image])).unwrap();
    inspected[0].take()
}

fn strings(value: &serde_json::Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|item| item.as_str().unwrap().to_owned()).collect()
}

fn read_config(config: &serde_json::Value) -> Config {
    let text = |name: &str| config[name].as_str().unwrap_or_default().to_owned();
    let labels = config["Labels"].as_object().into_iter().flatten();
    Config {
        env: strings(&config["Env"]),
        cmd: strings(&config["Cmd"]),
        entrypoint: strings(&config["Entrypoint"]),
        // Compose's own labels are not the Dockerfile's.
        labels: labels
            .filter(|(name, _)| !name.starts_with("com.docker.compose."))
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect(),
        workdir: text("WorkingDir"),
        user: text("User"),
        ports: config["ExposedPorts"].as_object().into_iter().flatten().map(|(port, _)| port.clone()).collect(),
    }
}

/// A file system in a tar, without what an engine puts into every container.
fn read_tree(tar: &[u8]) -> Tree {
    let mut tree = Tree::new();
    for entry in tar::Archive::new(tar).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = format!("/{}", entry.path().unwrap().display().to_string().trim_matches('/'));
        if path == "/" || is_the_engines(&path) {
            continue;
        }
        let target = entry.link_name().unwrap().map(|target| target.display().to_string());
        let kind = match entry.header().entry_type() {
            tar::EntryType::Regular => {
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                Kind::File(content.into())
            }
            tar::EntryType::Directory => Kind::Directory,
            tar::EntryType::Symlink => Kind::Link(target.unwrap()),
            tar::EntryType::Link => tree[&format!("/{}", target.unwrap())].kind.clone(),
            other => panic!("{path}: {other:?}"),
        };
        let header = entry.header();
        let mode = header.mode().unwrap() & 0o7777;
        let owner = (header.uid().unwrap(), header.gid().unwrap());
        tree.insert(path, Entry { kind, mode, owner });
    }
    tree
}

fn is_the_engines(path: &str) -> bool {
    let files = ["/.dockerenv", "/etc/hostname", "/etc/hosts", "/etc/mtab", "/etc/resolv.conf"];
    files.contains(&path) || ["/dev", "/proc", "/sys"].iter().any(|top| path.starts_with(top))
}

/// What is different, a line each.
pub(super) fn differences(expected: (&Tree, &Config), found: &Image) -> Vec<String> {
    let mut lines = Vec::new();
    let paths: BTreeSet<&String> = expected.0.keys().chain(found.tree.keys()).collect();
    for path in paths {
        match (expected.0.get(path), found.tree.get(path)) {
            (Some(expected), None) => lines.push(format!("{path} is missing: {expected:?}")),
            (None, Some(found)) => lines.push(format!("{path} is too much: {found:?}")),
            (Some(expected), Some(found)) if expected != found => {
                lines.push(format!("{path}\n    expected {expected:?}\n    found    {found:?}"));
            }
            _ => {}
        }
    }
    if *expected.1 != found.config {
        lines.push(format!("configuration\n    expected {:?}\n    found    {:?}", expected.1, found.config));
    }
    lines
}

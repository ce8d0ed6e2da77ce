//! What an engine has that has nothing: its base images, and what others left that no prune takes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::image_cache::prune;
use crate::support::{Engine, docker, root};

/// An engine's images, records and layers, when nothing of a test is there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Nothing {
    images: BTreeSet<String>,
    /// Records of the builder.
    records: BTreeSet<String>,
    /// With a graph driver the chains of layers that it knows, by their ids; with the containerd store its snapshots.
    layers: BTreeSet<String>,
}

impl Nothing {
    pub(super) fn on(engine: &Engine) -> Self {
        // The base image is unpacked by whoever uses it first.
        let container = docker(engine, &["create", "busybox:1.36", "none"]);
        docker(engine, &["rm", &container]);
        prune(engine);
        Self::now(engine)
    }

    fn now(engine: &Engine) -> Self {
        let data = root(engine).join("engine/data");
        let layers = if engine.has_containerd_store() {
            "containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots"
        } else {
            "image/overlay2/layerdb/sha256"
        };
        let records = docker(engine, &["builder", "du"]);
        let is_record = |line: &&str| line.split_whitespace().any(|word| word == "true" || word == "false");
        Self {
            images: docker(engine, &["image", "ls", "--all", "--quiet", "--no-trunc"])
                .lines()
                .map(str::to_owned)
                .collect(),
            records: records.lines().filter(is_record).map(|line| line.chars().take(25).collect()).collect(),
            layers: names(&data.join(layers)),
        }
    }

    /// Whether no record of anybody is left.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The engine has this again, and no layer of a cache that is not the base image's. The containerd store removes what
    /// nobody needs a while later.
    #[track_caller]
    pub(super) fn assert_all_there_is(&self, engine: &Engine, cache: &[(String, String)]) {
        let base = docker(engine, &["image", "inspect", "--format", "{{json .RootFS.Layers}}", "busybox:1.36"]);
        let base: BTreeSet<String> = serde_json::from_str(&base).unwrap();
        let of_the_cache = cache.iter().filter(|(_, diff_id)| !base.contains(diff_id));
        let of_the_cache: BTreeSet<&str> = of_the_cache
            .flat_map(|(blob, diff_id)| [blob.as_str(), diff_id])
            .map(|digest| digest.split_at(7).1)
            .collect();
        assert!(!of_the_cache.is_empty());
        let begun = Instant::now();
        loop {
            let (now, blobs) = (Self::now(engine), blobs(engine));
            let left: Vec<&&str> = of_the_cache.iter().filter(|digest| blobs.contains(**digest)).collect();
            if now == *self && left.is_empty() {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{now:#?}\n{self:#?}\n{left:?}");
            std::thread::sleep(Duration::from_millis(200));
            prune(engine);
        }
    }
}

/// The blobs of the containerd store; a graph driver has none.
fn blobs(engine: &Engine) -> BTreeSet<String> {
    let blobs = "engine/data/containerd/daemon/io.containerd.content.v1.content/blobs/sha256";
    if engine.has_containerd_store() { names(&root(engine).join(blobs)) } else { BTreeSet::new() }
}

fn names(directory: &std::path::Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

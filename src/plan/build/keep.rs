//! What follows a build so that its image is a cache for the next: requests of our own, none of which touches the image.

use std::collections::BTreeMap;

use super::{Complete, Facts, ImageCache, Local, LocalSource};
use crate::buildkit::solve::{CacheEntry, Exporter, SolveRequest};
use crate::cache::ledger::{LedgerKey, StageLabel, capture_name};
use crate::cache::records::BaseImage;
use crate::image::RESERVED_NAMESPACE;
use crate::outcome::build::CacheSource;
use crate::project::dockerfile::Dockerfile;
use crate::project::target::Target;

/// The name of the directory with a Dockerfile in which every stage has a name.
const NAMED_DOCKERFILE: &str = "dockerfile-named";

/// What the label of an image that records are captured with has in the place of a stage's name.
const CAPTURE: &str = "capture";

/// How the records of an image are obtained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// The builder writes them to a content store of ours: the containerd image store's way.
    Export {
        /// The name of the store.
        store: String,
    },
    /// They are read out of an image of ours: the graph driver's way, which knows inline records only.
    Inline {
        /// The image.
        reference: String,
    },
}

/// A solve that gives the records of an image.
#[derive(Debug, Clone)]
pub struct Capture {
    /// What to ask for.
    pub request: SolveRequest,
    /// Where the records are then.
    pub method: Method,
}

/// What follows a build.
#[derive(Debug, Clone)]
pub struct Keep {
    /// The ledger that everything is written to.
    pub key: LedgerKey,
    /// The image that the ledger knows: if the build gives it again and has run nothing, nothing follows.
    pub known: Option<String>,
    /// Whether a stage is not there as an image: removed by hand, or not wanted before.
    pub lacks_stages: bool,
    /// The images of the engine that the build stands on: the records are to be found by all of their keys.
    pub bases: Vec<BaseImage>,
    /// The records of the image itself.
    pub final_image: Capture,
    /// The intermediate stages.
    pub stages: Vec<KeptStage>,
}

/// A solve that keeps an intermediate stage as an image of ours.
#[derive(Debug, Clone)]
pub struct KeptStage {
    /// The stage's name.
    pub name: String,
    /// The image.
    pub reference: String,
    /// The solve.
    pub capture: Capture,
}

impl Keep {
    /// Every solve.
    pub fn captures(&self) -> impl Iterator<Item = &Capture> {
        std::iter::once(&self.final_image).chain(self.stages.iter().map(|stage| &stage.capture))
    }
}

/// Which store the engine keeps its images in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store {
    /// The containerd image store.
    Containerd,
    /// A graph driver.
    GraphDriver,
}

/// What follows the build of a target: nothing without a ledger to write.
pub(super) fn plan(
    target: &Target,
    dockerfile: Option<&Dockerfile>,
    request: &SolveRequest,
    cache: &ImageCache,
    facts: &Facts,
) -> Option<Keep> {
    let key = cache.ledger.as_ref()?;
    let store = if facts.containerd_store { Store::Containerd } else { Store::GraphDriver };
    let stages: Vec<KeptStage> = dockerfile
        .filter(|_| cache.stages)
        .map(|dockerfile| target.intermediate_stages(dockerfile))
        .unwrap_or_default()
        .into_iter()
        .map(|intermediate| {
            let name = intermediate.target();
            let mut kept = stage(request, store, &name, &key.stage_name(&name), &StageLabel::new(key, &name));
            if intermediate.name.is_none() {
                let attributes = &mut kept.capture.request.attributes;
                attributes.insert("dockerfilekey".to_owned(), NAMED_DOCKERFILE.to_owned());
            }
            kept
        })
        .collect();
    // A stage whose records a registry has is not made an image of: that would fetch layers that nobody needs.
    let elsewhere = matches!(cache.offered, Some(CacheSource::Registry | CacheSource::Mixed));
    let lacks_stages =
        |complete: &Complete| !elsewhere && stages.iter().any(|stage| !complete.stages.contains(&stage.name));
    Some(Keep {
        key: key.clone(),
        known: cache.complete.as_ref().map(|complete| complete.image_id.clone()),
        lacks_stages: cache.complete.as_ref().is_some_and(lacks_stages),
        bases: cache.bases.clone(),
        final_image: final_image(request, store, &capture_name(), &StageLabel::new(key, CAPTURE)),
        stages,
    })
}

/// The Dockerfile with a name for every stage, for the session to serve: where a stage without one is kept.
pub(super) fn named_dockerfile(
    keep: &Keep,
    dockerfile: Option<&Dockerfile>,
    request: &SolveRequest,
    locals: &[Local],
) -> Option<Local> {
    let is_needed =
        |capture: &Capture| capture.request.attributes.get("dockerfilekey").is_some_and(|key| key == NAMED_DOCKERFILE);
    let dockerfile = dockerfile.filter(|_| keep.captures().any(is_needed))?;
    let directory = locals.iter().find_map(|local| match &local.source {
        LocalSource::Dockerfile { directory, .. } => Some(directory.clone()),
        LocalSource::Directory(_) | LocalSource::Inline { .. } | LocalSource::Named { .. } => None,
    });
    let name = request.attributes.get("filename").cloned().unwrap_or_default();
    let source = LocalSource::Named { directory, name, content: dockerfile.with_named_stages() };
    Some(Local { name: NAMED_DOCKERFILE.to_owned(), source })
}

/// The records of the image that `build` made. `temporary` is the name of an image that may have to be made for it.
fn final_image(build: &SolveRequest, store: Store, temporary: &str, label: &StageLabel) -> Capture {
    let mut request = internal(build);
    match store {
        // Layers are named by the digests that they have in the image only if they are compressed in the same way.
        Store::Containerd => {
            let compression = build.exporter.as_ref().and_then(|exporter| exporter.attributes.get("compression"));
            let store = "records".to_owned();
            let cache_exports = vec![export(&store, compression.map_or("gzip", String::as_str))];
            Capture { request: SolveRequest { cache_exports, ..request }, method: Method::Export { store } }
        }
        Store::GraphDriver => {
            make_ours(&mut request, label);
            Capture {
                request: SolveRequest {
                    exporter: Some(image(temporary, BTreeMap::new())),
                    cache_exports: vec![inline()],
                    ..request
                },
                method: Method::Inline { reference: temporary.to_owned() },
            }
        }
    }
}

/// Labels what it makes as an image of ours. The labels of the person's image would let it pass for that.
fn make_ours(request: &mut SolveRequest, label: &StageLabel) {
    request.attributes.retain(|key, _| !key.starts_with("label:"));
    request.attributes.insert(format!("label:{}", StageLabel::NAME), label.encode());
    request.attributes.insert(format!("label:{RESERVED_NAMESPACE}"), "stage".to_owned());
}

/// Keeps the stage `name` as the image `reference`, which carries `label`.
fn stage(build: &SolveRequest, store: Store, name: &str, reference: &str, label: &StageLabel) -> KeptStage {
    let mut request = internal(build);
    make_ours(&mut request, label);
    request.attributes.insert("target".to_owned(), name.to_owned());
    let capture = match store {
        // Its layers need not be unpacked: nobody runs it, and a step that needs its files unpacks what it needs.
        Store::Containerd => {
            let store = format!("records-{name}");
            let attributes = [("compression", "uncompressed"), ("unpack", "false")];
            let attributes = attributes.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
            let exporter = Some(image(reference, attributes));
            let cache_exports = vec![export(&store, "uncompressed")];
            Capture { request: SolveRequest { exporter, cache_exports, ..request }, method: Method::Export { store } }
        }
        Store::GraphDriver => Capture {
            request: SolveRequest {
                exporter: Some(image(reference, BTreeMap::new())),
                cache_exports: vec![inline()],
                ..request
            },
            method: Method::Inline { reference: reference.to_owned() },
        },
    };
    KeptStage { name: name.to_owned(), reference: reference.to_owned(), capture }
}

/// The build once more, for us alone: everything from the cache it has just filled.
///
/// Base images are looked for where the build has looked for them. With `pull` that is their registry: an image that the
/// engine has under the name may be another one, and nothing would be cached upon it.
pub(super) fn internal(build: &SolveRequest) -> SolveRequest {
    let mut attributes = build.attributes.clone();
    attributes.retain(|key, _| key != "no-cache" && !key.starts_with("attest:"));
    SolveRequest {
        attributes,
        exporter: None,
        // Nobody else has anything to say about what was built a moment ago.
        cache_imports: Vec::new(),
        cache_exports: Vec::new(),
        internal: true,
        ..build.clone()
    }
}

fn image(reference: &str, attributes: BTreeMap<String, String>) -> Exporter {
    let mut attributes = attributes;
    attributes.insert("name".to_owned(), format!("docker.io/{reference}"));
    Exporter { kind: "moby".to_owned(), attributes }
}

fn inline() -> CacheEntry {
    CacheEntry { kind: "inline".to_owned(), attributes: BTreeMap::new() }
}

/// `mode=min`: the records of the image's own layers, which the image keeps alive; those of others would lead nowhere.
fn export(store: &str, compression: &str) -> CacheEntry {
    let attributes = [
        ("dest", store),
        ("mode", "min"),
        ("image-manifest", "false"),
        ("oci-mediatypes", "true"),
        ("compression", compression),
    ];
    CacheEntry {
        kind: "local".to_owned(),
        attributes: attributes.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
    }
}

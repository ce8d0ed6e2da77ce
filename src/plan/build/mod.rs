//! The plan of a build: which images, in which order, by which builder, with which request.

mod attributes;
pub mod cache_to;
mod classic;
mod error;
pub mod keep;
mod order;
pub mod push;
mod sources;

pub use error::PlanError;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::buildkit::solve::SolveRequest;
use crate::cache::ledger::LedgerKey;
use crate::cache::records::{BaseImage, Offer};
use crate::image::ImageReference;
use crate::inputs::Compression;
use crate::outcome::build::{CacheSource, UnusedSource};
use crate::project::dockerfile::Dockerfile;
use crate::project::target::Target;
use keep::Keep;
use push::Push;

/// What a plan has to know of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Whether images live in the containerd image store (else in a graph driver).
    pub containerd_store: bool,
    /// Whether the BuildKit of this engine knows named contexts: Docker 23.0 (API 1.42) and newer do.
    pub named_contexts: bool,
    /// Whether the BuildKit of this engine obeys `shm-size` and `ulimit`: Docker 23.0 (API 1.42) and newer do.
    pub run_limits: bool,
    /// The address that `host-gateway` stands for, if the engine told it.
    pub host_gateway: Option<String>,
    /// Where images go.
    pub destination: Destination,
}

/// Where a built image goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// Into the image store of the engine that builds it.
    Store,
    /// From a remote builder into the engine, as an archive. What the engine has, the builder does not see.
    Archive,
}

/// What the image cache has for one target.
#[derive(Debug, Clone, Default)]
pub struct ImageCache {
    /// Records of previous images whose layers are in the engine. All targets of a run share them: the builder makes one
    /// graph of what is built at the same time, and a step that two targets share must not depend on who comes first.
    pub offer: Option<Arc<Offer>>,
    /// Where those records come from.
    pub offered: Option<CacheSource>,
    /// The tag of a registry that this run writes the cache to.
    pub cache_to: Option<ImageReference>,
    /// The ledger that this run writes; nothing is kept without one.
    pub ledger: Option<LedgerKey>,
    /// What that ledger holds, if the image is in the engine.
    pub complete: Option<Complete>,
    /// Whether intermediate stages are kept.
    pub stages: bool,
    /// Sources that cannot be used.
    pub unused: Vec<UnusedSource>,
    /// The images of the engine that the build stands on.
    pub bases: Vec<BaseImage>,
}

/// A ledger whose image is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complete {
    /// The id of the image.
    pub image_id: String,
    /// The stages of it that are there as well.
    pub stages: BTreeSet<String>,
}

/// Which builder is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builder {
    /// BuildKit, inside the engine.
    BuildKit,
    /// The engine's classic builder.
    Classic,
}

/// What is wanted of all targets alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The builder.
    pub builder: Builder,
    /// Layer compression.
    pub compression: Compression,
    /// Whether images are pushed.
    pub push: bool,
    /// Distinguishes directories of different repositories that have the same path inside a container.
    pub key: String,
}

/// What will be built.
#[derive(Debug, Clone)]
pub struct BuildPlan {
    /// One entry for each target, in the targets' order.
    pub builds: Vec<PlannedBuild>,
    /// What a person should know before it begins.
    pub warnings: Vec<String>,
}

/// One image to build.
#[derive(Debug, Clone)]
pub struct PlannedBuild {
    /// What it is.
    pub target: Target,
    /// How it is asked for.
    pub how: How,
    /// Cache sources that are not asked for, because they cannot serve on this engine.
    pub unused_sources: Vec<UnusedSource>,
    /// Where hits come from that the builder did not have itself; nothing where it is offered nothing.
    pub offered: Option<CacheSource>,
    /// Records of previous images, for the builder to find their layers by.
    pub offer: Option<Arc<Offer>>,
    /// What follows the build, so that its image is a cache for the next one.
    pub keep: Option<Keep>,
    /// What follows it so that its cache is in a registry.
    pub cache_to: Option<cache_to::CacheTo>,
    /// What is pushed once every image is built.
    pub push: Option<Push>,
    /// Indexes of the builds that must be done before.
    pub after: Vec<usize>,
    /// Indexes of the builds that have to end before, whatever becomes of them: see [`order::turns`].
    pub turn_after: Vec<usize>,
}

/// How an image is asked for.
#[derive(Debug, Clone)]
pub enum How {
    /// By a BuildKit solve.
    BuildKit {
        /// The request.
        request: Box<SolveRequest>,
        /// The directories that the session serves.
        locals: Vec<Local>,
        /// The session's shared key.
        shared_key: String,
    },
    /// By the classic builder.
    Classic,
}

/// A directory that the session serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// The name by which BuildKit asks for it: `context`, `dockerfile`, or a named context's.
    pub name: String,
    /// What it holds.
    pub source: LocalSource,
}

/// What a served directory holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalSource {
    /// A directory of this machine.
    Directory(PathBuf),
    /// A Dockerfile of this machine, and the ignore file beside it: nothing else of their directory is shown.
    Dockerfile {
        /// The directory.
        directory: PathBuf,
        /// The Dockerfile's name.
        name: String,
    },
    /// A Dockerfile in which every stage has a name, and the ignore file of the original.
    Named {
        /// The directory of the original, if it is a file.
        directory: Option<PathBuf>,
        /// The Dockerfile's name.
        name: String,
        /// Its text.
        content: String,
    },
    /// One file, from memory.
    Inline {
        /// Its name.
        name: String,
        /// Its content.
        content: String,
    },
}

/// Makes the plan. `dockerfiles` and `caches` are those of the targets, in their order, as far as they are known.
pub fn plan(
    targets: &[Target],
    dockerfiles: &[Option<Dockerfile>],
    caches: Vec<ImageCache>,
    wanted: &Wanted,
    facts: &Facts,
) -> Result<BuildPlan, Vec<PlanError>> {
    let mut errors = Vec::new();
    let mut warnings = Vec::new();
    let order = order::dependencies(targets).unwrap_or_else(|error| {
        errors.push(error);
        Vec::new()
    });
    let turns = order::turns(targets, &order, |index| caches.get(index).is_some_and(|cache| cache.offer.is_some()));
    let mut caches = caches.into_iter();
    let mut builds = Vec::with_capacity(targets.len());
    for (index, target) in targets.iter().enumerate() {
        let cache = caches.next().unwrap_or_default();
        let how = match wanted.builder {
            Builder::BuildKit => attributes::request(target, targets, wanted, facts, &mut warnings),
            Builder::Classic => classic::check(target).map(|()| How::Classic).map_err(|error| vec![error]),
        };
        match how {
            Ok(mut how) => {
                let keep = match &mut how {
                    How::BuildKit { request, locals, .. } => {
                        let dockerfile = dockerfiles.get(index).and_then(Option::as_ref);
                        let keep = keep::plan(target, dockerfile, request, &cache, facts);
                        let named =
                            keep.as_ref().and_then(|keep| keep::named_dockerfile(keep, dockerfile, request, locals));
                        locals.extend(named);
                        keep
                    }
                    How::Classic => None,
                };
                let cache_to = match &how {
                    How::BuildKit { request, .. } => cache_to::plan(cache.cache_to.as_ref(), request, facts),
                    How::Classic => None,
                };
                let push = push::plan(target, &how, wanted, facts, &mut warnings);
                builds.push(PlannedBuild {
                    target: target.clone(),
                    how,
                    unused_sources: cache.unused,
                    offered: sources::origin(target, cache.offered.filter(|_| cache.offer.is_some())),
                    offer: cache.offer,
                    keep,
                    cache_to,
                    push,
                    after: order.get(index).cloned().unwrap_or_default(),
                    turn_after: turns.get(index).cloned().unwrap_or_default(),
                });
            }
            Err(problems) => errors.extend(problems),
        }
    }
    if errors.is_empty() {
        errors.extend(push::check(builds.iter().map(|build| build.push.as_ref()), wanted).err());
    }
    if errors.is_empty() { Ok(BuildPlan { builds, warnings }) } else { Err(errors) }
}

impl fmt::Display for BuildPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for build in &self.builds {
            let target = &build.target;
            let tags: Vec<String> = target.tags.iter().map(ToString::to_string).collect();
            write!(f, "build {}", target.name)?;
            if !tags.is_empty() {
                write!(f, " as {}", tags.join(", "))?;
            }
            if let Some(stage) = &target.stage {
                write!(f, ", stage {stage}")?;
            }
            if !target.after.is_empty() {
                write!(f, ", after {}", target.after.join(", "))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

//! The plan of a build: which images, in which order, by which builder, with which request.

mod attributes;
mod classic;
mod error;
mod order;
mod sources;

pub use error::PlanError;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use crate::buildkit::solve::SolveRequest;
use crate::image::ImageReference;
use crate::inputs::Compression;
use crate::outcome::build::{CacheSource, UnusedSource};
use crate::project::target::Target;

/// What a plan has to know of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Whether images live in the containerd image store (else in a graph driver).
    pub containerd_store: bool,
    /// Whether the BuildKit of this engine knows named contexts: Docker 23.0 (API 1.42) and newer do.
    pub named_contexts: bool,
    /// Whether the BuildKit of this engine obeys `shm-size` and `ulimit`: Docker 23.0 (API 1.42) and newer do.
    pub run_limits: bool,
    /// Those of the cache sources that are images of this engine.
    pub local_sources: BTreeSet<ImageReference>,
    /// The address that `host-gateway` stands for, if the engine told it.
    pub host_gateway: Option<String>,
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
    /// Indexes of the builds that must be done before.
    pub after: Vec<usize>,
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
    /// One file, from memory.
    Inline {
        /// Its name.
        name: String,
        /// Its content.
        content: String,
    },
}

/// Makes the plan.
pub fn plan(targets: &[Target], wanted: &Wanted, facts: &Facts) -> Result<BuildPlan, Vec<PlanError>> {
    let mut errors = Vec::new();
    let mut warnings = Vec::new();
    let order = order::dependencies(targets).unwrap_or_else(|error| {
        errors.push(error);
        Vec::new()
    });
    let mut builds = Vec::with_capacity(targets.len());
    for (index, target) in targets.iter().enumerate() {
        let how = match wanted.builder {
            Builder::BuildKit => attributes::request(target, targets, wanted, facts, &mut warnings),
            Builder::Classic => classic::check(target).map(|()| How::Classic).map_err(|error| vec![error]),
        };
        match how {
            Ok(how) => {
                let after = order.get(index).cloned().unwrap_or_default();
                let unused_sources = sources::unused(target, wanted.builder, facts);
                let offered = sources::origin(target, facts);
                builds.push(PlannedBuild { target: target.clone(), how, unused_sources, offered, after });
            }
            Err(problems) => errors.extend(problems),
        }
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

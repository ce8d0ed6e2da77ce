//! The action's inputs: raw strings become one typed value here, and end here.
//!
//! [`table`] declares every input; [`RawInputs`] holds what was given, by the runner's variables or by the flags that [`cli`]
//! reads; [`parse`] understands it and reports every problem at once.

mod age;
mod builder;
mod clear;
pub mod cli;
mod docker_config;
mod entries;
mod error;
mod list;
mod outputs;
mod parse;
mod raw;
mod reader;
mod secrets;
mod selector;
mod size;
mod slower;
mod source;
pub mod table;

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::address::Address;
use crate::image::ImageReference;
use crate::image::pattern::Pattern;
use crate::outcome::baseline::SlowerThan;
use crate::plan::clear::actions_cache::CacheSelector;
use crate::project::target::{BuildSecret, CacheOption, CacheSource, NamedContext, NoCache, SshSource};
use crate::secret::Secret;

pub use builder::BuilderError;
pub use docker_config::{DockerConfigError, RegistryAuth, RegistryCredential, Unusable, UnusableLogin};
pub use error::{InputError, Problem};
pub use outputs::Output;
pub use parse::parse;
pub use raw::{Origin, RawInputs};
pub use selector::RemoteSelector;
pub use source::{ClearSource, Source};

/// What a run was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inputs {
    /// `mode: build`.
    Build(Box<BuildInputs>),
    /// `mode: clear`.
    Clear(Box<ClearInputs>),
}

impl Inputs {
    /// What both modes have.
    pub fn common(&self) -> &Common {
        match self {
            Self::Build(build) => &build.common,
            Self::Clear(clear) => &clear.common,
        }
    }
}

/// What both modes have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Common {
    /// Which builder to use.
    pub builder: BuilderChoice,
    /// Where to report.
    pub report: Report,
    /// The token for GitHub's API.
    pub github_token: Option<Secret>,
}

/// The inputs of `mode: build`. Paths are absolute, values from the environment are filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildInputs {
    /// What to build.
    pub source: Source,
    /// Build arguments for every image; those of the environment that are not set there are left out.
    pub build_args: BTreeMap<String, String>,
    /// Image labels.
    pub labels: BTreeMap<String, String>,
    /// OCI annotations: the key as written, with its type prefix if it has one, and the value.
    pub annotations: Vec<(String, String)>,
    /// Named contexts.
    pub build_contexts: BTreeMap<String, NamedContext>,
    /// Secrets of `secrets`, `secret-files` and `secret-envs`, in this order.
    pub secrets: Vec<BuildSecret>,
    /// SSH agents and keys.
    pub ssh: Vec<SshSource>,
    /// Platforms, as `os/arch[/variant]`; empty means the engine's own.
    pub platforms: Vec<String>,
    /// `default`, `none`, `host`; for the classic builder also a network's name.
    pub network: Option<String>,
    /// Extra hosts: name and address, which may be `host-gateway`.
    pub add_hosts: Vec<(String, String)>,
    /// Size of `/dev/shm` in bytes.
    pub shm_size: Option<u64>,
    /// Resource limits, as `name=soft[:hard]`.
    pub ulimits: Vec<String>,
    /// Entitlements.
    pub allow: Vec<String>,
    /// Whether base images are looked up in their registry although the engine has them.
    pub pull: bool,
    /// Which steps are not taken from a cache.
    pub no_cache: NoCache,
    /// Provenance attestation, as written.
    pub provenance: Option<String>,
    /// SBOM attestation, as written.
    pub sbom: Option<String>,
    /// Whether images are pushed once all are built.
    pub push: bool,
    /// Cache sources; empty means Compose's own, else the first tag.
    pub cache_from: Vec<CacheSource>,
    /// Where the cache is kept in a registry.
    pub cache_to: Option<ImageReference>,
    /// Cache exports in BuildKit's own terms; empty means Compose's own.
    pub cache_exports: Vec<CacheOption>,
    /// Identity of the image cache, instead of the one that follows from the tag.
    pub cache_key: Option<String>,
    /// How old a record of the image cache may be.
    pub cache_max_age: Option<TimeDelta>,
    /// Whether intermediate stages are kept as images.
    pub cache_stages: bool,
    /// Whether images are removed that earlier builds left without a name.
    pub remove_superseded: bool,
    /// The build argument that carries the commit.
    pub commit_arg: String,
    /// The commit; the head commit of the run if absent.
    pub commit: Option<String>,
    /// Whether the first build after a clear fails if it takes any step from a cache.
    pub fail_if_stale: bool,
    /// How layers are compressed.
    pub compression: Compression,
    /// How much slower than the baseline the build may be.
    pub fail_if_slower: Option<SlowerThan>,
    /// Logins at registries: for base images, for caches, and for pushing.
    pub registry_auth: RegistryAuth,
    /// What both modes have.
    pub common: Common,
}

/// The inputs of `mode: clear`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearInputs {
    /// Where the images of the project follow from, if `images` is empty.
    pub source: ClearSource,
    /// Patterns of the images to remove.
    pub images: Vec<Pattern>,
    /// What to remove elsewhere, as far as its place is in scope.
    pub remote: Vec<RemoteSelector>,
    /// Which caches to clear.
    pub scope: ClearScope,
    /// Where builds keep the cache in a registry.
    pub cache_to: Option<ImageReference>,
    /// Patterns of images that are never removed.
    pub keep: Vec<Pattern>,
    /// Actions caches that are never removed.
    pub keep_caches: Vec<CacheSelector>,
    /// Whether to remove nothing and say what would go.
    pub dry_run: bool,
    /// Credentials for registries.
    pub registry_auth: RegistryAuth,
    /// What both modes have.
    pub common: Common,
}

/// The caches that a clear may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClearScope {
    /// Images of the engine, with the stage images and ledgers of the image cache.
    pub images: bool,
    /// The engine's builder cache, all of it: it is the engine's, not the project's.
    pub builder: bool,
    /// The other builders of the engine, and the volumes that such builders left.
    pub builders: bool,
    /// Cache tags in registries.
    pub registry: bool,
    /// Versions of GitHub packages.
    pub packages: bool,
    /// Caches of GitHub Actions.
    pub actions_cache: bool,
}

impl ClearScope {
    /// Whether anything in it is on the engine.
    pub fn is_on_engine(self) -> bool {
        self.images || self.builder || self.builders
    }

    /// Whether anything in it is elsewhere.
    pub fn is_elsewhere(self) -> bool {
        self.registry || self.packages || self.actions_cache
    }
}

/// Which builder to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuilderChoice {
    /// BuildKit where the engine has it, else the classic builder.
    Auto,
    /// The engine's BuildKit.
    BuildKit,
    /// The classic builder.
    Classic,
    /// A BuildKit daemon at an address, with or without TLS.
    Remote(Address),
}

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Gzip for an image whose name has a registry's host, none for one that stays local.
    Auto,
    /// Not at all.
    Uncompressed,
    /// Gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// Where to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The step summary.
    pub summary: bool,
    /// A check run on the head commit, for builds in a job.
    pub check: bool,
    /// One comment of the pull request.
    pub comment: bool,
    /// Annotations for failed steps and for advice.
    pub annotations: bool,
}

impl Report {
    /// Whether failed steps are annotated at their lines: wherever a check run says that something failed, as a reviewer
    /// expects of it.
    pub const fn failures(self) -> bool {
        self.annotations || self.check
    }
}

#[cfg(test)]
mod tests;

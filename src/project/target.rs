//! One image to build, with everything BuildKit needs to know about it.
//!
//! A [`Target`] is made from the inputs and the Compose files and is the same whichever of them described it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::dockerfile::IntermediateStage;
use crate::image::ImageReference;
use crate::secret::Secret;

/// One image to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The Compose service's name, or the first tag, or `image`: what messages and reports call it.
    pub name: String,
    /// Names given to the image, the first one first. May be empty (`context` without `tags`).
    pub tags: Vec<ImageReference>,
    /// Whether the first name is Compose's own (`project-service`), which nobody gave it: it is not pushed.
    pub default_name: bool,
    /// The main build context.
    pub context: Context,
    /// The Dockerfile.
    pub dockerfile: Dockerfile,
    /// The stage to build; the last one if absent.
    pub stage: Option<String>,
    /// Build arguments with their values, already resolved. Values never appear in names, logs or reports.
    pub build_args: BTreeMap<String, String>,
    /// Image labels.
    pub labels: BTreeMap<String, String>,
    /// OCI annotations: `(key as written, with its type prefix if any, value)`.
    pub annotations: Vec<(String, String)>,
    /// Named contexts (`additional_contexts`, `build-contexts`).
    pub named_contexts: BTreeMap<String, NamedContext>,
    /// Images and other sources to use as cache, in order.
    pub cache_from: Vec<CacheSource>,
    /// Where to export cache to, passed to BuildKit as written: `(type, attributes)`.
    pub cache_to: Vec<CacheOption>,
    /// Secrets offered to `RUN --mount=type=secret`.
    pub secrets: Vec<BuildSecret>,
    /// SSH agents and keys offered to `RUN --mount=type=ssh`.
    pub ssh: Vec<SshSource>,
    /// Platforms in `os/arch[/variant]` form; empty means the engine's own.
    pub platforms: Vec<String>,
    /// Network mode of `RUN` steps (`default`, `none`, `host`).
    pub network: Option<String>,
    /// Extra hosts, `(host, address)`; the address may be `host-gateway`.
    pub extra_hosts: Vec<(String, String)>,
    /// Size of `/dev/shm` in bytes.
    pub shm_size: Option<u64>,
    /// Ulimits in `name=soft[:hard]` form.
    pub ulimits: Vec<String>,
    /// Entitlements (`network.host`, `security.insecure`, `device`).
    pub entitlements: Vec<String>,
    /// Whether base images are looked up in their registry even if the engine has them.
    pub pull: bool,
    /// Which steps must not come from a cache.
    pub no_cache: NoCache,
    /// Provenance attestation, in the attribute syntax of `--attest` (`mode=max`, `true`, `false`); none if absent.
    pub provenance: Option<String>,
    /// SBOM attestation, likewise.
    pub sbom: Option<String>,
    /// Names of the targets that must be built before this one.
    pub after: Vec<String>,
}

impl Target {
    /// Whether the steps of both are the same, as far as both need them: the same context and Dockerfile.
    pub fn has_sources_of(&self, other: &Self) -> bool {
        self.context == other.context && self.dockerfile == other.dockerfile
    }

    /// The stages of its Dockerfile that it copies from and does not build on.
    pub fn intermediate_stages(&self, parsed: &super::dockerfile::Dockerfile) -> Vec<IntermediateStage> {
        let contexts = self.named_contexts.keys().cloned().collect();
        parsed.intermediate_stages(self.stage.as_deref(), &self.build_args, &contexts)
    }

    /// A target of which nothing but its sources is known.
    pub fn new(name: impl Into<String>, context: Context, dockerfile: Dockerfile) -> Self {
        Self {
            name: name.into(),
            tags: Vec::new(),
            default_name: false,
            context,
            dockerfile,
            stage: None,
            build_args: BTreeMap::new(),
            labels: BTreeMap::new(),
            annotations: Vec::new(),
            named_contexts: BTreeMap::new(),
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            secrets: Vec::new(),
            ssh: Vec::new(),
            platforms: Vec::new(),
            network: None,
            extra_hosts: Vec::new(),
            shm_size: None,
            ulimits: Vec::new(),
            entitlements: Vec::new(),
            pull: false,
            no_cache: NoCache::Off,
            provenance: None,
            sbom: None,
            after: Vec::new(),
        }
    }
}

/// Where a build context comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Context {
    /// A directory of this machine, absolute.
    Local(PathBuf),
    /// A Git or HTTP(S) URL, fetched by BuildKit itself.
    Remote(String),
}

/// Where the Dockerfile comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dockerfile {
    /// A file of this machine, absolute.
    File(PathBuf),
    /// Its text, from Compose's `dockerfile_inline`.
    Inline(String),
    /// A path inside a remote context.
    InContext(String),
}

/// Where a named context comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    /// A directory of this machine, absolute.
    Local(PathBuf),
    /// What BuildKit reads by itself: `docker-image://…`, a Git or HTTP(S) URL.
    Remote(String),
    /// The image that another target of this run builds.
    Target(String),
}

/// One entry of `cache_from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheSource {
    /// An image, local or in a registry.
    Image(ImageReference),
    /// `type=…,…`: passed to BuildKit as it is.
    BuildKit(CacheOption),
}

/// A cache import or export in BuildKit's own terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheOption {
    /// `registry`, `gha`, `local`, `s3`, …
    pub kind: String,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
}

/// One secret of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildSecret {
    /// The id that the Dockerfile names.
    pub id: String,
    /// Its content.
    pub source: SecretSource,
}

/// Where a secret's content comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The value itself.
    Value(Secret),
    /// A file of this machine, absolute; read when BuildKit asks for it.
    File(PathBuf),
}

/// One SSH agent or set of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshSource {
    /// The id that the Dockerfile names; `default` if none was given.
    pub id: String,
    /// The agent's socket or private key files, absolute.
    pub paths: Vec<PathBuf>,
}

/// Which steps must not come from a cache.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NoCache {
    /// Every step may.
    #[default]
    Off,
    /// None may.
    All,
    /// Those of the named stages may not.
    Stages(Vec<String>),
}

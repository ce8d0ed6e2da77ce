//! The manifests of a package, read from its registry.

use super::Run;
use super::github::registry_of;
use super::registry::login;
use crate::error::chain;
use crate::image::ImageReference;
use crate::inputs::ClearInputs;
use crate::plan::clear::packages::{Manifest, Package};
use crate::registry::{Login, Registry, RegistryError, Repository};

/// Reads manifests of one package.
pub(super) struct Manifests {
    registry: Result<Registry, RegistryError>,
    repository: Option<Repository>,
}

impl Manifests {
    /// Logs in with what `registry-auth` has for the registry, else with the job's token, which no registry gets but the one
    /// of the GitHub that gave it.
    pub(super) fn new(run: &Run, inputs: &ClearInputs, registry: &str, package: &Package) -> Self {
        let is_own = registry == registry_of(run);
        let login = match login(inputs, registry) {
            Some(given) => Some(given),
            None => inputs.common.github_token.as_ref().filter(|_| is_own).map(|token| Login {
                // Any name will do.
                user: run.environment.non_empty("GITHUB_ACTOR").unwrap_or("token").to_owned(),
                password: token.clone(),
            }),
        };
        let reference = format!("{registry}/{package}").parse::<ImageReference>().ok();
        Self { registry: Registry::new(registry, login), repository: reference.as_ref().map(Repository::of) }
    }

    /// Reads one by its digest. Why it cannot be read is a phrase for a person.
    pub(super) async fn read(&self, digest: &str) -> Result<Manifest, String> {
        let repository = self.repository.as_ref().ok_or("its name is none that a registry knows")?;
        let registry = self.registry.as_ref().map_err(|error| chain(error))?;
        let manifest = registry.manifest(repository, digest).await.map_err(|error| chain(&error))?;
        let manifest = manifest.ok_or("the registry does not have it")?;
        Manifest::parse(&manifest.bytes).ok_or_else(|| "it is not a manifest".to_owned())
    }
}

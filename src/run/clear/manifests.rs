//! The manifests of a package, read from its registry.

use super::Run;
use super::github::registry_of;
use crate::github::manifests::{ManifestError, Repository};
use crate::inputs::ClearInputs;
use crate::plan::clear::packages::{Manifest, Package};
use crate::registry::Login;

/// Reads manifests of one package.
pub(super) struct Manifests {
    repository: Result<Repository, ManifestError>,
}

impl Manifests {
    /// Logs in with what `registry-auth` has for the registry, else with the job's token, which no registry gets but the one
    /// of the GitHub that gave it.
    pub(super) fn new(run: &Run, inputs: &ClearInputs, registry: &str, package: &Package) -> Self {
        let given = inputs.registry_auth.iter().find(|credential| credential.host == registry);
        let is_own = registry == registry_of(run);
        let login = match given {
            Some(given) => Some(Login { user: given.user.clone(), password: given.password.clone() }),
            None => inputs.common.github_token.as_ref().filter(|_| is_own).map(|token| Login {
                // Any name will do.
                user: run.environment.non_empty("GITHUB_ACTOR").unwrap_or("token").to_owned(),
                password: token.clone(),
            }),
        };
        Self { repository: Repository::new(registry, &package.to_string(), login) }
    }

    pub(super) async fn read(&self, digest: &str) -> Result<Manifest, String> {
        let repository = self.repository.as_ref().map_err(ToString::to_string)?;
        let bytes = repository.read(digest).await.map_err(|error| error.to_string())?;
        Manifest::parse(&bytes).ok_or_else(|| "it is not a manifest".to_owned())
    }
}

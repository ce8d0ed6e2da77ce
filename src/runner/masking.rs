//! Every secret of the inputs, told to the runner before anything else is printed.

use crate::inputs::{Common, Inputs, RegistryCredential};
use crate::project::target::SecretSource;
use crate::runner::Console;
use crate::secret::Secret;

/// Every secret value that the inputs hold. Secrets in files are read only when the builder asks for them, and are not here.
pub fn secrets(inputs: &Inputs) -> Vec<&Secret> {
    let (common, build) = match inputs {
        Inputs::Build(build) => (&build.common, Some(build)),
        Inputs::Clear(clear) => (&clear.common, None),
    };
    let Common { github_token, .. } = common;
    let mut secrets: Vec<_> = github_token.iter().collect();
    if let Some(build) = build {
        secrets.extend(build.registry_auth.iter().map(|RegistryCredential { password, .. }| password));
        secrets.extend(build.secrets.iter().filter_map(|secret| match &secret.source {
            SecretSource::Value(value) => Some(value),
            SecretSource::File(_) => None,
        }));
    }
    secrets
}

/// Masks them all on the runner. To be called before anything is printed.
pub fn mask(console: &Console, inputs: &Inputs) {
    for secret in secrets(inputs) {
        console.mask(secret);
    }
}

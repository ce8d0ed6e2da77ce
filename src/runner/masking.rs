//! Every secret of the inputs, told to the runner before anything else is printed.

use crate::address::{Address, Tls};
use crate::inputs::{BuilderChoice, Common, Inputs, RegistryCredential};
use crate::project::target::SecretSource;
use crate::runner::Console;
use crate::secret::Secret;

/// Every secret value that the inputs hold. Secrets in files are read only when the builder asks for them, and are not here.
pub fn secrets(inputs: &Inputs) -> Vec<&Secret> {
    let (common, registry_auth, build) = match inputs {
        Inputs::Build(build) => (&build.common, &build.registry_auth, Some(build)),
        Inputs::Clear(clear) => (&clear.common, &clear.registry_auth, None),
    };
    let Common { github_token, builder, .. } = common;
    let mut secrets: Vec<_> = github_token.iter().collect();
    if let BuilderChoice::Remote(Address::Tcp { tls: Some(Tls::Texts(texts)), .. }) = builder {
        secrets.push(&texts.key);
    }
    secrets.extend(registry_auth.iter().map(|RegistryCredential { password, .. }| password));
    if let Some(build) = build {
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

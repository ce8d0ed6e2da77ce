//! Logins that a `config.json` names and that cannot be used here: said where one is needed, and only there.

use crate::inputs::RegistryAuth;
use crate::outcome::build::ImageResult;
use crate::outcome::push::Cause;
use crate::plan::build::BuildPlan;
use crate::run::Run;
use crate::runner::ExitCode;

/// Refuses a push that could not log in, before anything is built for it.
pub(super) fn check(run: &Run, auth: &RegistryAuth, plan: &BuildPlan) -> Result<(), ExitCode> {
    let tags = plan.builds.iter().flat_map(|build| &build.push).flat_map(|push| &push.tags);
    let missing = auth.missing(tags.map(|tag| tag.tag.host()));
    missing.iter().for_each(|login| run.explain(&login.to_string(), &login.help()));
    if missing.is_empty() { Ok(()) } else { Err(ExitCode::BadInputs) }
}

/// Says it of images that could not be pulled without. Before, nobody knows whether a base image is public.
pub(super) fn explain<'a>(auth: &RegistryAuth, results: impl IntoIterator<Item = &'a mut ImageResult>) {
    for result in results {
        let ImageResult::Failed(failure) = result else { continue };
        // A process that ran into it had logins of its own.
        if failure.exit_code.is_some() || Cause::of(&failure.message) != Some(Cause::Login) {
            continue;
        }
        let named = auth.unusable.iter().find(|login| failure.message.contains(&login.host));
        failure.help = named.map(|login| format!("{login}; {}", login.help())).or(failure.help.take());
    }
}

#[cfg(test)]
mod tests {
    use super::explain;
    use crate::inputs::{RegistryAuth, Unusable, UnusableLogin};
    use crate::outcome::build::{Failure, ImageResult};

    fn helped(message: &str) -> Option<String> {
        let why = Unusable::Helper { key: "credsStore", program: "docker-credential-desktop".to_owned() };
        let unusable = vec![UnusableLogin { host: "ghcr.io".to_owned(), file: Some("c.json".to_owned()), why }];
        let mut result = ImageResult::Failed(Failure {
            message: message.to_owned(),
            step: None,
            exit_code: None,
            log_tail: vec![],
            location: None,
            help: Some("as before".to_owned()),
        });
        explain(&RegistryAuth { logins: vec![], unusable }, [&mut result]);
        let ImageResult::Failed(failure) = result else { unreachable!() };
        failure.help
    }

    #[test]
    fn the_helper_is_to_blame_for_its_own_registry_alone() {
        let denied = helped("ghcr.io/org/base:1: failed to authorize: 401 Unauthorized").unwrap();
        assert!(denied.contains("`c.json`") && denied.contains("docker-credential-desktop"), "{denied}");
        for other in ["r.io/org/base:1: 401 Unauthorized", "ghcr.io/org/base:1: connection refused"] {
            assert_eq!(helped(other).as_deref(), Some("as before"), "{other}");
        }
    }
}

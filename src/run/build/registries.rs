//! What a person can do about a cache that a registry did not give or take: said once, whatever it is about.

use super::Prepared;
use crate::engine::Engine;
use crate::execute::build::Built;
use crate::image::ImageReference;
use crate::inputs::{BuildInputs, RegistryAuth};
use crate::outcome::push::Cause;
use crate::plan::build::ImageCache;
use crate::registry::{ASKS_FOR_LOGIN, TAKES_NO_LOGIN, is_loopback};
use crate::run::Run;

/// Caches that are not where the next runner looks for them, and what to do about it, if that was not said before.
pub(super) async fn unwritten(run: &Run, inputs: &BuildInputs, prepared: &Prepared, built: &[Built]) -> Vec<String> {
    let references = prepared.plan.builds.iter().map(|build| Some(&build.cache_to.as_ref()?.reference));
    let unwritten = references.zip(built).filter_map(|(reference, built)| {
        let because = built.without_cache_to.as_deref()?;
        Some((reference?, built.outcome.name.as_str(), because))
    });
    let unwritten: Vec<_> = unwritten.collect();
    let references = unwritten.iter().map(|(reference, ..)| *reference);
    let ways = Ways::find(run, &inputs.registry_auth, &prepared.engine, references).await;
    let mut out = ways.out(unwritten.iter().map(|(reference, _, because)| (*reference, *because)));
    out.retain(|way_out| !prepared.project.warnings.contains(way_out));
    unwritten.iter().map(|(_, name, because)| format!("{name}: {because}")).chain(out).collect()
}

/// What can be done about cache sources that could not be used.
pub(super) async fn ways_to_sources(
    run: &Run,
    inputs: &BuildInputs,
    engine: &Engine,
    caches: &[ImageCache],
) -> Vec<String> {
    let unused = caches.iter().flat_map(|cache| &cache.unused);
    let unused = unused.filter_map(|unused| Some((unused.source.parse().ok()?, unused.reason.as_str())));
    let unused: Vec<(ImageReference, &str)> = unused.collect();
    let references = unused.iter().map(|(reference, _)| reference);
    let ways = Ways::find(run, &inputs.registry_auth, engine, references).await;
    ways.out(unused.iter().map(|(reference, reason)| (reference, *reason)))
}

/// What is known of the way to registries.
#[derive(Debug, Clone, Copy)]
struct Ways<'a> {
    auth: &'a RegistryAuth,
    /// Whether this program runs in a container of the engine, where `localhost` is not the engine's.
    in_container: bool,
}

impl<'a> Ways<'a> {
    /// Asks the engine, if a registry is one whose place depends on who looks for it.
    async fn find(
        run: &Run,
        auth: &'a RegistryAuth,
        engine: &Engine,
        references: impl IntoIterator<Item = &ImageReference>,
    ) -> Self {
        let matters = run.context.on_runner && references.into_iter().any(|reference| is_loopback(reference.host()));
        let in_container = matters && matches!(engine.own_container().await, Ok(Some(_)));
        Self { auth, in_container }
    }

    /// What to do where caches at these references were not read or written for these reasons, each thing once.
    fn out<'b>(&self, failed: impl IntoIterator<Item = (&'b ImageReference, &'b str)>) -> Vec<String> {
        let mut said = Vec::new();
        for (reference, reason) in failed {
            let way_out = self.way_out(reference.host(), reason);
            said.extend(way_out.filter(|way_out| !said.contains(way_out)));
        }
        said
    }

    fn way_out(&self, host: &str, reason: &str) -> Option<String> {
        let is_out_of_reach =
            Cause::of(reason) == Some(Cause::Unreachable) || reason.contains(&format!("reach {host}"));
        if is_out_of_reach && self.in_container && is_loopback(host) {
            return Some(format!(
                "{host} is two places: to the engine its own machine, to this action its container. For a cache use a registry that \
                 both know by the same name, with TLS: one of the job's `services:` is none"
            ));
        }
        let is_login = Cause::of(reason) == Some(Cause::Login)
            || [ASKS_FOR_LOGIN, TAKES_NO_LOGIN].iter().any(|text| reason.contains(text));
        if !is_login {
            return None;
        }
        if let Some(login) = self.auth.missing([host]).first() {
            return Some(format!("{login}; {}", login.help()));
        }
        Some(if self.auth.iter().any(|login| login.host == host) {
            format!("check the login for {host} in `registry-auth`, and what its user may read and write there")
        } else {
            format!(
                "give `registry-auth` a line `{host} USER PASSWORD`: a container action does not see `docker login`"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Ways;
    use crate::inputs::{RegistryAuth, RegistryCredential, Unusable, UnusableLogin};
    use crate::secret::Secret;

    /// What is said of this reason at these references.
    fn said(references: &[&str], reason: &str, in_container: bool) -> String {
        let why = Unusable::Helper { key: "credHelpers", program: "docker-credential-ecr-login".to_owned() };
        let unusable = UnusableLogin { host: "kept.io".to_owned(), file: Some("ci/config.json".to_owned()), why };
        let login = RegistryCredential {
            host: "given.io".to_owned(),
            user: "user".to_owned(),
            password: Secret::new("word".to_owned()),
        };
        let auth = RegistryAuth { logins: vec![login], unusable: vec![unusable] };
        let references: Vec<_> = references.iter().map(|text| text.parse().unwrap()).collect();
        let ways = Ways { auth: &auth, in_container };
        ways.out(references.iter().map(|reference| (reference, reason))).join("\n")
    }

    #[test]
    fn a_login_that_is_missing_is_named_once_with_its_helper_its_file_and_the_way_out() {
        let asks = "log in at kept.io: it asks for a login";
        insta::assert_snapshot!(said(&["kept.io/a:1", "kept.io/b:1"], asks, true), @"registry-auth: there is no login for kept.io that can be used: `ci/config.json` keeps it in the helper `docker-credential-ecr-login` (`credHelpers`), which this action does not have; write a line `kept.io USER PASSWORD` in `registry-auth` instead, with the password from a secret; or name a `config.json` whose entry has `auth`, as `docker login` writes it where no helper is configured");
        let engine = "push its layers: push: no basic auth credentials";
        insta::assert_snapshot!(said(&["other.io/a:1"], engine, true), @"give `registry-auth` a line `other.io USER PASSWORD`: a container action does not see `docker login`");
        let refused = "log in at given.io: it does not accept the login";
        insta::assert_snapshot!(said(&["given.io/a:1"], refused, true), @"check the login for given.io in `registry-auth`, and what its user may read and write there");
        assert_eq!(said(&["kept.io/a:1"], "there is no such tag", true), "");
    }

    #[test]
    fn a_registry_at_localhost_is_two_places_for_a_container() {
        let reason = "reach localhost:5000: connection refused";
        insta::assert_snapshot!(said(&["localhost:5000/a:1"], reason, true), @"localhost:5000 is two places: to the engine its own machine, to this action its container. For a cache use a registry that both know by the same name, with TLS: one of the job's `services:` is none");
        assert_eq!(
            (said(&["localhost:5000/a:1"], reason, false), said(&["given.io/a:1"], reason, true)),
            Default::default()
        );
    }
}

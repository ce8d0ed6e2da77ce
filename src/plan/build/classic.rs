//! What the classic builder cannot do.

use super::PlanError;
use super::attributes::attestation;
use crate::project::target::{CacheSource, Context, NoCache, Target};

const HELP: &str = "leave `builder` at `auto`, so that BuildKit builds it";

/// Refuses what the classic builder would ignore in silence or fail at.
pub(super) fn check(target: &Target) -> Result<(), PlanError> {
    let foreign_cache = target.cache_from.iter().any(|source| matches!(source, CacheSource::BuildKit(_)));
    let asked = [
        ("secrets", !target.secrets.is_empty()),
        ("ssh", !target.ssh.is_empty()),
        ("build-contexts", !target.named_contexts.is_empty()),
        ("allow", !target.entitlements.is_empty()),
        ("annotations", !target.annotations.is_empty()),
        ("provenance", target.provenance.as_deref().and_then(attestation).is_some()),
        ("sbom", target.sbom.as_deref().and_then(attestation).is_some()),
        ("cache-to", !target.cache_to.is_empty()),
        ("cache-from with type=…", foreign_cache),
        ("no-cache-filters", matches!(target.no_cache, NoCache::Stages(_))),
        ("several platforms", target.platforms.len() > 1),
        ("a remote context", matches!(target.context, Context::Remote(_))),
    ];
    match asked.into_iter().find(|(_, asked)| *asked) {
        None => Ok(()),
        Some((what, _)) => Err(PlanError::Unsupported {
            target: target.name.clone(),
            what,
            why: "is not known to the classic builder".to_owned(),
            help: HELP,
        }),
    }
}

//! Which cache sources can serve on an engine.

use super::{Builder, Facts};
use crate::outcome::build::{CacheSource as Origin, UnusedSource};
use crate::project::target::{CacheSource, Target};

/// Sources that BuildKit is asked to import.
///
/// With the containerd image store BuildKit's importer looks for an image in its registry only, never in the engine
/// (docker/desktop-feedback#603): asking for a local one would cost a request to a registry that has nothing to do with
/// it, at every build, for nothing.
pub(super) fn served<'a>(target: &'a Target, facts: &'a Facts) -> impl Iterator<Item = &'a CacheSource> {
    target.cache_from.iter().filter(|source| !is_out_of_reach(source, facts))
}

/// The others, with the reason.
pub(super) fn unused(target: &Target, builder: Builder, facts: &Facts) -> Vec<UnusedSource> {
    let unused = |source: &CacheSource| match source {
        CacheSource::Image(reference) if is_out_of_reach(source, facts) => Some(UnusedSource {
            source: reference.to_string(),
            reason: "BuildKit does not look at images of this engine: it has the containerd image store".to_owned(),
        }),
        CacheSource::Image(_) | CacheSource::BuildKit(_) => None,
    };
    match builder {
        Builder::BuildKit => target.cache_from.iter().filter_map(unused).collect(),
        Builder::Classic => Vec::new(),
    }
}

/// Where hits of these imports come from; nothing if there are none.
pub(super) fn origin(target: &Target, facts: &Facts) -> Option<Origin> {
    let origin = |source: &CacheSource| match source {
        CacheSource::Image(reference) if facts.local_sources.contains(reference) => Origin::Image,
        CacheSource::BuildKit(option) if option.kind == "local" => Origin::Image,
        CacheSource::Image(_) | CacheSource::BuildKit(_) => Origin::Registry,
    };
    served(target, facts).map(origin).reduce(|one, other| if one == other { one } else { Origin::Mixed })
}

fn is_out_of_reach(source: &CacheSource, facts: &Facts) -> bool {
    match source {
        CacheSource::Image(reference) => {
            // A name with a host is in that registry as well, most likely, where it can be read.
            facts.containerd_store && facts.local_sources.contains(reference) && !reference.names_registry()
        }
        CacheSource::BuildKit(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use super::{Builder, Facts, Origin, origin, served, unused};
    use crate::project::target::{CacheSource, Context, Dockerfile, Target};

    #[test]
    fn local_images_serve_where_the_importer_looks_at_them() {
        let image = |text: &str| CacheSource::Image(text.parse().unwrap());
        let context = Context::Local(PathBuf::from("/w"));
        let target = Target {
            cache_from: vec![image("app"), image("absent"), image("ghcr.io/org/app")],
            ..Target::new("app", context, Dockerfile::InContext("Dockerfile".to_owned()))
        };
        let local_sources: BTreeSet<_> = ["app", "ghcr.io/org/app"].map(|text| text.parse().unwrap()).into();
        let facts = |containerd_store| Facts {
            containerd_store,
            named_contexts: true,
            run_limits: true,
            local_sources: local_sources.clone(),
            host_gateway: None,
        };
        assert_eq!(served(&target, &facts(false)).count(), 3);
        assert_eq!(served(&target, &facts(true)).cloned().collect::<Vec<_>>(), target.cache_from[1..]);
        assert_eq!(unused(&target, Builder::BuildKit, &facts(true))[0].source, "app:latest");
        assert!(unused(&target, Builder::BuildKit, &facts(false)).is_empty());
        assert!(unused(&target, Builder::Classic, &facts(true)).is_empty());
        assert_eq!(origin(&target, &facts(false)), Some(Origin::Mixed));
        assert_eq!(
            origin(&Target { cache_from: vec![image("app")], ..target.clone() }, &facts(false)),
            Some(Origin::Image)
        );
        assert_eq!(origin(&Target { cache_from: vec![image("app")], ..target.clone() }, &facts(true)), None);
        assert_eq!(
            origin(&Target { cache_from: vec![image("absent")], ..target }, &facts(true)),
            Some(Origin::Registry)
        );
    }
}

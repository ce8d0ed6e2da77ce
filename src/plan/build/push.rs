//! What is pushed after the build, and how: each image store has its own way.

use super::keep::internal;
use super::{Destination, Facts, How, PlanError, Wanted};
use crate::buildkit::solve::SolveRequest;
use crate::image::ImageReference;
use crate::project::target::Target;

/// The push of one image.
#[derive(Debug, Clone)]
pub struct Push {
    /// The tags, in the order in which they are pushed.
    pub tags: Vec<PushedTag>,
}

/// The push of one tag.
#[derive(Debug, Clone)]
pub struct PushedTag {
    /// The tag.
    pub tag: ImageReference,
    /// How it goes to its registry.
    pub by: PushedBy,
}

/// How an image goes to its registry.
#[derive(Debug, Clone)]
pub enum PushedBy {
    /// BuildKit pushes what it exports: the build once more, all of it from the cache. A solve of its own, so that a push
    /// that fails leaves the image as it was built.
    Solve(Box<SolveRequest>),
    /// The engine pushes what is in its image store: where the exporter ignores `push`, as the graph driver's does, and where
    /// another export would be another image ([`differs_by_export`]). What a remote builder made is loaded into the engine.
    Engine,
}

/// What is pushed of a target: nothing if it is not to be, or has no name that a person gave it.
pub(super) fn plan(
    target: &Target,
    how: &How,
    wanted: &Wanted,
    facts: &Facts,
    warnings: &mut Vec<String>,
) -> Option<Push> {
    if !is_wanted(target, wanted) {
        if wanted.push && target.default_name {
            warnings.push(format!("{}: it is not pushed, because the service has no `image:`", target.name));
        }
        return None;
    }
    let by = |tag: &ImageReference| match how {
        How::BuildKit { request, .. }
            if facts.containerd_store && facts.destination == Destination::Store && !differs_by_export(request) =>
        {
            PushedBy::Solve(Box::new(pushing(request, tag)))
        }
        How::BuildKit { .. } | How::Classic => PushedBy::Engine,
    };
    Some(Push { tags: target.tags.iter().map(|tag| PushedTag { tag: tag.clone(), by: by(tag) }).collect() })
}

/// Whether it is pushed. A service without `image:` is not, whatever `build.tags` says: Compose leaves it out as well
/// (`pkg/compose/build_bake.go`).
pub(super) fn is_wanted(target: &Target, wanted: &Wanted) -> bool {
    wanted.push && !target.default_name && !target.tags.is_empty()
}

/// Something that has a name must be left to push.
pub(super) fn check<'a>(pushes: impl IntoIterator<Item = Option<&'a Push>>, wanted: &Wanted) -> Result<(), PlanError> {
    if wanted.push && pushes.into_iter().flatten().next().is_none() { Err(PlanError::NothingToPush) } else { Ok(()) }
}

/// Whether a second export of the same steps is another image: an attestation says when it was made, and inline cache
/// records are those of the solve (moby/buildkit#2274: a solve that finds everything cached may have none).
fn differs_by_export(request: &SolveRequest) -> bool {
    request.attributes.keys().any(|key| key.starts_with("attest:"))
        || request.cache_exports.iter().any(|export| export.kind == "inline")
}

fn pushing(build: &SolveRequest, tag: &ImageReference) -> SolveRequest {
    let exporter = build.exporter.clone().map(|mut exporter| {
        exporter.attributes.insert("name".to_owned(), tag.canonical());
        exporter.attributes.insert("push".to_owned(), "true".to_owned());
        exporter
    });
    SolveRequest { exporter, ..internal(build) }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::slice;

    use super::super::{BuildPlan, Builder, Destination, Facts, PlanError, Wanted, plan};
    use super::PushedBy;
    use crate::inputs::Compression;
    use crate::project::target::{Context, Dockerfile, Target};

    fn planned(targets: &[Target], builder: Builder, containerd_store: bool) -> Result<BuildPlan, Vec<PlanError>> {
        planned_for(targets, builder, containerd_store, Destination::Store)
    }

    fn planned_for(
        targets: &[Target],
        builder: Builder,
        containerd_store: bool,
        destination: Destination,
    ) -> Result<BuildPlan, Vec<PlanError>> {
        let wanted = Wanted { builder, compression: Compression::Auto, push: true, key: "org/repo".to_owned() };
        let facts = Facts { containerd_store, named_contexts: true, run_limits: true, host_gateway: None, destination };
        plan(targets, &[], Vec::new(), &wanted, &facts)
    }

    fn target(tags: &[&str]) -> Target {
        let tags = tags.iter().map(|tag| tag.parse().unwrap()).collect();
        let context = Context::Local(PathBuf::from("/w"));
        Target { tags, ..Target::new("app", context, Dockerfile::File(PathBuf::from("/w/Dockerfile"))) }
    }

    /// The tags that are pushed, each with the exporter of its solve if it is one.
    fn pushed(plan: &BuildPlan) -> Vec<(String, Option<(String, String)>)> {
        let tags = plan.builds.iter().flat_map(|build| &build.push).flat_map(|push| &push.tags);
        let by = |by: &PushedBy| match by {
            PushedBy::Engine => None,
            PushedBy::Solve(request) => {
                assert!(request.internal);
                let attributes = &request.exporter.as_ref().unwrap().attributes;
                Some((attributes["name"].clone(), attributes["push"].clone()))
            }
        };
        tags.map(|tag| (tag.tag.to_string(), by(&tag.by))).collect()
    }

    #[test]
    fn each_tag_has_a_solve_of_its_own_where_the_exporter_pushes() {
        let app = target(&["r.io/app:1", "org/app"]);
        let solve = |name: &str| Some((name.to_owned(), "true".to_owned()));
        assert_eq!(
            pushed(&planned(slice::from_ref(&app), Builder::BuildKit, true).unwrap()),
            [
                ("r.io/app:1".to_owned(), solve("r.io/app:1")),
                ("org/app:latest".to_owned(), solve("docker.io/org/app:latest"))
            ]
        );
        let by_engine = [("r.io/app:1".to_owned(), None), ("org/app:latest".to_owned(), None)];
        assert_eq!(pushed(&planned(slice::from_ref(&app), Builder::BuildKit, false).unwrap()), by_engine);
        assert_eq!(pushed(&planned(slice::from_ref(&app), Builder::Classic, true).unwrap()), by_engine);
        let remote = planned_for(slice::from_ref(&app), Builder::BuildKit, true, Destination::Archive);
        assert_eq!(pushed(&remote.unwrap()), by_engine);
        let attested = Target { provenance: Some("mode=max".to_owned()), ..app.clone() };
        let inline = std::iter::once(("BUILDKIT_INLINE_CACHE".to_owned(), "1".to_owned()));
        let inline = Target { build_args: inline.collect(), ..app };
        for differs in [attested, inline] {
            assert_eq!(pushed(&planned(&[differs], Builder::BuildKit, true).unwrap()), by_engine);
        }
    }

    #[test]
    fn what_nobody_gave_a_name_is_left_out_and_said() {
        let service =
            |name: &str, tags: &[&str], default_name| Target { name: name.to_owned(), default_name, ..target(tags) };
        let (web, db) = (service("web", &["r.io/web"], false), service("db", &["project-db", "r.io/db"], true));
        let plan = planned(&[web, db.clone()], Builder::BuildKit, false).unwrap();
        assert_eq!(pushed(&plan), [("r.io/web:latest".to_owned(), None)]);
        assert_eq!(plan.warnings, ["db: it is not pushed, because the service has no `image:`"]);
        for nothing in [vec![db], vec![target(&[])]] {
            assert_eq!(planned(&nothing, Builder::BuildKit, true).unwrap_err(), [PlanError::NothingToPush]);
        }
    }
}

//! Marks that clears left: what they say of each build, and which of them it takes away.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;

use crate::engine::{Engine, EngineError, FoundTombstone, Mark};
use crate::error::chain;
use crate::image::ImageReference;
use crate::outcome::build::ClearMark;
use crate::project::target::Target;

/// What was found when the run began.
pub(super) struct Marks {
    /// The mark for each build.
    pub(super) of_builds: Vec<Option<ClearMark>>,
    /// Ids of the marks by repository. One that is left later is none of these.
    found: BTreeMap<String, String>,
}

/// What there is for a repository.
type Found = BTreeMap<String, Result<Option<FoundTombstone>, EngineError>>;

impl Marks {
    /// Looks for the marks of every repository that a build has a tag in. Where nobody knows whether there is one, there is:
    /// what a build is not offered costs time, and what it wrongly takes is stale. Then there is a warning.
    pub(super) async fn read(targets: &[Target], engine: &Engine) -> (Self, Vec<String>) {
        let repositories: BTreeSet<String> = targets.iter().flat_map(|target| repositories(&target.tags)).collect();
        let looked_up = repositories.into_iter().map(|repository| async {
            let found = engine.tombstone(&repository).await;
            (repository, found)
        });
        let found: Found = join_all(looked_up).await.into_iter().collect();
        let failures = found.values().filter_map(|found| found.as_ref().err());
        let warnings =
            failures.map(|error| format!("{}; so nothing is taken from previous images", chain(error))).collect();
        let marks = Self::new(targets.iter().map(|target| target.tags.as_slice()), found);
        (marks, warnings)
    }

    fn new<'a>(tags: impl IntoIterator<Item = &'a [ImageReference]>, found: Found) -> Self {
        let of_builds = tags.into_iter().map(|tags| {
            let marks = repositories(tags).filter_map(|repository| match found.get(&repository)? {
                Ok(found) => found.as_ref().map(|found| mark(&found.mark)),
                Err(_) => Some(UNKNOWN),
            });
            marks.max_by_key(|mark| mark.cleared_at)
        });
        let of_builds = of_builds.collect();
        let known = found.into_iter().filter_map(|(repository, found)| Some((repository, found.ok()??.id)));
        Self { of_builds, found: known.collect() }
    }

    /// The ids of the marks that the first build that succeeds takes away: every image of the repository was built. `builds`
    /// are the tags of each, and whether it was.
    pub(super) fn spent<'a>(&self, builds: impl IntoIterator<Item = (&'a [ImageReference], bool)>) -> BTreeSet<&str> {
        let mut built: BTreeMap<String, bool> = BTreeMap::new();
        for (tags, is_built) in builds {
            for repository in repositories(tags) {
                *built.entry(repository).or_insert(true) &= is_built;
            }
        }
        let spent = built.iter().filter(|(_, built)| **built);
        spent.filter_map(|(repository, _)| self.found.get(repository).map(String::as_str)).collect()
    }
}

/// That it was cleared is certain, or to be taken for it; when, and by whom, nobody can say.
const UNKNOWN: ClearMark = ClearMark { cleared_at: None, run_url: None, builder_cleared: false };

fn mark(found: &Mark) -> ClearMark {
    match found {
        Mark::Known(tombstone) => ClearMark {
            cleared_at: Some(tombstone.cleared_at),
            run_url: tombstone.run_url.clone(),
            builder_cleared: tombstone.builder_cleared,
        },
        Mark::Unknown => UNKNOWN,
    }
}

fn repositories(tags: &[ImageReference]) -> impl Iterator<Item = String> {
    tags.iter().map(ImageReference::repository)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::DateTime;

    use super::{Found, FoundTombstone, ImageReference, Mark, Marks};
    use crate::engine::{EngineError, Tombstone};

    fn tags(texts: &[&str]) -> Vec<ImageReference> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn found(id: &str, at: i64) -> Result<Option<FoundTombstone>, EngineError> {
        let cleared_at = DateTime::from_timestamp(at, 0).unwrap();
        let tombstone = Tombstone { repository: id.into(), cleared_at, run_url: None, builder_cleared: true };
        Ok(Some(FoundTombstone { id: id.into(), mark: Mark::Known(tombstone) }))
    }

    #[test]
    fn every_repository_of_an_image_counts() {
        let builds = [tags(&["app:1", "ghcr.io/org/app:1"]), tags(&["web", "app:web"]), tags(&["free"]), tags(&[])];
        let builds = || builds.iter().map(Vec::as_slice);
        let failed = EngineError::Refused { action: "look".into(), status: 500, message: "no".into() };
        let all: Found = BTreeMap::from([
            ("app".to_owned(), found("a", 10)),
            ("ghcr.io/org/app".to_owned(), found("g", 20)),
            ("web".to_owned(), Err(failed)),
            ("free".to_owned(), Ok(None)),
        ]);
        let marks = Marks::new(builds(), all);
        let at = |index: usize| marks.of_builds[index].as_ref().map(|mark| mark.cleared_at.map(|at| at.timestamp()));
        // The newest one; one that is known before one that is not; where nobody knows, there may be one.
        assert_eq!([at(0), at(1), at(2), at(3)], [Some(Some(20)), Some(Some(10)), None, None]);

        let spent = |built: [bool; 4]| marks.spent(builds().zip(built)).into_iter().collect::<Vec<_>>();
        assert_eq!(spent([true; 4]), ["a", "g"]);
        // Of `app` one image is missing.
        assert_eq!(spent([true, false, true, true]), ["g"]);
        assert_eq!(spent([false, true, true, true]), [""; 0]);
    }

    #[test]
    fn where_the_engine_does_not_tell_there_is_one() {
        let app = tags(&["app"]);
        let failed = EngineError::Refused { action: "look".into(), status: 500, message: "no".into() };
        let marks = Marks::new([app.as_slice()], BTreeMap::from([("app".to_owned(), Err(failed))]));
        assert!(marks.of_builds[0].as_ref().is_some_and(|mark| mark.cleared_at.is_none()));
        assert!(marks.spent([(app.as_slice(), true)]).is_empty(), "what was not seen is not taken away");
    }
}

//! The marks that a clear leaves for the next builds.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};

use super::Clear;
use crate::engine::{Engine, Mark, Tombstone};
use crate::error::chain;
use crate::plan::clear::ClearRequest;

/// So many are written at once.
const AT_ONCE: usize = 4;

/// The marks of one clear.
pub(super) struct Marks<'a> {
    engine: &'a Engine,
    request: &'a ClearRequest,
    run_url: Option<String>,
    repositories: &'a BTreeSet<String>,
    /// Repositories that an earlier clear marked.
    marked_before: BTreeSet<String>,
    /// Ids of marks that had a name when we looked: one without is nobody's.
    named: BTreeSet<String>,
    /// Ids of what stands where we left a mark, by repository, and whether it is ours and not another clear's.
    left: BTreeMap<String, (String, bool)>,
}

impl<'a> Marks<'a> {
    pub(super) fn new<S, P>(clear: &Clear<'a, S, P>) -> Self {
        let repositories = &clear.plan.tombstones;
        let names: BTreeMap<String, &String> =
            repositories.iter().map(|repository| (Tombstone::name_for(repository), repository)).collect();
        let (mut marked_before, mut named) = (BTreeSet::new(), BTreeSet::new());
        for image in &clear.survey.images {
            for repository in image.tags.iter().filter_map(|tag| names.get(tag)) {
                marked_before.insert((*repository).clone());
                named.insert(image.id.clone());
            }
        }
        Self {
            engine: clear.engine,
            request: clear.request,
            run_url: clear.run_url.clone(),
            repositories,
            marked_before,
            named,
            left: BTreeMap::new(),
        }
    }

    /// Leaves a mark for every repository; what could not be left is said.
    pub(super) async fn leave(&mut self, builder_cleared: bool) -> Vec<String> {
        self.leave_for(self.repositories.clone(), builder_cleared).await
    }

    /// After a clear that was cut short: marks for what it has begun with, and none for what it has not, unless there was one
    /// before.
    pub(super) async fn leave_what_is_true(&mut self, begun: &BTreeSet<String>) -> Vec<String> {
        let missing = self.repositories.intersection(begun).filter(|it| !self.left.contains_key(*it)).cloned();
        let problems = self.leave_for(missing.collect(), false).await;
        for (repository, (id, is_ours)) in &self.left {
            if *is_ours && !begun.contains(repository) && !self.marked_before.contains(repository) {
                // One too many costs hits, and does no harm.
                let _ = self.engine.remove_tombstone(id).await;
            }
        }
        problems
    }

    async fn leave_for(&mut self, repositories: BTreeSet<String>, builder_cleared: bool) -> Vec<String> {
        if repositories.is_empty() {
            return Vec::new();
        }
        let engine = self.engine;
        let marks = repositories.into_iter().map(|repository| Tombstone {
            repository,
            cleared_at: self.request.now,
            run_url: self.run_url.clone(),
            builder_cleared,
        });
        let marks: Vec<Tombstone> = marks.collect();
        let writing = marks.iter().map(async |mark| (mark, engine.write_tombstone(mark).await));
        let mut writing = stream::iter(writing).buffer_unordered(AT_ONCE);
        let mut problems = Vec::new();
        while let Some((mark, written)) = writing.next().await {
            match written {
                Ok(found) => {
                    self.named.insert(found.id.clone());
                    let is_ours = found.mark == Mark::Known(mark.clone());
                    self.left.insert(mark.repository.clone(), (found.id, is_ours));
                }
                Err(error) => problems.push(chain(&error)),
            }
        }
        // What stays without a name takes a kilobyte, until the next clear.
        if let Err(error) = engine.remove_nameless_tombstones(&self.named).await {
            tracing::debug!(error = chain(&error), "marks without a name stay");
        }
        problems
    }
}

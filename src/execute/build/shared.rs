//! Steps that several images of a run share: who ran them, and who found them done.

use std::collections::BTreeSet;

use crate::outcome::build::{CacheSource, ImageOutcome, ImageResult, StepStatus};
use crate::outcome::critical::Relations;
use crate::plan::build::BuildPlan;
use crate::project::target::Target;

/// Says the truth about steps that are the same in several images of one run.
///
/// BuildKit runs such a step once. Whoever comes second is told that it is cached, or nothing at all. It was not cached:
/// this run has run it. And what a built image was told nothing of is done all the same: it is what the others say of it,
/// or came from a cache with everything that follows it.
pub(super) fn attribute(outcomes: &mut [&mut ImageOutcome], plan: &BuildPlan) {
    let groups = groups(plan);
    let group = |index: usize| groups.get(index).copied().unwrap_or(index);
    let mut ran: BTreeSet<(usize, String)> = BTreeSet::new();
    for (index, outcome) in outcomes.iter().enumerate() {
        let group = group(index);
        let executed = outcome.steps.iter().filter(|step| !step.cached && step.status == StepStatus::Done);
        ran.extend(executed.map(|step| (group, step.name.clone())));
    }
    for (index, outcome) in outcomes.iter_mut().enumerate() {
        let group = group(index);
        let built = matches!(outcome.result, ImageResult::Built { .. });
        let source = outcome.steps.iter().map(|step| step.source).find(|source| *source != CacheSource::None);
        for step in &mut outcome.steps {
            let ran_here = ran.contains(&(group, step.name.clone()));
            if built && step.status == StepStatus::NotRun {
                step.status = StepStatus::Done;
                step.cached = !ran_here;
                step.source = if ran_here { CacheSource::None } else { source.unwrap_or(CacheSource::Builder) };
            } else if ran_here && step.cached {
                step.cached = false;
                step.source = CacheSource::None;
            }
        }
    }
}

/// What the images of a plan have to do with each other.
pub(super) fn relations(plan: &BuildPlan) -> Relations {
    let after = plan.builds.iter().map(|build| build.after.iter().chain(&build.turn_after).copied().collect());
    Relations { after: after.collect(), group: groups(plan) }
}

/// The group of every image.
fn groups(plan: &BuildPlan) -> Vec<usize> {
    let targets: Vec<&Target> = plan.builds.iter().map(|build| &build.target).collect();
    (0..targets.len()).map(|index| group(index, &targets)).collect()
}

/// Images of which a step with the same name is the same step: those with the same sources, arguments and whatever else
/// reaches a step. The first of them names the group.
fn group(index: usize, targets: &[&Target]) -> usize {
    let same_steps = |own: &Target, other: &Target| {
        own.has_sources_of(other)
            && own.build_args == other.build_args
            && own.named_contexts == other.named_contexts
            && own.platforms == other.platforms
            && own.network == other.network
            && own.extra_hosts == other.extra_hosts
            && own.no_cache == other.no_cache
    };
    targets.get(index).and_then(|own| targets.iter().position(|other| same_steps(own, other))).unwrap_or(index)
}

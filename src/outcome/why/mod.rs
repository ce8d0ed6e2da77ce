//! Why each step that ran was not cached: the build before and this one compared.
//!
//! A guess is no answer. A reason is given where there is evidence of it, and [`MissReason::Unknown`] where there is none
//! or where it may be something else. See [`reasons`] for the order in which explanations are tried.

mod classic;
mod files;
pub(super) mod layout;
mod own;
#[cfg(test)]
mod tests;
mod variables;

pub use classic::reasons as classic_reasons;

use std::collections::BTreeSet;

use self::layout::{Layout, Place};
use self::own::{Compared, Own};
use super::build::{ImageOutcome, StepOutcome, StepStatus};
use super::known::Known;
use super::reason::MissReason;
use crate::cache::evidence::taken;
use crate::cache::ledger::Ledger;
use crate::engine::LEDGER_REPOSITORY;
use crate::project::target::NoCache;

/// Why each step ran, in the order of the steps; nothing for one that was cached or never begun.
///
/// 1. Reasons of the whole build: `no-cache`, a clear before it of everything, no earlier build, a ledger that is none.
/// 2. What the step has changed itself; for a stage's first step, what the stage is built on.
/// 3. A step above it that ran, in its stage or in one that it takes from: the first of them.
/// 4. Where it is known that nothing changed: the image that held its layer is gone, or a source could not be read.
pub fn reasons(outcome: &ImageOutcome, known: &Known<'_>) -> Vec<Option<MissReason>> {
    let steps = &outcome.steps;
    let of = |reason: &dyn Fn(usize, &StepOutcome) -> MissReason| {
        let each = steps.iter().enumerate();
        each.map(|(index, step)| ran(step).then(|| reason(index, step))).collect::<Vec<_>>()
    };
    if known.target.no_cache == NoCache::All {
        return of(&|_, _| MissReason::Asked);
    }
    let asked = |step: &StepOutcome| match &known.target.no_cache {
        NoCache::Stages(stages) => {
            step.stage.as_ref().is_some_and(|stage| stages.iter().any(|asked| asked.eq_ignore_ascii_case(stage)))
        }
        NoCache::Off | NoCache::All => false,
    };
    let alike = |reason: MissReason| of(&|_, step| if asked(step) { MissReason::Asked } else { reason.clone() });
    // Where the builder kept what it had, a step that ran may have run without the clear as well.
    if outcome.fresh_after.as_ref().is_some_and(|mark| mark.builder_cleared) {
        return alike(MissReason::Cleared);
    }
    let Some(previous) = known.previous else {
        let is_first = known.remembered && outcome.fresh_after.is_none();
        let nothing = if is_first { MissReason::FirstBuild } else { MissReason::Unknown };
        // Of any other source nobody knows whether it would have had these steps.
        let ledger = unreadable(outcome, |source| source.starts_with(&format!("{LEDGER_REPOSITORY}:")));
        return alike(ledger.unwrap_or(nothing));
    };
    let Some(dockerfile) = known.dockerfile else { return alike(MissReason::Unknown) };
    let layout = Layout { dockerfile, target: known.target };
    let places = layout.places(steps);
    let compared = match (&known.before, &known.now) {
        (Some(before), Some(now)) => Some(Compared::new(layout, before, now)),
        (None, _) | (_, None) => None,
    };
    let why = Why { outcome, known, previous, layout, places, compared };
    of(&|index, step| if asked(step) { MissReason::Asked } else { why.reason(index) })
}

/// Whether it is known that the build is made of other steps than the one before, whatever became of them.
pub fn is_another(outcome: &ImageOutcome, known: &Known<'_>) -> bool {
    let (Some(previous), Some(dockerfile)) = (known.previous, known.dockerfile) else { return false };
    let (Some(before), Some(now)) = (&known.before, &known.now) else { return false };
    let then: BTreeSet<_> = previous.steps.iter().map(|step| (&step.stage, step.position, &step.instruction)).collect();
    let steps: BTreeSet<_> = outcome.steps.iter().map(|step| (&step.stage, step.position, &step.instruction)).collect();
    if then != steps {
        return true;
    }
    let layout = Layout { dockerfile, target: known.target };
    let compared = Compared::new(layout, before, now);
    let changed = |own| matches!(own, Own::Changed(_));
    let mut places = layout.places(&outcome.steps).into_iter().flatten();
    places.any(|place| changed(compared.step(place)) || changed(compared.base(place.stage)))
}

/// Whether a step ran, to its end or not.
fn ran(step: &StepOutcome) -> bool {
    !step.cached && step.status != StepStatus::NotRun
}

/// A cache source of these that could not be read, if there is one. One that is not there is none.
fn unreadable(outcome: &ImageOutcome, is_meant: impl Fn(&str) -> bool) -> Option<MissReason> {
    let absent =
        ["not found", "no such image", "not in the engine", "manifest unknown", "no such tag", "image without records"];
    let mut sources = outcome.unused_sources.iter().filter(|unused| is_meant(&unused.source));
    let unused = sources.find(|unused| !absent.iter().any(|word| unused.reason.contains(word)))?;
    Some(MissReason::SourceUnreadable { source: unused.source.clone(), reason: unused.reason.clone() })
}

/// One build and the one before it.
struct Why<'a> {
    outcome: &'a ImageOutcome,
    known: &'a Known<'a>,
    previous: &'a Ledger,
    layout: Layout<'a>,
    /// Where each step stands.
    places: Vec<Option<Place>>,
    compared: Option<Compared<'a>>,
}

impl Why<'_> {
    fn reason(&self, index: usize) -> MissReason {
        let Some(place) = self.places.get(index).copied().flatten() else { return MissReason::Unknown };
        let own = self.own(place);
        if let Own::Changed(reason) = own {
            return reason;
        }
        if let Some(because) = &self.outcome.without_cache {
            let source = self.previous.key.name();
            return MissReason::SourceUnreadable { source, reason: because.clone() };
        }
        if let Some(step) = self.cause(index, place) {
            return MissReason::EarlierStep { step: step.name.clone() };
        }
        match own {
            Own::Unsure if self.moved(index, place) => MissReason::InstructionChanged,
            // Steps above it that were cached may be others than those that the ledger knows.
            Own::Same if self.all_same_above(place) => self.lost(place),
            Own::Changed(_) | Own::Same | Own::Unsure => MissReason::Unknown,
        }
    }

    /// What the step has changed itself. The first step of a stage answers for what the stage is built on.
    fn own(&self, place: Place) -> Own {
        let Some(compared) = &self.compared else { return Own::Unsure };
        if self.is_first(place)
            && let Own::Changed(reason) = compared.base(place.stage)
        {
            return Own::Changed(reason);
        }
        compared.step(place)
    }

    fn is_first(&self, place: Place) -> bool {
        self.steps_above(place).is_empty() && !self.stands_alone(place)
    }

    /// A linked copy does not depend on what it is put upon, where the engine can put layers on each other by themselves.
    fn stands_alone(&self, place: Place) -> bool {
        let links = |flag: &String| flag == "--link" || flag.eq_ignore_ascii_case("--link=true");
        self.known.merges
            && self.layout.instruction(place).is_some_and(|instruction| instruction.flags.iter().any(links))
    }

    /// The steps above a place, those of the stages that its stage is built on first.
    fn steps_above(&self, place: Place) -> Vec<usize> {
        let mut stages: Vec<usize> = self.layout.lineage(place.stage).collect();
        stages.reverse();
        let above = |stage: usize, other: Place| {
            other.stage == stage && (stage != place.stage || other.instruction < place.instruction)
        };
        let each = || self.places.iter().enumerate().filter_map(|(index, place)| Some((index, (*place)?)));
        let of_stage = |stage: usize| {
            let mut found: Vec<usize> =
                each().filter(move |(_, other)| above(stage, *other)).map(|(index, _)| index).collect();
            // The last in the list may be a trigger, which no line of the Dockerfile puts into its place.
            found.sort_by_key(|index| self.outcome.steps.get(*index).map(|step| step.position));
            found
        };
        stages.into_iter().flat_map(of_stage).collect()
    }

    /// The stages that an instruction takes from.
    fn sources(&self, place: Place) -> Vec<usize> {
        let taken = self.layout.instruction(place).map(taken).unwrap_or_default();
        taken.iter().filter_map(|taken| self.layout.source(taken.from.as_deref()?)).collect()
    }

    /// The step that made this one run: of all those that it builds on the first that ran, and what made that one run.
    fn cause(&self, index: usize, place: Place) -> Option<&StepOutcome> {
        let mut seen = BTreeSet::from([index]);
        let mut found = None;
        let (mut above, mut next) =
            (if self.stands_alone(place) { Vec::new() } else { self.steps_above(place) }, place);
        loop {
            for stage in self.sources(next) {
                above.extend(self.steps_above(Place { stage, instruction: Some(usize::MAX) }));
            }
            let first = above.into_iter().find(|index| self.outcome.steps.get(*index).is_some_and(ran));
            let Some(first) = first.filter(|first| seen.insert(*first)) else { return found };
            found = self.outcome.steps.get(first);
            let Some(place) = self.places.get(first).copied().flatten() else { return found };
            // One that has a reason of its own is where it begins. Nothing above it in its stage ran.
            if matches!(self.own(place), Own::Changed(_)) {
                return found;
            }
            (above, next) = (Vec::new(), place);
        }
    }

    /// Whether another step was at the step's place in the build before.
    fn moved(&self, index: usize, place: Place) -> bool {
        // Triggers are in no Dockerfile of either build.
        if place.instruction.is_none() {
            return false;
        }
        let earlier = self.compared.as_ref().and_then(|compared| compared.earlier(place.stage));
        let (Some(step), Some(earlier)) = (self.outcome.steps.get(index), earlier) else { return false };
        let mut of_stage = self.previous.steps.iter().filter(|fact| {
            // The only stage of a Dockerfile has no name there.
            fact.stage.as_ref().is_none_or(|stage| *stage == earlier.name)
        });
        let at_its_place = of_stage.find(|fact| fact.position == step.position);
        at_its_place.is_some_and(|fact| fact.instruction != step.instruction)
    }

    fn all_same_above(&self, place: Place) -> bool {
        let Some(compared) = &self.compared else { return false };
        let same = |index: usize| {
            self.places.get(index).copied().flatten().is_some_and(|place| compared.step(place) == Own::Same)
        };
        compared.base(place.stage) == Own::Same && self.steps_above(place).into_iter().all(same)
    }

    /// Nothing changed, and it was not found all the same.
    fn lost(&self, place: Place) -> MissReason {
        let earlier = self.compared.as_ref().and_then(|compared| compared.earlier(place.stage));
        // The build before had no use for the stage.
        let built = earlier.is_some_and(|earlier| {
            self.previous.steps.iter().any(|fact| fact.stage.as_ref().is_none_or(|stage| *stage == earlier.name))
        });
        if !built {
            return MissReason::Unknown;
        }
        let holders =
            self.previous.images.iter().filter(|image| self.layout.held_by(&image.role).contains(&place.stage));
        let holders: Vec<_> = holders.collect();
        let present = |id: &str| self.known.present.is_some_and(|present| present.contains(id));
        match holders.first() {
            Some(image) if !holders.iter().any(|image| present(image.id.as_str())) => {
                MissReason::CacheImageAbsent { image: image.reference.clone() }
            }
            Some(_) | None => unreadable(self.outcome, |_| true).unwrap_or(MissReason::Unknown),
        }
    }
}

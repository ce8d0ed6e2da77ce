//! Which instruction a step is, and what stands above it.

use std::collections::BTreeSet;

use crate::cache::ledger::Role;
use crate::outcome::build::StepOutcome;
use crate::patterns::slash_path::clean;
use crate::project::dockerfile::{Dockerfile, Instruction, Stage};
use crate::project::target::Target;

/// A Dockerfile as a target builds it.
#[derive(Debug, Clone, Copy)]
pub(in crate::outcome) struct Layout<'a> {
    pub(in crate::outcome) dockerfile: &'a Dockerfile,
    pub(in crate::outcome) target: &'a Target,
}

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::outcome) struct Place {
    /// The stage, from 0.
    pub(in crate::outcome) stage: usize,
    /// The place in [`Stage::instructions`]; absent for a trigger (`ONBUILD`) of what the stage is built on.
    pub(in crate::outcome) instruction: Option<usize>,
}

impl<'a> Layout<'a> {
    pub(in crate::outcome) fn stage(&self, index: usize) -> Option<&'a Stage> {
        self.dockerfile.stages().get(index)
    }

    pub(super) fn instruction(&self, place: Place) -> Option<&'a Instruction> {
        self.stage(place.stage)?.instructions().get(place.instruction?)
    }

    /// A stage by the name that the builder and ledgers have for it: `stage-N` if it has none, nothing if it is the only
    /// one.
    pub(super) fn stage_called(&self, name: Option<&str>) -> Option<usize> {
        let stages = self.dockerfile.stages();
        let Some(name) = name else { return stages.len().checked_sub(1) };
        self.named(name, stages.len()).or_else(|| {
            let index = name.strip_prefix("stage-")?.parse::<usize>().ok()?;
            stages.get(index).filter(|stage| stage.name().is_none()).map(|_| index)
        })
    }

    /// Where a step stands; `None` if its numbers do not fit the Dockerfile.
    ///
    /// A stage's total counts its `FROM`, unless that is another stage or `scratch`, the triggers of what it is built on
    /// and every `ADD`, `COPY`, `RUN` and `WORKDIR`. `WORKDIR /` is counted and is no step (see [`Dockerfile::locate`]).
    pub(in crate::outcome) fn place(&self, step: &StepOutcome) -> Option<Place> {
        let stage = self.stage_called(step.stage.as_deref())?;
        let instructions = self.stage(stage)?.instructions();
        let counted = instructions.iter().filter(|instruction| is_counted(instruction)).count();
        let before = usize::try_from(step.of).ok()?.checked_sub(counted)?;
        let position = usize::try_from(step.position).ok()?.checked_sub(1)?;
        let Some(number) = position.checked_sub(before) else { return Some(Place { stage, instruction: None }) };
        let mut steps = instructions.iter().enumerate().filter(|(_, instruction)| is_step(instruction));
        let (index, instruction) = steps.nth(number)?;
        let keyword = step.instruction.split_whitespace().next()?;
        keyword.eq_ignore_ascii_case(&instruction.keyword).then_some(Place { stage, instruction: Some(index) })
    }

    /// The stage that a stage is `FROM`.
    pub(super) fn base(&self, stage: usize) -> Option<usize> {
        let base = self.dockerfile.base_of(self.stage(stage)?, &self.target.build_args)?;
        self.named(&base, stage)
    }

    /// A stage and those below it, itself first.
    pub(in crate::outcome) fn lineage(&self, stage: usize) -> impl Iterator<Item = usize> {
        // A base comes before its stage, so this ends.
        std::iter::successors(Some(stage), |stage| self.base(*stage))
    }

    /// Every instruction above a place, that of the lowest stage first.
    pub(super) fn above(&self, place: Place) -> Vec<(Place, &'a Instruction)> {
        let mut stages: Vec<usize> = self.lineage(place.stage).collect();
        stages.reverse();
        let all = stages.into_iter().flat_map(|index| {
            let instructions = self.stage(index).map(Stage::instructions).unwrap_or_default();
            let end = if index == place.stage { place.instruction.unwrap_or_default() } else { instructions.len() };
            let numbered = instructions.iter().take(end).enumerate();
            numbered.map(move |(number, text)| (Place { stage: index, instruction: Some(number) }, text))
        });
        all.collect()
    }

    /// The stage that `COPY --from` or a mount names. A named context takes the place of a stage.
    pub(super) fn source(&self, name: &str) -> Option<usize> {
        let stages = self.dockerfile.stages().len();
        if self.target.named_contexts.contains_key(name) {
            return None;
        }
        self.named(name, stages).or_else(|| name.parse().ok().filter(|index| *index < stages))
    }

    /// The text of an instruction as it is written, heredocs included.
    pub(in crate::outcome) fn text(&self, instruction: &Instruction) -> String {
        let place = |line: u32| usize::try_from(line).unwrap_or(usize::MAX);
        let (first, last) = (place(instruction.lines.first), place(instruction.lines.last));
        let lines = self.dockerfile.text().lines().take(last).skip(first.saturating_sub(1));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The stages whose layers an image of a ledger holds.
    pub(super) fn held_by(&self, role: &Role) -> BTreeSet<usize> {
        let top = match role {
            Role::Final => match self.target.stage.as_deref() {
                Some(name) => self.source(name),
                None => self.stage_called(None),
            },
            Role::Stage { name } => self.stage_called(Some(name)),
        };
        top.map(|top| self.lineage(top).collect()).unwrap_or_default()
    }

    /// The last stage of a name among the first `limit` ones.
    fn named(&self, name: &str, limit: usize) -> Option<usize> {
        let name = name.to_lowercase();
        if self.target.named_contexts.contains_key(&name) {
            return None;
        }
        self.dockerfile.stages().iter().take(limit).rposition(|stage| stage.name() == Some(name.as_str()))
    }
}

/// Whether a stage's total counts it.
fn is_counted(instruction: &Instruction) -> bool {
    matches!(instruction.keyword.as_str(), "ADD" | "COPY" | "RUN" | "WORKDIR")
}

/// Whether it is a step.
pub(super) fn is_step(instruction: &Instruction) -> bool {
    is_counted(instruction) && !(instruction.keyword == "WORKDIR" && clean(&instruction.arguments) == "/")
}

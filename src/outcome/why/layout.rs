//! Which instruction a step is, and what stands above it.

use std::collections::{BTreeMap, BTreeSet};

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

    /// Where each of a build's steps stands; `None` if its numbers do not fit the Dockerfile.
    ///
    /// The builder numbers the triggers of what a stage is built on first, and then every `ADD`, `COPY`, `RUN` and
    /// `WORKDIR` but `WORKDIR /`. Its totals are no help: Docker 20.10's leave the triggers out, those of later ones count
    /// triggers that have no number. But it tells of all steps of a stage, so the last ones are the stage's own.
    pub(in crate::outcome) fn places(&self, steps: &[StepOutcome]) -> Vec<Option<Place>> {
        let mut numbers: BTreeMap<usize, BTreeSet<u32>> = BTreeMap::new();
        for step in steps {
            if let Some(stage) = self.stage_called(step.stage.as_deref()) {
                numbers.entry(stage).or_default().insert(step.position);
            }
        }
        steps.iter().map(|step| self.place(step, &numbers)).collect()
    }

    /// `numbers` are those that the steps of each stage have.
    fn place(&self, step: &StepOutcome, numbers: &BTreeMap<usize, BTreeSet<u32>>) -> Option<Place> {
        let stage = self.stage_called(step.stage.as_deref())?;
        let own = self.stage(stage)?.instructions().iter().enumerate().filter(|(_, instruction)| is_step(instruction));
        let own: Vec<(usize, &Instruction)> = own.collect();
        let numbers = numbers.get(&stage)?;
        let triggers = numbers.len().checked_sub(own.len())?;
        let number = numbers.range(..step.position).count();
        let Some(number) = number.checked_sub(triggers) else { return Some(Place { stage, instruction: None }) };
        let (index, instruction) = own.get(number)?;
        let keyword = step.instruction.split_whitespace().next()?;
        keyword.eq_ignore_ascii_case(&instruction.keyword).then_some(Place { stage, instruction: Some(*index) })
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

/// Whether it is a step.
pub(super) fn is_step(instruction: &Instruction) -> bool {
    match instruction.keyword.as_str() {
        "ADD" | "COPY" | "RUN" => true,
        "WORKDIR" => clean(&instruction.arguments) != "/",
        _ => false,
    }
}

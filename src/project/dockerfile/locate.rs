//! From the name of a step back to the lines of the instruction behind it.

use std::collections::BTreeMap;

use super::{Dockerfile, Instruction, Stage};
use crate::patterns::slash_path::clean;

impl Dockerfile {
    /// The first and the last line of a step that BuildKit names `[stage position/…] …`: the stage's name, `stage-N`,
    /// or none if the Dockerfile has one stage.
    ///
    /// A stage's steps are its `FROM`, unless that is another stage or `scratch`, and every `ADD`, `COPY`, `RUN` and
    /// `WORKDIR` but `WORKDIR /` (`prefixCommand` in dockerfile2llb/convert.go). The base image's own triggers
    /// (`ONBUILD`) are steps as well, which the Dockerfile does not show: [`Self::locate_step`] copes with them.
    pub fn locate(&self, stage: Option<&str>, position: u32) -> Option<(u32, u32)> {
        let (index, stage) = self.step_stage(stage)?;
        let base = self.base_of(stage, &BTreeMap::new()).unwrap_or_default();
        let before = usize::from(base != "scratch" && self.stage_index(&base, index).is_none());
        let place = usize::try_from(position).ok()?.checked_sub(1)?;
        let lines = match place.checked_sub(before) {
            None => stage.lines,
            Some(place) => steps(stage).nth(place)?.lines,
        };
        Some((lines.first, lines.last))
    }

    /// [`Self::locate`] with all that the name says: `[stage position/total] instruction`.
    ///
    /// The total tells how many steps come before the stage's own instructions. The base image's triggers are shown
    /// at its `FROM`. Where the numbers do not fit, the nearest instruction of the same kind is meant.
    pub fn locate_step(&self, stage: Option<&str>, position: u32, total: u32, instruction: &str) -> Option<(u32, u32)> {
        let (_, stage) = self.step_stage(stage)?;
        let instruction = instruction.strip_prefix("LINK ").unwrap_or(instruction);
        let keyword = instruction.split_whitespace().next()?.to_ascii_uppercase();
        if keyword == "FROM" || keyword == "ONBUILD" {
            return Some((stage.lines.first, stage.lines.last));
        }
        let counted = stage.instructions.iter().filter(|instruction| is_counted(instruction)).count();
        let before = usize::try_from(total).ok()?.saturating_sub(counted);
        let wanted = usize::try_from(position).ok()?.checked_sub(1)?.saturating_sub(before);
        steps(stage)
            .enumerate()
            .filter(|(_, instruction)| instruction.keyword == keyword)
            .min_by_key(|(index, _)| index.abs_diff(wanted))
            .map(|(_, instruction)| (instruction.lines.first, instruction.lines.last))
    }

    /// The stage that BuildKit calls so.
    fn step_stage(&self, name: Option<&str>) -> Option<(usize, &Stage)> {
        let index = match name {
            None => self.stages.len().checked_sub(1)?,
            Some(name) => self.stage_index(name, self.stages.len()).or_else(|| self.unnamed_stage(name))?,
        };
        self.stages.get(index).map(|stage| (index, stage))
    }

    fn unnamed_stage(&self, name: &str) -> Option<usize> {
        let index: usize = name.strip_prefix("stage-")?.parse().ok()?;
        self.stages.get(index).filter(|stage| stage.name.is_none()).map(|_| index)
    }
}

/// The instructions of a stage that have a number.
fn steps(stage: &Stage) -> impl Iterator<Item = &Instruction> {
    stage.instructions.iter().filter(|instruction| is_counted(instruction) && !is_root_directory(instruction))
}

/// Those that the total counts.
fn is_counted(instruction: &Instruction) -> bool {
    matches!(instruction.keyword.as_str(), "ADD" | "COPY" | "RUN" | "WORKDIR")
}

fn is_root_directory(instruction: &Instruction) -> bool {
    instruction.keyword == "WORKDIR" && clean(&instruction.arguments) == "/"
}

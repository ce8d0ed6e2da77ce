//! What a step has changed itself, whatever became of the steps above it.

use std::collections::{BTreeMap, BTreeSet};

use super::files::{Files, files};
use super::layout::{Layout, Place, is_step};
use super::variables::{Arguments, Variables, assignments, expanded};
use crate::cache::evidence::{
    Changes, Evidence, Keyed, MAIN_CONTEXT, StageEvidence, Taken, bases, changes, earlier_stage, taken,
};
use crate::outcome::reason::MissReason;
use crate::project::dockerfile::{Instruction, Stage};

/// What is known of a part of a step: its instruction, its files, what it is built on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Own {
    /// It is another one.
    Changed(MissReason),
    /// It is as it was.
    Same,
    /// It may be either.
    Unsure,
}

impl Own {
    /// The first change counts; without one, a doubt.
    fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Changed(reason) => Self::Changed(reason),
            Self::Same => other(),
            Self::Unsure => match other() {
                Self::Changed(reason) => Self::Changed(reason),
                Self::Same | Self::Unsure => Self::Unsure,
            },
        }
    }
}

/// Two builds, compared.
pub(super) struct Compared<'a> {
    layout: Layout<'a>,
    before: &'a Evidence,
    now: &'a Evidence,
    changes: Changes,
    /// Base images: their names as written by the names that they stand for.
    bases: BTreeMap<String, String>,
}

impl<'a> Compared<'a> {
    pub(super) fn new(layout: Layout<'a>, before: &'a Evidence, now: &'a Evidence) -> Self {
        let target = layout.target;
        let bases = bases(layout.dockerfile, target.stage.as_deref(), &target.build_args);
        let bases = bases.into_iter().map(|(written, image)| (image, written)).collect();
        Self { layout, before, now, changes: changes(before, now), bases }
    }

    /// The stage of the earlier Dockerfile that a stage was.
    pub(super) fn earlier(&self, stage: usize) -> Option<&'a StageEvidence> {
        self.before.stages.get(earlier_stage(&self.before.stages, &self.now.stages, stage)?)
    }

    /// An instruction, with everything that it takes from outside its stage and with the settings above it.
    pub(super) fn step(&self, place: Place) -> Own {
        // What a base image triggers is not in the Dockerfile.
        let Some(instruction) = self.layout.instruction(place) else { return Own::Unsure };
        self.instruction(place, instruction)
            .and(|| match self.variables().of(place, instruction) {
                Arguments::Changed(name) => Own::Changed(MissReason::ArgumentChanged { name }),
                Arguments::Same => Own::Same,
                Arguments::Unsure => Own::Unsure,
            })
            .and(|| taken(instruction).iter().fold(Own::Same, |own, taken| own.and(|| self.taken(instruction, taken))))
            .and(|| self.settings(place, instruction))
    }

    /// What a stage is `FROM`, itself or by the stage that it is built on.
    pub(super) fn base(&self, stage: usize) -> Own {
        self.layout.lineage(stage).fold(Own::Same, |own, stage| own.and(|| self.from(stage)))
    }

    fn from(&self, index: usize) -> Own {
        let Some(stage) = self.layout.stage(index) else { return Own::Unsure };
        let internal = self.layout.base(index).is_some();
        let (Some(now), Some(before)) = (self.now.stages.get(index), self.earlier(index)) else { return Own::Unsure };
        if now.from != before.from {
            // A stage that was given another name is no other base.
            return if internal {
                Own::Unsure
            } else {
                Own::Changed(MissReason::SettingChanged { keyword: "FROM".to_owned() })
            };
        }
        if internal || stage.base().eq_ignore_ascii_case("scratch") {
            return Own::Same;
        }
        let image = self.image(stage.base());
        match self.variables().of_base(index) {
            // Two names of one image are one image.
            Arguments::Changed(_) if image == Own::Same => Own::Same,
            Arguments::Changed(name) => Own::Changed(MissReason::ArgumentChanged { name }),
            Arguments::Same | Arguments::Unsure => image,
        }
    }

    /// An image that is not built here, by its name as it is written.
    fn image(&self, reference: &str) -> Own {
        if let Some(change) = self.changes.bases.iter().find(|change| change.reference == reference) {
            let (before, now) = (change.before.clone(), change.now.clone());
            return Own::Changed(MissReason::BaseChanged { reference: reference.to_owned(), before, now });
        }
        let known = |of: fn(&Evidence) -> &BTreeMap<String, String>| {
            of(self.before).contains_key(reference) && of(self.now).contains_key(reference)
        };
        let pinned = |evidence: &Evidence| evidence.pinned.contains_key(reference);
        let by_id = known(|evidence| &evidence.bases) && !pinned(self.before) && !pinned(self.now);
        if by_id || known(|evidence| &evidence.pinned) { Own::Same } else { Own::Unsure }
    }

    fn variables(&self) -> Variables<'_> {
        Variables { layout: self.layout, changes: &self.changes, now: self.now }
    }

    /// The text of the instruction.
    fn instruction(&self, place: Place, instruction: &Instruction) -> Own {
        if self.before.stages.is_empty() {
            return Own::Unsure;
        }
        let Some(digests) = self.digests(place) else { return Own::Unsure };
        if digests.earlier_place().is_some() {
            return Own::Same;
        }
        let known = |stage: usize| {
            let stage = self.now.stages.get(stage);
            stage.is_some_and(|stage| self.before.stages.iter().any(|earlier| earlier.name == stage.name))
        };
        // One that names a stage which was given another name takes the same from it.
        let mut stages = taken(instruction).into_iter().filter_map(|taken| self.layout.source(&taken.from?));
        if stages.any(|stage| !known(stage)) { Own::Unsure } else { Own::Changed(MissReason::InstructionChanged) }
    }

    fn taken(&self, instruction: &Instruction, taken: &Taken) -> Own {
        let remote = if taken.remote { Own::Unsure } else { Own::Same };
        remote.and(|| {
            let Some(from) = &taken.from else { return self.context(instruction, taken, MAIN_CONTEXT) };
            if self.layout.source(from).is_some() {
                return Own::Same;
            }
            if self.now.contexts.contains_key(from) {
                return self.context(instruction, taken, from);
            }
            self.image(self.bases.get(from).map_or(from, String::as_str))
        })
    }

    fn context(&self, instruction: &Instruction, taken: &Taken, name: &str) -> Own {
        // Heredocs and addresses are from no context.
        if taken.paths.as_ref().is_some_and(Vec::is_empty) {
            return Own::Same;
        }
        let (Some(changes), Some(now)) = (self.changes.files.get(name), self.now.contexts.get(name)) else {
            return Own::Unsure;
        };
        let excludes = instruction.flags.iter().any(|flag| flag.starts_with("--exclude"));
        match files(taken, changes, excludes, now.has_links()) {
            Files::Changed(reason) => Own::Changed(reason),
            Files::Same => Own::Same,
            Files::Unsure => Own::Unsure,
        }
    }

    /// The instructions above that are no steps, as far as the step depends on them.
    fn settings(&self, place: Place, instruction: &Instruction) -> Own {
        let names = expanded(&self.layout.text(instruction));
        let mut own = Own::Same;
        for stage in self.layout.lineage(place.stage) {
            let at = if stage == place.stage { place.instruction } else { None };
            let Some(digests) = self.digests(Place { stage, instruction: at }) else { return Own::Unsure };
            let (new, removed) = digests.above();
            let new = new.iter().filter_map(|index| {
                self.layout.instruction(Place { stage, instruction: Some(*index) }).filter(|text| !is_step(text))
            });
            for setting in new.filter(|setting| depends(instruction, &names, setting)) {
                own = own.and(|| match setting.keyword.as_str() {
                    // A default counts only where nothing else is given, and whether it was declared is not known.
                    "ARG" => self.declared(setting),
                    keyword => Own::Changed(MissReason::SettingChanged { keyword: keyword.to_owned() }),
                });
            }
            own = own.and(|| if removed { Own::Unsure } else { Own::Same });
        }
        own
    }

    fn declared(&self, instruction: &Instruction) -> Own {
        let args = self.layout.dockerfile.stages().iter().flat_map(Stage::args);
        let of_line = args.filter(|arg| arg.line == instruction.lines.first);
        of_line.fold(Own::Same, |own, arg| {
            let given = self.layout.target.build_args.contains_key(&arg.name);
            own.and(|| match (given, &arg.default) {
                (false, Some(_)) => Own::Changed(MissReason::ArgumentChanged { name: arg.name.clone() }),
                (false, None) => Own::Same,
                (true, _) => Own::Unsure,
            })
        })
    }

    /// The digests of a stage then and now, up to a place: up to its end without an instruction.
    fn digests(&self, place: Place) -> Option<Digests<'a>> {
        let now = self.now.stages.get(place.stage)?;
        let stage = self.layout.stage(place.stage)?;
        // It is the same Dockerfile that both were read from.
        if now.instructions.len() != stage.instructions().len() {
            return None;
        }
        let before = self.earlier(place.stage).map(|earlier| earlier.instructions.as_slice()).unwrap_or_default();
        Some(Digests { before, now: &now.instructions, at: place.instruction.unwrap_or(now.instructions.len()) })
    }
}

/// Whether a step depends on a setting above it.
fn depends(step: &Instruction, expands: &BTreeSet<String>, setting: &Instruction) -> bool {
    let runs = step.keyword == "RUN";
    match setting.keyword.as_str() {
        "ENV" => runs || assignments(&setting.arguments).any(|(name, _)| expands.contains(name)),
        "ARG" => {
            runs || setting
                .arguments
                .split_whitespace()
                .any(|word| expands.contains(word.split_once('=').map_or(word, |(name, _)| name)))
        }
        "USER" => runs || step.keyword == "WORKDIR",
        "SHELL" => runs && !step.arguments.starts_with('['),
        _ => false,
    }
}

/// The instructions of one stage in both builds.
struct Digests<'a> {
    before: &'a [Keyed],
    now: &'a [Keyed],
    at: usize,
}

impl Digests<'_> {
    /// Where the instruction was: of equal ones each is the one with as many above it.
    fn earlier_place(&self) -> Option<usize> {
        let digest = self.now.get(self.at)?;
        let rank = self.now.iter().take(self.at).filter(|other| *other == digest).count();
        let same = self.before.iter().enumerate().filter(|(_, other)| *other == digest);
        same.map(|(index, _)| index).nth(rank)
    }

    /// The places of what is above it now and was not, and whether something was above it that is not any more.
    fn above(&self) -> (Vec<usize>, bool) {
        let end = self.earlier_place().unwrap_or(self.before.len());
        let mut rest: Vec<&Keyed> = self.before.iter().take(end).collect();
        let new = self.now.iter().take(self.at).enumerate().filter(|(_, digest)| {
            let known = rest.iter().position(|other| other == digest);
            known.map(|place| rest.swap_remove(place)).is_none()
        });
        let new = new.map(|(index, _)| index).collect();
        (new, !rest.is_empty())
    }
}

//! What differs between two builds.

use std::collections::BTreeMap;

use super::Evidence;
use super::instructions::StageEvidence;
use super::tree::{self, FileChanges};

/// What differs between two builds of an image. What was not known of one of them is not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Names of build arguments with another value, or with one in one of the builds only.
    pub arguments: Vec<String>,
    /// Base images with another digest.
    pub bases: Vec<BaseChange>,
    /// Stages with another instruction, by their place now.
    pub stages: BTreeMap<usize, StageChange>,
    /// What changed in every context that both builds had, also where that is nothing.
    pub files: BTreeMap<String, FileChanges>,
}

/// A base image that is another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseChange {
    /// Its name as the Dockerfile writes it.
    pub reference: String,
    /// Its digest then.
    pub before: String,
    /// Its digest now.
    pub now: String,
}

/// Where a stage begins to differ. Everything below depends on it, so only the first difference counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageChange {
    /// It was not there.
    New,
    /// At its `FROM`.
    From,
    /// At an instruction: its place in [`Stage::instructions`](crate::project::dockerfile::Stage::instructions), which
    /// is the number of instructions if there was one more at the end.
    Instruction(usize),
}

/// Compares. `now` is from this process: changed files of evidence that was read from a ledger have no names and are
/// left out.
pub fn changes(before: &Evidence, now: &Evidence) -> Changes {
    let arguments =
        now.arguments.keys().chain(before.arguments.keys().filter(|name| !now.arguments.contains_key(*name)));
    let mut arguments: Vec<String> =
        arguments.filter(|name| before.arguments.get(*name) != now.arguments.get(*name)).cloned().collect();
    arguments.sort_unstable();
    let bases = now.pinned.keys().chain(now.bases.keys().filter(|name| !now.pinned.contains_key(*name)));
    let bases = bases.filter_map(|reference| base(before, now, reference));
    let files = now.contexts.iter().filter_map(|(name, files)| {
        let earlier = before.contexts.get(name)?;
        Some((name.clone(), tree::changes(earlier, files)))
    });
    Changes { arguments, bases: bases.collect(), stages: stages(&before.stages, &now.stages), files: files.collect() }
}

/// A digest that the builder told says what it took, an engine's id only what the engine has under the name; and one is
/// not to be compared with the other.
fn base(before: &Evidence, now: &Evidence, reference: &str) -> Option<BaseChange> {
    let (earlier, digest) = match (before.pinned.get(reference), now.pinned.get(reference)) {
        (Some(earlier), Some(digest)) => (earlier, digest),
        (None, None) => (before.bases.get(reference)?, now.bases.get(reference)?),
        (Some(_), None) | (None, Some(_)) => return None,
    };
    let change = || BaseChange { reference: reference.to_owned(), before: earlier.clone(), now: digest.clone() };
    (earlier != digest).then(change)
}

fn stages(before: &[StageEvidence], now: &[StageEvidence]) -> BTreeMap<usize, StageChange> {
    // Without the earlier Dockerfile there is nothing to compare with.
    if before.is_empty() {
        return BTreeMap::new();
    }
    let changed = now.iter().enumerate().filter_map(|(index, stage)| {
        let earlier = earlier_stage(before, now, index).and_then(|index| before.get(index));
        let change = earlier.map_or(Some(StageChange::New), |earlier| difference(earlier, stage))?;
        Some((index, change))
    });
    changed.collect()
}

/// The place of the stage that was in the earlier Dockerfile what a stage is now; `None` if it is new.
///
/// One that is the same is it, whatever it is called and wherever it stood: a stage's name and place are in no cache key.
pub fn earlier_stage(before: &[StageEvidence], now: &[StageEvidence], index: usize) -> Option<usize> {
    let stage = now.get(index)?;
    let named = |stages: &[StageEvidence], name: &str| stages.iter().rposition(|stage| stage.name == name);
    let by_name = named(before, &stage.name);
    let same = |index: &usize| before.get(*index).is_some_and(|earlier| difference(earlier, stage).is_none());
    // One that was given another name is at its old place.
    let renamed = || Some(index).filter(|index| before.get(*index).is_some_and(|old| named(now, &old.name).is_none()));
    let identical = by_name.filter(same).or_else(|| (0..before.len()).find(same));
    identical.or(by_name).or_else(renamed)
}

fn difference(before: &StageEvidence, now: &StageEvidence) -> Option<StageChange> {
    if before.from != now.from {
        return Some(StageChange::From);
    }
    let same = before.instructions.iter().zip(&now.instructions).take_while(|(before, now)| before == now).count();
    let all = before.instructions.len().max(now.instructions.len());
    (same < all).then_some(StageChange::Instruction(same))
}

#[cfg(test)]
mod tests {
    use super::{BaseChange, Changes, Evidence, StageChange, changes};
    use crate::project::dockerfile::Dockerfile;
    use crate::project::target::{Context, Dockerfile as Source, Target};

    fn evidence(text: &str, args: &[(&str, &str)], bases: &[(&str, &str)]) -> Evidence {
        let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let mut target = Target::new("app", Context::Local("/w".into()), Source::Inline(text.to_owned()));
        target.build_args = pairs(args);
        let dockerfile = Dockerfile::parse(text).unwrap();
        let salt = "11".repeat(16).parse().unwrap();
        Evidence { bases: pairs(bases), ..Evidence::new(&salt, &target, Some((&dockerfile, text))) }
    }

    #[test]
    fn names_arguments() {
        let before = evidence("ARG A=1\nFROM x", &[("B", "1"), ("C", "1"), ("D", "1")], &[]);
        let now = evidence("ARG A=2\nFROM x", &[("B", "2"), ("C", "1"), ("E", "1")], &[]);
        assert_eq!(changes(&before, &now).arguments, ["A", "B", "D", "E"]);
        assert_eq!(changes(&now, &now), Changes::default());
    }

    #[test]
    fn names_base_images_that_both_builds_knew() {
        let before = evidence("FROM x", &[], &[("x", "sha256:1"), ("y", "sha256:1"), ("z", "sha256:1")]);
        let now = evidence("FROM x", &[], &[("x", "sha256:2"), ("y", "sha256:1"), ("w", "sha256:1")]);
        let change = BaseChange { reference: "x".into(), before: "sha256:1".into(), now: "sha256:2".into() };
        assert_eq!(changes(&before, &now).bases, [change]);
    }

    #[test]
    fn what_the_builder_took_counts_before_what_the_engine_has() {
        let of = |id: &str, pinned: Option<&str>| {
            let pinned = pinned.map(|digest| ("x".to_owned(), digest.to_owned())).into_iter().collect();
            Evidence { pinned, ..evidence("FROM x", &[], &[("x", id)]) }
        };
        for (before, now, changed) in [
            (of("1", None), of("2", None), true),
            (of("1", Some("a")), of("2", Some("a")), false),
            (of("1", Some("a")), of("1", Some("b")), true),
            (of("1", None), of("2", Some("a")), false),
            (of("1", Some("a")), of("2", None), false),
        ] {
            assert_eq!(changes(&before, &now).bases.len(), usize::from(changed), "{before:?} {now:?}");
        }
    }

    #[test]
    fn names_the_first_instruction_that_differs() {
        let before = "FROM x AS a\nRUN 1\nRUN 2\nFROM y\nRUN 3\n";
        for (now, expected) in [
            (before, &[][..]),
            ("FROM x AS a\nRUN 1\nRUN other\nFROM y\nRUN 3\n", &[(0, StageChange::Instruction(1))]),
            ("FROM x AS a\nRUN 1\nRUN new\nRUN 2\nFROM y\nRUN 3\n", &[(0, StageChange::Instruction(1))]),
            ("FROM x AS a\nRUN 1\nFROM y\nRUN 3\n", &[(0, StageChange::Instruction(1))]),
            ("FROM z AS a\nRUN 1\nRUN 2\nFROM y\nRUN 4\n", &[(0, StageChange::From), (1, StageChange::Instruction(0))]),
            ("FROM x AS b\nRUN 1\nRUN 2\nFROM y\nRUN 3\n", &[]),
            ("FROM x AS a\nRUN 1\nRUN 2\nFROM y AS b\nRUN 3\n", &[]),
            ("FROM n AS n\nFROM x AS a\nRUN 1\nRUN 2\nFROM y\nRUN 3\n", &[(0, StageChange::New)]),
            ("FROM x AS b\nRUN 1\nRUN 5\nFROM y\nRUN 3\n", &[(0, StageChange::Instruction(1))]),
        ] {
            let found = changes(&evidence(before, &[], &[]), &evidence(now, &[], &[])).stages;
            assert_eq!(found.into_iter().collect::<Vec<_>>(), expected, "{now}");
        }
        assert!(changes(&Evidence::default(), &evidence(before, &[], &[])).stages.is_empty());
    }
}

//! Which intermediate stages must be kept for a build to find all of its steps again.

use std::collections::{BTreeMap, BTreeSet};

use super::{Dockerfile, Stage};

/// An intermediate stage whose layers no other image holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct IntermediateStage {
    /// Its place in the file, from 0.
    pub index: usize,
    /// The name after `AS`, in lower case.
    pub name: Option<String>,
}

impl IntermediateStage {
    /// The name to build it by: its own, or the one that [`Dockerfile::with_named_stages`] gives it.
    pub fn target(&self) -> String {
        self.name.clone().unwrap_or_else(|| given_name(self.index))
    }
}

fn given_name(index: usize) -> String {
    format!("stage-{index}")
}

impl Dockerfile {
    /// The intermediate stages that a target copies from and does not build on.
    ///
    /// A stage that another one is `FROM` has its layers in that one; a stage without a layer of its own has nothing to
    /// keep; a stage whose name is a named context's is not built at all. `target` is the last stage if absent.
    pub fn intermediate_stages(
        &self,
        target: Option<&str>,
        build_args: &BTreeMap<String, String>,
        named_contexts: &BTreeSet<String>,
    ) -> Vec<IntermediateStage> {
        let Some(start) = self.target_index(target) else { return Vec::new() };
        let needed = self.needed_stages(target, build_args);
        let bases: BTreeMap<usize, usize> =
            needed.iter().filter_map(|index| Some((*index, self.base_index(*index, build_args)?))).collect();
        let replaced = |stage: &Stage| stage.name().is_some_and(|name| named_contexts.contains(name));
        needed
            .iter()
            .copied()
            .filter(|index| *index != start && !bases.values().any(|base| base == index))
            .filter(|index| self.makes_layers(*index, &bases))
            .filter_map(|index| Some((index, self.stages.get(index)?)))
            .filter(|(_, stage)| !replaced(stage))
            // A name that is used twice is the last one's, as a target.
            .filter(|(index, stage)| {
                stage.name().is_none_or(|name| self.stage_index(name, self.stages.len()) == Some(*index))
            })
            .map(|(index, stage)| IntermediateStage { index, name: stage.name.clone() })
            .collect()
    }

    /// The text with a name for every stage that has none: only a stage with a name can be a target. Steps and their cache
    /// keys are the same.
    pub fn with_named_stages(&self) -> String {
        let ends: BTreeMap<usize, String> = self
            .stages
            .iter()
            .enumerate()
            .filter(|(_, stage)| stage.name.is_none())
            .filter_map(|(index, stage)| Some((usize::try_from(stage.lines.last).ok()?, given_name(index))))
            .collect();
        let named = |(number, line): (usize, &str)| match ends.get(&number) {
            Some(name) => format!("{} AS {name}\n", line.trim_end()),
            None => line.to_owned(),
        };
        (1..).zip(self.text.split_inclusive('\n')).map(named).collect()
    }

    /// The stage that a stage is `FROM`.
    fn base_index(&self, index: usize, build_args: &BTreeMap<String, String>) -> Option<usize> {
        let base = self.base_of(self.stages.get(index)?, build_args)?;
        self.stage_index(&base, index)
    }

    /// Whether the stage or one that it builds on has an instruction that makes a layer.
    fn makes_layers(&self, index: usize, bases: &BTreeMap<usize, usize>) -> bool {
        // A base comes before its stage, so this ends.
        let chain = std::iter::successors(Some(index), |index| bases.get(index).copied().filter(|base| base < index));
        let makes_layer = |stage: &Stage| {
            let mut keywords = stage.instructions.iter().map(|instruction| instruction.keyword.as_str());
            keywords.any(|keyword| matches!(keyword, "RUN" | "COPY" | "ADD" | "WORKDIR"))
        };
        chain.filter_map(|index| self.stages.get(index)).any(makes_layer)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use crate::project::dockerfile::Dockerfile;

    fn kept(text: &str, target: Option<&str>) -> Vec<String> {
        let args = BTreeMap::from([("BASE".to_owned(), "deps".to_owned())]);
        let contexts = BTreeSet::from(["replaced".to_owned()]);
        let stages = Dockerfile::parse(text).unwrap().intermediate_stages(target, &args, &contexts);
        stages.into_iter().map(|stage| stage.name.unwrap_or_else(|| stage.index.to_string())).collect()
    }

    #[test]
    fn every_stage_gets_a_name() {
        let text = "# syntax=x\nARG A\nFROM \\\n  a\nRUN x\nFROM b AS two\nFROM c  ";
        let named = Dockerfile::parse(text).unwrap().with_named_stages();
        let stages = Dockerfile::parse(&named).unwrap();
        let names: Vec<_> = stages.stages().iter().map(|stage| stage.name().unwrap()).collect();
        assert_eq!(names, ["stage-0", "two", "stage-2"], "{named}");
    }

    #[test]
    fn stages_that_are_copied_from_and_not_built_on() {
        for (text, target, expected) in [
            ("FROM a AS one\nRUN x\nFROM b\nCOPY --from=one /x /x\n", None, vec!["one"]),
            ("FROM a\nRUN x\nFROM b\nCOPY --from=0 /x /x\n", None, vec!["0"]),
            ("FROM a AS one\nRUN x\nFROM one\nRUN y\n", None, vec![]),
            ("FROM a AS one\nRUN x\nFROM one AS two\nRUN y\nFROM b\nCOPY --from=two /x /x\n", None, vec!["two"]),
            (
                "FROM a AS one\nRUN x\nFROM one AS two\nRUN y\nFROM one AS three\nRUN z\n\
                 FROM b\nCOPY --from=two /x /x\nRUN --mount=from=three,target=/t y\n",
                None,
                vec!["two", "three"],
            ),
            ("FROM a AS one\nENV x=y\nFROM b\nCOPY --from=one /x /x\n", None, vec![]),
            ("FROM a AS deps\nRUN x\nFROM $BASE AS one\nENV a=b\nFROM b\nCOPY --from=one /x /x\n", None, vec![]),
            (
                "ARG BASE\nFROM a AS deps\nRUN x\nFROM $BASE AS one\nENV a=b\nFROM b\nCOPY --from=one /x /x\n",
                None,
                vec!["one"],
            ),
            ("FROM a AS unused\nRUN x\nFROM b\nRUN y\n", None, vec![]),
            ("FROM a AS one\nRUN x\nFROM b AS two\nCOPY --from=one /x /x\nFROM c\nRUN y\n", Some("two"), vec!["one"]),
            ("FROM a AS replaced\nRUN x\nFROM b\nCOPY --from=replaced /x /x\n", None, vec![]),
            ("FROM a AS one\nRUN x\nFROM b\nCOPY --from=nobody/image /x /x\n", None, vec![]),
        ] {
            assert_eq!(kept(text, target), expected, "{text}");
        }
    }
}

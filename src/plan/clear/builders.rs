//! The plan for builders besides the engine's own: which are emptied, which volumes go, what stays and why.

use std::fmt;

use super::print::size;
use super::{PlannedBuilder, RecordSum};
use crate::engine::{BuilderContainer, StateVolume};
use crate::image::pattern::Pattern;
use crate::survey::clear::builders::{BuilderState, BuildersSurvey};

/// What a clear will do with the builders. [`std::fmt::Display`] is the text of a dry run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildersPlan {
    /// Each builder that is there.
    pub builders: Vec<PlannedContainer>,
    /// Each volume whose builder is gone.
    pub volumes: Vec<PlannedVolume>,
}

/// A builder and what becomes of its cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedContainer {
    /// The builder.
    pub container: BuilderContainer,
    /// What to do.
    pub action: BuilderAction,
}

/// What to do with the cache of a builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuilderAction {
    /// Prune it.
    Prune(PlannedBuilder),
    /// Start it, prune it and stop it again: its volume cannot go while it has a container.
    Wake,
    /// Leave it alone, because it is building.
    KeepBuilding,
    /// Leave it alone, because a pattern of `keep` matches its name.
    KeepNamed(String),
    /// It cannot be asked: nothing is done to it. Why.
    Fail(String),
}

/// A left-over volume and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedVolume {
    /// The volume.
    pub volume: StateVolume,
    /// Why it stays; `None` if it goes.
    pub keep: Option<String>,
}

impl BuildersPlan {
    /// Decides. What a pattern of `keep` matches by its name stays, whatever else: by any name that the builder may have, and
    /// by its lower case, because that is what patterns are in.
    pub fn new(survey: &BuildersSurvey, keep: &[Pattern]) -> Self {
        let kept = |names: &[&str]| {
            let names_it = |pattern: &&Pattern| names.iter().any(|name| pattern.names_word(name));
            keep.iter().find(names_it).map(|pattern| format!("keep: {pattern}"))
        };
        let builders = survey.builders.iter().map(|found| PlannedContainer {
            container: found.container.clone(),
            action: match (&found.state, kept(&found.container.names().collect::<Vec<_>>())) {
                (_, Some(why)) => BuilderAction::KeepNamed(why),
                (BuilderState::Idle(records), None) => BuilderAction::Prune(PlannedBuilder::of(records)),
                (BuilderState::Building, None) => BuilderAction::KeepBuilding,
                (BuilderState::Stopped, None) => BuilderAction::Wake,
                (BuilderState::Silent(why), None) => BuilderAction::Fail(why.clone()),
            },
        });
        let volumes = survey.left_over.iter().map(|volume| PlannedVolume {
            keep: match &volume.container {
                Some(container) => Some(format!("used by container {container}")),
                None => kept(&volume.names().collect::<Vec<_>>()),
            },
            volume: volume.clone(),
        });
        Self { builders: builders.collect(), volumes: volumes.collect() }
    }

    /// What is left, if this is the plan that one would make after a clear. `emptied` are the builders that were started
    /// for it, found empty and stopped again.
    pub fn left(&self, emptied: &[String]) -> Vec<String> {
        let builders = self.builders.iter().filter_map(|PlannedContainer { container, action }| {
            let name = &container.name;
            match action {
                BuilderAction::Prune(PlannedBuilder { remove: RecordSum { count: 0, .. }, in_use })
                    if in_use.count == 0 =>
                {
                    None
                }
                BuilderAction::Prune(planned) => Some(format!("builder {name} still has {}", planned.remove)),
                BuilderAction::Wake if emptied.contains(name) => None,
                BuilderAction::Wake => Some(format!("builder {name} is stopped, and has its cache in a volume")),
                BuilderAction::KeepBuilding => Some(format!("builder {name} is building")),
                BuilderAction::KeepNamed(_) => None,
                BuilderAction::Fail(why) => Some(format!("builder {name} could not be asked: {why}")),
            }
        });
        let volumes = self.volumes.iter().filter_map(|planned| {
            let name = &planned.volume.name;
            match (&planned.keep, &planned.volume.container) {
                (None, _) => Some(format!("volume {name} is still there")),
                (Some(why), Some(_)) => Some(format!("volume {name} stays: {why}")),
                (Some(_), None) => None,
            }
        });
        builders.chain(volumes).collect()
    }
}

impl fmt::Display for BuildersPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Other builders of the engine, whichever project they are of")?;
        if self.builders.is_empty() && self.volumes.is_empty() {
            return writeln!(f, "  none");
        }
        for PlannedContainer { container, action } in &self.builders {
            let name = &container.name;
            match action {
                BuilderAction::Prune(planned) if planned.remove.count == 0 => writeln!(f, "  empty   builder {name}"),
                BuilderAction::Prune(planned) => {
                    writeln!(f, "  prune   builder {name}  ({}, {})", planned.remove, size(planned.remove.bytes))
                }
                BuilderAction::Wake => writeln!(f, "  prune   builder {name}  (it is stopped, and is started for it)"),
                BuilderAction::KeepBuilding => writeln!(f, "  keep    builder {name}  (it is building)"),
                BuilderAction::KeepNamed(why) => writeln!(f, "  keep    builder {name}  ({why})"),
                BuilderAction::Fail(why) => writeln!(f, "  keep    builder {name}  (it could not be asked: {why})"),
            }?;
        }
        for PlannedVolume { volume, keep } in &self.volumes {
            match keep {
                None => writeln!(f, "  remove  volume {}  ({})", volume.name, size(volume.bytes)),
                Some(why) => writeln!(f, "  keep    volume {}  ({why})", volume.name),
            }?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{BuilderAction, BuildersPlan};
    use crate::buildkit::usage::Record;
    use crate::engine::{BuilderContainer, StateVolume};
    use crate::survey::clear::builders::{BuilderState, BuildersSurvey, SurveyedBuilder};

    fn volume(name: &str, container: Option<&str>) -> StateVolume {
        StateVolume {
            name: format!("buildx_buildkit_{name}_state"),
            bytes: 5_000_000,
            container: container.map(str::to_owned),
        }
    }

    fn builder(name: &str, state: BuilderState) -> SurveyedBuilder {
        let container = BuilderContainer {
            id: name.into(),
            name: name.into(),
            running: state != BuilderState::Stopped,
            volume: Some(volume(name, Some(name))),
        };
        SurveyedBuilder { container, state }
    }

    fn record(in_use: bool) -> Record {
        Record {
            id: String::new(),
            kind: "regular".into(),
            description: String::new(),
            size: 2_000_000,
            in_use,
            shared: false,
        }
    }

    #[test]
    fn keep_finds_a_builder_by_any_name_that_it_may_have() {
        for (node, keep, is_kept) in [
            ("multi0", "multi", true),
            ("multi12", "multi", true),
            ("multi10", "multi1", true),
            ("MyNode", "mynode", true),
            ("Team-A0", "team-*", true),
            ("my-0", "my-", true),
            ("a..b0", "a..b", true),
            ("a+b0", "a?b", true),
            ("multi0", "mult", false),
            ("multi0", "org/multi", false),
            ("multi0", "label=multi", false),
        ] {
            let (keep, state) = ([keep.parse().unwrap()], BuilderState::Idle(vec![record(false)]));
            let survey = BuildersSurvey { builders: vec![builder(node, state)], left_over: vec![volume(node, None)] };
            let plan = BuildersPlan::new(&survey, &keep);
            assert_eq!(plan.volumes[0].keep.is_some(), is_kept, "{keep:?} of the volume of {node}");
            assert_eq!(matches!(plan.builders[0].action, BuilderAction::KeepNamed(_)), is_kept, "{keep:?} of {node}");
        }
    }

    #[test]
    fn says_what_becomes_of_each() {
        let survey = BuildersSurvey {
            builders: vec![
                builder("busy0", BuilderState::Building),
                builder("dead0", BuilderState::Silent("no buildctl".into())),
                builder("idle0", BuilderState::Idle(vec![record(false), record(false)])),
                builder("mine0", BuilderState::Idle(vec![record(false)])),
                builder("off0", BuilderState::Stopped),
                builder("void0", BuilderState::Idle(vec![])),
            ],
            left_over: vec![volume("held0", Some("web")), volume("mine1", None), volume("old0", None)],
        };
        let plan = BuildersPlan::new(&survey, &["mine".parse().unwrap()]);
        insta::assert_snapshot!(plan, @"
        Other builders of the engine, whichever project they are of
          keep    builder busy0  (it is building)
          keep    builder dead0  (it could not be asked: no buildctl)
          prune   builder idle0  (2 builder records, 4.0 MB)
          keep    builder mine0  (keep: mine)
          prune   builder off0  (it is stopped, and is started for it)
          empty   builder void0
          keep    volume buildx_buildkit_held0_state  (used by container web)
          keep    volume buildx_buildkit_mine1_state  (keep: mine)
          remove  volume buildx_buildkit_old0_state  (5.0 MB)
        ");
        assert_eq!(
            plan.left(&[]),
            [
                "builder busy0 is building",
                "builder dead0 could not be asked: no buildctl",
                "builder idle0 still has 2 builder records",
                "builder off0 is stopped, and has its cache in a volume",
                "volume buildx_buildkit_held0_state stays: used by container web",
                "volume buildx_buildkit_old0_state is still there",
            ]
        );
        assert_eq!(plan.left(&["off0".to_owned()]).len(), 5);
        assert_eq!(
            BuildersPlan::new(&BuildersSurvey::default(), &[]).to_string(),
            "Other builders of the engine, whichever project they are of\n  none\n"
        );
    }
}

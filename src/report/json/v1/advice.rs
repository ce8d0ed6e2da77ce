//! What would make the next build faster.

use serde::Serialize;

use super::{NAME, seconds, short};
use crate::outcome::advice::{Advice as Given, AdviceKind as GivenKind, KeptCache};

/// Steps and files that one piece of advice names.
const NAMED: usize = 20;

/// A piece of advice.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    /// The image that it is about, as in [`Image::name`](super::Image::name).
    pub image: String,
    /// What it is.
    #[serde(flatten)]
    pub kind: AdviceKind,
    /// Time that a build would be shorter by.
    pub saves_seconds: f64,
    /// The Dockerfile to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in it, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// What can be better: a `kind`, with the fields that this kind has.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum AdviceKind {
    /// The commit is declared above steps that do not need it.
    CommitAboveSteps {
        /// The build argument.
        argument: String,
        /// The names of the steps.
        steps: Vec<String>,
    },
    /// All sources are copied before the dependencies are installed.
    CopyAboveInstall {
        /// The name of the step that copies.
        copy: String,
        /// The name of the step that installs.
        install: String,
        /// The files that it needs.
        needs: Vec<String>,
    },
    /// The cache takes longer than the steps that it spares.
    CacheCostsMore {
        /// What it took over the builds.
        costs_seconds: f64,
        /// What it spared over the builds.
        spares_seconds: f64,
        /// How many builds that was.
        builds: u32,
        /// Inputs that keep more than the image: `cache-stages`, `cache-to`.
        inputs: Vec<&'static str>,
    },
    /// Much is sent that no step uses.
    ContextUnused {
        /// Bytes that travelled.
        sent_bytes: u64,
        /// Bytes of them that a step may need.
        used_bytes: u64,
        /// The largest of the rest.
        largest: Vec<Unused>,
    },
}

/// A part of the context that no step uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unused {
    /// Its path in the context.
    pub path: String,
    /// Its size.
    pub bytes: u64,
}

impl Advice {
    pub(super) fn of(advice: &Given) -> Self {
        Self {
            image: name(&advice.image),
            kind: AdviceKind::of(&advice.kind),
            saves_seconds: seconds(advice.saves),
            file: advice.location.as_ref().map(|place| name(&place.file)),
            line: advice.location.as_ref().map(|place| place.line),
        }
    }
}

impl AdviceKind {
    fn of(kind: &GivenKind) -> Self {
        let names = |names: &[String]| names.iter().take(NAMED).map(|text| name(text)).collect();
        match kind {
            GivenKind::CommitAboveSteps { argument, steps } => {
                Self::CommitAboveSteps { argument: name(argument), steps: names(steps) }
            }
            GivenKind::CopyAboveInstall { copy, install, needs } => {
                Self::CopyAboveInstall { copy: name(copy), install: name(install), needs: names(needs) }
            }
            GivenKind::CacheCostsMore { costs, spares, builds, without } => Self::CacheCostsMore {
                costs_seconds: seconds(*costs),
                spares_seconds: seconds(*spares),
                builds: *builds,
                inputs: without.iter().map(|kept| input(*kept)).collect(),
            },
            GivenKind::ContextUnused { sent, used, largest } => Self::ContextUnused {
                sent_bytes: *sent,
                used_bytes: *used,
                largest: largest.iter().map(|(path, bytes)| Unused { path: name(path), bytes: *bytes }).collect(),
            },
        }
    }
}

const fn input(kept: KeptCache) -> &'static str {
    match kept {
        KeptCache::Stages => "cache-stages",
        KeptCache::Registry => "cache-to",
    }
}

fn name(text: &str) -> String {
    short(text, NAME)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Advice, Given, GivenKind, KeptCache};
    use crate::outcome::build::SourceLocation;

    #[test]
    fn names_what_to_change() {
        let (costs, spares, builds) = (Duration::from_secs(9), Duration::from_secs(1), 3);
        for (kind, expected) in [
            (
                GivenKind::CommitAboveSteps { argument: "C".into(), steps: vec!["[2/3] RUN x".into()] },
                r#""kind":"commit-above-steps","argument":"C","steps":["[2/3] RUN x"]"#,
            ),
            (
                GivenKind::CopyAboveInstall { copy: "a".into(), install: "b".into(), needs: vec!["c".into()] },
                r#""kind":"copy-above-install","copy":"a","install":"b","needs":["c"]"#,
            ),
            (
                GivenKind::CacheCostsMore {
                    costs,
                    spares,
                    builds,
                    without: vec![KeptCache::Stages, KeptCache::Registry],
                },
                r#""kind":"cache-costs-more","costs_seconds":9.0,"spares_seconds":1.0,"builds":3,"inputs":["cache-stages","cache-to"]"#,
            ),
            (
                GivenKind::ContextUnused { sent: 9, used: 4, largest: vec![("target".into(), 5)] },
                r#""kind":"context-unused","sent_bytes":9,"used_bytes":4,"largest":[{"path":"target","bytes":5}]"#,
            ),
        ] {
            let location = Some(SourceLocation { file: "Dockerfile".into(), line: 3, end_line: 4 });
            let given = Given { image: "app".into(), location, saves: Duration::from_millis(2500), kind };
            let written = serde_json::to_string(&Advice::of(&given)).unwrap();
            let expected = format!(r#"{{"image":"app",{expected},"saves_seconds":2.5,"file":"Dockerfile","line":3}}"#);
            assert_eq!(written, expected);
        }
    }
}

//! Where cached steps came from, as far as that can be known: the builder's progress does not say.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::buildkit::mask::Masks;
use crate::buildkit::usage::{Dated, Record};
use crate::outcome::build::{CacheSource, StepOutcome};
use crate::plan::build::PlannedBuild;

/// The kind of a record that holds the result of a step.
const REGULAR: &str = "regular";

/// What made a record, if that was a step: directories that were sent are of the same kind.
fn made_by(record: &Record, masks: &Masks) -> Option<String> {
    let is_step = record.kind == REGULAR && !record.description.starts_with("local source for ");
    is_step.then(|| plain(&masks.apply(&record.description))).filter(|made_by| !made_by.is_empty())
}

/// Whether every step that the builder holds was made after a time.
pub(super) fn made_after(records: &[Dated], time: DateTime<Utc>) -> bool {
    let mut steps = records.iter().filter(|dated| made_by(&dated.record, &Masks::NONE).is_some());
    steps.all(|dated| dated.created_at.is_some_and(|created_at| created_at > time))
}

/// Whether the builder holds any step.
pub(super) fn has_steps(records: &[Dated]) -> bool {
    records.iter().any(|dated| made_by(&dated.record, &Masks::NONE).is_some())
}

/// Whether the builder holds what may be one of these steps, made after a time by whoever. `masks` are those of the steps' build.
pub fn has_any_since(steps: &[StepOutcome], records: &[Dated], time: DateTime<Utc>, masks: &Masks) -> bool {
    let is_new = |dated: &&Dated| dated.created_at.is_none_or(|created_at| created_at > time);
    let told = |dated: &Dated| Some((dated.record.description.contains(['$', '\\']), made_by(&dated.record, masks)?));
    let mut new = records.iter().filter(is_new).filter_map(told);
    let texts: BTreeSet<String> = steps.iter().map(|step| plain(&step.instruction)).collect();
    // The builder has other words for these: lists of arguments, heredocs, what it took from a cache, other shells.
    let is_put_otherwise = |step: &StepOutcome| {
        let text = step.instruction.as_str();
        text.contains("<<") || text.strip_prefix("RUN ").is_some_and(|command| command.trim_start().starts_with('['))
    };
    let any = steps.iter().any(is_put_otherwise);
    // `fileop target` is every copy before BuildKit 0.11 (`solver/llbsolver/file/refmanager.go`).
    let unknown = ["imported ", "mount / from exec ", "fileop target"];
    let may_be_any = |made_by: &str| unknown.iter().any(|start| made_by.starts_with(start));
    // A record has a command as it was written, and the step's name has the values of its variables.
    new.any(|(has_variables, made_by)| any || has_variables || texts.contains(&made_by) || may_be_any(&made_by))
}

/// What the builder had before a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Before {
    /// It was offered nothing: what is cached is its own.
    NothingOffered,
    /// It was offered records, and had no results of its own.
    Empty {
        /// Where the offered records come from.
        offered: CacheSource,
    },
    /// It was offered records, and had these.
    Had {
        /// Where the offered records come from.
        offered: CacheSource,
        /// What made them, by their ids.
        own: BTreeMap<String, String>,
    },
    /// It was offered records, and does not say what it had.
    Unknown,
}

impl Before {
    /// Out of all the builder's records before the run, if it told them.
    pub(super) fn of(build: &PlannedBuild, records: Option<&[Dated]>) -> Self {
        let (offered, records) = match (build.offered, records) {
            (None, _) => return Self::NothingOffered,
            (Some(_), None) => return Self::Unknown,
            (Some(offered), Some(records)) => (offered, records),
        };
        let made = records.iter().map(|dated| &dated.record);
        let made = made.filter_map(|record| Some((record.id.clone(), made_by(record, &Masks::NONE)?)));
        let own: BTreeMap<String, String> = made.collect();
        if own.is_empty() { Self::Empty { offered } } else { Self::Had { offered, own } }
    }

    /// Whether the builder's records after the build are needed to tell.
    pub(super) fn needs_after(&self) -> bool {
        matches!(self, Self::Had { .. })
    }

    /// Says of every cached step where it came from.
    ///
    /// `after` are the builder's records after the build. A layer that it did not hold before and that no step of this
    /// build made came out of an offered record; its description is the step that made it.
    pub(super) fn attribute(&self, steps: &mut [StepOutcome], after: &[Record]) {
        let (offered, own) = match self {
            Self::NothingOffered => return set(steps, |_| CacheSource::Builder),
            Self::Empty { offered } => return set(steps, |_| *offered),
            Self::Unknown => return set(steps, |_| CacheSource::Mixed),
            Self::Had { offered, own } => (*offered, own),
        };
        let ran: BTreeSet<String> =
            steps.iter().filter(|step| !step.cached).map(|step| plain(&step.instruction)).collect();
        // A graph driver's builder takes a layer once more although it has the step's result itself.
        let known: BTreeSet<&String> = own.values().collect();
        let imported: Vec<String> = after
            .iter()
            .filter(|record| !own.contains_key(&record.id))
            .filter_map(|record| made_by(record, &Masks::NONE))
            .filter(|made_by| !known.contains(made_by) && !ran.contains(made_by))
            .collect();
        tracing::debug!(?imported, "layers that the builder did not have before");
        set(steps, |step| {
            let instruction = plain(&step.instruction);
            if imported.is_empty() {
                CacheSource::Builder
            } else if imported.contains(&instruction) {
                offered
            } else {
                CacheSource::Mixed
            }
        });
    }
}

fn set(steps: &mut [StepOutcome], source: impl Fn(&StepOutcome) -> CacheSource) {
    for step in steps {
        step.source = if step.cached { source(step) } else { CacheSource::None };
    }
}

/// An instruction as both the builder's progress and an image's history write it: without keyword, shell and remarks.
fn plain(text: &str) -> String {
    let text = text.trim().trim_end_matches("# buildkit").trim();
    // `[stage 2/5] RUN make` is what the builder calls a step that it ran itself.
    let text = text.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map_or(text, |(_, rest)| rest);
    let text = text.split_once("/bin/sh -c ").map_or(text, |(_, command)| command);
    let text = text
        .split_once(' ')
        .filter(|(word, _)| word.chars().all(|c| c.is_ascii_uppercase()))
        .map_or(text, |(_, rest)| rest);
    // An image's history has no flags of `COPY`.
    text.split_whitespace().filter(|word| !word.starts_with("--")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::{DateTime, TimeDelta};

    use super::{Before, Masks, REGULAR, has_any_since, made_after, plain};
    use crate::buildkit::usage::{Dated, Record};
    use crate::outcome::build::{CacheSource, StepOutcome, StepStatus};

    fn step(instruction: &str, cached: bool) -> StepOutcome {
        StepOutcome {
            name: instruction.to_owned(),
            stage: None,
            position: 2,
            of: 3,
            instruction: instruction.to_owned(),
            cached,
            source: CacheSource::Builder,
            status: StepStatus::Done,
            intervals: Vec::new(),
            reason: None,
            critical: false,
        }
    }

    fn record(id: &str, description: &str) -> Record {
        let (id, description) = (id.to_owned(), description.to_owned());
        Record { id, size: 1, in_use: false, shared: false, kind: REGULAR.to_owned(), description }
    }

    fn sources(before: &Before, after: &[Record]) -> Vec<CacheSource> {
        let mut steps = [step("COPY a /a", true), step("RUN make", true), step("RUN test", false)];
        before.attribute(&mut steps, after);
        steps.iter().map(|step| step.source).collect()
    }

    #[test]
    fn what_can_be_known() {
        use CacheSource::{Builder, Image, Mixed, None};
        let had = |own: &[(&str, &str)]| Before::Had {
            offered: Image,
            own: own.iter().map(|(id, made_by)| ((*id).to_owned(), plain(made_by))).collect::<BTreeMap<_, _>>(),
        };
        assert_eq!(sources(&Before::NothingOffered, &[]), [Builder, Builder, None]);
        assert_eq!(sources(&Before::Empty { offered: Image }, &[]), [Image, Image, None]);
        assert_eq!(sources(&Before::Unknown, &[]), [Mixed, Mixed, None]);
        let own = [("1", "COPY a /a # buildkit"), ("2", "mount / from exec /bin/sh -c make")];
        // What the step that ran has made is new, and no import.
        let ran = record("3", "mount / from exec /bin/sh -c test");
        assert_eq!(sources(&had(&own), &[record("1", own[0].1), ran.clone()]), [Builder, Builder, None]);
        // Taken once more, and known all the same.
        assert_eq!(sources(&had(&own), &[record("4", "RUN /bin/sh -c make # buildkit")]), [Builder, Builder, None]);
        let imported = record("5", "RUN /bin/sh -c make # buildkit");
        assert_eq!(sources(&had(&own[..1]), &[ran, imported]), [Mixed, Image, None]);
    }

    #[test]
    fn what_was_made_after_a_time() {
        let clear = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let made = |description: &str, seconds: i64| Dated {
            record: record("1", description),
            created_at: Some(clear + TimeDelta::seconds(seconds)),
        };
        let (new, old) = (made("[2/3] COPY a /a", 5), made("[2/3] COPY a /a", -5));
        let undated = Dated { created_at: None, ..new.clone() };
        assert!(made_after(&[], clear) && made_after(&[new.clone(), new.clone()], clear));
        assert!(!made_after(&[new.clone(), old.clone()], clear) && !made_after(std::slice::from_ref(&undated), clear));
        // Directories that were sent, and what is no step, are no cache of one.
        let mut internal = made("x", -5);
        internal.record.kind = "internal".to_owned();
        assert!(made_after(&[new.clone(), made("local source for context", -5), internal], clear));

        let masks = Masks::new(&BTreeMap::from([("VERSION".to_owned(), "two".to_owned())]), []);
        let since =
            |instruction: &str, records: &[Dated]| has_any_since(&[step(instruction, true)], records, clear, &masks);
        assert!(since("COPY a /a", &[old.clone(), new.clone()]) && since("COPY a /a", &[undated]));
        assert!(!since("COPY a /a", &[old, made("local source for context", 5)]) && !since("COPY a /a", &[]));
        assert!(!since("COPY b /b", std::slice::from_ref(&new)), "somebody else's");
        assert!(since("COPY $VERSION /a", &[made("[2/3] COPY two /a", 5)]), "values are masked in both");
        assert!(since("RUN [\"make\"]", &[new]), "it may be this one");
        assert!(since("RUN make", &[made("mount / from exec /bin/sh -c make", 5)]));
        let written = "mount / from exec /bin/sh -c wget /$V";
        for unknown in ["imported sha256:0123", "mount / from exec /bin/bash -c make", "fileop target", written] {
            assert!(since("RUN make", &[made(unknown, 5)]), "it may be any: {unknown}");
        }
        assert!(!since("RUN make", &[made("mount / from exec /bin/sh -c make all", 5)]));
    }

    #[test]
    fn instructions_are_compared_without_what_differs() {
        for (text, expected) in [
            ("RUN make all", "make all"),
            ("RUN /bin/sh -c make  all # buildkit", "make all"),
            ("[build 2/5] RUN make all", "make all"),
            ("mount / from exec /bin/sh -c make all", "make all"),
            ("COPY --chown=1 --from=x a /a", "a /a"),
            ("[2/5] COPY a /a", "a /a"),
            ("", ""),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
    }
}

//! Why a step ran, in words.

use std::collections::BTreeSet;

use super::{join, step};
use crate::outcome::build::{ImageOutcome, StepOutcome};
use crate::outcome::reason::{ChangedFiles, MissReason};
use crate::report::units;

/// So many files are named.
const NAMED: usize = 3;
/// So many digits of a digest are shown: as many as `docker images` does.
const DIGITS: usize = 12;

/// Why a step was not cached, with the evidence, as a phrase that stands alone in a table's cell or after "ran:".
pub(crate) fn of(reason: &MissReason, name: impl Fn(&str) -> String) -> String {
    match reason {
        MissReason::FirstBuild => "no record of it on this engine".to_owned(),
        MissReason::Cleared => "first build after a clear".to_owned(),
        MissReason::Asked => format!("{} asks for it", name("no-cache")),
        MissReason::CacheImageAbsent { image } => {
            format!("the cache image {} is gone, and the builder does not hold the step", name(image))
        }
        MissReason::SourceUnreadable { source, reason } => {
            format!("the cache source {} could not be read: {}", name(source), name(reason))
        }
        MissReason::BaseChanged { reference, before, now } => {
            let image = name(reference);
            match (digest(before), digest(now)) {
                (before, now) if before.is_empty() || now.is_empty() || before == now => {
                    format!("the base image {image} is another one")
                }
                (before, now) => format!("the base image {image} is another one: {} → {}", name(&before), name(&now)),
            }
        }
        MissReason::InstructionChanged => "the instruction is new or changed".to_owned(),
        MissReason::SettingChanged { keyword } => format!("the {} above it changed", name(keyword)),
        MissReason::ArgumentChanged { name: argument } => {
            format!("the build argument {} has another value", name(argument))
        }
        MissReason::FilesChanged(changed) => files(changed, "changed", name),
        MissReason::ModeChanged(changed) => {
            format!("only the mode or owner of {}", files(changed, "changed", name))
        }
        MissReason::EarlierStep { step } => format!("builds on {}, which ran", name(&step::instruction(step))),
        MissReason::Unknown => "the reason is not known".to_owned(),
    }
}

/// Reasons as a table or a list says them: what several of them have in common is said in full once.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    told: BTreeSet<String>,
}

impl Telling {
    /// Why a step of this image was not cached. Where a step before it is the reason, that one's own reason follows, because
    /// it is what a person can do something about.
    pub(crate) fn reason(
        &mut self,
        step: &StepOutcome,
        image: &ImageOutcome,
        name: impl Fn(&str) -> String,
    ) -> Option<String> {
        let reason = step.reason.as_ref()?;
        let words = of(reason, &name);
        let MissReason::EarlierStep { step: earlier } = reason else {
            self.told.insert(root(image, &step.name));
            return Some(if self.told.insert(words.clone()) { words } else { again(reason, &name) });
        };
        let before = image.steps.iter().find(|step| step.name == *earlier).and_then(|step| step.reason.as_ref());
        Some(match before {
            None | Some(MissReason::EarlierStep { .. } | MissReason::Unknown) => words,
            Some(_) if !self.told.insert(root(image, earlier)) => words,
            Some(root) => format!("{words}: {}", of(root, &name)),
        })
    }
}

/// No name of an image has a line end.
fn root(image: &ImageOutcome, step: &str) -> String {
    format!("{}\n{step}", image.name)
}

/// A reason that was said before, as short as it still tells which one it is.
fn again(reason: &MissReason, name: impl Fn(&str) -> String) -> String {
    match reason {
        MissReason::CacheImageAbsent { image } => format!("the cache image {} is gone", name(image)),
        MissReason::SourceUnreadable { source, .. } => format!("the cache source {} could not be read", name(source)),
        MissReason::BaseChanged { reference, .. } => format!("the base image {} is another one", name(reference)),
        other => of(other, name),
    }
}

/// `a and b changed`, `a, b, c and 9 more changed`, `a changed, 2 files are gone`.
fn files(changed: &ChangedFiles, verb: &str, name: impl Fn(&str) -> String) -> String {
    let mut words: Vec<String> = changed.names.iter().take(NAMED).map(|file| name(file)).collect();
    let more = changed.more + changed.names.len().saturating_sub(NAMED);
    words
        .extend((more > 0).then(|| if words.is_empty() { units::count(more, "file") } else { format!("{more} more") }));
    let gone = match changed.gone {
        0 => None,
        1 => Some("1 file is gone".to_owned()),
        gone => Some(format!("{} are gone", units::count(gone, "file"))),
    };
    match (words.is_empty(), gone) {
        (true, Some(gone)) => gone,
        (true, None) => format!("files {verb}"),
        (false, None) => format!("{} {verb}", join(words)),
        (false, Some(gone)) => format!("{} {verb}, {gone}", join(words)),
    }
}

/// A digest's first digits: `sha256:4b3c…` is `4b3c…`, twelve of them.
fn digest(digest: &str) -> String {
    digest.split_once(':').map_or(digest, |(_, digits)| digits).chars().take(DIGITS).collect()
}

#[cfg(test)]
mod tests {
    use super::{Telling, of};
    use crate::outcome::build::StepOutcome;
    use crate::outcome::reason::MissReason;
    use crate::report::fixtures;

    #[test]
    fn the_reason_behind_an_earlier_step_follows_once() {
        let image = &fixtures::warm().images[1];
        let build = &image.steps[5];
        let copy = image.steps.iter().find(|step| step.instruction == "COPY . .").unwrap();
        let mut telling = Telling::default();
        let mut say = |step: &StepOutcome| telling.reason(step, image, |raw| format!("`{raw}`")).unwrap();
        assert_eq!(say(build), "builds on `COPY . .`, which ran: `src/App.tsx` changed");
        assert_eq!(say(build), "builds on `COPY . .`, which ran");
        assert_eq!(say(copy), "`src/App.tsx` changed");

        let mut root_first = Telling::default();
        root_first.reason(copy, image, str::to_owned).unwrap();
        assert_eq!(root_first.reason(build, image, str::to_owned).unwrap(), "builds on COPY . ., which ran");
        let elsewhere = Some(MissReason::EarlierStep { step: "[x 1/2] RUN y".into() });
        let elsewhere = StepOutcome { reason: elsewhere, ..build.clone() };
        assert_eq!(root_first.reason(&elsewhere, image, str::to_owned).unwrap(), "builds on RUN y, which ran");
    }

    #[test]
    fn a_long_reason_is_said_in_full_once() {
        let image = &fixtures::warm().images[1];
        let mut telling = Telling::default();
        let mut say = |reason: &MissReason| {
            let step = StepOutcome { reason: Some(reason.clone()), ..image.steps[4].clone() };
            telling.reason(&step, image, |raw| format!("`{raw}`")).unwrap()
        };
        let short: Vec<String> = fixtures::reasons()
            .iter()
            .filter_map(|reason| {
                let (first, second) = (say(reason), say(reason));
                (first != second).then_some(second)
            })
            .collect();
        insta::assert_snapshot!(short.join("\n"), @r"
        the cache image `ghcr.io/example/watchparty-backend:latest` is gone
        the cache source `ghcr.io/example/watchparty-backend:cache` could not be read
        the base image `python:3.13-slim` is another one
        ");
    }

    #[test]
    fn every_reason_has_its_words() {
        let words: Vec<String> =
            fixtures::reasons().iter().map(|reason| of(reason, |raw| format!("`{raw}`"))).collect();
        insta::assert_snapshot!(words.join("\n"), @r"
        no record of it on this engine
        first build after a clear
        `no-cache` asks for it
        the cache image `ghcr.io/example/watchparty-backend:latest` is gone, and the builder does not hold the step
        the cache source `ghcr.io/example/watchparty-backend:cache` could not be read: `401 Unauthorized`
        the base image `python:3.13-slim` is another one: `3ac77a0935f2` → `3ac77b0935f2`
        the base image `busybox` is another one
        the instruction is new or changed
        the `ENV` above it changed
        the build argument `GIT_COMMIT_HASH` has another value
        `requirements.txt` changed
        `src/App.tsx`, `src/main.tsx`, `src/api.ts` and 9 more changed
        `package.json` changed, 1 file is gone
        2 files are gone
        files changed
        only the mode or owner of `entrypoint.sh` changed
        builds on `COPY . .`, which ran
        the reason is not known
        ");
    }
}

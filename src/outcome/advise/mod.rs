//! Advice: what would make the next build faster, decided from what this build and the ones before it did.
//!
//! Only what is sure is said, and only if it is worth it: at least [`SECONDS`], and [`PERCENT`] of the run. Time is counted only
//! where it is on the run's critical path; a step beside it could be gone, or a whole image, and the run would be no faster.

mod cache;
mod command;
mod commit;
mod context;
mod copy;
mod manifest;
mod stage;

use std::time::Duration;

pub use cache::{KEEPING, ran_seconds, times};
pub use context::{ContextFile, MUCH};
pub use manifest::Files;

use super::advice::{Advice, KeptCache, MOST};
use super::build::{ImageOutcome, ImageResult, SourceLocation, StepOutcome};
use super::known::Known;
use super::why::layout::Layout;
use crate::project::dockerfile::{Dockerfile, Lines};

/// What a build has to be shorter by, at least, for advice to be worth a reader's time.
pub const SECONDS: Duration = Duration::from_secs(2);
/// What part of the run that has to be, at least.
pub const PERCENT: u32 = 5;

/// One image, and what is looked at for it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// What happened.
    pub image: &'a ImageOutcome,
    /// What is known besides.
    pub known: &'a Known<'a>,
    /// The build argument that the commit is passed in.
    pub commit_argument: &'a str,
    /// The Dockerfile as reports name it, if it is a file.
    pub file: Option<&'a str>,
    /// What there is of the files that [`wanted`] names.
    pub files: &'a Files,
    /// The files of the context, where more than [`MUCH`] travelled.
    pub context: Option<&'a [ContextFile]>,
    /// What is kept as a cache besides the image, and need not be.
    pub kept: &'a [KeptCache],
}

impl<'a> Subject<'a> {
    fn layout(&self) -> Option<Layout<'a>> {
        let Known { dockerfile, target, .. } = self.known;
        dockerfile.map(|dockerfile| Layout { dockerfile, target })
    }

    fn location(&self, lines: Lines) -> Option<SourceLocation> {
        let file = self.file?.to_owned();
        Some(SourceLocation { file, line: lines.first, end_line: lines.last })
    }
}

/// What would make the next run faster, which has taken the time `whole`: what saves most first, [`MOST`] pieces of advice at
/// most.
pub fn advise(subjects: &[Subject<'_>], whole: Duration) -> Vec<Advice> {
    let share = whole.saturating_mul(PERCENT) / 100;
    let mut advice: Vec<Advice> = subjects.iter().flat_map(of_image).collect();
    advice.retain(|advice| advice.saves >= SECONDS && advice.saves >= share);
    advice.sort_by_key(|advice| std::cmp::Reverse(advice.saves));
    advice.truncate(MOST);
    advice
}

/// Files of the main context that [`advise`] wants to look into, relative to it.
pub fn wanted(dockerfile: &Dockerfile) -> Vec<String> {
    let mut wanted = copy::wanted(dockerfile);
    wanted.extend(commit::wanted(dockerfile));
    wanted.sort_unstable();
    wanted.dedup();
    wanted
}

/// An image that was not built has other worries.
fn of_image(subject: &Subject<'_>) -> Vec<Advice> {
    if !matches!(subject.image.result, ImageResult::Built { .. }) {
        return Vec::new();
    }
    let above = commit::advice(subject).into_iter().chain(copy::advice(subject));
    above.chain(cache::advice(subject)).chain(context::advice(subject)).collect()
}

/// What a run would be shorter by without these steps: the time of those on the critical path.
fn saved<'a>(steps: impl IntoIterator<Item = &'a StepOutcome>) -> Duration {
    steps.into_iter().filter(|step| step.critical).map(StepOutcome::duration).sum()
}

#[cfg(test)]
pub(in crate::outcome) mod tests {
    use std::time::Duration;

    use chrono::Utc;

    use super::{ContextFile, Files, Subject, advise};
    use crate::cache::ledger::{
        Build, BuildKind, BuildRecord, CacheTimes, Identity, Ledger, LedgerKey, Salt, Scope, StepFact, Subject as Whose,
    };
    use crate::outcome::advice::{Advice, AdviceKind, KeptCache, MOST};
    use crate::outcome::build::{CacheSource, ImageOutcome, ImageResult, Interval, StepOutcome, StepStatus};
    use crate::outcome::known::Known;
    use crate::outcome::reason::{ChangedFiles, MissReason};
    use crate::project::dockerfile::Dockerfile;
    use crate::project::target::{Context, Dockerfile as Source, Target};

    /// A build of one image, with everything that advice is drawn from.
    pub(super) struct Scene {
        dockerfile: Dockerfile,
        target: Target,
        pub(super) image: ImageOutcome,
        files: Files,
        context: Option<Vec<ContextFile>>,
        ledger: Option<Ledger>,
        kept: Vec<KeptCache>,
    }

    impl Scene {
        /// The steps of the last stage, all on the critical path, with the seconds that they took and why they ran.
        pub(super) fn new(text: &str, steps: &[(&str, f64, MissReason)]) -> Self {
            let dockerfile = Dockerfile::parse(text).unwrap();
            let last = dockerfile.stages().len() - 1;
            let stage = (last > 0).then(|| format!("stage-{last}"));
            let mut at = Duration::ZERO;
            let of = u32::try_from(steps.len()).unwrap() + 1;
            let steps = (2..).zip(steps).map(|(position, (instruction, seconds, reason))| {
                let start = at;
                at += Duration::from_secs_f64(*seconds);
                let bracket = stage.as_ref().map(|stage| format!("{stage} ")).unwrap_or_default();
                StepOutcome {
                    name: format!("[{bracket}{position}/{of}] {instruction}"),
                    stage: stage.clone(),
                    position,
                    of,
                    instruction: (*instruction).to_owned(),
                    cached: false,
                    source: CacheSource::None,
                    status: StepStatus::Done,
                    intervals: vec![Interval { start, end: at }],
                    reason: Some(reason.clone()),
                    critical: true,
                }
            });
            let steps = steps.collect();
            let result = ImageResult::Built { image_id: String::new(), digest: None };
            let image =
                ImageOutcome { duration: at, steps, ..ImageOutcome::ended("app".to_owned(), Vec::new(), result) };
            let target = Target::new("app", Context::Local("/w".into()), Source::Inline(text.to_owned()));
            Self { dockerfile, target, image, files: Files::new(), context: None, ledger: None, kept: Vec::new() }
        }

        pub(super) fn with_files(mut self, files: &[(&str, &str)]) -> Self {
            self.files = files.iter().map(|(path, content)| ((*path).to_owned(), (*content).to_owned())).collect();
            self
        }

        pub(super) fn with_context(mut self, files: Vec<ContextFile>) -> Self {
            self.context = Some(files);
            self
        }

        /// The steps of the build before.
        pub(super) fn with_facts(mut self, steps: Vec<StepFact>) -> Self {
            let scope = Scope::Trusted { repository: "o/r".into(), reference: "refs/heads/main".into() };
            let key = LedgerKey { scope, identity: Identity { subject: Whose::Key("app".into()), target: None } };
            let build = Build {
                event: None,
                run_url: None,
                images: Vec::new(),
                superseded: Vec::new(),
                earlier: Vec::new(),
                steps,
                evidence: serde_json::Value::Null,
                salt: Salt::keep(None),
                record: record(None),
            };
            self.ledger = Some(Ledger::successor(None, key, build));
            self
        }

        pub(super) fn with_kept(mut self, kept: &[KeptCache]) -> Self {
            self.kept = kept.to_vec();
            self
        }

        pub(super) fn with_history(mut self, times: &[Option<CacheTimes>]) -> Self {
            self.image.history = times.iter().map(|times| record(*times)).collect();
            self
        }

        pub(super) fn advice(&self) -> Vec<Advice> {
            let known = known(self);
            let subjects = [Subject {
                image: &self.image,
                known: &known,
                commit_argument: "GIT_COMMIT_HASH",
                file: Some("Dockerfile"),
                files: &self.files,
                context: self.context.as_deref(),
                kept: &self.kept,
            }];
            advise(&subjects, self.image.duration)
        }
    }

    fn record(cache_times: Option<CacheTimes>) -> BuildRecord {
        BuildRecord {
            run: None,
            at: Utc::now(),
            commit: None,
            seconds: 1.0,
            run_seconds: None,
            cached: 1,
            total: 2,
            kind: BuildKind::Warm,
            image_bytes: None,
            cache_times,
        }
    }

    pub(super) fn argument() -> MissReason {
        MissReason::ArgumentChanged { name: "GIT_COMMIT_HASH".to_owned() }
    }

    pub(super) fn earlier(step: &str) -> MissReason {
        MissReason::EarlierStep { step: step.to_owned() }
    }

    pub(super) fn files(names: &[&str]) -> MissReason {
        let names = names.iter().map(ToString::to_string).collect();
        MissReason::FilesChanged(ChangedFiles { names, ..ChangedFiles::default() })
    }

    const TEXT: &str = "FROM node\nARG GIT_COMMIT_HASH\nRUN npm ci\nRUN make\n";

    #[test]
    fn it_has_to_be_worth_it() {
        let advice = |install: f64, make: f64| {
            Scene::new(TEXT, &[("RUN npm ci", install, argument()), ("RUN make", make, argument())]).advice().len()
        };
        for (install, make, expected) in
            [(2.0, 1.0, 1), (1.99, 0.0, 0), (2.0, 38.0, 1), (2.0, 38.1, 0), (60.0, 1000.0, 1)]
        {
            assert_eq!(advice(install, make), expected, "{install} of {}", install + make);
        }
    }

    #[test]
    fn what_the_build_does_not_wait_for_saves_nothing() {
        let mut scene = Scene::new(TEXT, &[("RUN npm ci", 30.0, argument()), ("RUN make", 0.0, argument())]);
        assert_eq!(scene.advice().len(), 1);
        scene.image.steps[0].critical = false;
        assert!(scene.advice().is_empty());
    }

    #[test]
    fn an_image_that_was_not_built_is_given_none() {
        let mut scene = Scene::new(TEXT, &[("RUN npm ci", 30.0, argument()), ("RUN make", 0.0, argument())]);
        scene.image.result = ImageResult::Cancelled;
        assert!(scene.advice().is_empty());
    }

    #[test]
    fn what_saves_most_comes_first_and_three_are_enough() {
        let scenes: Vec<Scene> = [3.0, 9.0, 5.0, 7.0]
            .into_iter()
            .map(|seconds| Scene::new(TEXT, &[("RUN npm ci", seconds, argument()), ("RUN make", 0.0, argument())]))
            .collect();
        let known: Vec<Known<'_>> = scenes.iter().map(known).collect();
        let files = Files::new();
        let subjects = scenes.iter().zip(&known).map(|(scene, known)| Subject {
            image: &scene.image,
            known,
            commit_argument: "GIT_COMMIT_HASH",
            file: None,
            files: &files,
            context: None,
            kept: &[],
        });
        let subjects: Vec<Subject<'_>> = subjects.collect();
        let advice = advise(&subjects, Duration::from_secs(24));
        assert_eq!(advice.iter().map(|advice| advice.saves.as_secs()).collect::<Vec<_>>(), [9, 7, 5]);
        assert_eq!(advice.len(), MOST);
        assert!(advice.iter().all(|advice| matches!(advice.kind, AdviceKind::CommitAboveSteps { .. })));
        // The part counts that it has of the run, however large a part of its image's build it is.
        assert_eq!(advise(&subjects, Duration::from_secs(150)).len(), 1);
    }

    fn known(scene: &Scene) -> Known<'_> {
        Known {
            target: &scene.target,
            dockerfile: Some(&scene.dockerfile),
            previous: scene.ledger.as_ref(),
            present: None,
            before: None,
            now: None,
            salt: Salt::keep(None),
            remembered: true,
            merges: true,
        }
    }
}

//! What GitHub tells of earlier builds, and is told of this one. Nothing here changes how a build ends.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Run;
use crate::cache::ledger::{Access as LedgerAccess, Scope};
use crate::error::chain;
use crate::github::checks::{self, Completed, NewCheckRun};
use crate::github::{Access, Github, GithubError, comments, commits};
use crate::inputs::{BuildInputs, Source};
use crate::outcome::baseline;
use crate::outcome::build::BuildOutcome;
use crate::outcome::record::Record;
use crate::project::target::Target;
use crate::report::check::{self, Subject};
use crate::report::hidden;
use crate::report::unreported::{self, Unreported};
use crate::runner;

/// So many commits of a branch are looked at for the baseline, the newest first; each is a call.
const ALWAYS: usize = 11;
/// So many are looked at where the first ones tell of too few builds: not every commit is built.
const AT_MOST: usize = 40;
/// So many calls at the same time.
const AT_ONCE: usize = 4;
/// They are over by then, however long the build takes.
const FOR_BASELINE: Duration = Duration::from_secs(60);
/// So long the end of a run waits for GitHub in all.
const AT_THE_END: Duration = Duration::from_secs(7);
/// So long of that for earlier builds: the rest is for telling of this one.
const PATIENCE: Duration = Duration::from_secs(3);
/// What is said where [`is_of_the_base`].
const NO_CHECK: &str = "no check run was made: `pull_request_target` has built the base branch, not the pull request; \
                        `report: summary, comment` leaves it out";
/// The label that Docker Compose gives to images (`ProjectLabel` in docker/compose `pkg/api/labels.go`).
const PROJECT_LABEL: &str = "com.docker.compose.project";

/// What a run does with GitHub, from the beginning of its builds to their end.
pub(super) struct Reporting {
    subject: Subject,
    /// Whom to tell; `None` off the runner, where nobody is told.
    github: Option<Result<Github, GithubError>>,
    branches: Vec<String>,
    /// Earlier builds, while they are being read.
    past: Option<JoinHandle<Result<Vec<Record>, GithubError>>>,
}

impl Drop for Reporting {
    fn drop(&mut self) {
        if let Some(past) = &self.past {
            past.abort();
        }
    }
}

impl Reporting {
    /// Begins to read earlier builds, which goes on beside the build.
    pub(super) fn begin(run: &Run, inputs: &BuildInputs, targets: &[Target]) -> Self {
        let report = inputs.common.report;
        let wanted = report.check || report.comment || inputs.fail_if_slower.is_some();
        let begun = Instant::now();
        let github = (wanted && run.context.on_runner).then(|| {
            let token = inputs.common.github_token.as_ref();
            let api_url = run.environment.non_empty("GITHUB_API_URL");
            Github::new(&Access::new(api_url, run.context.repository.as_deref(), token)?)
        });
        tracing::debug!("GitHub: prepared in {} ms", begun.elapsed().as_millis());
        let subject = subject(run, inputs, targets);
        let branches = branches(run);
        let past = match (&github, branches.first()) {
            (Some(Ok(github)), Some(branch)) => {
                let (github, branch, name) = (github.within(FOR_BASELINE), branch.clone(), subject.check_name());
                let branches = branches.clone();
                Some(tokio::spawn(async move { past_builds(&github, &branch, &branches, &name).await }))
            }
            _ => None,
        };
        Self { subject, github, branches, past }
    }

    /// Compares the build with earlier ones, sees whether it meets its gate, and tells GitHub. What could not be told is
    /// one more warning of the outcome.
    ///
    /// Who cancels waits for the end: then nothing more is read or told.
    pub(super) async fn finish(mut self, run: &Run, inputs: &BuildInputs, outcome: &mut BuildOutcome) {
        if run.cancellation.is_cancelled() {
            return;
        }
        let begun = Instant::now();
        let mut unreported = Vec::new();
        let mut record = Record::of(outcome, &runner::class(&run.environment));
        record.variant.clone_from(&self.subject.variant);
        if baseline::is_good(outcome) {
            let past = run.cancellation.token().run_until_cancelled(self.past_builds(&mut unreported)).await.flatten();
            let of_branch = past.as_ref().and_then(|past| baseline::of_branch(&record, past, &self.branches));
            // Where GitHub was not asked, or did not answer, nobody knows.
            outcome.without_builds = self.branches.first().filter(|_| past.is_some() && of_branch.is_none()).cloned();
            outcome.baseline = of_branch.or_else(|| baseline::of_ledgers(outcome));
            let gate = |limit| baseline::gate(limit, outcome.duration, outcome.baseline.as_ref());
            outcome.gate = inputs.fail_if_slower.map(gate);
        }
        if inputs.common.report.check && is_of_the_base(run) {
            outcome.warnings.push(NO_CHECK.to_owned());
        }
        record.commit.clone_from(&run.context.head_commit);
        record.branch = own_branch(run);
        record.run_url.clone_from(&run.context.run_url);
        match self.github.take() {
            Some(Ok(github)) => {
                let github = github.within(AT_THE_END.saturating_sub(begun.elapsed()));
                let told = self.tell(run, inputs, outcome, &record, &github);
                unreported.extend(run.cancellation.token().run_until_cancelled(told).await.into_iter().flatten());
            }
            Some(Err(error)) => unreported.push(Unreported { what: "nothing could be reported to GitHub", error }),
            None => {}
        }
        for Unreported { what, error } in &unreported {
            tracing::debug!(error = chain(error), "{what}");
        }
        let proxied = ["HTTPS_PROXY", "https_proxy"].iter().any(|name| run.environment.non_empty(name).is_some());
        outcome.warnings.extend(unreported::line(&unreported, proxied));
    }

    /// The earlier builds, if they were asked for and are there by now or soon.
    async fn past_builds(&mut self, unreported: &mut Vec<Unreported>) -> Option<Vec<Record>> {
        let error = match timeout(PATIENCE, self.past.as_mut()?).await {
            Ok(Ok(Ok(records))) => return Some(records),
            Ok(Ok(Err(error))) => error,
            // It is aborted when this is dropped.
            Err(_) | Ok(Err(_)) => GithubError::TimedOut { doing: "read earlier check runs" },
        };
        unreported.push(Unreported { what: "earlier builds could not be read", error });
        None
    }

    async fn tell(
        &self,
        run: &Run,
        inputs: &BuildInputs,
        outcome: &BuildOutcome,
        record: &Record,
        github: &Github,
    ) -> Vec<Unreported> {
        let check = async {
            match (&run.context.head_commit, inputs.common.report.check) {
                (Some(commit), true) if !is_of_the_base(run) => {
                    make_check(github, self.new_check(run, outcome, record, commit)).await
                }
                _ => Ok(()),
            }
        };
        let comment = async {
            match (run.context.pull_request, inputs.common.report.comment) {
                (Some(number), true) => {
                    let marker = self.subject.marker();
                    comments::keep_one(github, number, &marker, &check::comment(outcome, &marker)).await
                }
                _ => Ok(()),
            }
        };
        let (check, comment) = tokio::join!(check, comment);
        let check = check.err().map(|error| Unreported { what: "the check run could not be made", error });
        let comment = comment.err().map(|error| Unreported { what: "the comment could not be written", error });
        check.into_iter().chain(comment).collect()
    }

    fn new_check(&self, run: &Run, outcome: &BuildOutcome, record: &Record, commit: &str) -> NewCheckRun {
        let length = chrono::TimeDelta::from_std(outcome.duration).unwrap_or_default();
        NewCheckRun {
            name: self.subject.check_name(),
            head_sha: commit.to_owned(),
            details_url: run.context.run_url.clone(),
            external_id: format!("watchparty-cache:{}", uuid::Uuid::new_v4()),
            status: Completed::Completed,
            started_at: outcome.started_at,
            completed_at: outcome.started_at + length,
            conclusion: check::conclusion(outcome),
            output: check::output(outcome, record),
        }
    }
}

/// Whether a pull request's event has built the branch that it goes to. A check run of that commit would take the place of
/// the branch's own, on behalf of anybody who opens a pull request; one of the head would be of what was not built.
fn is_of_the_base(run: &Run) -> bool {
    run.context.event.as_deref() == Some("pull_request_target")
        && run.context.head_commit.as_deref() == run.environment.non_empty("GITHUB_SHA")
}

/// Creates the check run, once: where it is not sure that it was created, it is looked for.
async fn make_check(github: &Github, check: NewCheckRun) -> Result<(), GithubError> {
    let Err(error) = checks::create(github, &check).await else { return Ok(()) };
    if !error.is_ambiguous() {
        return Err(error);
    }
    // Where it cannot be looked for either, the first error says more.
    let Ok(present) = checks::of_commit(github, &check.head_sha, &check.name).await else { return Err(error) };
    if present.entries.iter().any(|present| present.external_id.as_ref() == Some(&check.external_id)) {
        return Ok(());
    }
    checks::create(github, &check).await.map(|_| ())
}

/// Builds of the branch and of what it began from, the newest first, as their check runs tell: as many as are needed.
async fn past_builds(
    github: &Github,
    branch: &str,
    branches: &[String],
    check_name: &str,
) -> Result<Vec<Record>, GithubError> {
    let newest = match commits::newest(github, branch, AT_MOST).await {
        // A branch without a commit, or one that is gone: nothing was built there.
        Err(GithubError::NotFound { .. }) => return Ok(Vec::new()),
        newest => newest?,
    };
    let each = newest.into_iter().map(|commit| async move { checks::of_commit(github, &commit, check_name).await });
    let mut answers = std::pin::pin!(stream::iter(each).buffered(AT_ONCE).enumerate());
    let mut records = Vec::new();
    let mut failed = None;
    while let Some((index, answer)) = answers.next().await {
        // A GitHub that fails is not asked for more than it has to be.
        if index >= ALWAYS && (failed.is_some() || baseline::is_enough(&records, branches)) {
            break;
        }
        match answer {
            Ok(checks) => records.extend(
                checks
                    .entries
                    .iter()
                    .filter(|check| check.is_of_github_actions())
                    .filter_map(|check| hidden::read_record(check.output.text.as_deref()?)),
            ),
            Err(error) => failed = Some(error),
        }
    }
    // Some of them are as good as fewer builds.
    match failed {
        Some(error) if records.is_empty() => Err(error),
        _ => Ok(records),
    }
}

fn subject(run: &Run, inputs: &BuildInputs, targets: &[Target]) -> Subject {
    let project = targets.first().map(|target| match (target.labels.get(PROJECT_LABEL), target.tags.first()) {
        (Some(project), _) => project.clone(),
        (None, Some(tag)) => tag.repository(),
        (None, None) => target.name.clone(),
    });
    let workflow = run.environment.get("GITHUB_WORKFLOW").unwrap_or_default().to_owned();
    Subject { workflow, project: project.unwrap_or_default(), variant: variant(inputs) }
}

/// What tells the build from others of the project: what was asked for in so many words.
fn variant(inputs: &BuildInputs) -> Option<String> {
    let (services, target) = match &inputs.source {
        Source::Compose { services, .. } => (services.as_slice(), None),
        Source::Dockerfile { target, .. } => (&[][..], target.as_ref()),
    };
    let mut words = services.to_vec();
    words.extend(target.map(|target| format!("target {target}")));
    words.extend(inputs.platforms.iter().cloned());
    words.extend(inputs.cache_key.as_ref().map(|key| format!("key {key}")));
    (!words.is_empty()).then(|| words.join(", "))
}

/// The branch that is built, if it is one, and not on behalf of anybody who likes.
fn own_branch(run: &Run) -> Option<String> {
    match LedgerAccess::of(&run.context).own {
        Scope::Trusted { reference, .. } => reference.strip_prefix("refs/heads/").map(str::to_owned),
        Scope::Untrusted { .. } | Scope::Local => None,
    }
}

/// Whose builds to compare with: the base branch's for a pull request and a merge group; else the branch's own, and where it
/// has none the default branch's.
fn branches(run: &Run) -> Vec<String> {
    let context = &run.context;
    let (base, default) = (context.base_branch.clone(), context.default_branch.clone());
    match base {
        Some(base) => vec![base],
        None => {
            let own = own_branch(run);
            let default = default.filter(|default| Some(default) != own.as_ref());
            own.into_iter().chain(default).collect()
        }
    }
}

//! Who may write a ledger and who may read it: on a shared engine a pull request must not plant layers for a deploy.

use serde::{Deserialize, Serialize};

use crate::runner::Context;

/// Events whose workflow, ref and code come from people who may write to the repository.
///
/// Everything else is untrusted: `pull_request` runs anybody's code, `pull_request_target`, `issue_comment` and
/// `workflow_run` are started by anybody and may check it out, `merge_group` is not merged yet; and what is not known is
/// not trusted. (GitHub documentation, "Events that trigger workflows" and "Secure use reference".)
const TRUSTED_EVENTS: [&str; 7] =
    ["push", "workflow_dispatch", "schedule", "repository_dispatch", "release", "create", "deployment"];

/// Events of a pull request that run without the repository's secrets: they share the pull request's ledger.
///
/// Not `pull_request_target`, which runs with them, and which a layer from the pull request's own run could betray.
const PULL_REQUEST_EVENTS: [&str; 3] = ["pull_request", "pull_request_review", "pull_request_review_comment"];

/// What the refs of their scope begin with. An event has no such name.
const PULL_REQUEST: &str = "pull/";

/// The same of a merge queue's runs.
const MERGE_QUEUE: &str = "merge_group/";

/// The builds that write the same ledgers: a part of a ledger's key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "class", rename_all = "camelCase")]
pub enum Scope {
    /// Runs of trusted events.
    Trusted {
        /// `GITHUB_REPOSITORY`: `owner/name`.
        repository: String,
        /// The branch or tag: `refs/heads/main`.
        #[serde(rename = "ref")]
        reference: String,
    },
    /// All other runs.
    Untrusted {
        /// `GITHUB_REPOSITORY`, if the runner said so.
        repository: Option<String>,
        /// `pull/42`; for other events the event and what it was about: `pull_request_target/pull/42`,
        /// `merge_group/refs/heads/…`.
        #[serde(rename = "ref")]
        reference: String,
    },
    /// Builds outside GitHub.
    Local,
}

/// What a run may do: it writes to its own scope, and reads what it trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Where the run writes.
    pub own: Scope,
    /// Where it looks, in this order, each once: its own first, then the base branch's, then the default branch's.
    pub reads: Vec<Scope>,
    /// Where pushes to the default branch write, if the event says which branch that is.
    pub default_branch: Option<Scope>,
}

impl Scope {
    /// The scope that a run writes to.
    fn of(context: &Context) -> Self {
        if !context.on_runner {
            return Self::Local;
        }
        let event = context.event.as_deref().unwrap_or("unknown");
        // GitHub pushes a merge queue's branch: a workflow on every push runs for it as well.
        let event = if context.is_queued() { "merge_group" } else { event };
        let is_branch_or_tag =
            |reference: &&String| reference.starts_with("refs/heads/") || reference.starts_with("refs/tags/");
        match (&context.repository, context.reference.as_ref().filter(is_branch_or_tag)) {
            (Some(repository), Some(reference)) if TRUSTED_EVENTS.contains(&event) => {
                Self::Trusted { repository: repository.clone(), reference: reference.clone() }
            }
            _ => Self::Untrusted { repository: context.repository.clone(), reference: untrusted(event, context) },
        }
    }

    /// Whether a run in this scope may use a ledger of `other` that it did not find by its own look-up, but because a
    /// person named the ledger's image as a cache source.
    pub fn may_read(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Trusted { repository, .. }, Self::Trusted { repository: theirs, .. }) => repository == theirs,
            (Self::Untrusted { repository: Some(repository), .. }, Self::Trusted { repository: theirs, .. }) => {
                repository == theirs
            }
            (Self::Untrusted { .. }, Self::Untrusted { .. }) | (Self::Local, Self::Local) => self == other,
            (Self::Trusted { .. }, Self::Untrusted { .. } | Self::Local)
            | (Self::Untrusted { .. }, Self::Trusted { .. } | Self::Local)
            | (Self::Local, Self::Trusted { .. } | Self::Untrusted { .. }) => false,
        }
    }

    /// Whether nobody vouches for what such a run builds.
    pub fn is_untrusted(&self) -> bool {
        matches!(self, Self::Untrusted { .. })
    }

    /// Whether it is a pull request's own, which runs without the repository's secrets.
    pub fn has_no_secrets(&self) -> bool {
        matches!(self, Self::Untrusted { reference, .. } if reference.starts_with(PULL_REQUEST))
    }

    /// Whether no other run will have this scope. Each run of a merge queue is about a branch of its own, which is deleted after it:
    /// nobody would read what it wrote. It is not merged yet, so its base branch's cache is not its to write.
    /// <https://docs.github.com/en/actions/reference/workflows-and-actions/events-that-trigger-workflows#merge_group>
    pub fn is_of_one_run(&self) -> bool {
        matches!(self, Self::Untrusted { reference, .. } if reference.starts_with(MERGE_QUEUE))
    }

    /// The repository that GitHub runs the build for.
    pub fn repository(&self) -> Option<&str> {
        match self {
            Self::Trusted { repository, .. } => Some(repository),
            Self::Untrusted { repository, .. } => repository.as_deref(),
            Self::Local => None,
        }
    }

    /// The word for it that documents have: `trusted`, `untrusted`, `local`.
    pub(super) fn class(&self) -> &'static str {
        match self {
            Self::Trusted { .. } => "trusted",
            Self::Untrusted { .. } => "untrusted",
            Self::Local => "local",
        }
    }

    /// The ref, as documents have it.
    pub fn reference(&self) -> Option<&str> {
        match self {
            Self::Trusted { reference, .. } | Self::Untrusted { reference, .. } => Some(reference),
            Self::Local => None,
        }
    }

    /// The words of it that a person knows it by: `main`, `v1`, `pull/42`, `local`.
    pub(super) fn word(&self) -> &str {
        let reference = self.reference().unwrap_or("local");
        reference.strip_prefix("refs/heads/").or_else(|| reference.strip_prefix("refs/tags/")).unwrap_or(reference)
    }
}

impl Access {
    /// What a run may do.
    pub fn of(context: &Context) -> Self {
        let own = Scope::of(context);
        let branches = match &own {
            Scope::Trusted { .. } => [None, context.default_branch.as_ref()],
            Scope::Untrusted { .. } => [context.base_branch.as_ref(), context.default_branch.as_ref()],
            Scope::Local => [None, None],
        };
        let pushed = |branch: &String| {
            let repository = own.repository()?.to_owned();
            Some(Scope::Trusted { repository, reference: format!("refs/heads/{branch}") })
        };
        let mut reads = vec![own.clone()];
        for scope in branches.into_iter().flatten().filter_map(pushed) {
            if !reads.contains(&scope) {
                reads.push(scope);
            }
        }
        let default_branch = context.default_branch.as_ref().and_then(pushed);
        Self { own, reads, default_branch }
    }
}

fn untrusted(event: &str, context: &Context) -> String {
    match (context.pull_request, context.reference.as_deref()) {
        (Some(number), _) if PULL_REQUEST_EVENTS.contains(&event) => format!("{PULL_REQUEST}{number}"),
        (Some(number), _) => format!("{event}/pull/{number}"),
        (None, Some(reference)) => format!("{event}/{reference}"),
        (None, None) => format!("{event}/unknown"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Access, Scope};
    use crate::runner::{Context, Environment};

    /// A push to `main`, the default branch of `o/r`.
    fn push() -> Context {
        Context {
            on_runner: true,
            event: Some("push".into()),
            repository: Some("o/r".into()),
            reference: Some("refs/heads/main".into()),
            default_branch: Some("main".into()),
            ..Context::read(&Environment::default(), Path::new("/")).0
        }
    }

    fn pull_request(event: &str) -> Context {
        Context {
            event: Some(event.into()),
            reference: Some("refs/pull/42/merge".into()),
            base_branch: Some("release".into()),
            pull_request: Some(42),
            ..push()
        }
    }

    fn trusted(reference: &str) -> Scope {
        Scope::Trusted { repository: "o/r".into(), reference: reference.into() }
    }

    fn untrusted(reference: &str) -> Scope {
        Scope::Untrusted { repository: Some("o/r".into()), reference: reference.into() }
    }

    fn on(event: &str, reference: &str) -> Context {
        Context { event: Some(event.into()), reference: Some(reference.into()), ..push() }
    }

    #[test]
    fn who_writes_what_and_reads_what() {
        const QUEUED: &str = "refs/heads/gh-readonly-queue/main/pr-7-0123456789abcdef";
        let (main, release) = (trusted("refs/heads/main"), trusted("refs/heads/release"));
        let table: Vec<(Context, Vec<Scope>)> = vec![
            (push(), vec![main.clone()]),
            (on("push", "refs/heads/x"), vec![trusted("refs/heads/x"), main.clone()]),
            (on("workflow_dispatch", "refs/heads/x"), vec![trusted("refs/heads/x"), main.clone()]),
            (on("schedule", "refs/heads/main"), vec![main.clone()]),
            (on("repository_dispatch", "refs/heads/main"), vec![main.clone()]),
            (on("release", "refs/tags/v1"), vec![trusted("refs/tags/v1"), main.clone()]),
            (on("create", "refs/tags/v1"), vec![trusted("refs/tags/v1"), main.clone()]),
            (on("deployment", "refs/heads/x"), vec![trusted("refs/heads/x"), main.clone()]),
            (Context { default_branch: None, ..push() }, vec![main.clone()]),
            // A trusted event does not read the branch that a stray variable names.
            (Context { base_branch: Some("release".into()), ..push() }, vec![main.clone()]),
            (pull_request("pull_request"), vec![untrusted("pull/42"), release.clone(), main.clone()]),
            (pull_request("pull_request_review"), vec![untrusted("pull/42"), release.clone(), main.clone()]),
            (
                Context { base_branch: Some("main".into()), ..pull_request("pull_request") },
                vec![untrusted("pull/42"), main.clone()],
            ),
            (
                Context { reference: Some("refs/heads/release".into()), ..pull_request("pull_request_target") },
                vec![untrusted("pull_request_target/pull/42"), release.clone(), main.clone()],
            ),
            (
                Context { pull_request: None, ..pull_request("pull_request") },
                vec![untrusted("pull_request/refs/pull/42/merge"), release, main.clone()],
            ),
            (on("issue_comment", "refs/heads/main"), vec![untrusted("issue_comment/refs/heads/main"), main.clone()]),
            (on("workflow_run", "refs/heads/main"), vec![untrusted("workflow_run/refs/heads/main"), main.clone()]),
            (on("merge_group", "refs/heads/q"), vec![untrusted("merge_group/refs/heads/q"), main.clone()]),
            (on("push", QUEUED), vec![untrusted(&format!("merge_group/{QUEUED}")), main.clone()]),
            (on("create", QUEUED), vec![untrusted(&format!("merge_group/{QUEUED}")), main.clone()]),
            (on("delete", "refs/heads/main"), vec![untrusted("delete/refs/heads/main"), main.clone()]),
            (Context { event: None, ..push() }, vec![untrusted("unknown/refs/heads/main"), main.clone()]),
            (on("push", "refs/pull/42/merge"), vec![untrusted("push/refs/pull/42/merge"), main.clone()]),
            (Context { reference: None, ..push() }, vec![untrusted("push/unknown"), main]),
            (
                Context { repository: None, ..push() },
                vec![Scope::Untrusted { repository: None, reference: "push/refs/heads/main".into() }],
            ),
            (Context { on_runner: false, ..push() }, vec![Scope::Local]),
        ];
        for (context, reads) in table {
            let access = Access::of(&context);
            assert_eq!(access.reads, reads, "{context:?}");
            assert_eq!(Some(&access.own), reads.first());
            for scope in &access.reads {
                assert!(access.own.may_read(scope), "{access:?}");
            }
            let is_queued = context.reference.as_deref() == Some(QUEUED);
            let is_merge_group = context.event.as_deref() == Some("merge_group");
            assert_eq!(access.own.is_of_one_run(), is_queued || is_merge_group, "{access:?}");
        }
    }

    #[test]
    fn who_may_read_what_was_found_through_another_door() {
        let other = |scope: &Scope| match scope.clone() {
            Scope::Trusted { reference, .. } => Scope::Trusted { repository: "o/other".into(), reference },
            Scope::Untrusted { reference, .. } => Scope::Untrusted { repository: Some("o/other".into()), reference },
            Scope::Local => Scope::Local,
        };
        let (main, branch) = (trusted("refs/heads/main"), trusted("refs/heads/x"));
        let (pull, another) = (untrusted("pull/1"), untrusted("pull/2"));
        let homeless = Scope::Untrusted { repository: None, reference: "pull/1".into() };
        for (reader, may, may_not) in [
            (&main, vec![&main, &branch], vec![&pull, &another, &Scope::Local, &homeless]),
            (&pull, vec![&main, &branch, &pull], vec![&another, &Scope::Local, &homeless]),
            (&homeless, vec![&homeless], vec![&main, &pull, &Scope::Local]),
            (&Scope::Local, vec![&Scope::Local], vec![&main, &pull, &homeless]),
        ] {
            for scope in may {
                assert!(reader.may_read(scope), "{reader:?} {scope:?}");
                if scope.repository().is_some() {
                    assert!(!reader.may_read(&other(scope)), "{reader:?} {scope:?} of another repository");
                }
            }
            for scope in may_not {
                assert!(!reader.may_read(scope), "{reader:?} {scope:?}");
            }
        }
    }
}

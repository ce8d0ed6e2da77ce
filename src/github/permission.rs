//! What a call is for, and what a job's token needs for it.

use std::fmt;

/// What a call does, in the words of its errors, and what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// `create the check run`: fits after "could not".
    pub doing: &'static str,
    /// What the token needs.
    pub needs: Permission,
}

/// One line of `permissions:` in a workflow (GitHub documentation, "Permissions required for GitHub Apps").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// To see caches and runs.
    ActionsRead,
    /// To delete caches.
    ActionsWrite,
    /// To see check runs.
    ChecksRead,
    /// To create them.
    ChecksWrite,
    /// To see commits.
    ContentsRead,
    /// To see package versions.
    PackagesRead,
    /// To delete them.
    PackagesWrite,
    /// To see comments.
    PullRequestsRead,
    /// To write them.
    PullRequestsWrite,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ActionsRead => "actions: read",
            Self::ActionsWrite => "actions: write",
            Self::ChecksRead => "checks: read",
            Self::ChecksWrite => "checks: write",
            Self::ContentsRead => "contents: read",
            Self::PackagesRead => "packages: read",
            Self::PackagesWrite => "packages: write",
            Self::PullRequestsRead => "pull-requests: read",
            Self::PullRequestsWrite => "pull-requests: write",
        })
    }
}

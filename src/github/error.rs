//! Why a call failed, and what a person can do about it.

use chrono::{DateTime, Utc};

use crate::github::Permission;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A call to GitHub that failed. Its text never holds the token.
#[derive(Debug, thiserror::Error)]
pub enum GithubError {
    /// There is no token to call with.
    #[error("could not reach GitHub's API: there is no token")]
    NoToken,
    /// It is not known which repository this is about.
    #[error("could not reach GitHub's API: the runner does not say which repository this is")]
    NoRepository,
    /// The address of the API, or the token, cannot be used, or there are no certificates to trust.
    #[error("could not prepare to call GitHub's API at {address}")]
    Setup {
        /// The base of the API.
        address: String,
        /// Why.
        #[source]
        source: Source,
    },
    /// The token is not valid, or not any more.
    #[error("could not {doing}: GitHub does not know the token ({message})")]
    Unauthorized {
        /// What the call was for.
        doing: &'static str,
        /// GitHub's words.
        message: String,
    },
    /// The token may not do that.
    #[error("could not {doing}: GitHub refused it ({message})")]
    Forbidden {
        /// What the call was for.
        doing: &'static str,
        /// What the token needs.
        needs: Permission,
        /// GitHub's words.
        message: String,
    },
    /// There is no such thing, or the token may not see it.
    #[error("could not {doing}: GitHub does not find it")]
    NotFound {
        /// What the call was for.
        doing: &'static str,
        /// What the token needs.
        needs: Permission,
    },
    /// The limit of requests is used up.
    #[error("could not {doing}: GitHub's rate limit is used up until {}", until.format("%H:%M:%S UTC"))]
    RateLimited {
        /// What the call was for.
        doing: &'static str,
        /// When it is lifted.
        until: DateTime<Utc>,
    },
    /// GitHub did not like the request.
    #[error("could not {doing}: GitHub answered {status} ({message})")]
    Rejected {
        /// What the call was for.
        doing: &'static str,
        /// The status.
        status: u16,
        /// GitHub's words.
        message: String,
    },
    /// GitHub failed.
    #[error("could not {doing}: GitHub failed with status {status}")]
    Server {
        /// What the call was for.
        doing: &'static str,
        /// The status, 500 or higher.
        status: u16,
    },
    /// There was no answer in time.
    #[error("could not {doing}: GitHub did not answer in time")]
    TimedOut {
        /// What the call was for.
        doing: &'static str,
    },
    /// There is no connection to it, or it broke.
    #[error("could not {doing}: no connection to GitHub")]
    Unreachable {
        /// What the call was for.
        doing: &'static str,
        /// Why.
        #[source]
        source: Source,
    },
    /// The answer is not what it should be.
    #[error("could not {doing}: GitHub's answer cannot be read")]
    Unreadable {
        /// What the call was for.
        doing: &'static str,
        /// Why.
        #[source]
        source: Source,
    },
}

impl GithubError {
    /// What to do about it; empty if there is nothing to do but to try again.
    pub fn help(&self) -> String {
        match self {
            Self::NoToken => "leave `github-token` unset: the job's own token is its default".to_owned(),
            Self::NoRepository | Self::Rejected { .. } | Self::Unreadable { .. } => String::new(),
            Self::Setup { .. } => "check `GITHUB_API_URL`, `github-token` and the machine's certificates".to_owned(),
            Self::Unauthorized { .. } => "leave `github-token` unset, or give it a token that is valid".to_owned(),
            Self::Forbidden { needs, .. } => format!(
                "it needs `permissions: {needs}`; a pull request from a fork has a read-only token whatever the workflow says"
            ),
            Self::NotFound { needs, .. } => format!(
                "it is not there, or the token may not see it, which GitHub does not tell apart; to see it needs `permissions: {needs}`"
            ),
            Self::RateLimited { .. } => "the next run will try again".to_owned(),
            Self::Server { .. } | Self::TimedOut { .. } | Self::Unreachable { .. } => {
                "the next run will try again; see whether GitHub has an outage".to_owned()
            }
        }
    }

    /// Whether it is not known if a write was done: the connection or the server failed after it was sent.
    pub const fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Server { .. } | Self::TimedOut { .. } | Self::Unreachable { .. } | Self::Unreadable { .. })
    }

    /// The permission that is missing, or may be.
    pub const fn needs(&self) -> Option<Permission> {
        match self {
            Self::Forbidden { needs, .. } | Self::NotFound { needs, .. } => Some(*needs),
            _ => None,
        }
    }
}

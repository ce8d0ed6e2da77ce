//! What can go wrong with a registry, and the way out of it.

use std::error::Error;
use std::time::Duration;

use super::repository::way_to_delete;

/// What a registry that was given no login is said to do.
pub const ASKS_FOR_LOGIN: &str = "it asks for a login";
/// What is said of one that was given a wrong login.
pub const TAKES_NO_LOGIN: &str = "it does not accept the login";

/// Why a registry did not do what it was asked for. Holds no credentials.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It asks for a login, or does not accept ours.
    #[error("log in at {registry}: {}{}", if *.given { TAKES_NO_LOGIN } else { ASKS_FOR_LOGIN }, said(.message))]
    Unauthorized {
        /// The registry's host.
        registry: String,
        /// Whether it was given one.
        given: bool,
        /// Its words, if it said something.
        message: String,
    },
    /// It knows who asks, and does not allow it.
    #[error("{registry} does not allow it{}", said(.message))]
    Denied {
        /// The registry's host.
        registry: String,
        /// Its words, if it said something.
        message: String,
    },
    /// There is no such repository, tag or manifest.
    #[error("{registry} does not have it{}", said(.message))]
    NotFound {
        /// The registry's host.
        registry: String,
        /// Its words, if it said something.
        message: String,
    },
    /// It does not delete at all, or not by its API.
    #[error("{registry} does not delete what it holds{}", said(.message))]
    DeleteUnsupported {
        /// The registry's host.
        registry: String,
        /// Its words, if it said something.
        message: String,
    },
    /// It was asked too often.
    #[error("{registry} was asked too often{}", .retry_after.map(|after| format!(", and answers again in {} s", after.as_secs())).unwrap_or_default())]
    RateLimited {
        /// The registry's host.
        registry: String,
        /// When to ask again, if it said so.
        retry_after: Option<Duration>,
    },
    /// Any other refusal.
    #[error("{registry} answers {status}{}", said(.message))]
    Refused {
        /// The registry's host.
        registry: String,
        /// The HTTP status.
        status: u16,
        /// Its words, if it said something.
        message: String,
    },
    /// No connection, or one that was cut.
    #[error("reach {host}")]
    Unreachable {
        /// The host, which may be one that the registry named.
        host: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Its certificate is not signed by anybody whom we trust, or not for this name.
    #[error("trust the certificate of {host}")]
    Certificate {
        /// The host.
        host: String,
        /// Why not.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// No answer in time.
    #[error("{host} did not answer within {} s", .after.as_secs_f32())]
    TimedOut {
        /// The host.
        host: String,
        /// How long we waited.
        after: Duration,
    },
    /// An answer that is not what the specification says.
    #[error("{registry} answers with {what}")]
    Malformed {
        /// The registry's host.
        registry: String,
        /// What is wrong, as a phrase.
        what: String,
    },
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

impl RegistryError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Unauthorized { given: false, .. } => {
                "give `registry-auth` a login for it: a container action does not see the `docker login` of the host"
            }
            Self::Unauthorized { given: true, .. } => {
                "check the user and the password in `registry-auth`, and whether the token has expired"
            }
            Self::Denied { .. } => {
                "give `registry-auth` a login that may read and delete there, and check the repository's name"
            }
            Self::NotFound { .. } => "check the name of the repository",
            Self::DeleteUnsupported { registry, .. } => way_to_delete(registry),
            Self::RateLimited { .. } => "run it again later, with a login in `registry-auth`: limits are higher then",
            Self::Refused { .. } | Self::Malformed { .. } => {
                "run it again; if that does not help, look at the registry's own log or status page"
            }
            Self::Unreachable { .. } | Self::TimedOut { .. } => {
                "check the host's name, its port and the way there from the runner"
            }
            Self::Certificate { .. } => {
                "set `SSL_CERT_FILE` in the `env:` of the step to a file of certificates that has the registry's own authority"
            }
        }
    }

    /// Whether the registry said that there is nothing of that name.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the next request of the same kind would end in the same way: asking on could lock an account.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Unauthorized { .. }
            | Self::Denied { .. }
            | Self::DeleteUnsupported { .. }
            | Self::RateLimited { .. }
            | Self::Certificate { .. } => true,
            Self::NotFound { .. }
            | Self::Refused { .. }
            | Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Malformed { .. } => false,
        }
    }
}

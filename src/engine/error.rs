//! What can go wrong with an engine, and what to do about it on each kind of runner.

use std::error::Error;
use std::io;
use std::time::Duration;

use super::info::ApiVersion;
use crate::address::AddressError;
use crate::address::DialError;

/// Where this program runs, as far as that changes what a person has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunnerKind {
    /// A runner that GitHub hosts.
    GithubHosted,
    /// A runner of one's own.
    SelfHosted,
    /// No GitHub runner at all.
    Terminal,
}

impl RunnerKind {
    /// Tells the kind from `GITHUB_ACTIONS` and `RUNNER_ENVIRONMENT`; `variable` looks up an environment variable.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Self {
        match (variable("GITHUB_ACTIONS").as_deref(), variable("RUNNER_ENVIRONMENT").as_deref()) {
            (_, Some("github-hosted")) => Self::GithubHosted,
            (Some("true"), _) | (_, Some("self-hosted")) => Self::SelfHosted,
            _ => Self::Terminal,
        }
    }
}

/// A request to the engine that did not work out.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// `DOCKER_HOST` cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// No connection could be opened.
    #[error("connect to the engine")]
    Dial(#[from] DialError),
    /// The connection is open and nothing comes back.
    #[error("{action}: the engine at {address} did not answer within {} s", after.as_secs_f32())]
    NotAnswering {
        /// What was asked for, as `list images`.
        action: String,
        /// The engine's address.
        address: String,
        /// How long we waited.
        after: Duration,
    },
    /// What answers there does not speak the Docker Engine API.
    #[error("talk to the engine: what listens at {address} is not a Docker engine")]
    NotAnEngine {
        /// The address.
        address: String,
        /// What was wrong with its answer.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Its API is older than what we need, or newer than what we know.
    #[error(
        "talk to the engine: Docker {version} speaks API {from} to {to}, and this program {ours_from} to {ours_to}"
    )]
    Version {
        /// The engine's version.
        version: String,
        /// Its oldest API version.
        from: ApiVersion,
        /// Its newest API version.
        to: ApiVersion,
        /// Our oldest.
        ours_from: ApiVersion,
        /// Our newest.
        ours_to: ApiVersion,
    },
    /// The engine understood and refused.
    #[error("{action}: {message}")]
    Refused {
        /// What was asked for, as `remove image app:latest`.
        action: String,
        /// The HTTP status.
        status: u16,
        /// The engine's own words.
        message: String,
    },
    /// The engine could not push an image.
    #[error("push {image}: {message}")]
    Push {
        /// The tag.
        image: String,
        /// The engine's own words, or the registry's.
        message: String,
    },
    /// The connection broke before the answer was complete.
    #[error("{action}: the connection to the engine broke")]
    Broken {
        /// What was asked for.
        action: String,
        /// How.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The answer is not what the API documents.
    #[error("{action}: the engine's answer makes no sense")]
    Malformed {
        /// What was asked for.
        action: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A file that the answer depends on could not be read.
    #[error("{action}")]
    Local {
        /// What was tried, as `read /proc/self/mountinfo`.
        action: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl EngineError {
    /// Whether the engine said that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether no engine can be reached at all (exit status 3), in contrast to one that refuses something.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Address(_)
            | Self::Dial(_)
            | Self::NotAnswering { .. }
            | Self::NotAnEngine { .. }
            | Self::Version { .. }
            | Self::Broken { .. } => true,
            Self::Refused { .. } | Self::Push { .. } | Self::Malformed { .. } | Self::Local { .. } => false,
        }
    }

    /// What to do about it on this kind of runner.
    pub fn help(&self, runner: RunnerKind) -> Option<String> {
        let text = match self {
            Self::Address(error) => error.help(),
            Self::Dial(error) => dial_help(error, runner),
            Self::NotAnswering { .. } => match runner {
                RunnerKind::GithubHosted => "The runner's Docker engine hangs. Run the job again.",
                RunnerKind::SelfHosted | RunnerKind::Terminal => {
                    "The Docker engine hangs: look at its log (journalctl -u docker) and restart it."
                }
            },
            Self::NotAnEngine { .. } => {
                "Let DOCKER_HOST name the socket of a Docker engine, or leave it unset; is something else mounted there?"
            }
            Self::Version { to, ours_from, .. } if to < ours_from => "Update Docker to version 20.10 or newer.",
            Self::Version { .. } => "Use a newer version of this action.",
            Self::Broken { .. } => {
                "The engine stopped or was restarted while it was at work. Look at its log, then run the job again."
            }
            Self::Refused { .. } | Self::Push { .. } | Self::Malformed { .. } | Self::Local { .. } => return None,
        };
        Some(text.to_owned())
    }
}

fn dial_help(error: &DialError, runner: RunnerKind) -> &'static str {
    match (error, runner) {
        (DialError::Missing { .. }, RunnerKind::GithubHosted) => {
            "This runner has no Docker engine: ubuntu-slim, macOS and Windows runners have none. Use runs-on: \
             ubuntu-24.04; in a job with container:, mount the socket (volumes: [/var/run/docker.sock:/var/run/docker.sock])."
        }
        (DialError::Missing { .. }, RunnerKind::SelfHosted) => {
            "Install and start Docker on the runner. With rootless Docker or Podman make /var/run/docker.sock a link to the \
             real socket: the runner mounts that path into every container action. On Kubernetes use \
             actions-runner-controller in dind mode; its kubernetes mode has no engine."
        }
        (DialError::Missing { .. }, RunnerKind::Terminal) => {
            "Start Docker, or set DOCKER_HOST to the engine's address (docker context inspect shows it)."
        }
        (DialError::Directory { .. }, RunnerKind::GithubHosted | RunnerKind::SelfHosted) => {
            "The engine made this directory because the runner mounted a socket that does not exist. Remove the directory on \
             the host, then make /var/run/docker.sock the engine's socket (with rootless Docker: a link to it)."
        }
        (DialError::Directory { .. }, RunnerKind::Terminal) => {
            "Remove the directory and restart Docker, or set DOCKER_HOST to the engine's socket."
        }
        (DialError::Permission { .. }, RunnerKind::GithubHosted) => {
            "Container actions run as root; if the job's container: or options: set another user, take that out."
        }
        (DialError::Permission { .. }, RunnerKind::SelfHosted) => {
            "Run as root, or add the runner's user to the socket's group (usermod -aG docker USER) and restart the runner; \
             with SELinux, allow containers to use the socket."
        }
        (DialError::Permission { .. }, RunnerKind::Terminal) => {
            "Run as root, or add yourself to the socket's group (usermod -aG docker USER) and log in again."
        }
        (DialError::Refused { .. } | DialError::Timeout { .. }, RunnerKind::GithubHosted) => {
            "The runner's Docker engine is down. If a step before stopped or restarted it, wait for it (docker info); else \
             run the job again."
        }
        (DialError::Refused { .. } | DialError::Timeout { .. }, RunnerKind::SelfHosted | RunnerKind::Terminal) => {
            "The Docker engine is down: start it (systemctl start docker) and look at its log (journalctl -u docker)."
        }
        (DialError::Network { .. }, _) => "Is the host in DOCKER_HOST right, and can it be reached from here?",
        (DialError::Certificate { .. }, _) => {
            "DOCKER_TLS_VERIFY is set: put ca.pem, cert.pem and key.pem (PEM) into the directory DOCKER_CERT_PATH. A container \
             action sees files of the workspace and of RUNNER_TEMP only."
        }
        (DialError::Tls { .. }, _) => {
            "The certificates in DOCKER_CERT_PATH do not fit this engine: ca.pem must have signed the engine's certificate, \
             which must name the host in DOCKER_HOST."
        }
    }
}

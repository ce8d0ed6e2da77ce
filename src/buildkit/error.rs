//! What can go wrong between this client and a BuildKit daemon.

use crate::address::{Address, DialError};

/// A failure to reach or to talk to BuildKit. A build that fails is not one: see [`super::solve::SolveError`].
#[derive(Debug, thiserror::Error)]
pub enum BuildKitError {
    /// No connection to the address.
    #[error("connect to BuildKit")]
    Dial(#[from] DialError),
    /// The connection was closed while it was set up.
    #[error("open {path} at {address}")]
    Handshake {
        /// The address.
        address: Address,
        /// `/grpc` or `/session`.
        path: &'static str,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// The engine answered, but not with the stream that was asked for.
    #[error("open {path} at {address}: the engine answered {status}")]
    Upgrade {
        /// The address.
        address: Address,
        /// `/grpc` or `/session`.
        path: &'static str,
        /// The HTTP status and the beginning of the body.
        status: String,
    },
    /// The gRPC channel could not be set up.
    #[error("set up gRPC to BuildKit at {address}")]
    Channel {
        /// The address.
        address: Address,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
    /// The session could not be opened by `Control.Session`, nor by `/session`.
    #[error("open a BuildKit session")]
    Session(#[source] Box<tonic::Status>),
    /// A call was answered with an error.
    #[error("ask BuildKit to {action}")]
    Call {
        /// `list its cache records`, `prune its cache`.
        action: &'static str,
        /// The answer.
        #[source]
        source: Box<tonic::Status>,
    },
}

impl BuildKitError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Dial(_) | Self::Handshake { .. } | Self::Channel { .. } => {
                "check that the Docker engine is running, and that DOCKER_HOST names its socket"
            }
            Self::Upgrade { .. } | Self::Session(_) => {
                "the engine does not offer BuildKit (Docker 20.10 or newer does); set `builder: classic` to build without it"
            }
            Self::Call { .. } => "look at the engine's own log for the reason",
        }
    }
}

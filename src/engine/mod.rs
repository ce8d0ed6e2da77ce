//! The Docker Engine API; the only importer of bollard.
//!
//! bollard brings the typed requests. It is given our own transport, because its own drops the API version from every
//! URL, hides why no connection could be opened, and cuts long uploads off. Streams of JSON messages and what bollard
//! cannot say (several tags, ulimits, disk usage before API 1.52) go through the transport directly.

mod builders;
mod classic;
mod containers;
mod distrust;
mod empty;
mod error;
mod images;
mod info;
mod inspection;
mod ledger;
mod load;
mod push;
mod settle;
mod tombstone;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use bollard::{BollardRequest, ClientVersion, Docker};

use crate::address::Address;

pub use builders::{BuilderContainer, Builders, StateVolume};
pub use classic::{ClassicBuild, ClassicEvent};
pub use containers::{Container, Mount, OwnContainer};
pub use error::{EngineError, RunnerKind};
#[cfg(test)]
pub(crate) use images::sorted_names;
pub use images::{Deleted, Image, ImageDetails, ImageUsage, Parents};
pub use info::{ApiVersion, EngineInfo, ImageStore, NEWEST_API, OLDEST_API};
pub use ledger::{FoundLedger, LEDGER_REPOSITORY, LedgerContent, ListedLedger, NAMING};
pub use push::PushEvent;
pub use tombstone::{FoundTombstone, Mark, TOMBSTONE_REPOSITORY, Tombstone};

use transport::{ANSWER_TIMEOUT, Transport, TransportError};

/// How long an engine may take to say what it is; a healthy one takes milliseconds.
const GREETING_TIMEOUT: Duration = Duration::from_secs(20);

/// A Docker engine that answers. Cheap to clone; each request has a connection of its own.
#[derive(Debug, Clone)]
pub struct Engine {
    transport: Transport,
    docker: Docker,
    info: Arc<EngineInfo>,
}

impl Engine {
    /// Connects and asks the engine what it is.
    ///
    /// # Errors
    /// [`EngineError`] tells why there is no engine to work with, and its `help` what to do.
    pub async fn connect(address: &Address) -> Result<Self, EngineError> {
        Self::connect_within(address, GREETING_TIMEOUT).await
    }

    /// [`Engine::connect`] with a deadline of one's own.
    ///
    /// # Errors
    /// As [`Engine::connect`].
    pub async fn connect_within(address: &Address, deadline: Duration) -> Result<Self, EngineError> {
        let transport = Transport { address: address.clone(), api: None };
        let action = "ask the engine what it is";
        let (version, info) =
            tokio::try_join!(transport.get(action, "/version", deadline), transport.get(action, "/info", deadline))
                .map_err(|error| not_an_engine(address, error))?;
        let info = EngineInfo::assemble(address, version, info)?;
        let transport = Transport { address: address.clone(), api: Some(info.negotiated()) };
        let docker = bollard_client(transport.clone(), info.negotiated())?;
        Ok(Self { transport, docker, info: Arc::new(info) })
    }

    /// What the engine is.
    pub fn info(&self) -> &EngineInfo {
        &self.info
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.transport.address
    }

    /// Says what was being done when bollard failed.
    fn failed(&self, action: String, error: bollard::errors::Error) -> EngineError {
        use bollard::errors::Error;
        match error {
            Error::DockerResponseServerError { status_code, message } => {
                EngineError::Refused { action, status: status_code, message }
            }
            Error::RequestTimeoutError => {
                EngineError::NotAnswering { action, address: self.transport.address.to_string(), after: ANSWER_TIMEOUT }
            }
            Error::JsonDataError { .. } | Error::JsonSerdeError { .. } => {
                EngineError::Malformed { action, source: error.into() }
            }
            Error::IOError { err } => match err.downcast::<TransportError>() {
                Ok(error) => error.into_engine_error(&action),
                Err(source) => EngineError::Broken { action, source: source.into() },
            },
            other => EngineError::Broken { action, source: other.into() },
        }
    }
}

/// A bollard client whose requests go through our transport.
fn bollard_client(transport: Transport, api: ApiVersion) -> Result<Docker, EngineError> {
    let address = transport.address.to_string();
    let send = move |request: BollardRequest| {
        let transport = transport.clone();
        async move {
            let response = transport.send(request).await;
            response.map_err(|error| bollard::errors::Error::from(std::io::Error::other(error)))
        }
    };
    let version = ClientVersion { major_version: widen(api.major), minor_version: widen(api.minor) };
    Docker::connect_with_custom_transport(send, Some("http://docker"), ANSWER_TIMEOUT.as_secs(), &version)
        .map_err(|source| EngineError::NotAnEngine { address, source: source.into() })
}

fn widen(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// An answer to the very first question that makes no sense comes from something that is not an engine.
fn not_an_engine(address: &Address, error: EngineError) -> EngineError {
    let foreign = match &error {
        EngineError::Malformed { .. } => true,
        // An authorization plugin may refuse; an engine knows the path and finds nothing wrong with the request.
        EngineError::Refused { status, .. } => matches!(status, 400 | 404 | 405),
        EngineError::Broken { source, .. } => source.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse),
        _ => false,
    };
    if foreign { EngineError::NotAnEngine { address: address.to_string(), source: error.into() } } else { error }
}

#[cfg(test)]
mod tests;

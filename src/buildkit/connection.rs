//! The connection to a BuildKit daemon: two transports behind one connect function.
//!
//! Docker engines up to API 1.52 hand out BuildKit's gRPC by `POST /grpc`, upgraded to h2c. From API 1.53 on
//! (Docker 29) that endpoint is deprecated and the engine speaks h2c on the socket itself, as `buildkitd` always did.

use std::io;
use std::sync::Arc;

use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::llb_bridge_client::LlbBridgeClient;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::StatusCode;
use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Uri};

use super::error::BuildKitError;
use super::stream::SessionStream;
use crate::address::{Address, ByteStream, dial, dial_http2};

/// Flow-control windows. The default of 64 KiB would make every context wait for round trips.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// BuildKit limits its own messages to 16 MiB (`defaults.DefaultMaxRecvMsgSize`); progress can be larger than tonic's 4.
const MAX_MESSAGE: usize = 16 << 20;
/// An image's config travels in one message, with the cache records inside it.
const MAX_CONFIG: usize = 64 << 20;

/// How gRPC is reached at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// By an upgraded `POST /grpc`: Docker engines up to API 1.52.
    Upgrade,
    /// Straight on the socket: Docker engines from API 1.53, and `buildkitd`.
    Direct,
}

impl Transport {
    /// The transport of a Docker engine that speaks this API version.
    pub fn of_engine(api_version: (u32, u32)) -> Self {
        if api_version >= (1, 53) { Self::Direct } else { Self::Upgrade }
    }
}

/// An open connection. Cheap to clone; all clones share one HTTP/2 connection.
#[derive(Debug, Clone)]
pub struct Connection {
    channel: Channel,
    address: Address,
    transport: Transport,
}

impl Connection {
    /// Connects and completes the HTTP/2 handshake.
    pub async fn open(address: &Address, transport: Transport) -> Result<Self, BuildKitError> {
        let first = raw_stream(address, transport).await?;
        // tonic asks its connector again if the connection is lost; the first stream is made here, so that its errors
        // arrive with their kind.
        let first = Arc::new(std::sync::Mutex::new(Some(first)));
        let again = address.clone();
        let connector = tower::service_fn(move |_: Uri| {
            let ready = first.lock().ok().and_then(|mut slot| slot.take());
            let again = again.clone();
            async move {
                let stream = match ready {
                    Some(stream) => stream,
                    None => raw_stream(&again, transport).await.map_err(io::Error::other)?,
                };
                Ok::<_, io::Error>(TokioIo::new(stream))
            }
        });
        let channel = tonic::transport::Endpoint::from_static("http://docker")
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .connect_with_connector(connector)
            .await
            .map_err(|source| BuildKitError::Channel { address: address.clone(), source })?;
        Ok(Self { channel, address: address.clone(), transport })
    }

    /// Speaks over a stream that is open already: what `buildctl dial-stdio` in a builder's container gives. It is not
    /// opened again when it ends.
    pub async fn over(stream: ByteStream, address: &Address) -> Result<Self, BuildKitError> {
        let first = Arc::new(std::sync::Mutex::new(Some(SessionStream::new(stream))));
        let connector = tower::service_fn(move |_: Uri| {
            let ready = first.lock().ok().and_then(|mut slot| slot.take());
            std::future::ready(ready.map(TokioIo::new).ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
        });
        let channel = tonic::transport::Endpoint::from_static("http://docker")
            .connect_with_connector(connector)
            .await
            .map_err(|source| BuildKitError::Channel { address: address.clone(), source })?;
        Ok(Self { channel, address: address.clone(), transport: Transport::Direct })
    }

    /// A client of the control API.
    pub(crate) fn control(&self) -> ControlClient<Channel> {
        ControlClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    /// A client of the API that frontends use (`LLBBridge`).
    pub(crate) fn bridge(&self) -> LlbBridgeClient<Channel> {
        LlbBridgeClient::new(self.channel.clone()).max_decoding_message_size(MAX_CONFIG)
    }

    /// Whether the endpoint is a Docker engine that may still have the HTTP endpoint `/session`.
    pub(crate) fn has_session_endpoint(&self) -> bool {
        self.transport == Transport::Upgrade
    }

    /// A stream by `POST /session`, upgraded: the session of engines without `Control.Session`.
    pub(crate) async fn hijack_session(
        &self,
        headers: &[(&'static str, String)],
    ) -> Result<SessionStream, BuildKitError> {
        let stream = dial(&self.address).await?;
        upgrade(&self.address, stream, "/session", headers).await
    }
}

async fn raw_stream(address: &Address, transport: Transport) -> Result<SessionStream, BuildKitError> {
    match transport {
        Transport::Direct => Ok(SessionStream::new(dial_http2(address).await?)),
        Transport::Upgrade => upgrade(address, dial(address).await?, "/grpc", &[]).await,
    }
}

/// Sends `POST path` with `Upgrade: h2c` and gives the stream that the engine switches to
/// (moby `api/server/router/grpc` and `router/session`).
async fn upgrade(
    address: &Address,
    stream: ByteStream,
    path: &'static str,
    headers: &[(&'static str, String)],
) -> Result<SessionStream, BuildKitError> {
    let failed = |source: hyper::Error| BuildKitError::Handshake { address: address.clone(), path, source };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    tokio::spawn(connection.with_upgrades());
    let mut request =
        hyper::Request::post(path).header("Host", "docker").header("Connection", "Upgrade").header("Upgrade", "h2c");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| BuildKitError::Upgrade {
        address: address.clone(),
        path,
        status: error.to_string(),
    })?;
    let response = sender.send_request(request).await.map_err(failed)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = response.status();
        let body = Limited::new(response.into_body(), 4096).collect().await.map(http_body_util::Collected::to_bytes);
        let text = body.map(|body| String::from_utf8_lossy(&body).trim().to_owned()).unwrap_or_default();
        return Err(BuildKitError::Upgrade {
            address: address.clone(),
            path,
            status: format!("{status} {text}").trim().to_owned(),
        });
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(failed)?;
    Ok(SessionStream::new(TokioIo::new(upgraded)))
}

#[cfg(test)]
mod tests {
    use super::Transport;

    #[test]
    fn deprecated_endpoints_are_not_used_where_the_socket_speaks_grpc() {
        assert_eq!(Transport::of_engine((1, 41)), Transport::Upgrade);
        assert_eq!(Transport::of_engine((1, 52)), Transport::Upgrade);
        assert_eq!(Transport::of_engine((1, 53)), Transport::Direct);
        assert_eq!(Transport::of_engine((2, 0)), Transport::Direct);
    }
}

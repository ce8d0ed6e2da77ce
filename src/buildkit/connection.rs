//! The connection to a BuildKit daemon: two transports behind one connect function.
//!
//! Docker engines up to API 1.52 hand out BuildKit's gRPC by `POST /grpc`, upgraded to h2c. From API 1.53 on
//! (Docker 29) that endpoint is deprecated and the engine speaks h2c on the socket itself, as `buildkitd` always did.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::StatusCode;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tonic::transport::{Channel, Uri};

use super::error::BuildKitError;
use super::stream::ByteStream;

/// Flow-control windows. The default of 64 KiB would make every context wait for round trips.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// A daemon on this machine answers at once; one in a network may take a while.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// BuildKit limits its own messages to 16 MiB (`defaults.DefaultMaxRecvMsgSize`); progress can be larger than tonic's 4.
const MAX_MESSAGE: usize = 16 << 20;

/// Where a daemon listens.
#[derive(Clone)]
pub enum Endpoint {
    /// A unix socket.
    Unix(PathBuf),
    /// A TCP address, plain.
    Tcp {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// A TCP address with TLS.
    Tls {
        /// Host name or address; must match the certificate.
        host: String,
        /// Port.
        port: u16,
        /// Trusted roots and client certificate.
        config: Arc<rustls::ClientConfig>,
    },
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port } | Self::Tls { host, port, .. } => write!(f, "tcp://{host}:{port}"),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

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
    endpoint: Endpoint,
    transport: Transport,
}

impl Connection {
    /// Connects and completes the HTTP/2 handshake.
    pub async fn open(endpoint: Endpoint, transport: Transport) -> Result<Self, BuildKitError> {
        let address = endpoint.to_string();
        let first = raw_stream(&endpoint, transport).await?;
        // tonic asks its connector again if the connection is lost; the first stream is made here, so that its errors
        // arrive with their kind.
        let first = Arc::new(std::sync::Mutex::new(Some(first)));
        let again = endpoint.clone();
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
            .map_err(|source| BuildKitError::Channel { address, source })?;
        Ok(Self { channel, endpoint, transport })
    }

    /// A client of the control API.
    pub(crate) fn control(&self) -> ControlClient<Channel> {
        ControlClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    /// Whether the endpoint is a Docker engine that may still have the HTTP endpoint `/session`.
    pub(crate) fn has_session_endpoint(&self) -> bool {
        self.transport == Transport::Upgrade
    }

    /// A stream by `POST /session`, upgraded: the session of engines without `Control.Session`.
    pub(crate) async fn hijack_session(&self, headers: &[(&'static str, String)]) -> Result<ByteStream, BuildKitError> {
        let stream = dial(&self.endpoint).await?;
        upgrade(&self.endpoint, stream, "/session", headers).await
    }
}

async fn raw_stream(endpoint: &Endpoint, transport: Transport) -> Result<ByteStream, BuildKitError> {
    let stream = dial(endpoint).await?;
    match transport {
        Transport::Direct => Ok(stream),
        Transport::Upgrade => upgrade(endpoint, stream, "/grpc", &[]).await,
    }
}

async fn dial(endpoint: &Endpoint) -> Result<ByteStream, BuildKitError> {
    let failed = |source| BuildKitError::Connect { address: endpoint.to_string(), source };
    tokio::time::timeout(CONNECT_TIMEOUT, dial_once(endpoint))
        .await
        .map_err(|_elapsed| failed(io::Error::from(io::ErrorKind::TimedOut)))?
        .map_err(failed)
}

async fn dial_once(endpoint: &Endpoint) -> io::Result<ByteStream> {
    match endpoint {
        Endpoint::Unix(path) => Ok(ByteStream::new(UnixStream::connect(path).await?)),
        Endpoint::Tcp { host, port } => Ok(ByteStream::new(tcp(host, *port).await?)),
        Endpoint::Tls { host, port, config } => {
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            let stream = tcp(host, *port).await?;
            Ok(ByteStream::new(tokio_rustls::TlsConnector::from(Arc::clone(config)).connect(name, stream).await?))
        }
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends `POST path` with `Upgrade: h2c` and gives the stream that the engine switches to
/// (moby `api/server/router/grpc` and `router/session`).
async fn upgrade(
    endpoint: &Endpoint,
    stream: ByteStream,
    path: &'static str,
    headers: &[(&'static str, String)],
) -> Result<ByteStream, BuildKitError> {
    let failed = |source: hyper::Error| BuildKitError::Connect {
        address: endpoint.to_string(),
        source: io::Error::other(source),
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    tokio::spawn(connection.with_upgrades());
    let mut request =
        hyper::Request::post(path).header("Host", "docker").header("Connection", "Upgrade").header("Upgrade", "h2c");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|source| BuildKitError::Connect { address: endpoint.to_string(), source: io::Error::other(source) })?;
    let response = sender.send_request(request).await.map_err(failed)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = response.status();
        let body = Limited::new(response.into_body(), 4096).collect().await.map(http_body_util::Collected::to_bytes);
        let text = body.map(|body| String::from_utf8_lossy(&body).trim().to_owned()).unwrap_or_default();
        return Err(BuildKitError::Upgrade {
            address: endpoint.to_string(),
            path,
            status: format!("{status} {text}").trim().to_owned(),
        });
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(failed)?;
    Ok(ByteStream::new(TokioIo::new(upgraded)))
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

//! Opens byte streams to an [`Address`] and tells the ways apart in which that fails.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::{Address, Tls};

/// How long a connection may take to open; an engine that is alive accepts at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection of any kind.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// An open connection to an engine.
pub type ByteStream = Box<dyn Duplex>;

/// Why no connection could be opened. What was to be reached, an engine or a builder, is for the caller to say.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nothing at the socket's path.
    #[error("there is no socket at {}", path.display())]
    Missing {
        /// The socket's path.
        path: PathBuf,
    },
    /// A directory at the socket's path: an engine makes one when it is asked to mount a path that does not exist.
    #[error("{} is a directory, not a socket", path.display())]
    Directory {
        /// The socket's path.
        path: PathBuf,
    },
    /// The socket is there and this user may not use it.
    #[error("no permission to use {}", path.display())]
    Permission {
        /// The socket's path.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The address is there and nobody listens.
    #[error("{address} refused the connection")]
    Refused {
        /// The address.
        address: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The connection did not open in time.
    #[error("{address} did not answer within {} s", after.as_secs_f32())]
    Timeout {
        /// The address.
        address: String,
        /// How long we waited.
        after: Duration,
    },
    /// Any other failure of the network.
    #[error("reach {address}")]
    Network {
        /// The address.
        address: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A certificate or key could not be used.
    #[error("read the TLS file {}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The other side's TLS is not acceptable to us, or ours not to it.
    #[error("agree on TLS with {address}")]
    Tls {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Opens a connection.
///
/// # Errors
/// [`DialError`], by the way in which it failed.
pub async fn dial(address: &Address) -> Result<ByteStream, DialError> {
    dial_for(address, &[]).await
}

/// [`dial`] for HTTP/2 from the first byte: a TLS server must be told so, or it expects HTTP/1 (ALPN, RFC 7301).
///
/// # Errors
/// As [`dial`].
pub async fn dial_http2(address: &Address) -> Result<ByteStream, DialError> {
    dial_for(address, &[b"h2"]).await
}

async fn dial_for(address: &Address, protocols: &[&[u8]]) -> Result<ByteStream, DialError> {
    let opening = async {
        match address {
            Address::Unix(path) => dial_unix(address, path).await,
            Address::Tcp { host, port, tls } => dial_tcp(address, host, *port, tls.as_ref(), protocols).await,
        }
    };
    tokio::time::timeout(CONNECT_TIMEOUT, opening)
        .await
        .unwrap_or_else(|_| Err(DialError::Timeout { address: address.to_string(), after: CONNECT_TIMEOUT }))
}

async fn dial_unix(address: &Address, path: &Path) -> Result<ByteStream, DialError> {
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(source) => Err(unix_error(address, path, source)),
    }
}

fn unix_error(address: &Address, path: &Path, source: io::Error) -> DialError {
    match source.kind() {
        // Connecting to a directory is "connection refused", the same as to a socket that nobody listens at.
        _ if path.is_dir() => DialError::Directory { path: path.to_owned() },
        io::ErrorKind::NotFound => DialError::Missing { path: path.to_owned() },
        io::ErrorKind::PermissionDenied => DialError::Permission { path: path.to_owned(), source },
        io::ErrorKind::ConnectionRefused => DialError::Refused { address: address.to_string(), source },
        _ => DialError::Network { address: address.to_string(), source },
    }
}

async fn dial_tcp(
    address: &Address,
    host: &str,
    port: u16,
    tls: Option<&Tls>,
    protocols: &[&[u8]],
) -> Result<ByteStream, DialError> {
    let stream = TcpStream::connect((host, port)).await.map_err(|source| match source.kind() {
        io::ErrorKind::ConnectionRefused => DialError::Refused { address: address.to_string(), source },
        _ => DialError::Network { address: address.to_string(), source },
    })?;
    // Requests are small and answered at once: do not wait to fill a packet.
    stream.set_nodelay(true).map_err(|source| DialError::Network { address: address.to_string(), source })?;
    if let Err(error) = keep_alive(&stream) {
        tracing::debug!(%address, %error, "a connection that is lost without a word will be noticed late");
    }
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(tls.server_name().unwrap_or(host).to_owned())
        .map_err(|error| DialError::Tls { address: address.to_string(), source: io::Error::other(error) })?;
    let mut config = match tls {
        Tls::Files(files) => files.client_config()?,
        Tls::Texts(texts) => texts
            .client_config()
            .map_err(|error| DialError::Tls { address: address.to_string(), source: io::Error::other(error) })?,
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|source| DialError::Tls { address: address.to_string(), source })?;
    Ok(Box::new(stream))
}

/// Lets the system notice a peer that is gone without a word, within a minute and a half. BuildKit's server takes gRPC's own
/// pings for an attack (`keepalive.EnforcementPolicy`: one in five minutes).
fn keep_alive(stream: &TcpStream) -> rustix::io::Result<()> {
    rustix::net::sockopt::set_socket_keepalive(stream, true)?;
    rustix::net::sockopt::set_tcp_keepidle(stream, Duration::from_secs(30))?;
    rustix::net::sockopt::set_tcp_keepintvl(stream, Duration::from_secs(10))?;
    rustix::net::sockopt::set_tcp_keepcnt(stream, 6)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::{DialError, unix_error};
    use crate::address::Address;

    /// Tests run as root, whom no socket refuses.
    #[test]
    fn knows_a_missing_permission() {
        let source = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = unix_error(&Address::default(), Path::new("/x.sock"), source);
        assert!(matches!(error, DialError::Permission { .. }), "{error:?}");
        assert_eq!(error.to_string(), "no permission to use /x.sock");
    }
}

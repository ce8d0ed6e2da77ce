//! A BuildKit daemon, as far as an engine can be one: its `/grpc`, behind a port or a socket of its own, with or without
//! TLS that asks for a certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::support::Engine;

/// How the daemon listens.
#[derive(Debug, Clone, Copy)]
pub(super) enum Listens<'a> {
    /// On a port, without TLS.
    Plain,
    /// On a port, with `server.pem` and `server.key` of a directory, for those whose certificate `ca.pem` has signed.
    Tls(&'a Path),
    /// On a socket.
    Socket,
}

/// The daemon; its connections break when this is dropped.
pub(super) struct Front {
    pub(super) address: String,
    cut: CancellationToken,
    /// Bytes that it may send until it is cut.
    left: Arc<AtomicU64>,
    _directory: TempDir,
}

enum Listener {
    Tcp(TcpListener, Option<TlsAcceptor>),
    Unix(UnixListener),
}

/// What a connection needs.
#[derive(Clone)]
struct Way {
    target: PathBuf,
    cut: CancellationToken,
    left: Arc<AtomicU64>,
}

impl Front {
    pub(super) fn new(engine: &Engine, listens: Listens<'_>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("buildkitd.sock");
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        tcp.set_nonblocking(true).unwrap();
        let tcp_address = format!("tcp://{}", tcp.local_addr().unwrap());
        let unix = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        unix.set_nonblocking(true).unwrap();
        let (address, acceptor, on_socket) = match listens {
            Listens::Plain => (tcp_address, None, false),
            Listens::Tls(certificates) => (tcp_address, Some(acceptor(certificates)), false),
            Listens::Socket => (format!("unix://{}", socket.display()), None, true),
        };
        let target = PathBuf::from(engine.address.strip_prefix("unix://").unwrap());
        let way = Way { target, cut: CancellationToken::new(), left: Arc::new(AtomicU64::new(u64::MAX)) };
        let front = Self { address, cut: way.cut.clone(), left: Arc::clone(&way.left), _directory: directory };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = if on_socket {
                    Listener::Unix(UnixListener::from_std(unix).unwrap())
                } else {
                    Listener::Tcp(TcpListener::from_std(tcp).unwrap(), acceptor)
                };
                way.cut.clone().run_until_cancelled(accept(listener, way)).await
            });
            // Dropping the runtime drops every connection: the other sides see them closed.
        });
        front
    }

    /// Ends everything, as a daemon does that is killed.
    pub(super) fn cut(&self) {
        self.cut.cancel();
    }

    /// Ends everything once it has sent so many bytes.
    pub(super) fn cut_after(&self, bytes: u64) {
        self.left.store(bytes, Ordering::SeqCst);
    }

    /// Whether it was ended.
    pub(super) fn is_cut(&self) -> bool {
        self.cut.is_cancelled()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.cut();
    }
}

/// The same setup as `buildkitd --tlscacert --tlscert --tlskey`: `tls.RequireAndVerifyClientCert`, ALPN h2.
fn acceptor(directory: &Path) -> TlsAcceptor {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(directory.join("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let certificate = CertificateDer::from_pem_file(directory.join("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(directory.join("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_client_cert_verifier(verifier).with_single_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn accept(listener: Listener, way: Way) {
    loop {
        let way = way.clone();
        // A connection that breaks is its own business.
        match &listener {
            Listener::Unix(listener) => {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(async move { drop(serve(client, way).await) });
            }
            Listener::Tcp(listener, None) => {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(async move { drop(serve(client, way).await) });
            }
            Listener::Tcp(listener, Some(acceptor)) => {
                let (client, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(client) = acceptor.accept(client).await {
                        assert_eq!(client.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                        drop(serve(client, way).await);
                    }
                });
            }
        }
    }
}

async fn serve(client: impl AsyncRead + AsyncWrite + Unpin, way: Way) -> std::io::Result<()> {
    let mut engine = UnixStream::connect(&way.target).await?;
    engine.write_all(b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n").await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(engine.read_u8().await?);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_engine, mut to_engine) = engine.split();
    let back = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = from_engine.read(&mut buffer).await?;
            if length == 0 {
                return to_client.shutdown().await;
            }
            let left = way.left.load(Ordering::SeqCst);
            let Some(rest) = left.checked_sub(length as u64) else {
                way.cut.cancel();
                return Ok(());
            };
            if left != u64::MAX {
                way.left.store(rest, Ordering::SeqCst);
            }
            to_client.write_all(&buffer[..length]).await?;
        }
    };
    tokio::select! {
        done = back => done,
        done = tokio::io::copy(&mut from_client, &mut to_engine) => done.map(drop),
    }
}

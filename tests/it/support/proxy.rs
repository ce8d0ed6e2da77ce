//! A socket in front of a real engine, which makes it behave as one that we do not have.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Either, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::Engine;

/// How the engine behind the socket seems to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As it is.
    Itself,
    /// As Docker 29: API 1.53, gRPC straight on the socket, neither `/grpc` nor `/session`.
    Docker29,
    /// As an engine whose BuildKit has no `Control.Session`.
    WithoutControlSession,
}

/// The socket; closed, with everything that goes through it, when this is dropped.
pub(crate) struct Proxy {
    directory: TempDir,
    seen: Arc<Mutex<Vec<String>>>,
    limit: Arc<Mutex<Option<Limit>>>,
    cut: CancellationToken,
}

/// So many requests of a kind are let through; the next one ends everything.
struct Limit {
    method: &'static str,
    left: usize,
}

impl Proxy {
    pub(crate) fn new(engine: &Engine, manner: Manner) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let proxy = Self { directory, seen: Arc::default(), limit: Arc::default(), cut: CancellationToken::new() };
        let target = PathBuf::from(engine.address.strip_prefix("unix://").unwrap());
        let listener = std::os::unix::net::UnixListener::bind(proxy.path()).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (seen, cut) = (Arc::clone(&proxy.seen), proxy.cut.clone());
        let end = (Arc::clone(&proxy.limit), proxy.cut.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(cut.run_until_cancelled(accept(listener, target, manner, seen, end)));
            // Dropping the runtime drops every connection: the other sides see them closed.
        });
        proxy
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    /// The engine as it seems through the socket.
    pub(crate) fn engine(&self, behind: &Engine) -> Engine {
        Engine { name: behind.name.clone(), address: format!("unix://{}", self.path().display()) }
    }

    /// What was asked for: the first line of every HTTP/1 request, `PRI` for gRPC on the socket, paths of refused calls.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// Lets so many requests of a method through, and ends everything at the next one, which the engine never sees.
    pub(crate) fn cut_after(&self, requests: usize, method: &'static str) {
        *self.limit.lock().unwrap() = Some(Limit { method, left: requests });
    }

    /// Ends everything, as an engine does that is killed.
    pub(crate) fn cut(&self) {
        self.cut.cancel();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}

async fn accept(
    listener: std::os::unix::net::UnixListener,
    target: PathBuf,
    manner: Manner,
    seen: Arc<Mutex<Vec<String>>>,
    end: (Arc<Mutex<Option<Limit>>>, CancellationToken),
) {
    let listener = UnixListener::from_std(listener).unwrap();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let (target, seen, end) = (target.clone(), Arc::clone(&seen), end.clone());
        tokio::spawn(async move {
            // A connection that breaks is its own business.
            let _ = serve(client, target, manner, seen, end).await;
        });
    }
}

async fn serve(
    mut client: UnixStream,
    target: PathBuf,
    manner: Manner,
    seen: Arc<Mutex<Vec<String>>>,
    (limit, cut): (Arc<Mutex<Option<Limit>>>, CancellationToken),
) -> std::io::Result<()> {
    let mut head = vec![0; 16 << 10];
    let length = client.read(&mut head).await?;
    head.truncate(length);
    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    seen.lock().unwrap().push(line.clone());
    if let Some(limit) = limit.lock().unwrap().as_mut().filter(|limit| line.starts_with(limit.method)) {
        if limit.left == 0 {
            cut.cancel();
            return Ok(());
        }
        limit.left -= 1;
    }
    let mut engine = UnixStream::connect(&target).await?;
    match manner {
        Manner::Docker29 if line.starts_with("PRI ") => {
            upgrade(&mut engine).await?;
            engine.write_all(&head).await?;
        }
        Manner::Docker29 if line.starts_with("POST /grpc") || line.starts_with("POST /session") => {
            return client.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
        }
        Manner::Docker29 => {
            engine.write_all(&head).await?;
            return newer(client, engine).await;
        }
        Manner::WithoutControlSession if line.starts_with("POST /grpc") => {
            upgrade(&mut engine).await?;
            client.write_all(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n").await?;
            return filter(client, engine, seen).await;
        }
        Manner::Itself | Manner::WithoutControlSession => engine.write_all(&head).await?,
    }
    tokio::io::copy_bidirectional(&mut client, &mut engine).await.map(drop)
}

/// Turns a connection to the engine into one of gRPC.
async fn upgrade(engine: &mut UnixStream) -> std::io::Result<()> {
    engine.write_all(b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n").await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(engine.read_u8().await?);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    Ok(())
}

/// Passes everything on, but for the API version: of the same length, so that the answer's length stays right.
async fn newer(mut client: UnixStream, mut engine: UnixStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let (mut from_client, mut to_client) = client.split();
    let (mut from_engine, mut to_engine) = engine.split();
    let back = async {
        loop {
            let length = from_engine.read(&mut buffer).await?;
            if length == 0 {
                return to_client.shutdown().await;
            }
            let text = newer_version(&buffer[..length]);
            to_client.write_all(&text).await?;
        }
    };
    tokio::select! {
        done = back => done,
        done = tokio::io::copy(&mut from_client, &mut to_engine) => done.map(drop),
    }
}

fn newer_version(bytes: &[u8]) -> Vec<u8> {
    let (old, new) = (b"\"ApiVersion\":\"1.51\"", b"\"ApiVersion\":\"1.53\"");
    let mut bytes = bytes.to_vec();
    while let Some(at) = bytes.windows(old.len()).position(|window| window == old) {
        bytes[at..at + old.len()].copy_from_slice(new);
    }
    bytes
}

/// Passes gRPC calls on, but for `Control.Session`.
async fn filter(client: UnixStream, engine: UnixStream, seen: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    let broken = std::io::Error::other;
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(engine)).await.map_err(broken)?;
    tokio::spawn(connection);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (mut sender, seen) = (sender.clone(), Arc::clone(&seen));
        async move {
            if request.uri().path() == "/moby.buildkit.v1.Control/Session" {
                seen.lock().unwrap().push("Control.Session".to_owned());
                let refused =
                    Response::builder().header("content-type", "application/grpc").header("grpc-status", "12");
                return Ok::<_, hyper::Error>(refused.body(Either::Left(Empty::<Bytes>::new())).unwrap());
            }
            Ok(sender.send_request(request).await?.map(|body| Either::Right(body.boxed())))
        }
    });
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    server.serve_connection(TokioIo::new(client), service).await.map_err(broken)
}

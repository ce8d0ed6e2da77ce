//! A socket in front of a real engine, which makes it behave as one that we do not have.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Either, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::io::InspectReader;
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
    /// As an engine whose BuildKit fails.
    BrokenBuildKit,
    /// As it is, but what [`Proxy::before_solve`] was given happens before it sees a solve.
    Watched,
}

type Before = Box<dyn FnOnce() + Send>;

/// What comes of an HTTP/1 request.
pub(crate) enum Meanwhile {
    /// The engine never sees it; this is answered.
    Refused(u16, &'static str),
    /// The engine does it, and this is answered.
    DoneThen(u16, &'static str),
    /// The engine sees it so much later.
    Late(Duration),
    /// Something else happens first.
    After(Before),
}

/// What comes of requests whose first line has these parts, so many times.
struct Fault {
    parts: &'static [&'static str],
    left: usize,
    make: Box<dyn FnMut() -> Meanwhile + Send>,
}

/// What the test sees of the proxy, and tells it.
#[derive(Clone, Default)]
struct Shared {
    seen: Arc<Mutex<Vec<String>>>,
    limit: Arc<Mutex<Option<Limit>>>,
    before_solve: Arc<Mutex<Option<Before>>>,
    faults: Arc<Mutex<Vec<Fault>>>,
    to_engine: Arc<AtomicU64>,
    from_engine: Arc<AtomicU64>,
    cut: CancellationToken,
}

/// The socket; closed, with everything that goes through it, when this is dropped.
pub(crate) struct Proxy {
    directory: TempDir,
    shared: Shared,
}

/// So many requests of a kind are let through; the next one ends everything.
struct Limit {
    method: &'static str,
    left: usize,
}

impl Proxy {
    pub(crate) fn new(engine: &Engine, manner: Manner) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let proxy = Self { directory, shared: Shared::default() };
        let target = PathBuf::from(engine.address.strip_prefix("unix://").unwrap());
        let listener = std::os::unix::net::UnixListener::bind(proxy.path()).unwrap();
        listener.set_nonblocking(true).unwrap();
        let shared = proxy.shared.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let cut = shared.cut.clone();
            runtime.block_on(cut.run_until_cancelled(accept(listener, target, manner, shared)));
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
        self.shared.seen.lock().unwrap().clone()
    }

    /// Lets so many requests of a method through, and ends everything at the next one, which the engine never sees.
    pub(crate) fn cut_after(&self, requests: usize, method: &'static str) {
        *self.shared.limit.lock().unwrap() = Some(Limit { method, left: requests });
    }

    /// What comes of requests whose first line has all these parts, so many times; the first of several that apply counts.
    pub(crate) fn on(
        &self,
        parts: &'static [&'static str],
        times: usize,
        make: impl FnMut() -> Meanwhile + Send + 'static,
    ) {
        self.shared.faults.lock().unwrap().push(Fault { parts, left: times, make: Box::new(make) });
    }

    /// Something that happens once, before the engine sees the first request of a kind.
    pub(crate) fn before(&self, parts: &'static [&'static str], action: impl FnOnce() + Send + 'static) {
        let mut action: Option<Before> = Some(Box::new(action));
        self.on(parts, 1, move || Meanwhile::After(action.take().unwrap()));
    }

    /// What happens once, before the engine sees the next solve ([`Manner::Watched`]).
    pub(crate) fn before_solve(&self, action: impl FnOnce() + Send + 'static) {
        *self.shared.before_solve.lock().unwrap() = Some(Box::new(action));
    }

    /// How many bytes have gone to the engine and come from it so far, all connections together.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.shared.to_engine.load(Ordering::Relaxed), self.shared.from_engine.load(Ordering::Relaxed))
    }

    /// Ends everything, as an engine does that is killed.
    pub(crate) fn cut(&self) {
        self.shared.cut.cancel();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}

async fn accept(listener: std::os::unix::net::UnixListener, target: PathBuf, manner: Manner, shared: Shared) {
    let listener = UnixListener::from_std(listener).unwrap();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let (target, shared) = (target.clone(), shared.clone());
        tokio::spawn(async move {
            // A connection that breaks is its own business.
            let _ = serve(client, target, manner, shared).await;
        });
    }
}

async fn serve(mut client: UnixStream, target: PathBuf, manner: Manner, shared: Shared) -> std::io::Result<()> {
    let mut head = vec![0; 16 << 10];
    let length = client.read(&mut head).await?;
    head.truncate(length);
    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    shared.seen.lock().unwrap().push(line.clone());
    if let Some(limit) = shared.limit.lock().unwrap().as_mut().filter(|limit| line.starts_with(limit.method)) {
        if limit.left == 0 {
            shared.cut.cancel();
            return Ok(());
        }
        limit.left -= 1;
    }
    let meanwhile = {
        let mut faults = shared.faults.lock().unwrap();
        let applies = |fault: &&mut Fault| fault.left > 0 && fault.parts.iter().all(|part| line.contains(part));
        faults.iter_mut().find(applies).map(|fault| {
            fault.left -= 1;
            (fault.make)()
        })
    };
    let mut engine = UnixStream::connect(&target).await?;
    match meanwhile {
        Some(Meanwhile::Refused(status, message)) => return client.write_all(&refusal(status, message)).await,
        Some(Meanwhile::DoneThen(status, message)) => {
            engine.write_all(&head).await?;
            let mut answer = [0; 1024];
            let _ = engine.read(&mut answer).await?;
            return client.write_all(&refusal(status, message)).await;
        }
        Some(Meanwhile::Late(by)) => tokio::time::sleep(by).await,
        Some(Meanwhile::After(action)) => tokio::task::spawn_blocking(action).await.unwrap(),
        None => {}
    }
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
        Manner::WithoutControlSession | Manner::Watched if line.starts_with("POST /grpc") => {
            upgrade(&mut engine).await?;
            client.write_all(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n").await?;
            return filter(client, engine, manner, shared).await;
        }
        Manner::BrokenBuildKit if line.starts_with("POST /grpc") => {
            return client.write_all(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n").await;
        }
        Manner::Itself | Manner::WithoutControlSession | Manner::BrokenBuildKit | Manner::Watched => {
            engine.write_all(&head).await?;
        }
    }
    let count = |counter: Arc<AtomicU64>| {
        move |bytes: &[u8]| {
            counter.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
    };
    let mut client = InspectReader::new(client, count(shared.to_engine));
    let mut engine = InspectReader::new(engine, count(shared.from_engine));
    tokio::io::copy_bidirectional(&mut client, &mut engine).await.map(drop)
}

/// An engine's error.
fn refusal(status: u16, message: &str) -> Vec<u8> {
    let body = serde_json::json!({"message": message}).to_string();
    let head = format!("HTTP/1.1 {status} No\r\nContent-Type: application/json\r\nConnection: close\r\n");
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
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

/// Passes gRPC calls on, but for `Control.Session` where there is none, and for what comes before a solve.
async fn filter(client: UnixStream, engine: UnixStream, manner: Manner, shared: Shared) -> std::io::Result<()> {
    let broken = std::io::Error::other;
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(engine)).await.map_err(broken)?;
    tokio::spawn(connection);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (mut sender, shared) = (sender.clone(), shared.clone());
        async move {
            let path = request.uri().path();
            if path == "/moby.buildkit.v1.Control/Session" && manner == Manner::WithoutControlSession {
                shared.seen.lock().unwrap().push("Control.Session".to_owned());
                let refused =
                    Response::builder().header("content-type", "application/grpc").header("grpc-status", "12");
                return Ok::<_, hyper::Error>(refused.body(Either::Left(Empty::<Bytes>::new())).unwrap());
            }
            if path == "/moby.buildkit.v1.Control/Solve" {
                let before = shared.before_solve.lock().unwrap().take();
                tokio::task::spawn_blocking(move || before.into_iter().for_each(|before| before())).await.unwrap();
            }
            Ok(sender.send_request(request).await?.map(|body| Either::Right(body.boxed())))
        }
    });
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    server.serve_connection(TokioIo::new(client), service).await.map_err(broken)
}

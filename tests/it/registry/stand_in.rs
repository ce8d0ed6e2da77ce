//! A registry that answers what a test says, at an address of this machine.

use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// `GET /v2/app/tags/list?n=100`
    pub(super) line: String,
    /// The header `Host`.
    pub(super) host: String,
    pub(super) authorization: Option<String>,
    /// The header `Accept`.
    pub(super) accept: String,
    pub(super) body: String,
}

/// What to do with it.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// The connection is closed.
    Cut,
    /// Nothing comes.
    Silence,
}

impl Reply {
    pub(super) fn new(status: u16, body: impl Into<String>) -> Self {
        Self::Answer { status, headers: Vec::new(), body: body.into() }
    }

    pub(super) fn with(self, name: &'static str, value: impl Into<String>) -> Self {
        match self {
            Self::Answer { status, mut headers, body } => {
                headers.push((name, value.into()));
                Self::Answer { status, headers, body }
            }
            other => other,
        }
    }
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

/// Listens until this is dropped.
pub(super) struct StandIn {
    address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: CancellationToken,
}

impl StandIn {
    pub(super) fn new(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (seen, stop) = (Arc::default(), CancellationToken::new());
        let (handler, log, until) = (Arc::new(handler), Arc::clone(&seen), stop.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(until.run_until_cancelled(accept(listener, handler, log)));
        });
        Self { address, seen, stop }
    }

    pub(super) fn host(&self) -> &str {
        &self.address
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The first lines of what was asked for.
    pub(super) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(listener: std::net::TcpListener, handler: Arc<Handler>, log: Arc<Mutex<Vec<Seen>>>) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        let (handler, log) = (Arc::clone(&handler), Arc::clone(&log));
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &handler, &log));
            // A client that begins with TLS is one that finds out that there is none.
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    handler: &Arc<Handler>,
    log: &Arc<Mutex<Vec<Seen>>>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let authorization = parts.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let host = parts.headers.get("host").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let accept = parts.headers.get("accept").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let body = body.collect().await.unwrap().to_bytes();
    let seen = Seen {
        line: format!("{} {}", parts.method, parts.uri),
        host,
        authorization,
        accept,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let reply = handler(&seen);
    log.lock().unwrap().push(seen);
    match reply {
        Reply::Cut => Err(std::io::Error::other("cut")),
        Reply::Silence => std::future::pending().await,
        Reply::Answer { status, headers, body } => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(Full::new(body.into())).unwrap())
        }
    }
}

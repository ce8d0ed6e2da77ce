//! HTTP and TLS to registries: every exchange is bounded in time and in size.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use url::Url;

const AGENT: &str = concat!("watchparty-cache/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A manifest has 4 MiB at most (OCI distribution specification, "Pushing Manifests"); a page of 100 tags has 13 KiB.
const LARGEST_BODY: usize = 4 << 20;

type BoxError = Box<dyn Error + Send + Sync>;

/// Sends requests to any host, and keeps connections for the next ones.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
}

/// How much of an answer is read before it is handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// All of it.
    Whole,
    /// What says yes is left to be read piece by piece.
    Pieces,
}

/// An answer with its whole body, or with a body still to be read.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// What [`Reading::Pieces`] left.
    pub(super) rest: Option<Pieces>,
    /// What was asked for: relative references in the answer are relative to it.
    pub(super) url: Url,
}

impl Answer {
    /// A header's value, if it has it and it is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The body of an answer, piece by piece: each within the time of one exchange.
#[derive(Debug)]
pub(super) struct Pieces {
    body: Incoming,
    timeout: Duration,
}

impl Pieces {
    /// The next piece; nothing at the end.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, TransportError>> {
        loop {
            let frame = match tokio::time::timeout(self.timeout, self.body.frame()).await {
                Ok(frame) => frame?,
                Err(_elapsed) => return Some(Err(TransportError::TimedOut(self.timeout))),
            };
            match frame.map(hyper::body::Frame::into_data) {
                Ok(Ok(data)) if data.is_empty() => {}
                Ok(Ok(data)) => return Some(Ok(data)),
                // Trailers.
                Ok(Err(_)) => {}
                Err(error) => return Some(Err(TransportError::Unreachable(error.into()))),
            }
        }
    }
}

/// How an exchange failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransportError {
    #[error("build the request")]
    Request(#[source] BoxError),
    #[error("connect")]
    Unreachable(#[source] BoxError),
    #[error("agree on TLS")]
    Tls(#[source] BoxError),
    #[error("trust its certificate")]
    Certificate(#[source] BoxError),
    #[error("wait for an answer")]
    TimedOut(Duration),
    #[error("read an answer of more than {LARGEST_BODY} bytes")]
    TooLarge,
}

impl Transport {
    /// Trusts the authorities that the system trusts, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    ///
    /// # Errors
    /// [`TransportError::Tls`] if this program was built without a version of TLS.
    pub(super) fn new(timeout: Duration) -> Result<Self, TransportError> {
        let mut roots = RootCertStore::empty();
        // A file that cannot be read is no reason to fail here: a host that needs it is then not trusted.
        let native = rustls_native_certs::load_native_certs();
        native.errors.iter().for_each(|error| tracing::debug!(%error, "read certificate authorities"));
        roots.add_parsable_certificates(native.certs);
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_TIMEOUT.min(timeout)));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TransportError::Tls(error.into()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(http);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        Ok(Self { client, timeout })
    }

    /// One exchange, without a second try.
    pub(super) async fn send(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        body: impl Into<Bytes>,
        reading: Reading,
    ) -> Result<Answer, TransportError> {
        let uri: Uri = url.as_str().parse().map_err(|error| TransportError::Request(Box::new(error)))?;
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .body(Full::new(body.into()))
            .map_err(|error| TransportError::Request(error.into()))?;
        *request.headers_mut() = headers.clone();
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        tokio::time::timeout(self.timeout, self.exchange(request, url, reading))
            .await
            .unwrap_or(Err(TransportError::TimedOut(self.timeout)))
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        url: &Url,
        reading: Reading,
    ) -> Result<Answer, TransportError> {
        let answer = self.client.request(request).await.map_err(|error| classify(error.into()))?;
        let (parts, body) = answer.into_parts();
        let answer =
            Answer { status: parts.status, headers: parts.headers, body: Bytes::new(), rest: None, url: url.clone() };
        if reading == Reading::Pieces && answer.status.is_success() {
            return Ok(Answer { rest: Some(Pieces { body, timeout: self.timeout }), ..answer });
        }
        let body = Limited::new(body, LARGEST_BODY).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() { TransportError::TooLarge } else { TransportError::Unreachable(error) }
        })?;
        Ok(Answer { body: body.to_bytes(), ..answer })
    }
}

fn classify(error: BoxError) -> TransportError {
    match tls_error(error.as_ref()) {
        Some(rustls::Error::InvalidCertificate(_)) => TransportError::Certificate(error),
        Some(_) => TransportError::Tls(error),
        None => TransportError::Unreachable(error),
    }
}

/// The TLS error behind an error: I/O errors hold what they were made of, but skip it as their source.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source()).and_then(|next| tls_error(next))
}

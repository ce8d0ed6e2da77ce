//! A GitHub with a memory, as far as the program uses it, behind a check against GitHub's own description.
//!
//! Every request is checked before anything is done for it or goes wrong with it, and every answer before it is sent, as a
//! validating proxy would; a test whose requests, or whose fake, break the description fails when the fake is dropped.

mod contract;
mod fault;
mod headers;
mod registry;
mod state;
mod storage;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::network::{Names, certificates, listen_inside};
use contract::{Call, Contract};
use fault::Effect;
pub(crate) use fault::Fault;
pub(crate) use state::{ACTIONS, State};
use state::{Answer, error};

/// The token that is known.
pub(crate) const TOKEN: &str = "ghs_the-token-of-the-job";

/// The hosts of the API and of the registry of the GitHub that everybody knows.
const API: &str = "api.github.com";
const REGISTRY: &str = "ghcr.io";

/// The server; it ends, with all its connections, when this is dropped.
pub(crate) struct FakeGithub {
    shared: Arc<Shared>,
    stop: CancellationToken,
    /// If it has names of its own: how an engine finds it, and the certificate of who signed its own.
    place: Option<(Names, String)>,
}

struct Shared {
    contract: Contract,
    /// What stands before every path.
    base: &'static str,
    /// Of the API.
    address: String,
    /// Of the registry that holds the packages.
    registry: String,
    /// Where the links to other pages lead.
    links: Mutex<Links>,
    inner: Mutex<Inner>,
}

/// Where the links to other pages of a list lead, as a proxy in between leaves them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Links {
    /// To the address that was called.
    #[default]
    Here,
    /// To the server behind the proxy, which nobody else reaches.
    Elsewhere,
    /// Nowhere: the header is gone.
    Nowhere,
}

#[derive(Default)]
struct Inner {
    state: State,
    permissions: BTreeSet<String>,
    faults: Vec<Fault>,
    broken: Option<Broken>,
    seen: Vec<Seen>,
    violations: Vec<String>,
}

/// How lists of several pages are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The link to the next page is no text.
    Unreadable,
    /// An entry is counted, and is on no page.
    Short,
}

/// A request that came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    /// With its query, below the base.
    pub(crate) path: String,
    pub(crate) body: Value,
}

impl FakeGithub {
    /// With the permissions that the README asks for.
    pub(crate) fn start() -> Self {
        Self::start_at("")
    }

    /// With a base path, as GitHub Enterprise Server has it: `/api/v3`.
    pub(crate) fn start_at(base: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let registry = format!("http://{}", listener.local_addr().unwrap());
        Self::serve(listener, None, base, format!("{registry}{base}"), registry)
    }

    /// In the place of GitHub itself and of its registry: under their names, in the network of this engine, for containers that
    /// have it for their own and trust [`FakeGithub::authority`].
    pub(crate) fn in_its_own_place(engine: &Engine) -> Self {
        let directory = tempfile::tempdir().unwrap();
        certificates(directory.path(), &format!("DNS:{API},DNS:{REGISTRY}"));
        let tls = Some(acceptor(directory.path()));
        let listener = listen_inside(engine, 443);
        let mut fake = Self::serve(listener, tls, "", format!("https://{API}"), format!("https://{REGISTRY}"));
        let authority = std::fs::read_to_string(directory.path().join("ca.pem")).unwrap();
        fake.place = Some((Names::of_servers(engine, &[API, REGISTRY]), authority));
        fake
    }

    fn serve(
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        base: &'static str,
        address: String,
        registry: String,
    ) -> Self {
        listener.set_nonblocking(true).unwrap();
        let (contract, links, inner) = (Contract::new(), Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { contract, base, address, registry, links, inner });
        let fake = Self { shared, stop: CancellationToken::new(), place: None };
        fake.permit(&["contents: read", "checks: write", "pull-requests: write"]);
        let (shared, stop) = (Arc::clone(&fake.shared), fake.stop.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(stop.run_until_cancelled(accept(listener, tls, shared)));
        });
        fake
    }

    /// What `GITHUB_API_URL` says.
    pub(crate) fn url(&self) -> &str {
        &self.shared.address
    }

    /// The host of the registry that holds the packages.
    pub(crate) fn registry(&self) -> &str {
        self.shared.host()
    }

    /// The certificate of who signed its own.
    pub(crate) fn authority(&self) -> &str {
        self.place.as_ref().map(|(_, authority)| authority.as_str()).unwrap()
    }

    /// `permissions:` of the job: these and no others. Writing includes reading.
    pub(crate) fn permit(&self, permissions: &[&str]) {
        self.with(|inner| inner.permissions = permissions.iter().map(|text| (*text).to_owned()).collect());
    }

    /// Something goes wrong from now on; the first of several that apply counts.
    pub(crate) fn goes_wrong(&self, fault: Fault) {
        self.with(|inner| inner.faults.push(fault));
    }

    /// Something in between changes the links to other pages.
    pub(crate) fn links(&self, links: Links) {
        *self.shared.links.lock().unwrap() = links;
    }

    /// Nothing goes wrong any more.
    pub(crate) fn mended(&self) {
        self.with(|inner| inner.faults.clear());
    }

    /// From now on lists are broken.
    pub(crate) fn breaks_lists(&self, broken: Broken) {
        self.with(|inner| inner.broken = Some(broken));
    }

    /// Reads or changes what it remembers.
    pub(crate) fn state<T>(&self, use_it: impl FnOnce(&mut State) -> T) -> T {
        self.with(|inner| use_it(&mut inner.state))
    }

    /// Every request that came, in order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.with(|inner| inner.seen.clone())
    }

    /// How many requests came with this method whose path has this part.
    pub(crate) fn count(&self, method: &str, path: &str) -> usize {
        self.seen().iter().filter(|seen| seen.method == method && seen.path.contains(path)).count()
    }

    /// What broke the description; a test that means it takes it away.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.with(|inner| std::mem::take(&mut inner.violations))
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut Inner) -> T) -> T {
        // A test that failed while it looked at the state has said why.
        use_it(&mut self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for FakeGithub {
    fn drop(&mut self) {
        self.stop.cancel();
        let violations = self.violations();
        if !std::thread::panicking() {
            assert!(violations.is_empty(), "against GitHub's description:\n{}", violations.join("\n"));
        }
    }
}

impl Shared {
    /// The host of the registry.
    fn host(&self) -> &str {
        self.registry.split_once("://").unwrap().1
    }
}

/// TLS with `cert.pem` and `key.pem` of a directory.
fn acceptor(directory: &Path) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(directory.join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(directory.join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        tokio::spawn(async move {
            let Some(tls) = tls else { return serve(stream, &shared).await };
            // Who does not trust it says so itself.
            if let Ok(stream) = tls.accept(stream).await {
                serve(stream, &shared).await;
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) {
    let service = service_fn(|request| answer(shared, request));
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// `Err` breaks the connection.
async fn answer(shared: &Shared, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap_or_else(|_gone: hyper::Error| Default::default()).to_bytes();
    let path = parts.uri.path_and_query().unwrap().as_str();
    if registry::is_path(path) {
        return registry::answer(shared, &parts);
    }
    let Some(path) = path.strip_prefix(shared.base) else {
        return Ok(written(shared, "", Answer::new(404, error("Not Found"))));
    };
    let method = parts.method;
    let effect = {
        let mut inner = shared.inner.lock().unwrap();
        let known = serde_json::from_slice(&body).unwrap_or_default();
        inner.seen.push(Seen { method: method.clone(), path: path.to_owned(), body: known });
        // What goes wrong afterwards is no excuse for a request.
        if let Err(violation) = check(shared, &method, path, &parts.headers, &body) {
            inner.violations.push(format!("{method} {path}: {violation}"));
            return Ok(written(shared, path, Answer::new(422, error("Validation Failed"))));
        }
        // Only the first that applies is used up.
        inner.faults.iter_mut().find_map(|fault| fault.take(&method, path).then(|| fault.effect.clone()))
    };
    match &effect {
        Some(Effect::Refused { status, headers, message }) => {
            let mut response = written(shared, path, Answer::new(*status, error(message)));
            for (name, value) in headers {
                response.headers_mut().insert(*name, value.parse().unwrap());
            }
            return Ok(response);
        }
        Some(Effect::Late(by)) => tokio::time::sleep(*by).await,
        Some(Effect::Together(barrier)) => {
            barrier.wait().await;
        }
        Some(Effect::DoneThen(_) | Effect::DoneThenBroken) | None => {}
    }
    let token = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
    let response = if token == Some(&format!("Bearer {TOKEN}")) {
        carried_out(shared, &method, path, &body)
    } else {
        written(shared, path, Answer::new(401, error("Bad credentials")))
    };
    match effect {
        Some(Effect::DoneThen(status)) => Ok(written(shared, path, Answer::new(status, error("Bad Gateway")))),
        Some(Effect::DoneThenBroken) => Err(std::io::Error::other("broken")),
        _ => Ok(response),
    }
}

/// What is wrong with a request: by the description, and with its headers.
fn check(shared: &Shared, method: &Method, path: &str, headers: &HeaderMap, body: &Bytes) -> Result<(), String> {
    let (bare, query) = path.split_once('?').unwrap_or((path, ""));
    let call = shared.contract.find(method, bare, query).ok_or("no such call")?;
    headers::check(headers, body)?;
    call.check_request(body)
}

/// Does what is asked, if the permissions allow it.
fn carried_out(shared: &Shared, method: &Method, path: &str, body: &Bytes) -> Response<Full<Bytes>> {
    let mut inner = shared.inner.lock().unwrap();
    let (bare, query) = path.split_once('?').unwrap_or((path, ""));
    let call = shared.contract.find(method, bare, query).expect("it was found before");
    let response = if inner.permits(needed(&call)) {
        let body = serde_json::from_slice(body).unwrap_or_default();
        let mut answer = inner.state.carry_out(&call, &body);
        match inner.broken {
            Some(Broken::Unreadable) => unreadable(written(shared, path, answer)),
            Some(Broken::Short) => {
                // The first one once more in its place, as where a list changes between two pages.
                if let Some((_, entries)) = &mut answer.list
                    && let (Some(first), Some(last)) = (entries.first().cloned(), entries.last_mut())
                {
                    *last = first;
                }
                written(shared, path, answer)
            }
            None => written(shared, path, answer),
        }
    } else {
        written(shared, path, Answer::new(403, error("Resource not accessible by integration")))
    };
    let (parts, body) = response.into_parts();
    let Ok(sent) = body_of(body);
    if let Err(violation) = call.check_answer(parts.status.as_u16(), &sent) {
        inner.violations.push(format!("the answer to {method} {path}: {violation}"));
    }
    Response::from_parts(parts, Full::new(sent))
}

/// The bytes of a body that is there already.
fn body_of(body: Full<Bytes>) -> Result<Bytes, Infallible> {
    futures_util::FutureExt::now_or_never(body.collect()).unwrap().map(http_body_util::Collected::to_bytes)
}

/// What the job's token needs for a call.
fn needed(call: &Call<'_>) -> &'static str {
    match call.id() {
        "checks/create" => "checks: write",
        "checks/list-for-ref" => "checks: read",
        "repos/list-commits" => "contents: read",
        "issues/list-comments" => "pull-requests: read",
        "issues/create-comment" | "issues/update-comment" | "issues/delete-comment" => "pull-requests: write",
        "users/get-authenticated" => "metadata: read",
        "actions/get-actions-cache-list" => "actions: read",
        "actions/delete-actions-cache-by-id" => "actions: write",
        id if id.starts_with("packages/delete-") => "packages: write",
        id if id.starts_with("packages/") => "packages: read",
        other => panic!("what does {other} need?"),
    }
}

impl Inner {
    fn permits(&self, needed: &str) -> bool {
        let writes = needed.replace(": read", ": write");
        needed == "metadata: read" || self.permissions.contains(needed) || self.permissions.contains(&writes)
    }
}

/// The same answer, with a link that nobody can read.
fn unreadable(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    if let Some(link) = response.headers_mut().get_mut("link") {
        *link = HeaderValue::from_bytes(b"<http://\xff>; rel=\"next\"").unwrap();
    }
    response
}

/// An answer as it is sent; of a list the page that `path` asks for, with the link to the next one.
fn written(shared: &Shared, path: &str, answer: Answer) -> Response<Full<Bytes>> {
    let mut response =
        Response::builder().status(answer.status).header("content-type", "application/json; charset=utf-8");
    let mut body = answer.body;
    if let Some((key, entries)) = answer.list {
        let (bare, query) = path.split_once('?').unwrap_or((path, ""));
        let number =
            |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}="))?.parse().ok());
        let (size, page): (usize, usize) = (number("per_page").unwrap_or(30).min(100), number("page").unwrap_or(1));
        let shown: Vec<Value> = entries.iter().skip(size * (page - 1)).take(size).cloned().collect();
        if size * page < entries.len() {
            let others: String =
                query.split('&').filter(|pair| !pair.starts_with("page=")).collect::<Vec<_>>().join("&");
            let links = *shared.links.lock().unwrap();
            let address = if links == Links::Here { &shared.address } else { "https://github.internal/api/v3" };
            let link = |page: usize| format!("<{address}{bare}?{others}&page={page}>");
            let (next, last) = (link(page + 1), link(entries.len().div_ceil(size)));
            if links != Links::Nowhere {
                response = response.header("link", format!("{next}; rel=\"next\", {last}; rel=\"last\""));
            }
        }
        body = match key {
            Some(key) => serde_json::json!({"total_count": entries.len(), key: shown}),
            None => shown.into(),
        };
    }
    let text = if body.is_null() { String::new() } else { body.to_string() };
    response.body(Full::new(Bytes::from(text))).unwrap()
}

//! One solve: a build from request to result, with its progress on the way.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bollard_buildkit_proto::moby::buildkit::v1 as api;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::connection::Connection;
use super::mask::Masks;
use super::session::Session;
use super::trace::{Collector, Event, Trace};

/// How long the builder's last progress is waited for once the solve itself has ended.
const LAST_STATUS: Duration = Duration::from_secs(3);

/// What to solve, in BuildKit's own terms.
#[derive(Debug, Clone, Default)]
pub struct SolveRequest {
    /// `dockerfile.v0`.
    pub frontend: String,
    /// Attributes of the frontend (`build-arg:…`, `target`, `filename`, …; `frontend/dockerui`).
    pub attributes: BTreeMap<String, String>,
    /// The exporter, if there is one.
    pub exporter: Option<Exporter>,
    /// Cache imports. They go into the frontend's attributes as well: with the field alone the Dockerfile frontend
    /// never looks at them.
    pub cache_imports: Vec<CacheEntry>,
    /// Cache exports.
    pub cache_exports: Vec<CacheEntry>,
    /// Entitlements (`network.host`, `security.insecure`).
    pub entitlements: Vec<String>,
    /// Whether the build history should not list it.
    pub internal: bool,
}

/// An exporter and its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exporter {
    /// `moby` on an engine; `docker` or `image` on a `buildkitd`.
    pub kind: String,
    /// `name`, `compression`, `annotation.…`, …
    pub attributes: BTreeMap<String, String>,
}

impl Exporter {
    /// The exporter that writes a `docker save` archive, and sends it to the session ([`super::session::filesend`]).
    pub const ARCHIVE: &str = "docker";

    /// Whether its result is sent to the session.
    pub fn is_archive(&self) -> bool {
        self.kind == Self::ARCHIVE
    }
}

/// A cache import or export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheEntry {
    /// `registry`, `local`, `inline`, `gha`, …
    pub kind: String,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
}

/// How a solve ended, with all that was seen of it.
#[derive(Debug)]
pub struct Solved {
    /// What the builder told on the way.
    pub trace: Trace,
    /// The exporter's answer (`containerimage.digest`, …), or why there is none.
    pub result: Result<HashMap<String, String>, SolveError>,
}

/// Why a solve gave no result.
#[derive(Debug, thiserror::Error)]
pub enum SolveError {
    /// It was cancelled from here.
    #[error("the build was cancelled")]
    Cancelled,
    /// The builder says that it failed: a step, the Dockerfile, a base image.
    #[error("{message}")]
    Failed {
        /// The builder's message, masked.
        message: String,
    },
    /// The connection to the builder was lost, or the builder went away.
    #[error("lose the connection to the builder: {message}")]
    Disconnected {
        /// What was seen of it.
        message: String,
    },
}

impl SolveRequest {
    /// The same with one more cache import, which is looked at before the others.
    #[must_use]
    pub fn with_import(mut self, import: CacheEntry) -> Self {
        self.cache_imports.insert(0, import);
        self
    }

    /// The same with everything taken from the builder that it has.
    #[must_use]
    pub fn with_cache(mut self) -> Self {
        self.attributes.remove("no-cache");
        self
    }

    /// The same with nothing taken from a cache.
    #[must_use]
    pub fn without_cache(mut self) -> Self {
        self.cache_imports.clear();
        self.attributes.insert("no-cache".to_owned(), String::new());
        self
    }

    fn into_api(self, id: String, session: &Session) -> api::SolveRequest {
        let mut frontend_attrs: HashMap<String, String> = self.attributes.into_iter().collect();
        if !self.cache_imports.is_empty() {
            frontend_attrs.insert("cache-imports".to_owned(), cache_imports_attribute(&self.cache_imports));
        }
        let (kind, attributes) = self.exporter.map(|e| (e.kind, e.attributes)).unwrap_or_default();
        api::SolveRequest {
            r#ref: id,
            session: session.id().to_owned(),
            frontend: self.frontend,
            frontend_attrs,
            // The BuildKit of Docker 20.10 knows these two fields only; newer ones read them as well.
            exporter_deprecated: kind,
            exporter_attrs_deprecated: attributes.into_iter().collect(),
            cache: Some(api::CacheOptions {
                imports: self.cache_imports.into_iter().map(CacheEntry::into_api).collect(),
                exports: self.cache_exports.into_iter().map(CacheEntry::into_api).collect(),
                ..Default::default()
            }),
            entitlements: self.entitlements,
            internal: self.internal,
            ..Default::default()
        }
    }
}

impl CacheEntry {
    fn into_api(self) -> api::CacheOptionsEntry {
        api::CacheOptionsEntry { r#type: self.kind, attrs: self.attributes.into_iter().collect() }
    }
}

/// The JSON of the frontend attribute `cache-imports` (Go's encoding of `[]CacheOptionsEntry`).
fn cache_imports_attribute(imports: &[CacheEntry]) -> String {
    let list: Vec<_> = imports.iter().map(|i| serde_json::json!({ "Type": i.kind, "Attrs": i.attributes })).collect();
    serde_json::Value::Array(list).to_string()
}

/// Solves. Every event is given to `on_event` as it arrives; cancelling the token ends the build on the builder too.
pub async fn solve(
    connection: &Connection,
    session: &Session,
    request: SolveRequest,
    masks: &Masks,
    cancelled: &CancellationToken,
    mut on_event: impl FnMut(Event),
) -> Solved {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let mut control = connection.control();
    let solving = {
        let mut control = control.clone();
        let request = request.into_api(id.clone(), session);
        async move { control.solve(request).await }
    };
    tokio::pin!(solving);

    let mut collector = Collector::new(masks.clone());
    let (result, ended) = {
        let mut following = Following::new(control.status(api::StatusRequest { r#ref: id }));
        loop {
            tokio::select! {
                result = &mut solving => {
                    let ended = Instant::now();
                    // Progress that is still on its way belongs to the trace.
                    let rest = async {
                        while let Some(status) = following.next().await {
                            collector.take(&status).into_iter().for_each(&mut on_event);
                        }
                    };
                    let _ = tokio::time::timeout(LAST_STATUS, rest).await;
                    break (result.map_err(|status| failure(&status, masks)), ended);
                }
                Some(status) = following.next(), if !following.ended => {
                    collector.take(&status).into_iter().for_each(&mut on_event);
                }
                // Dropping the call resets its stream, and the builder cancels the solve with it.
                () = cancelled.cancelled() => break (Err(SolveError::Cancelled), Instant::now()),
            }
        }
    };
    let result = result.map(|response| response.into_inner().exporter_response);
    let trace = if result.is_ok() { collector.finish() } else { collector.break_off(ended) };
    Solved { trace, result }
}

type StatusCall<F> = Option<std::pin::Pin<Box<F>>>;

/// The status stream, which opens when the builder knows the solve.
struct Following<F> {
    opening: StatusCall<F>,
    stream: Option<tonic::Streaming<api::StatusResponse>>,
    ended: bool,
}

impl<F> Following<F>
where
    F: Future<Output = Result<tonic::Response<tonic::Streaming<api::StatusResponse>>, Status>>,
{
    fn new(call: F) -> Self {
        Self { opening: Some(Box::pin(call)), stream: None, ended: false }
    }

    /// The next message; cancel-safe. After the end it gives nothing for ever.
    async fn next(&mut self) -> Option<api::StatusResponse> {
        if let Some(opening) = self.opening.as_mut() {
            let opened = opening.await;
            self.opening = None;
            match opened {
                Ok(response) => self.stream = Some(response.into_inner()),
                Err(status) => tracing::debug!(%status, "the builder gives no progress"),
            }
        }
        let message = match self.stream.as_mut() {
            Some(stream) => stream.message().await.ok().flatten(),
            None => None,
        };
        self.ended |= message.is_none();
        message
    }
}

fn failure(status: &Status, masks: &Masks) -> SolveError {
    let message = masks.apply(status.message()).into_owned();
    let transport = std::error::Error::source(status).is_some();
    match status.code() {
        // A builder can pass such a code on from a registry: only a broken connection has a source on this side.
        Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled
            if transport || message.contains("transport error") =>
        {
            SolveError::Disconnected { message }
        }
        _ => SolveError::Failed { message },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{CacheEntry, cache_imports_attribute};

    #[test]
    fn imports_are_told_to_the_frontend_in_gos_json() {
        let entry = CacheEntry {
            kind: "registry".to_owned(),
            attributes: BTreeMap::from([("ref".to_owned(), "docker.io/library/app:latest".to_owned())]),
        };
        assert_eq!(
            cache_imports_attribute(&[entry]),
            r#"[{"Type":"registry","Attrs":{"ref":"docker.io/library/app:latest"}}]"#
        );
    }
}

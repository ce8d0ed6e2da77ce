//! Content: stores out of which the builder reads a cache and into which it writes one
//! (`containerd.services.content.v1.Content`, as BuildKit's `session/content` offers it).

mod elsewhere;
mod ingest;
mod store;
#[cfg(test)]
mod tests;
mod wire;

pub use store::{ContentStore, Missing};

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use ingest::Ingest;
pub(super) use wire::ContentServer;
use wire::{
    AbortRequest, Empty, InfoRequest, InfoResponse, ReadRequest, ReadResponse, StatusRequest, StatusResponse,
    WriteRequest, WriteResponse,
};

pub(super) const METHODS: [&str; 5] = [wire::INFO, wire::READ, wire::STATUS, wire::WRITE, wire::ABORT];

/// Which store a request is for (`session/content.GRPCHeaderID`).
const STORE_ID: &str = "buildkit-attachable-store-id";
/// How the cache importer and exporter `type=local` call stores (`remotecache/local`).
const STORE_PREFIX: &str = "local:";

/// The stores of one session, by the name that an import's attribute `src` or an export's `dest` has.
#[derive(Debug, Clone, Default)]
pub struct ContentStores {
    by_name: Arc<BTreeMap<String, ContentStore>>,
}

impl ContentStores {
    /// Adds a store.
    #[must_use]
    pub fn with(mut self, name: &str, store: ContentStore) -> Self {
        Arc::make_mut(&mut self.by_name).insert(name.to_owned(), store);
        self
    }

    /// The store that the request names.
    fn choose<T>(&self, request: &Request<T>) -> Result<&ContentStore, Status> {
        let id = request.metadata().get(STORE_ID).and_then(|id| id.to_str().ok());
        let id = id.ok_or_else(|| Status::invalid_argument(format!("request lacks metadata {STORE_ID}")))?;
        let store = id.strip_prefix(STORE_PREFIX).and_then(|name| self.by_name.get(name));
        store.ok_or_else(|| Status::not_found(format!("unknown store {id}")))
    }

    fn info(&self, request: &Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let info = self.choose(request)?.info(&request.get_ref().digest)?;
        Ok(Response::new(InfoResponse { info: Some(info) }))
    }

    fn read(
        &self,
        request: &Request<ReadRequest>,
    ) -> Result<Response<BoxStream<'static, Result<ReadResponse, Status>>>, Status> {
        let store = self.choose(request)?;
        if let Some(messages) = store.read_elsewhere(request.get_ref()) {
            return Ok(Response::new(messages?));
        }
        let messages = store.read(request.get_ref())?;
        Ok(Response::new(stream::iter(messages.map(Ok)).boxed()))
    }

    fn status(&self, request: &Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let status = self.choose(request)?.status(&request.get_ref().r#ref)?;
        Ok(Response::new(StatusResponse { status: Some(status) }))
    }

    /// Answers every message of a write before the next one is taken.
    fn write(
        &self,
        request: Request<Streaming<WriteRequest>>,
    ) -> Result<Response<BoxStream<'static, Result<WriteResponse, Status>>>, Status> {
        let ingest = Ingest::new(self.choose(&request)?.clone());
        let answers = stream::try_unfold((request.into_inner(), ingest), async |(mut messages, mut ingest)| {
            if ingest.is_committed() {
                return Ok(None);
            }
            let Some(message) = messages.message().await? else { return Ok(None) };
            let answer = ingest.take(&message)?;
            Ok(Some((answer, (messages, ingest))))
        });
        Ok(Response::new(answers.boxed()))
    }

    /// What was not committed ends with its write, so that there is never anything left to abort.
    fn abort(&self, request: &Request<AbortRequest>) -> Result<Response<Empty>, Status> {
        self.choose(request)?;
        Ok(Response::new(Empty {}))
    }
}

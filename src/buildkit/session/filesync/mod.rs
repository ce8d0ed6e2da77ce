//! FileSync: sends the build context to the builder (`moby.filesync.v1.FileSync`, fsutil's wire protocol).
//!
//! The builder names a directory and patterns in the call's metadata. It is sent a stat for every file, in the order
//! of the walk, and asks for the contents that it does not have, by number. See fsutil's receive.go for the protocol.

mod catalogue;
mod directory;
mod error;
mod follow;
mod read;
mod request;
mod sender;
mod stat;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bollard_buildkit_proto::fsutil::types::Packet;
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::FileSync;
use futures_util::{Stream, StreamExt, stream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

pub use directory::{Directories, Directory};
pub use error::SyncError;
pub(crate) use follow::follow_links;
pub(crate) use read::ContextFile;
pub(crate) use stat::{Content, Stats};

use request::SyncRequest;
use sender::Message;

/// The methods to announce when the session is opened.
pub const METHODS: [&str; 1] = ["/moby.filesync.v1.FileSync/DiffCopy"];

/// The session service that sends a build's directories.
#[derive(Debug, Clone)]
pub struct FileSyncService {
    directories: Directories,
    transferred: Arc<Transferred>,
}

impl FileSyncService {
    /// A service for the directories of one build.
    pub fn new(directories: Directories) -> Self {
        Self { directories, transferred: Arc::default() }
    }

    /// The counters of all transfers, to be read at any time.
    pub fn transferred(&self) -> Arc<Transferred> {
        Arc::clone(&self.transferred)
    }
}

#[tonic::async_trait]
impl FileSync for FileSyncService {
    type DiffCopyStream = PacketStream;
    type TarStreamStream = PacketStream;

    async fn diff_copy(&self, call: Request<Streaming<Packet>>) -> Result<Response<PacketStream>, Status> {
        let request = SyncRequest::parse(call.metadata());
        let Some(directory) = self.directories.get(&request.directory).cloned() else {
            return Err(SyncError::UnknownDirectory { name: request.directory }.status());
        };
        tracing::debug!(?request, "context transfer");
        let messages = sender::send(directory, request, call.into_inner(), self.transferred());
        let packets = ReceiverStream::new(messages).flat_map(|message| stream::iter(Message::into_packets(message)));
        Ok(Response::new(Box::pin(packets)))
    }

    async fn tar_stream(&self, _: Request<Streaming<Packet>>) -> Result<Response<PacketStream>, Status> {
        // No builder since 2017 asks for it.
        Err(Status::unimplemented("the context is sent with DiffCopy"))
    }
}

/// The packets of one call.
pub type PacketStream = Pin<Box<dyn Stream<Item = Result<Packet, Status>> + Send>>;

/// What was sent so far, over all calls of a service.
#[derive(Debug, Default)]
pub struct Transferred {
    stats: AtomicU64,
    files: AtomicU64,
    bytes: AtomicU64,
    failure: OnceLock<SyncError>,
}

impl Transferred {
    /// Files, directories and others that the builder was told of.
    pub fn stats(&self) -> u64 {
        self.stats.load(Ordering::Relaxed)
    }

    /// Files whose content was sent.
    pub fn files(&self) -> u64 {
        self.files.load(Ordering::Relaxed)
    }

    /// Bytes of content sent.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The first transfer's failure, if one failed. The build fails with the same text in the builder's words.
    pub fn failure(&self) -> Option<&SyncError> {
        self.failure.get()
    }

    fn count_stats(&self, count: usize) {
        self.stats.fetch_add(u64::try_from(count).unwrap_or_default(), Ordering::Relaxed);
    }

    fn count_file(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
    }

    fn count_bytes(&self, count: usize) {
        self.bytes.fetch_add(u64::try_from(count).unwrap_or_default(), Ordering::Relaxed);
    }

    fn fail(&self, error: SyncError) {
        // Later failures follow from the first.
        let _ = self.failure.set(error);
    }
}

//! One write into a store: containerd's protocol, message by message (`contentserver.Write`).

use bytes::BytesMut;
use tonic::Status;

use super::store::{ContentStore, MAX_BLOB, is_digest, signed};
use super::wire::{Action, IngestStatus, WriteRequest, WriteResponse};

/// How the refs of layers begin (`remotes.MakeRefKey`).
const LAYER: &str = "layer-";

/// A write. What it has not committed is forgotten with it.
pub(super) struct Ingest {
    store: ContentStore,
    state: State,
}

enum State {
    Waiting,
    Open { digest: String, data: BytesMut, total: Option<usize> },
    Committed,
}

impl Ingest {
    pub(super) fn new(store: ContentStore) -> Self {
        Self { store, state: State::Waiting }
    }

    pub(super) fn is_committed(&self) -> bool {
        matches!(self.state, State::Committed)
    }

    /// Takes one message and gives its answer. After an error nothing of the write is left.
    pub(super) fn take(&mut self, message: WriteRequest) -> Result<WriteResponse, Status> {
        if matches!(self.state, State::Waiting) {
            let digest = accepted_ref(&message.r#ref)?.to_owned();
            self.store.begin(&digest)?;
            self.state = State::Open { digest, data: BytesMut::new(), total: None };
        }
        let State::Open { digest, data, total } = &mut self.state else {
            return Err(Status::failed_precondition("the write is committed"));
        };
        expect(digest, &message, total)?;
        let action = Action::try_from(message.action)
            .map_err(|_| Status::invalid_argument(format!("unknown action {}", message.action)))?;
        match action {
            Action::Stat => {}
            Action::Write | Action::Commit => append(data, &message)?,
        }
        let (offset, total_size) = (signed(data.len()), total.map_or(0, signed));
        let mut answer = WriteResponse { action: message.action, offset, total: total_size, digest: String::new() };
        if action == Action::Commit {
            if let Some(total) = total.filter(|total| *total != data.len()) {
                let text = format!("unexpected commit size {}, expected {total}", data.len());
                return Err(Status::failed_precondition(text));
            }
            self.store.commit(digest, data.split().freeze())?;
            answer.digest.clone_from(digest);
            self.state = State::Committed;
        } else {
            self.store.note(IngestStatus {
                r#ref: digest.clone(),
                offset,
                total: total_size,
                expected: digest.clone(),
            });
        }
        Ok(answer)
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        if let State::Open { digest, .. } = &self.state {
            self.store.end(digest);
        }
    }
}

/// The digest that the ref is. The cache exporter writes layers under `layer-<digest>`: they stay in the engine. Its
/// config and its manifest have their bare digest for a ref.
fn accepted_ref(r#ref: &str) -> Result<&str, Status> {
    if let Some(layer) = r#ref.strip_prefix(LAYER) {
        return Err(Status::already_exists(format!("content {layer}: already exists")));
    }
    if !is_digest(r#ref) {
        return Err(Status::invalid_argument(format!("ref '{ref}' is not a digest")));
    }
    Ok(r#ref)
}

/// Checks what a message says of the whole blob.
fn expect(digest: &str, message: &WriteRequest, total: &mut Option<usize>) -> Result<(), Status> {
    if !message.r#ref.is_empty() && message.r#ref != digest {
        return Err(Status::invalid_argument("the ref changes within a write"));
    }
    if !message.expected.is_empty() && message.expected != digest {
        return Err(Status::failed_precondition(format!("expected {} under the ref {digest}", message.expected)));
    }
    if message.total != 0 {
        let size = usize::try_from(message.total).ok().filter(|size| *size <= MAX_BLOB);
        *total = Some(size.ok_or_else(too_large)?);
    }
    Ok(())
}

/// Appends at the current end; an offset of 0 begins again.
fn append(data: &mut BytesMut, message: &WriteRequest) -> Result<(), Status> {
    if message.offset == 0 {
        data.clear();
    } else if message.offset != signed(data.len()) {
        let text = format!("write @{} must occur at current offset {}", message.offset, data.len());
        return Err(Status::out_of_range(text));
    }
    if data.len().saturating_add(message.data.len()) > MAX_BLOB {
        return Err(too_large());
    }
    data.extend_from_slice(&message.data);
    Ok(())
}

fn too_large() -> Status {
    Status::resource_exhausted(format!("a blob has {MAX_BLOB} bytes at most"))
}

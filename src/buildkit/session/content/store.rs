//! One store, in memory: it either serves blobs or accepts them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tonic::Status;

use super::wire::{Info, IngestStatus, ReadRequest, ReadResponse};
use crate::registry::Layers;

/// Bytes of one message of a read.
pub(super) const CHUNK: usize = 64 << 10;
/// Bytes that a blob may have. Cache records are kept under 1 MiB: BuildKit itself reads no larger ones.
pub(super) const MAX_BLOB: usize = 4 << 20;
/// Blobs that may be written or being written. A cache export has two.
const MAX_BLOBS: usize = 16;

/// Blobs for the builder to read, or a place for it to write blobs to. Cheap to clone; all clones are the same store.
#[derive(Debug, Clone)]
pub struct ContentStore(Arc<Side>);

#[derive(Debug)]
enum Side {
    Serving(Serving),
    Accepting(Mutex<Accepted>),
}

#[derive(Debug, Default)]
struct Serving {
    blobs: BTreeMap<String, Bytes>,
    /// What a registry has of what is not here.
    elsewhere: Layers,
    served: AtomicU64,
    /// The first blob that nobody has.
    missing: watch::Sender<Option<Missing>>,
}

/// A blob that was asked for in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its digest.
    pub digest: String,
    /// What the registry says that should have it; nothing if none should.
    pub registry: Option<String>,
}

#[derive(Debug, Default)]
struct Accepted {
    committed: BTreeMap<String, Bytes>,
    /// Writes that have begun, by their ref.
    open: BTreeMap<String, IngestStatus>,
}

impl ContentStore {
    /// A store of these blobs, by digest (`sha256:…`). Whoever gives them answers for the digests.
    pub fn serving(blobs: impl IntoIterator<Item = (String, Bytes)>) -> Self {
        Self::serving_with(blobs, Layers::default())
    }

    /// The same, and layers of registries, which are read when the builder asks for them.
    pub fn serving_with(blobs: impl IntoIterator<Item = (String, Bytes)>, elsewhere: Layers) -> Self {
        let blobs = blobs.into_iter().collect();
        Self(Arc::new(Side::Serving(Serving { blobs, elsewhere, ..Serving::default() })))
    }

    /// An empty store that a cache export can write its manifest and its config to. Layers are answered with "already
    /// exists", so that no layer travels.
    pub fn accepting() -> Self {
        Self(Arc::new(Side::Accepting(Mutex::default())))
    }

    /// Bytes that the builder read.
    pub fn served_bytes(&self) -> u64 {
        match &*self.0 {
            Side::Serving(serving) => serving.served.load(Ordering::Relaxed),
            Side::Accepting(_) => 0,
        }
    }

    /// Blobs that the builder committed, by digest; each has been checked against it.
    pub fn written(&self) -> BTreeMap<String, Bytes> {
        match &*self.0 {
            Side::Serving(_) => BTreeMap::new(),
            Side::Accepting(accepted) => lock(accepted).committed.clone(),
        }
    }

    /// Waits until the builder asks for a blob that this store was not given, and gives the first one: a layer that a
    /// record promises and that neither the engine nor a registry has any more. Cancel-safe; at once if it happened before.
    ///
    /// As long as the engine has every layer it asks for none. For one that it lacks it asks for the size first
    /// (`Info`); the engines with a graph driver repeat that for more than a minute before they give the record up.
    pub async fn asked_for_missing(&self) -> Missing {
        if let Side::Serving(serving) = &*self.0
            && let Ok(first) = serving.missing.subscribe().wait_for(Option::is_some).await
            && let Some(missing) = first.as_ref()
        {
            return missing.clone();
        }
        std::future::pending().await
    }

    /// Waits from now on for the next blob that is asked for in vain.
    pub fn forget_missing(&self) {
        if let Side::Serving(serving) = &*self.0 {
            serving.missing.send_replace(None);
        }
    }

    pub(super) fn info(&self, digest: &str) -> Result<Info, Status> {
        if let Some(size) = self.elsewhere(digest).and_then(|layers| layers.size(digest)) {
            return Ok(Info { digest: digest.to_owned(), size: i64::try_from(size).unwrap_or(i64::MAX) });
        }
        let blob = self.find(digest)?;
        Ok(Info { digest: digest.to_owned(), size: signed(blob.len()) })
    }

    /// The part of the blob that is asked for, in messages. Containerd takes a negative offset for 0; here nothing that
    /// is out of bounds is guessed at. A size beyond the end is not: the builder asks for whole buffers.
    pub(super) fn read(&self, request: &ReadRequest) -> Result<impl Iterator<Item = ReadResponse> + use<>, Status> {
        let blob = self.find(&request.digest)?;
        let out_of_range = || Status::out_of_range(format!("read past object length {} bytes", blob.len()));
        let offset = usize::try_from(request.offset).map_err(|_| out_of_range())?;
        let size = usize::try_from(request.size).map_err(|_| out_of_range())?;
        let rest = blob.len().checked_sub(offset).ok_or_else(out_of_range)?;
        let end = offset.saturating_add(if size == 0 { rest } else { size.min(rest) });
        let store = self.clone();
        Ok((offset..end).step_by(CHUNK).map(move |start| {
            let data = blob.slice(start..end.min(start.saturating_add(CHUNK)));
            store.served(data.len());
            ReadResponse { offset: signed(start), data }
        }))
    }

    pub(super) fn status(&self, r#ref: &str) -> Result<IngestStatus, Status> {
        let open = match &*self.0 {
            Side::Serving(_) => None,
            Side::Accepting(accepted) => lock(accepted).open.get(r#ref).cloned(),
        };
        open.ok_or_else(|| Status::not_found(format!("no ingest {ref}")))
    }

    /// Reserves a place for the blob of this digest.
    pub(super) fn begin(&self, digest: &str) -> Result<(), Status> {
        let mut accepted = self.accepted()?;
        if accepted.committed.contains_key(digest) {
            return Err(Status::already_exists(format!("content {digest}: already exists")));
        }
        let full = accepted.committed.len().saturating_add(accepted.open.len()) >= MAX_BLOBS;
        match accepted.open.entry(digest.to_owned()) {
            Entry::Occupied(_) => Err(Status::unavailable(format!("ref {digest} is locked by another write"))),
            Entry::Vacant(_) if full => {
                Err(Status::resource_exhausted(format!("this store takes {MAX_BLOBS} blobs at most")))
            }
            Entry::Vacant(place) => {
                place.insert(IngestStatus { r#ref: digest.to_owned(), ..IngestStatus::default() });
                Ok(())
            }
        }
    }

    /// Notes how far a write is.
    pub(super) fn note(&self, status: IngestStatus) {
        if let Ok(mut accepted) = self.accepted()
            && let Some(open) = accepted.open.get_mut(&status.r#ref)
        {
            *open = status;
        }
    }

    /// Keeps the blob if it has this digest.
    pub(super) fn commit(&self, digest: &str, blob: Bytes) -> Result<(), Status> {
        let actual = digest_of(&blob);
        if actual != digest {
            return Err(Status::failed_precondition(format!("unexpected commit digest {actual}, expected {digest}")));
        }
        let mut accepted = self.accepted()?;
        accepted.open.remove(digest);
        accepted.committed.insert(actual, blob);
        Ok(())
    }

    /// Gives the place of an unfinished write back.
    pub(super) fn end(&self, digest: &str) {
        if let Ok(mut accepted) = self.accepted() {
            accepted.open.remove(digest);
        }
    }

    fn accepted(&self) -> Result<MutexGuard<'_, Accepted>, Status> {
        match &*self.0 {
            Side::Serving(_) => Err(Status::permission_denied("this store is read only")),
            Side::Accepting(accepted) => Ok(lock(accepted)),
        }
    }

    fn find(&self, digest: &str) -> Result<Bytes, Status> {
        if let Side::Serving(serving) = &*self.0
            && let Some(blob) = serving.blobs.get(digest)
        {
            return Ok(blob.clone());
        }
        if is_digest(digest) {
            tracing::debug!(digest, "the builder asks for a blob that only the engine could have");
            self.missing(Missing { digest: digest.to_owned(), registry: None });
        }
        Err(Status::not_found(format!("content {digest}: not found")))
    }

    /// The layers of registries, if the blob is one of them and not here.
    pub(super) fn elsewhere(&self, digest: &str) -> Option<&Layers> {
        match &*self.0 {
            Side::Serving(serving) if !serving.blobs.contains_key(digest) => {
                Some(&serving.elsewhere).filter(|layers| layers.size(digest).is_some())
            }
            Side::Serving(_) | Side::Accepting(_) => None,
        }
    }

    pub(super) fn served(&self, bytes: usize) {
        if let Side::Serving(serving) = &*self.0 {
            serving.served.fetch_add(u64::try_from(bytes).unwrap_or_default(), Ordering::Relaxed);
        }
    }

    /// Tells of a blob that was asked for in vain, if it is the first one.
    pub(super) fn missing(&self, missing: Missing) {
        if let Side::Serving(serving) = &*self.0 {
            serving.missing.send_if_modified(|first| {
                let new = first.is_none();
                first.get_or_insert(missing);
                new
            });
        }
    }
}

/// Every change leaves the map whole, so that a panic elsewhere does not make it unusable.
fn lock(accepted: &Mutex<Accepted>) -> MutexGuard<'_, Accepted> {
    accepted.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether it is `sha256:` and 64 lowercase hexadecimal digits.
pub(super) fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:");
    hex.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

pub(super) fn digest_of(blob: &[u8]) -> String {
    let hex: String = Sha256::digest(blob).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A length on the wire.
pub(super) fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

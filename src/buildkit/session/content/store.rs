//! Content stores in memory: one that blobs are served from, one that an export's metadata is written to.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

/// The most that one blob may have: BuildKit itself reads no config or manifest over 1 MiB.
const MAX_BLOB: usize = 4 << 20;
/// The most blobs that one export may write: a config and a manifest.
const MAX_BLOBS: usize = 16;

/// Why a store does not do what it is asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum StoreError {
    #[error("not found")]
    NotFound,
    #[error("already exists")]
    AlreadyExists,
    #[error("this store takes nothing")]
    ReadOnly,
    #[error("out of range")]
    OutOfRange,
    #[error("more than this store takes")]
    TooMuch,
    #[error("the content is not what its digest says")]
    WrongDigest,
}

/// A content store of this client. Clones are the same store.
#[derive(Debug, Clone)]
pub struct ContentStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    accepts: bool,
    state: Mutex<State>,
    /// The first blob that was to be read and is not here.
    missing: watch::Sender<Option<String>>,
}

#[derive(Debug, Default)]
struct State {
    blobs: BTreeMap<String, Bytes>,
    pending: HashMap<String, BytesMut>,
    served: u64,
}

impl ContentStore {
    /// A store that these blobs, by their digest, are read from.
    pub fn serving(blobs: impl IntoIterator<Item = (String, Bytes)>) -> Self {
        Self::new(false, blobs.into_iter().collect())
    }

    /// A store that an export writes its manifest and its config to. Layers are said to be here already, so that none
    /// travels.
    pub fn accepting() -> Self {
        Self::new(true, BTreeMap::new())
    }

    fn new(accepts: bool, blobs: BTreeMap<String, Bytes>) -> Self {
        let state = Mutex::new(State { blobs, ..State::default() });
        Self(Arc::new(Inner { accepts, state, missing: watch::Sender::new(None) }))
    }

    /// Bytes that were read so far.
    pub fn served_bytes(&self) -> u64 {
        self.state().served
    }

    /// What was written, by its digest, which has been checked.
    pub fn written(&self) -> BTreeMap<String, Bytes> {
        if self.0.accepts { self.state().blobs.clone() } else { BTreeMap::new() }
    }

    /// Waits until the builder wants to read a blob that is not here, a layer that it was expected to have, and gives its
    /// digest; at once if that has happened already. Cancel-safe.
    pub async fn asked_for_missing(&self) -> String {
        let mut missing = self.0.missing.subscribe();
        match missing.wait_for(Option::is_some).await {
            Ok(digest) => digest.clone().unwrap_or_default(),
            // The sender lives as long as this store.
            Err(_closed) => std::future::pending().await,
        }
    }

    pub(super) fn size(&self, digest: &str) -> Result<usize, StoreError> {
        self.state().blobs.get(digest).map(Bytes::len).ok_or(StoreError::NotFound)
    }

    /// A part of a blob; `size` 0 is all of the rest.
    pub(super) fn read(&self, digest: &str, offset: i64, size: i64) -> Result<Bytes, StoreError> {
        let mut state = self.state();
        let Some(blob) = state.blobs.get(digest).cloned() else {
            drop(state);
            self.0.missing.send_if_modified(|missing| {
                missing.is_none() && {
                    *missing = Some(digest.to_owned());
                    true
                }
            });
            return Err(StoreError::NotFound);
        };
        let start = usize::try_from(offset).ok().filter(|start| *start <= blob.len()).ok_or(StoreError::OutOfRange)?;
        let rest = blob.len().saturating_sub(start);
        let length = match usize::try_from(size).map_err(|_negative| StoreError::OutOfRange)? {
            0 => rest,
            size => size.min(rest),
        };
        let part = blob.slice(start..start.saturating_add(length));
        state.served = state.served.saturating_add(u64::try_from(part.len()).unwrap_or_default());
        Ok(part)
    }

    /// Begins or goes on with a write; gives how much of it is there.
    pub(super) fn stat(&self, reference: &str, expected: &str) -> Result<usize, StoreError> {
        let mut state = self.writable(reference, expected)?;
        Ok(state.pending(reference)?.len())
    }

    pub(super) fn write(&self, reference: &str, offset: i64, data: &[u8]) -> Result<usize, StoreError> {
        let mut state = self.writable(reference, "")?;
        let pending = state.pending(reference)?;
        if usize::try_from(offset) != Ok(pending.len()) {
            return Err(StoreError::OutOfRange);
        }
        if pending.len().saturating_add(data.len()) > MAX_BLOB {
            return Err(StoreError::TooMuch);
        }
        pending.extend_from_slice(data);
        Ok(pending.len())
    }

    /// Ends a write; gives the digest and the size.
    pub(super) fn commit(&self, reference: &str, expected: &str, total: i64) -> Result<(String, usize), StoreError> {
        let mut state = self.writable(reference, expected)?;
        let content = state.pending.remove(reference).unwrap_or_default().freeze();
        let digest = digest_of(&content);
        let as_expected = expected.is_empty() || expected == digest;
        if digest != reference || !as_expected || (total > 0 && usize::try_from(total) != Ok(content.len())) {
            return Err(StoreError::WrongDigest);
        }
        let size = content.len();
        state.blobs.insert(digest.clone(), content);
        Ok((digest, size))
    }

    pub(super) fn abort(&self, reference: &str) {
        self.state().pending.remove(reference);
    }

    /// Only what is called by its bare digest is taken: the metadata. A layer is called `layer-sha256:…`.
    fn writable(&self, reference: &str, expected: &str) -> Result<MutexGuard<'_, State>, StoreError> {
        if !self.0.accepts {
            return Err(StoreError::ReadOnly);
        }
        let state = self.state();
        let is_known = state.blobs.contains_key(reference) || state.blobs.contains_key(expected);
        if !is_digest(reference) || is_known { Err(StoreError::AlreadyExists) } else { Ok(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves whole values behind: each is put in place in one step.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pending(&mut self, reference: &str) -> Result<&mut BytesMut, StoreError> {
        let room = self.pending.len().saturating_add(self.blobs.len()) < MAX_BLOBS;
        if !room && !self.pending.contains_key(reference) {
            return Err(StoreError::TooMuch);
        }
        Ok(self.pending.entry(reference.to_owned()).or_default())
    }
}

fn digest_of(content: &[u8]) -> String {
    let hex: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|c| c.is_ascii_hexdigit()))
}

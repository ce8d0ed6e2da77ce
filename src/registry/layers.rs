//! Layers that a registry has, read when somebody asks for them; and clients by their host.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use super::{BlobReader, Digest, Login, Registry, RegistryError, Repository};

/// Clients of registries, one for each host, made when it is needed: they share what they know of logins.
#[derive(Debug)]
pub struct Registries {
    logins: BTreeMap<String, Login>,
    timeout: Duration,
    clients: SyncMutex<BTreeMap<String, Arc<Registry>>>,
}

impl Registries {
    /// With these logins by host (`docker.io` for Docker Hub), and this much time for each exchange.
    pub fn new(logins: impl IntoIterator<Item = (String, Login)>, timeout: Duration) -> Self {
        Self { logins: logins.into_iter().collect(), timeout, clients: SyncMutex::default() }
    }

    /// The login at a host, if there is one.
    pub fn login(&self, host: &str) -> Option<&Login> {
        self.logins.get(host)
    }

    /// The client of a host.
    ///
    /// # Errors
    /// As [`Registry::new`].
    pub fn client(&self, host: &str) -> Result<Arc<Registry>, RegistryError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(host) {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(Registry::with_timeout(host, self.login(host).cloned(), self.timeout)?);
        clients.insert(host.to_owned(), Arc::clone(&client));
        Ok(client)
    }
}

/// Where a layer is.
#[derive(Debug, Clone)]
pub struct RemoteLayer {
    /// Who has it.
    pub registry: Arc<Registry>,
    /// In which repository.
    pub repository: Repository,
    /// Bytes, as the manifest says.
    pub size: u64,
}

/// Layers by their digests (`sha256:…`). Cheap to clone; all clones count and read as one.
#[derive(Debug, Clone, Default)]
pub struct Layers(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_digest: BTreeMap<String, (RemoteLayer, Mutex<Option<Position>>)>,
    read: AtomicU64,
}

/// A blob in the midst of being read: whoever reads it goes on where he was, and the registry is asked once.
struct Position {
    reader: BlobReader,
    offset: u64,
    /// What has come already, from `offset` on.
    come: Bytes,
    /// Of everything before `offset`, if all of it went by here.
    seen: Option<Sha256>,
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {}", self.offset)
    }
}

impl Layers {
    /// These layers; of two with the same digest the first.
    pub fn new(layers: impl IntoIterator<Item = (String, RemoteLayer)>) -> Self {
        let mut by_digest = BTreeMap::new();
        for (digest, layer) in layers {
            by_digest.entry(digest).or_insert((layer, Mutex::default()));
        }
        Self(Arc::new(Inner { by_digest, read: AtomicU64::new(0) }))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.by_digest.is_empty()
    }

    /// How many bytes the layer has; `None` if it is none of these.
    pub fn size(&self, digest: &str) -> Option<u64> {
        self.0.by_digest.get(digest).map(|(layer, _)| layer.size)
    }

    /// Bytes that were read.
    pub fn read_bytes(&self) -> u64 {
        self.0.read.load(Ordering::Relaxed)
    }

    /// Up to `most` bytes from `offset` on, as many as are there at once; none at the end.
    ///
    /// # Errors
    /// [`RegistryError`]: it is not there (any more), or cannot be read; `Malformed` if it is shorter than was said, or,
    /// read from its beginning to its end, not what its digest says.
    pub async fn read(&self, digest: &str, offset: u64, most: usize) -> Result<Bytes, RegistryError> {
        let not_one = || RegistryError::NotFound { registry: "the offer".to_owned(), message: digest.to_owned() };
        let (layer, position) = self.0.by_digest.get(digest).ok_or_else(not_one)?;
        let mut position = position.lock().await;
        // What is asked for in another order is asked for anew.
        let mut at = match position.take().filter(|position| position.offset == offset) {
            Some(at) => at,
            None => open(layer, digest, offset).await?,
        };
        if at.come.is_empty() {
            at.come = match at.reader.next().await {
                Some(Ok(piece)) => piece,
                None => Bytes::new(),
                // A connection that was cut in the midst of a large layer is no reason to give it up.
                Some(Err(_)) => {
                    at.reader = open(layer, digest, offset).await?.reader;
                    at.reader.next().await.transpose()?.unwrap_or_default()
                }
            };
        }
        let left = usize::try_from(layer.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let piece = at.come.split_to(most.min(at.come.len()).min(left));
        let length = u64::try_from(piece.len()).unwrap_or_default();
        at.offset = at.offset.saturating_add(length);
        at.seen.iter_mut().for_each(|seen| seen.update(&piece));
        if length == 0 && at.offset < layer.size {
            return Err(layer
                .registry
                .session
                .malformed(format!("{} bytes of the {} of {digest}", offset, layer.size)));
        }
        if at.offset == layer.size
            && let Some(seen) = at.seen.take()
            && length > 0
            && digest_of(seen) != digest
        {
            return Err(layer.registry.session.malformed(format!("a layer that is not {digest}")));
        }
        self.0.read.fetch_add(length, Ordering::Relaxed);
        *position = Some(at).filter(|_| length > 0);
        Ok(piece)
    }
}

async fn open(layer: &RemoteLayer, digest: &str, offset: u64) -> Result<Position, RegistryError> {
    let not_one = |_| RegistryError::NotFound { registry: layer.repository.to_string(), message: digest.to_owned() };
    let digest: Digest = digest.parse().map_err(not_one)?;
    let reader = layer.registry.read(&layer.repository, &digest, offset).await?;
    Ok(Position { reader, offset, come: Bytes::new(), seen: (offset == 0).then(Sha256::new) })
}

fn digest_of(seen: Sha256) -> String {
    let hex: String = seen.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

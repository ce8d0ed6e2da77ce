//! The context on its way to the engine: how much has travelled, and what went wrong on our side.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};

use crate::project::context_tar::{self, ContextError};
use crate::project::target::{Context, Dockerfile, Target};

/// The context of one build.
pub(super) struct Upload {
    dockerfile: String,
    archive: Mutex<Option<BoxStream<'static, io::Result<Bytes>>>>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    bytes: AtomicU64,
    failure: OnceLock<ContextError>,
}

impl Upload {
    /// Makes ready to read it; of a remote context there is nothing to read.
    pub(super) fn open(target: &Target) -> Result<Self, ContextError> {
        let (dockerfile, archive) = match &target.context {
            Context::Local(directory) => {
                let (name, archive) = context_tar::stream(directory, &target.dockerfile)?;
                (name, archive.boxed())
            }
            Context::Remote(_) => {
                let name = match &target.dockerfile {
                    Dockerfile::InContext(path) => path.clone(),
                    Dockerfile::File(_) | Dockerfile::Inline(_) => String::new(),
                };
                (name, stream::empty().boxed())
            }
        };
        Ok(Self { dockerfile, archive: Mutex::new(Some(archive)), state: Arc::default() })
    }

    /// The Dockerfile's name in it.
    pub(super) fn dockerfile(&self) -> &str {
        &self.dockerfile
    }

    /// The archive. It can be read once.
    pub(super) fn stream(&self) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        let archive = self.archive.lock().unwrap_or_else(PoisonError::into_inner).take();
        let state = Arc::clone(&self.state);
        archive.unwrap_or_else(|| stream::empty().boxed()).map(move |chunk| match chunk {
            Ok(chunk) => {
                state.bytes.fetch_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
                Ok(chunk)
            }
            Err(error) => Err(match error.downcast::<ContextError>() {
                Ok(error) => {
                    let told = io::Error::other(error.to_string());
                    let _ = state.failure.set(error);
                    told
                }
                Err(error) => error,
            }),
        })
    }

    /// Bytes of the archive that were handed to the connection.
    pub(super) fn bytes(&self) -> u64 {
        self.state.bytes.load(Ordering::Relaxed)
    }

    /// What went wrong on our side.
    pub(super) fn failure(&self) -> Option<&ContextError> {
        self.state.failure.get()
    }
}

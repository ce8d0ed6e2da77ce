//! Layers that a registry has: read from there, in the pieces in which they come, as the builder asks for them.

use futures_util::stream::{self, BoxStream, StreamExt};
use tonic::Status;

use super::store::{CHUNK, ContentStore, Missing};
use super::wire::{ReadRequest, ReadResponse};
use crate::error::chain;

impl ContentStore {
    /// The part of the layer that is asked for, in messages; nothing if it is no layer of a registry.
    ///
    /// A layer that cannot be read is told of as one that is missing: the engines would ask for it again and again.
    pub(super) fn read_elsewhere(
        &self,
        request: &ReadRequest,
    ) -> Option<Result<BoxStream<'static, Result<ReadResponse, Status>>, Status>> {
        let layers = self.elsewhere(&request.digest)?.clone();
        let size = layers.size(&request.digest)?;
        let out_of_range = || Status::out_of_range(format!("read past object length {size} bytes"));
        let (Ok(begin), Ok(length)) = (u64::try_from(request.offset), u64::try_from(request.size)) else {
            return Some(Err(out_of_range()));
        };
        if begin > size {
            return Some(Err(out_of_range()));
        }
        let end = if length == 0 { size } else { size.min(begin.saturating_add(length)) };
        let (store, digest) = (self.clone(), request.digest.clone());
        let messages = stream::try_unfold(begin, move |at| {
            let (layers, store, digest) = (layers.clone(), store.clone(), digest.clone());
            async move {
                if at >= end {
                    return Ok(None);
                }
                let most = usize::try_from(end.saturating_sub(at)).unwrap_or(CHUNK).min(CHUNK);
                let data = match layers.read(&digest, at, most).await {
                    Ok(data) => data,
                    Err(error) => {
                        let reason = chain(&error);
                        tracing::debug!(digest, reason, "a layer of a registry cannot be read");
                        store.missing(Missing { digest: digest.clone(), registry: Some(reason) });
                        return Err(Status::not_found(format!("content {digest}: not found")));
                    }
                };
                store.served(data.len());
                let next = at.saturating_add(u64::try_from(data.len()).unwrap_or_default());
                let message = ReadResponse { offset: i64::try_from(at).unwrap_or(i64::MAX), data };
                Ok(Some((message, next)))
            }
        });
        Some(Ok(messages.boxed()))
    }
}

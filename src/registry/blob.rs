//! Blobs: small ones at once, layers in pieces ("Pulling blobs").

use bytes::Bytes;
use hyper::header::{HeaderValue, RANGE};
use hyper::{Method, StatusCode};

use super::client::question;
use super::session::{Question, failed};
use super::transport::{Pieces, Reading};
use super::{Digest, Registry, RegistryError, Repository};

/// A blob that is being read. What is read is not checked: whoever needs the whole of it does that.
#[derive(Debug)]
pub struct BlobReader {
    pieces: Pieces,
    /// Who sends it, for errors.
    host: String,
    /// Bytes that were not asked for, where a registry does not know ranges.
    surplus: u64,
}

impl BlobReader {
    /// The next piece; nothing at the end.
    ///
    /// # Errors
    /// [`RegistryError`]; then there is nothing more to read here.
    pub async fn next(&mut self) -> Option<Result<Bytes, RegistryError>> {
        loop {
            let mut piece = match self.pieces.next().await? {
                Ok(piece) => piece,
                Err(error) => return Some(Err(failed(&self.host, error))),
            };
            let unwanted = usize::try_from(self.surplus).unwrap_or(usize::MAX).min(piece.len());
            self.surplus = self.surplus.saturating_sub(u64::try_from(unwanted).unwrap_or(u64::MAX));
            let wanted = piece.split_off(unwanted);
            if !wanted.is_empty() {
                return Some(Ok(wanted));
            }
        }
    }
}

impl Registry {
    /// A small blob, of up to 4 MiB; `None` if it is not there.
    ///
    /// # Errors
    /// [`RegistryError`]; `Malformed` if it is larger, or not what its digest says.
    pub async fn blob(&self, repository: &Repository, digest: &Digest) -> Result<Option<Bytes>, RegistryError> {
        let target = target(repository, digest);
        match self.session.ask(&question(Method::GET, &target, repository)).await {
            Ok(answer) if digest.is_of(&answer.body) => Ok(Some(answer.body)),
            Ok(_) => Err(self.session.malformed(format!("a blob that is not {digest}"))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a blob from this byte on.
    ///
    /// # Errors
    /// [`RegistryError`]; `NotFound` if it is not there.
    pub async fn read(
        &self,
        repository: &Repository,
        digest: &Digest,
        offset: u64,
    ) -> Result<BlobReader, RegistryError> {
        let target = target(repository, digest);
        let range = HeaderValue::from_str(&format!("bytes={offset}-")).ok().filter(|_| offset > 0);
        let question = Question {
            headers: range.into_iter().map(|range| (RANGE, range)).collect(),
            reading: Reading::Pieces,
            ..question(Method::GET, &target, repository)
        };
        let answer = self.session.ask(&question).await?;
        let surplus = if answer.status == StatusCode::PARTIAL_CONTENT { 0 } else { offset };
        let host = answer.url.authority().to_owned();
        let pieces = answer.rest.ok_or_else(|| self.session.malformed("a blob without content"))?;
        Ok(BlobReader { pieces, host, surplus })
    }
}

pub(super) fn target(repository: &Repository, digest: &Digest) -> String {
    format!("{}/blobs/{digest}", repository.path())
}

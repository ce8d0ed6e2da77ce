//! What is written: small blobs and manifests ("Pushing a blob monolithically", "Pushing Manifests").

use bytes::Bytes;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderValue, LOCATION};

use super::auth::{Access, Scope};
use super::client::{manifest_of, question};
use super::session::Question;
use super::{Digest, MediaType, Registry, RegistryError, Repository, blob};

impl Registry {
    /// Writes a blob, unless it is there, and gives its digest.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn write_blob(&self, repository: &Repository, content: Bytes) -> Result<Digest, RegistryError> {
        let digest = Digest::of(&content);
        let target = blob::target(repository, &digest);
        match self.session.ask(&question(Method::HEAD, &target, repository)).await {
            Ok(_) => return Ok(digest),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        let target = format!("{}/blobs/uploads/", repository.path());
        let begun = self.session.ask(&writing(Method::POST, &target, repository)).await?;
        let location = begun.header(LOCATION.as_str()).and_then(|location| begun.url.join(location).ok());
        let mut location = location.ok_or_else(|| self.session.malformed("an upload to nowhere"))?;
        location.query_pairs_mut().append_pair("digest", &digest.to_string());
        let question = Question {
            headers: [(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))].into_iter().collect(),
            body: content,
            ..writing(Method::PUT, location.as_str(), repository)
        };
        self.session.ask(&question).await.map(|_created| digest)
    }

    /// Writes a manifest under a tag, which names nothing else then. What it refers to has to be there.
    ///
    /// # Errors
    /// [`RegistryError`]; `Refused` with status 400 or `NotFound` if a blob that it names is not there.
    pub async fn write_manifest(
        &self,
        repository: &Repository,
        tag: &str,
        media_type: MediaType,
        content: Bytes,
    ) -> Result<Digest, RegistryError> {
        let digest = Digest::of(&content);
        let target = manifest_of(repository, tag);
        let kind = HeaderValue::from_str(&media_type.to_string()).ok();
        let question = Question {
            headers: kind.into_iter().map(|kind| (CONTENT_TYPE, kind)).collect(),
            body: content,
            ..writing(Method::PUT, &target, repository)
        };
        self.session.ask(&question).await.map(|_created| digest)
    }
}

fn writing<'a>(method: Method, target: &'a str, repository: &Repository) -> Question<'a> {
    let scope = Scope { path: repository.path().to_owned(), access: Access::Push };
    Question { scope, ..question(method, target, repository) }
}

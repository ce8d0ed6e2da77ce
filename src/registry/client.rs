//! What is asked of a registry: tags, heads, manifests, deletion by digest.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, LINK};
use serde::Deserialize;

use super::auth::{Access, Scope};
use super::manifest::{self, Descriptor, Manifest, MediaType};
use super::session::{Question, Session};
use super::transport::{Answer, Reading};
use super::{Digest, Login, RegistryError, Repository};

/// How long one exchange may take. The slowest registries take seconds for a page of tags.
const TIMEOUT: Duration = Duration::from_secs(30);
const PAGE: usize = 100;
/// A repository with more tags is not one that we would get to know in time.
const MOST_PAGES: usize = 1000;
const DIGEST_HEADER: &str = "docker-content-digest";

/// A client of one registry. It remembers tokens and keeps connections.
#[derive(Debug)]
pub struct Registry {
    pub(super) session: Session,
}

impl Registry {
    /// A client of the registry at `host`, as it stands in references: `docker.io`, `localhost:5000`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`RegistryError::Unreachable`] if there is no TLS to talk with.
    pub fn new(host: &str, login: Option<Login>) -> Result<Self, RegistryError> {
        Self::with_timeout(host, login, TIMEOUT)
    }

    /// [`Registry::new`] with another limit to the time that one exchange may take.
    ///
    /// # Errors
    /// As [`Registry::new`].
    pub fn with_timeout(host: &str, login: Option<Login>, timeout: Duration) -> Result<Self, RegistryError> {
        Ok(Self { session: Session::new(host, login, timeout)? })
    }

    /// All tags of a repository, in order ("Listing Tags").
    ///
    /// # Errors
    /// [`RegistryError`]; a repository that is not there is `NotFound`.
    pub async fn tags(&self, repository: &Repository) -> Result<BTreeSet<String>, RegistryError> {
        #[derive(Deserialize)]
        struct Page {
            // distribution writes `null` where there is none.
            tags: Option<Vec<String>>,
        }
        let mut tags = BTreeSet::new();
        let mut target = format!("{}/tags/list?n={PAGE}", repository.path());
        let mut seen = BTreeSet::new();
        while seen.insert(target.clone()) && seen.len() <= MOST_PAGES {
            let answer = self.session.ask(&question(Method::GET, &target, repository)).await?;
            let page: Page = serde_json::from_slice(&answer.body)
                .map_err(|error| self.session.malformed(format!("a list of tags that cannot be read: {error}")))?;
            tags.extend(page.tags.into_iter().flatten());
            match next_page(&answer).map_err(|what| self.session.malformed(what))? {
                Some(next) => target = next,
                None => return Ok(tags),
            }
        }
        // Half a list would hide tags that have to stay.
        Err(self.session.malformed("a list of tags without an end"))
    }

    /// What a tag or a digest names; `None` if there is no such manifest ("Checking if content exists in the registry").
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn head(&self, repository: &Repository, reference: &str) -> Result<Option<Descriptor>, RegistryError> {
        let target = manifest_of(repository, reference);
        let answer = match self.session.ask(&manifest_question(Method::HEAD, &target, repository)).await {
            Ok(answer) => answer,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        match answer.header(DIGEST_HEADER) {
            Some(digest) => Ok(Some(self.descriptor(&answer, self.digest(digest)?))),
            // It is not bound to say it.
            None => Ok(self.manifest(repository, reference).await?.map(|manifest| manifest.descriptor)),
        }
    }

    /// The manifest that a tag or a digest names; `None` if there is none ("Pulling manifests").
    ///
    /// # Errors
    /// [`RegistryError`]; `Malformed` also where its bytes have not the digest that the registry or the caller names.
    pub async fn manifest(&self, repository: &Repository, reference: &str) -> Result<Option<Manifest>, RegistryError> {
        let target = manifest_of(repository, reference);
        let answer = match self.session.ask(&manifest_question(Method::GET, &target, repository)).await {
            Ok(answer) => answer,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let named = answer.header(DIGEST_HEADER).map(|digest| self.digest(digest)).transpose()?;
        let asked: Option<Digest> = reference.parse().ok();
        // The digest of a manifest of the first schema leaves its signatures out; it names no other manifests either.
        let is_signed = kind_of(&answer) == Some(MediaType::DockerSchema1);
        let wrong = [&named, &asked].into_iter().flatten().find(|digest| !is_signed && !digest.is_of(&answer.body));
        if let Some(digest) = wrong {
            return Err(self.session.malformed(format!("a manifest that is not {digest}")));
        }
        let children = manifest::children(&answer.body).map_err(|what| self.session.malformed(what))?;
        let digest = asked.or(named).unwrap_or_else(|| Digest::of(&answer.body));
        let descriptor = self.descriptor(&answer, digest);
        Ok(Some(Manifest { descriptor, children, bytes: answer.body.to_vec() }))
    }

    /// Deletes a manifest with every tag that names it ("Deleting Manifests"). Whether it is gone, [`Registry::head`] tells.
    ///
    /// # Errors
    /// [`RegistryError`]; `NotFound` if it is not there, `DeleteUnsupported` if the registry does not delete.
    pub async fn delete(&self, repository: &Repository, digest: &Digest) -> Result<(), RegistryError> {
        let target = manifest_of(repository, &digest.to_string());
        let scope = Scope { path: repository.path().to_owned(), access: Access::Delete };
        let question = Question { method: Method::DELETE, scope, ..question(Method::GET, &target, repository) };
        self.session.ask(&question).await.map(|_accepted| ())
    }

    pub(super) fn digest(&self, text: &str) -> Result<Digest, RegistryError> {
        text.parse().map_err(|error| self.session.malformed(format!("{text:?}, which is {error}")))
    }

    fn descriptor(&self, answer: &Answer, digest: Digest) -> Descriptor {
        Descriptor { digest, media_type: kind_of(answer) }
    }
}

fn kind_of(answer: &Answer) -> Option<MediaType> {
    answer.header(CONTENT_TYPE.as_str()).and_then(MediaType::read)
}

pub(super) fn manifest_of(repository: &Repository, reference: &str) -> String {
    format!("{}/manifests/{reference}", repository.path())
}

pub(super) fn question<'a>(method: Method, target: &'a str, repository: &Repository) -> Question<'a> {
    let scope = Scope { path: repository.path().to_owned(), access: Access::Pull };
    Question { method, target, scope, headers: HeaderMap::new(), body: Bytes::new(), reading: Reading::Whole }
}

fn manifest_question<'a>(method: Method, target: &'a str, repository: &Repository) -> Question<'a> {
    let accept = HeaderValue::from_str(&MediaType::accept()).ok();
    let headers = accept.into_iter().map(|accept| (ACCEPT, accept)).collect();
    Question { headers, ..question(method, target, repository) }
}

/// The next page: `Link: <url>; rel="next"` (RFC 8288), relative to the page before. A link that cannot be read is an error:
/// half a list would hide tags that have to stay.
fn next_page(answer: &Answer) -> Result<Option<String>, String> {
    for links in answer.headers.get_all(LINK) {
        let links = links.to_str().map_err(|_| "a Link that is no text".to_owned())?;
        let unreadable = || format!("a Link that cannot be read: {links}");
        if !links.contains('<') {
            return Err(unreadable());
        }
        for link in links.split('<').skip(1) {
            let (target, parameters) = link.split_once('>').ok_or_else(unreadable)?;
            if is_next(parameters) {
                return answer.url.join(target).map(|next| Some(next.to_string())).map_err(|_| unreadable());
            }
        }
    }
    Ok(None)
}

/// Whether the parameters of a link say that it leads to the next page.
fn is_next(parameters: &str) -> bool {
    parameters.split([';', ',']).any(|parameter| {
        matches!(parameter.trim().split_once('='), Some((name, value))
            if name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').eq_ignore_ascii_case("next"))
    })
}

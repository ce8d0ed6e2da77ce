//! `GET /images/{name}/json`, read with our own eyes: bounded, and without fields that a half-removed image has not.
//!
//! Not through bollard: it reads an answer of any size, and none of an image whose content is not there (any more, or for
//! this platform). The containerd image store tells such an image with an empty configuration and `"RootFS":{}` (moby
//! `daemon/containerd/image_inspect.go`, where `multi.Best` is nil), and bollard requires a `Type` in it.

use std::collections::BTreeMap;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::Request;
use serde::Deserialize;

use super::settle::uninterrupted;
use super::transport::{ANSWER_TIMEOUT, TransportError, checked};
use super::{Engine, EngineError};

/// Bytes of the largest answer that is read. The largest ledger's document has 4 MiB, and the engine writes some characters
/// as six (`\u003c`).
const MAX_ANSWER: usize = 25 << 20;

/// The parts of an inspection that matter here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspection {
    pub(super) id: String,
    pub(super) author: Option<String>,
    pub(super) config: Option<Config>,
    pub(super) repo_tags: Option<Vec<String>>,
    pub(super) repo_digests: Option<Vec<String>>,
    #[serde(rename = "RootFS")]
    pub(super) root_fs: Option<RootFs>,
    pub(super) size: Option<i64>,
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
}

impl Inspection {
    /// The platform of the content that it tells of, as `linux/amd64`; of an index the engine's own, or another one where it has
    /// nothing else (moby `daemon/containerd/platform_matchers.go`, `matchAllWithPreference`). `None` if it does not say.
    pub(super) fn platform(&self) -> Option<String> {
        let (os, architecture) = (self.os.as_deref()?, self.architecture.as_deref()?);
        match self.variant.as_deref().filter(|variant| !variant.is_empty()) {
            Some(variant) if (architecture, variant) != ("arm64", "v8") => {
                Some(format!("{os}/{architecture}/{variant}"))
            }
            Some(_) | None => Some(format!("{os}/{architecture}")),
        }
    }

    /// The labels of the configuration.
    pub(super) fn labels(&mut self) -> BTreeMap<String, String> {
        self.config.as_mut().and_then(|config| config.labels.take()).unwrap_or_default()
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Config {
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RootFs {
    pub(super) layers: Option<Vec<String>>,
}

impl Engine {
    /// What an inspection says of an image, by name or id; `None` if it is larger than any image that we can use.
    pub(super) async fn inspect(&self, action: &str, image: &str) -> Result<Option<Inspection>, EngineError> {
        uninterrupted(async || self.inspect_once(action, image).await).await
    }

    async fn inspect_once(&self, action: &str, image: &str) -> Result<Option<Inspection>, EngineError> {
        let answer = async {
            let request = Request::get(format!("/images/{image}/json")).body(Full::<Bytes>::default());
            let request = request.map_err(|error| TransportError::Request(error).into_engine_error(action))?;
            let response = self.transport.send(request).await.map_err(|error| error.into_engine_error(action))?;
            let body = match Limited::new(checked(action, response).await?, MAX_ANSWER).collect().await {
                Ok(body) => body.to_bytes(),
                Err(error) if error.is::<LengthLimitError>() => return Ok(None),
                Err(source) => return Err(EngineError::Broken { action: action.to_owned(), source }),
            };
            let image = serde_json::from_slice(&body);
            image
                .map(Some)
                .map_err(|source| EngineError::Malformed { action: action.to_owned(), source: source.into() })
        };
        tokio::time::timeout(ANSWER_TIMEOUT, answer).await.unwrap_or_else(|_| {
            let address = self.transport.address.to_string();
            Err(EngineError::NotAnswering { action: action.to_owned(), address, after: ANSWER_TIMEOUT })
        })
    }
}

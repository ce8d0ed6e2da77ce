//! Manifests in the registry of containers, which tell what the versions of a package are made of.
//!
//! Reading only: the registry answers 405 to whoever would remove something there.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, WWW_AUTHENTICATE};
use hyper::{Request, StatusCode};
use octocrab::Octocrab;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use crate::error::chain;
use crate::registry::Login;
use crate::secret::Secret;

/// Every kind of manifest that is pushed: OCI's and Docker's, of one image and of several.
const KINDS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.oci.artifact.manifest.v1+json";
const CONNECT: Duration = Duration::from_secs(4);
const ATTEMPT: Duration = Duration::from_secs(20);
/// How often one manifest is asked for, and the pause after the first failure.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(300);
/// Registries take manifests of at most 4 MiB (distribution specification, "Pushing Manifests").
const MAX_BYTES: usize = 4 << 20;

/// One repository of a registry, to be read.
#[derive(Debug)]
pub struct Repository {
    client: Octocrab,
    path: String,
    login: Option<Login>,
    /// What the registry gave for the login.
    token: Mutex<Option<Secret>>,
}

/// Why a manifest could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The address or the machine's certificates cannot be used.
    #[error("prepare to read the registry {0}: {1}")]
    Setup(String, String),
    /// There is no connection, or it broke.
    #[error("no connection to the registry: {0}")]
    Unreachable(String),
    /// There was no answer in time.
    #[error("the registry did not answer in time")]
    TimedOut,
    /// The registry wants a login, or another one.
    #[error("the registry does not accept the login")]
    Unauthorized,
    /// Another answer than a manifest.
    #[error("the registry answered {0}")]
    Answer(u16),
    /// It is not what its digest says.
    #[error("the registry gave another manifest")]
    Mismatch,
}

#[derive(Deserialize)]
struct Token {
    #[serde(alias = "access_token")]
    token: String,
}

impl Repository {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// [`ManifestError::Setup`].
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn new(host: &str, path: &str, login: Option<Login>) -> Result<Self, ManifestError> {
        let is_local = host.split(':').next().is_some_and(|name| matches!(name, "localhost" | "127.0.0.1"));
        let address = format!("{}://{host}", if is_local { "http" } else { "https" });
        let setup = |error: octocrab::Error| ManifestError::Setup(host.to_owned(), chain(&error));
        let client = Octocrab::builder().base_uri(address).map_err(setup)?;
        let client = client.set_connect_timeout(Some(CONNECT)).build().map_err(setup)?;
        Ok(Self { client, path: path.to_owned(), login, token: Mutex::new(None) })
    }

    /// The bytes of a manifest, which are those of its digest.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub async fn read(&self, digest: &str) -> Result<Vec<u8>, ManifestError> {
        let mut attempts = 1;
        loop {
            let read = timeout(ATTEMPT, self.attempt(digest)).await.unwrap_or(Err(ManifestError::TimedOut));
            match &read {
                Ok(bytes) if !is_of(bytes, digest) => return Err(ManifestError::Mismatch),
                Err(error) if error.may_pass() && attempts < ATTEMPTS => sleep(PAUSE * attempts).await,
                Ok(_) | Err(_) => return read,
            }
            attempts += 1;
        }
    }

    async fn attempt(&self, digest: &str) -> Result<Vec<u8>, ManifestError> {
        let path = format!("/v2/{}/manifests/{digest}", self.path);
        let token = self.token.lock().await.clone();
        let bearer = |token: &Secret| format!("Bearer {}", token.expose());
        let (status, challenge, bytes) = self.get(&path, token.as_ref().map(bearer)).await?;
        let (status, bytes) = match (status, challenge) {
            (StatusCode::UNAUTHORIZED, Some(challenge)) => {
                let token = self.log_in(&challenge, token).await?;
                let (status, _, bytes) = self.get(&path, Some(bearer(&token))).await?;
                (status, bytes)
            }
            (status, _) => (status, bytes),
        };
        match status {
            StatusCode::OK => Ok(bytes),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(ManifestError::Unauthorized),
            status => Err(ManifestError::Answer(status.as_u16())),
        }
    }

    /// Gets a token as the challenge says (distribution specification, "Token Authentication"), unless somebody else got one
    /// since `old`. The login goes to the registry's own host and to no other.
    async fn log_in(&self, challenge: &str, old: Option<Secret>) -> Result<Secret, ManifestError> {
        let mut held = self.token.lock().await;
        if let Some(new) = held.as_ref().filter(|held| Some(*held) != old.as_ref()) {
            return Ok(new.clone());
        }
        let realm = field(challenge, "realm").and_then(|realm| realm.parse::<hyper::Uri>().ok());
        let path = realm.as_ref().map(hyper::Uri::path).ok_or(ManifestError::Unauthorized)?;
        let service = field(challenge, "service").unwrap_or_default();
        let path = format!("{path}?service={service}&scope=repository:{}:pull", self.path);
        let basic = self.login.as_ref().map(|Login { user, password }| {
            format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose())))
        });
        let (status, _, bytes) = self.get(&path, basic).await?;
        if !status.is_success() {
            return Err(ManifestError::Unauthorized);
        }
        let token: Token = serde_json::from_slice(&bytes).map_err(|_| ManifestError::Unauthorized)?;
        Ok(held.insert(Secret::new(token.token)).clone())
    }

    async fn get(
        &self,
        path: &str,
        authorization: Option<String>,
    ) -> Result<(StatusCode, Option<String>, Vec<u8>), ManifestError> {
        let mut request = Request::get(path).header(ACCEPT, KINDS);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(String::new()).map_err(|error| ManifestError::Unreachable(error.to_string()))?;
        let broken = |error: octocrab::Error| ManifestError::Unreachable(chain(&error));
        let (parts, body) = self.client.execute(request).await.map_err(broken)?.into_parts();
        let body = Limited::new(body, MAX_BYTES).collect().await;
        let body = body.map_err(|error| ManifestError::Unreachable(error.to_string()))?.to_bytes().to_vec();
        let challenge = parts.headers.get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        Ok((parts.status, challenge.map(str::to_owned), body))
    }
}

impl ManifestError {
    fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Answer(status) => *status == 429 || *status >= 500,
            Self::Setup(..) | Self::TimedOut | Self::Unauthorized | Self::Mismatch => false,
        }
    }
}

fn is_of(bytes: &[u8], digest: &str) -> bool {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    digest.strip_prefix("sha256:") == Some(hex.as_str())
}

/// A value of a challenge: `Bearer realm="…",service="…"`.
fn field<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = challenge.split_once(&format!("{name}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

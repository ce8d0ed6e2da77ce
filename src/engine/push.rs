//! `POST /images/{name}/push`: the engine sends an image to its registry.
//!
//! Not through bollard: it ends at the first message that it does not know, and its login header has the alphabet that the
//! engine does not decode.

use std::pin::pin;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::Empty;
use hyper::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::json;

use super::classic::auth_config;
use super::transport::{TransportError, post, target};
use super::{Engine, EngineError};
use crate::image::ImageReference;
use crate::registry::Login;

const REGISTRY_AUTH: HeaderName = HeaderName::from_static("x-registry-auth");

/// Something that happened in a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushEvent {
    /// A layer, or the image as a whole, is in another state: `Pushed`, `Layer already exists`.
    Status {
        /// The layer's short id, if it is about one.
        layer: Option<String>,
        /// The state, in the engine's words.
        status: String,
    },
    /// Bytes of a layer that have been sent.
    Sent {
        /// The layer's short id.
        layer: String,
        /// Bytes done.
        current: u64,
        /// Bytes in all, 0 if unknown.
        total: u64,
    },
}

/// One message of the answer (moby `pkg/jsonmessage`); `aux` is `types.PushResult`.
#[derive(Debug, Default, Deserialize)]
struct Message {
    status: Option<String>,
    id: Option<String>,
    #[serde(rename = "progressDetail")]
    progress: Option<Amount>,
    error: Option<String>,
    aux: Option<Aux>,
}

#[derive(Debug, Default, Deserialize)]
struct Amount {
    current: Option<u64>,
    total: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
struct Aux {
    #[serde(rename = "Digest")]
    digest: Option<String>,
}

impl Engine {
    /// Pushes a tag to its registry, and gives the registry's digest of it (`sha256:…`). Dropping the future stops the push.
    ///
    /// # Errors
    /// [`EngineError::Push`] with the engine's words if the registry refuses or cannot be reached; else as any request.
    pub async fn push_image(
        &self,
        image: &ImageReference,
        login: Option<&Login>,
        mut tell: impl FnMut(PushEvent),
    ) -> Result<String, EngineError> {
        let action = format!("push {image}");
        let request = request(image, login).map_err(|error| error.into_engine_error(&action))?;
        let mut messages = pin!(self.transport.clone().post_streaming::<_, Message>(action.clone(), request));
        let mut digest = None;
        while let Some(message) = messages.next().await {
            let message = message?;
            if let Some(message) = message.error {
                return Err(EngineError::Push { image: image.to_string(), message });
            }
            digest = message.digest().or(digest);
            message.event().into_iter().for_each(&mut tell);
        }
        let silent = || "the engine ended the push without a digest".to_owned();
        digest.ok_or_else(|| EngineError::Push { image: image.to_string(), message: silent() })
    }
}

impl Message {
    /// The containerd image store says it in words alone: `1.2: digest: sha256:… size: 964`.
    fn digest(&self) -> Option<String> {
        let told = self.aux.as_ref().and_then(|aux| aux.digest.clone());
        told.or_else(|| {
            let (_, rest) = self.status.as_deref()?.split_once(": digest: ")?;
            rest.split(' ').next().filter(|digest| digest.starts_with("sha256:")).map(str::to_owned)
        })
    }

    fn event(self) -> Option<PushEvent> {
        let amount = self.progress.unwrap_or_default();
        match (self.id, amount.current) {
            (Some(layer), Some(current)) => {
                Some(PushEvent::Sent { layer, current, total: amount.total.unwrap_or_default() })
            }
            (layer, _) => Some(PushEvent::Status { layer, status: self.status? }),
        }
    }
}

fn request(image: &ImageReference, login: Option<&Login>) -> Result<hyper::Request<Empty<Bytes>>, TransportError> {
    let path = format!("/images/{}/push", image.repository());
    let query = [("tag", image.tag().unwrap_or("latest").to_owned())];
    let mut request = post(&target(&path, &query), "application/json", Empty::new())?;
    // The engine wants the header even if there is no login.
    let auth = login.map_or_else(|| json!({}), |login| auth_config(login, image.host()));
    let auth = URL_SAFE.encode(auth.to_string());
    let mut value = HeaderValue::from_str(&auth).map_err(|error| TransportError::Request(error.into()))?;
    value.set_sensitive(true);
    request.headers_mut().insert(REGISTRY_AUTH, value);
    Ok(request)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE;
    use serde_json::json;

    use super::{Message, PushEvent, request};
    use crate::registry::Login;
    use crate::secret::Secret;

    #[test]
    fn the_registrys_port_stays_in_the_path_and_the_login_out_of_sight() {
        let login = Login { user: "me".into(), password: Secret::new("abc~~~???>>>") };
        let request = request(&"localhost:5000/org/app:1.2".parse().unwrap(), Some(&login)).unwrap();
        assert_eq!(request.uri().to_string(), "/images/localhost:5000/org/app/push?tag=1.2");
        let header = request.headers().get("x-registry-auth").unwrap();
        assert!(header.is_sensitive());
        let login: serde_json::Value = serde_json::from_slice(&URL_SAFE.decode(header.as_bytes()).unwrap()).unwrap();
        assert_eq!(login, json!({"username": "me", "password": "abc~~~???>>>", "serveraddress": "localhost:5000"}));
        let token = Login { user: String::new(), password: Secret::new("t") };
        let anonymous = super::request(&"app".parse().unwrap(), None).unwrap();
        assert_eq!(anonymous.uri().to_string(), "/images/app/push?tag=latest");
        assert_eq!(URL_SAFE.decode(anonymous.headers().get("x-registry-auth").unwrap().as_bytes()).unwrap(), b"{}");
        let request = super::request(&"app".parse().unwrap(), Some(&token)).unwrap();
        let header = request.headers().get("x-registry-auth").unwrap();
        assert_eq!(
            URL_SAFE.decode(header.as_bytes()).unwrap(),
            br#"{"identitytoken":"t","serveraddress":"https://index.docker.io/v1/"}"#
        );
    }

    #[test]
    fn messages_are_read_as_both_image_stores_write_them() {
        let read = |text: &str| serde_json::from_str::<Message>(text).unwrap();
        assert_eq!(
            read(r#"{"status":"Pushing","progressDetail":{"current":512,"total":1024},"progress":"[=>]","id":"abc"}"#)
                .event(),
            Some(PushEvent::Sent { layer: "abc".into(), current: 512, total: 1024 })
        );
        assert_eq!(
            read(r#"{"status":"Layer already exists","progressDetail":{},"id":"abc"}"#).event(),
            Some(PushEvent::Status { layer: Some("abc".into()), status: "Layer already exists".into() })
        );
        let last = read(r#"{"progressDetail":{},"aux":{"Tag":"1","Digest":"sha256:ab","Size":527}}"#);
        assert_eq!(last.digest().as_deref(), Some("sha256:ab"));
        assert_eq!(last.event(), None);
        let words = read(r#"{"status":"1.2: digest: sha256:cd size: 964"}"#);
        assert_eq!(words.digest().as_deref(), Some("sha256:cd"));
        assert_eq!(read(r#"{"status":"Pushed","id":"ab"}"#).digest(), None);
    }
}

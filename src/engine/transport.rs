//! HTTP to the engine: one connection a request, the API version in every path, deadlines where they are safe.
//!
//! bollard is given this as its transport (see [`super::Engine`]); what it cannot do goes through here directly.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt, stream};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncBufReadExt;
use tokio_util::io::StreamReader;

use super::error::EngineError;
use super::info::ApiVersion;
use crate::address::Address;
use crate::address::dial;

/// Removing a large image from a slow disk takes minutes; no answer at all for this long means that the engine hangs.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);
const AGENT: &str = concat!("watchparty-cache/", env!("CARGO_PKG_VERSION"));

type BoxError = Box<dyn Error + Send + Sync>;

/// Sends requests to one engine.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    pub(super) address: Address,
    /// `None` before it is negotiated: then paths carry no version.
    pub(super) api: Option<ApiVersion>,
}

/// How a request failed below the level of the API.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransportError {
    #[error(transparent)]
    Dial(#[from] crate::address::DialError),
    #[error("exchange HTTP messages")]
    Http(#[source] hyper::Error),
    #[error("build a request")]
    Request(#[source] hyper::http::Error),
}

impl TransportError {
    pub(super) fn into_engine_error(self, action: &str) -> EngineError {
        match self {
            Self::Dial(error) => EngineError::Dial(error),
            Self::Http(source) => EngineError::Broken { action: action.to_owned(), source: source.into() },
            Self::Request(source) => EngineError::Malformed { action: action.to_owned(), source: source.into() },
        }
    }
}

impl Transport {
    /// Sends a request as it is, but for the version in its path and the headers that every request has.
    pub(super) async fn send<B>(&self, request: Request<B>) -> Result<Response<Incoming>, TransportError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let request = self.prepare(request)?;
        let connection = dial(&self.address).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(connection)).await.map_err(TransportError::Http)?;
        // Ends by itself when the request's body is sent and the response's body is read or dropped.
        tokio::spawn(connection.with_upgrades());
        sender.send_request(request).await.map_err(TransportError::Http)
    }

    fn prepare<B>(&self, request: Request<B>) -> Result<Request<B>, TransportError> {
        let (mut parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let versioned = match self.api {
            Some(api) => format!("/v{api}{target}"),
            None => target.to_owned(),
        };
        parts.uri = Uri::try_from(versioned).map_err(|error| TransportError::Request(error.into()))?;
        parts.headers.insert(HOST, HeaderValue::from_static("docker"));
        parts.headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        Ok(Request::from_parts(parts, body))
    }

    /// `GET`s a JSON document; `action` says what for.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        action: &str,
        target: &str,
        deadline: Duration,
    ) -> Result<T, EngineError> {
        let answer = async {
            let request = Request::get(target).body(Full::<Bytes>::default());
            let request = request.map_err(|error| TransportError::Request(error).into_engine_error(action))?;
            let response = self.send(request).await.map_err(|error| error.into_engine_error(action))?;
            let body = checked(action, response).await?;
            let body = body
                .collect()
                .await
                .map_err(|source| EngineError::Broken { action: action.to_owned(), source: source.into() })?;
            serde_json::from_slice(&body.to_bytes())
                .map_err(|source| EngineError::Malformed { action: action.to_owned(), source: source.into() })
        };
        tokio::time::timeout(deadline, answer).await.unwrap_or_else(|_| {
            Err(EngineError::NotAnswering {
                action: action.to_owned(),
                address: self.address.to_string(),
                after: deadline,
            })
        })
    }

    /// `POST`s a body and yields the JSON messages of the answer as they come.
    ///
    /// There is no deadline: a context uploads for as long as it takes.
    pub(super) fn post_streaming<B, T>(
        self,
        action: String,
        request: Request<B>,
    ) -> impl Stream<Item = Result<T, EngineError>> + Send + 'static
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
        T: DeserializeOwned + Send + 'static,
    {
        stream::once(async move {
            let response = self.send(request).await.map_err(|error| error.into_engine_error(&action))?;
            let body = checked(&action, response).await?;
            Ok::<_, EngineError>(json_messages(action, body))
        })
        .try_flatten()
    }
}

/// A `POST` request with a JSON or tar body, not yet sent.
pub(super) fn post<B>(target: &str, content_type: &'static str, body: B) -> Result<Request<B>, TransportError> {
    Request::builder()
        .method(Method::POST)
        .uri(target)
        .header(CONTENT_TYPE, content_type)
        .body(body)
        .map_err(TransportError::Request)
}

#[derive(Deserialize)]
struct ErrorMessage {
    message: String,
}

/// The body of a good answer; a bad one becomes an error in the engine's own words.
pub(super) async fn checked(action: &str, response: Response<Incoming>) -> Result<Incoming, EngineError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response.into_body());
    }
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|source| EngineError::Broken { action: action.to_owned(), source: source.into() })?
        .to_bytes();
    let message = serde_json::from_slice::<ErrorMessage>(&body)
        .map_or_else(|_| String::from_utf8_lossy(&body).trim().to_owned(), |error| error.message);
    Err(EngineError::Refused { action: action.to_owned(), status: status.as_u16(), message })
}

/// Splits a body into JSON messages, one a line.
fn json_messages<T: DeserializeOwned>(
    action: String,
    body: Incoming,
) -> impl Stream<Item = Result<T, EngineError>> + Send {
    let reader = StreamReader::new(TryStreamExt::map_err(body.into_data_stream(), io::Error::other));
    stream::try_unfold((action, reader), async |(action, mut reader)| {
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).await;
            let read = read.map_err(|source| EngineError::Broken { action: action.clone(), source: source.into() })?;
            if read == 0 {
                return Ok(None);
            }
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            let message = serde_json::from_slice(text)
                .map_err(|source| EngineError::Malformed { action: action.clone(), source: source.into() })?;
            return Ok(Some((message, (action, reader))));
        }
    })
}

/// A path with a query; values are percent-encoded.
pub(super) fn target(path: &str, query: &[(&str, String)]) -> String {
    let mut target = path.to_owned();
    for (index, (name, value)) in query.iter().enumerate() {
        target.push(if index == 0 { '?' } else { '&' });
        target.push_str(name);
        target.push('=');
        encode_into(&mut target, value);
    }
    target
}

/// Escapes everything but the unreserved characters of RFC 3986.
fn encode_into(target: &mut String, value: &str) {
    use std::fmt::Write as _;
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => target.push(char::from(byte)),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(target, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::target;

    #[test]
    fn escapes_what_a_query_cannot_hold() {
        assert_eq!(
            target("/build", &[("t", "a/b:1".into()), ("buildargs", "{\"A\":\"ü &=\"}".into())]),
            "/build?t=a%2Fb%3A1&buildargs=%7B%22A%22%3A%22%C3%BC%20%26%3D%22%7D"
        );
        assert_eq!(target("/info", &[]), "/info");
    }

    proptest! {
        #[test]
        fn any_value_makes_a_valid_target(value in ".*") {
            prop_assert!(target("/x", &[("v", value)]).parse::<hyper::Uri>().is_ok());
        }
    }
}

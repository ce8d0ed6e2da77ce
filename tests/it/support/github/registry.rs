//! The registry beside the fake GitHub: it gives manifests to whoever logs in with the job's token.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{Method, Response};

use super::fault::Effect;
use super::{Seen, Shared, TOKEN};

const BEARER: &str = "Bearer a-token-of-the-registry";

pub(super) fn is_path(path: &str) -> bool {
    path.starts_with("/v2/") || path.starts_with("/token?")
}

/// `Err` breaks the connection.
pub(super) fn answer(shared: &Shared, parts: &Parts) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let path = parts.uri.path_and_query().unwrap().as_str();
    let mut inner = shared.inner.lock().unwrap();
    inner.seen.push(Seen { method: parts.method.clone(), path: path.to_owned(), body: serde_json::Value::Null });
    let effect =
        inner.faults.iter_mut().find_map(|fault| fault.take(&parts.method, path).then(|| fault.effect.clone()));
    match effect {
        Some(Effect::Refused { status, .. } | Effect::DoneThen(status)) => return Ok(plain(status, "refused")),
        Some(Effect::DoneThenBroken) => return Err(std::io::Error::other("broken")),
        Some(Effect::Late(_) | Effect::Together(_)) | None => {}
    }
    let authorization = parts.headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    if path.starts_with("/token?") {
        let password = authorization
            .and_then(|value| STANDARD.decode(value.strip_prefix("Basic ")?).ok())
            .and_then(|login| Some(String::from_utf8(login).ok()?.split_once(':')?.1.to_owned()));
        let is_known = password.as_deref() == Some(TOKEN);
        let token = BEARER.trim_start_matches("Bearer ");
        return Ok(if is_known { plain(200, &format!("{{\"token\":\"{token}\"}}")) } else { plain(401, "{}") });
    }
    if authorization.as_deref() != Some(BEARER) {
        let mut response = plain(401, "{}");
        let name = path.trim_start_matches("/v2/").split("/manifests/").next().unwrap();
        let challenge = format!(
            "Bearer realm=\"{address}/token\",service=\"{host}\",scope=\"repository:{name}:pull\"",
            address = shared.registry,
            host = shared.host()
        );
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge.parse().unwrap());
        return Ok(response);
    }
    assert!(matches!(parts.method, Method::GET | Method::HEAD), "GitHub's registry removes nothing");
    Ok(match inner.state.storage.manifest(path) {
        Some((media_type, text)) => {
            let mut response = plain(200, &text);
            response.headers_mut().insert(CONTENT_TYPE, media_type.parse().unwrap());
            response
        }
        None => plain(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#),
    })
}

fn plain(status: u16, body: &str) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    response.body(Full::new(Bytes::from(body.to_owned()))).unwrap()
}

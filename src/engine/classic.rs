//! The classic builder: `POST /build` without BuildKit. The image itself is its cache.
//!
//! Not through bollard: it takes one tag, no ulimits, and sizes up to 2 GiB; and it reports an error after a complete
//! build if the last line end travels by itself (fussybeaver/bollard#560).

mod events;

use std::collections::BTreeMap;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use http_body_util::{Either, Empty, StreamBody};
use hyper::Request;
use hyper::body::Frame;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

pub use events::ClassicEvent;

use super::transport::{TransportError, post, target};
use super::{Engine, EngineError};
use crate::image::ImageReference;
use crate::registry::Login;
use events::{Message, Reader};

const REGISTRY_CONFIG: HeaderName = HeaderName::from_static("x-registry-config");

/// One build by the classic builder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClassicBuild {
    /// The Dockerfile's path in the context archive; `Dockerfile` if empty.
    pub dockerfile: String,
    /// A Git or HTTP(S) URL that the engine fetches in place of a context archive.
    pub remote: Option<String>,
    /// Names of the image.
    pub tags: Vec<ImageReference>,
    /// Build arguments.
    pub build_args: BTreeMap<String, String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Images to take layers from. **All of them must be in the engine**: one that is not switches the builder's own
    /// cache off as well.
    pub cache_from: Vec<String>,
    /// The stage to build.
    pub target: Option<String>,
    /// Network mode of `RUN` steps.
    pub network: Option<String>,
    /// Size of `/dev/shm` in bytes.
    pub shm_size: Option<u64>,
    /// Extra hosts, `(host, address)`.
    pub extra_hosts: Vec<(String, String)>,
    /// Ulimits in `name=soft[:hard]` form, checked by the inputs.
    pub ulimits: Vec<String>,
    /// Whether no step may come from a cache.
    pub no_cache: bool,
    /// Whether base images are looked up in their registry even if they are here.
    pub pull: bool,
    /// The platform, as `linux/arm64`; the engine's own if absent.
    pub platform: Option<String>,
    /// Log-ins to the registries of base images, by host.
    pub logins: BTreeMap<String, Login>,
}

impl Engine {
    /// Builds with the classic builder from a tar archive, and tells what happens as it happens.
    ///
    /// Texts come as the builder prints them; build-argument values in them are for the caller to mask. The last item of
    /// a build is [`ClassicEvent::Image`] or [`ClassicEvent::Failed`]. Dropping the stream cancels the build.
    ///
    /// `context` is not read if [`ClassicBuild::remote`] is set.
    pub fn build_classic<S>(
        &self,
        build: &ClassicBuild,
        context: S,
    ) -> impl Stream<Item = Result<ClassicEvent, EngineError>> + Send + 'static
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let action = match build.tags.first() {
            Some(tag) => format!("build {tag}"),
            None => "build".to_owned(),
        };
        let body = if build.remote.is_some() {
            Either::Left(Empty::<Bytes>::new())
        } else {
            // Boxed, because hyper wants to be able to move it.
            Either::Right(StreamBody::new(context.map_ok(Frame::data).boxed()))
        };
        let messages = match build.request(body) {
            Ok(request) => self.transport.clone().post_streaming::<_, Message>(action, request).left_stream(),
            Err(error) => stream::iter([Err(error.into_engine_error(&action))]).right_stream(),
        };
        let mut reader = Reader::default();
        messages
            .map(move |message| match message {
                Ok(message) => reader.read(message).into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            })
            .flat_map(stream::iter)
    }
}

impl ClassicBuild {
    fn request<B>(&self, body: B) -> Result<Request<B>, TransportError> {
        let mut request = post(&target("/build", &self.query()), "application/x-tar", body)?;
        if !self.logins.is_empty() {
            let mut value = HeaderValue::from_str(&self.registry_config())
                .map_err(|error| TransportError::Request(error.into()))?;
            value.set_sensitive(true);
            request.headers_mut().insert(REGISTRY_CONFIG, value);
        }
        Ok(request)
    }

    /// The query of `POST /build` (Engine API, operation `ImageBuild`).
    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = vec![("version", "1".to_owned()), ("rm", "1".to_owned()), ("forcerm", "1".to_owned())];
        query.extend(self.tags.iter().map(|tag| ("t", tag.to_string())));
        query.extend(self.extra_hosts.iter().map(|(host, address)| ("extrahosts", format!("{host}:{address}"))));
        if !self.dockerfile.is_empty() {
            query.push(("dockerfile", self.dockerfile.clone()));
        }
        let texts = [
            ("remote", &self.remote),
            ("target", &self.target),
            ("networkmode", &self.network),
            ("platform", &self.platform),
        ];
        query.extend(texts.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        query.extend(self.shm_size.map(|bytes| ("shmsize", bytes.to_string())));
        for (name, set) in [("nocache", self.no_cache), ("pull", self.pull)] {
            query.extend(set.then(|| (name, "1".to_owned())));
        }
        for (name, map) in [("buildargs", &self.build_args), ("labels", &self.labels)] {
            query.extend((!map.is_empty()).then(|| (name, json!(map).to_string())));
        }
        query.extend((!self.cache_from.is_empty()).then(|| ("cachefrom", json!(self.cache_from).to_string())));
        let ulimits: Vec<Value> = self.ulimits.iter().filter_map(|text| ulimit(text)).collect();
        query.extend((!ulimits.is_empty()).then(|| ("ulimits", Value::Array(ulimits).to_string())));
        query
    }

    /// The engine decodes the header with the URL-safe alphabet only (bollard 0.21 sends the other one).
    fn registry_config(&self) -> String {
        let logins: Map<String, Value> =
            self.logins.iter().map(|(host, login)| (host.clone(), auth_config(login, host))).collect();
        URL_SAFE.encode(Value::Object(logins).to_string())
    }
}

/// A login as the engine's API has it (Engine API, `AuthConfig`): an identity token is no password.
pub(super) fn auth_config(login: &Login, host: &str) -> Value {
    let secret = login.password.expose();
    // The containerd image store compares it with the host that it talks to, and knows Docker Hub by this name alone
    // (moby `daemon/containerd/resolver.go`).
    let host = if host == "docker.io" { "https://index.docker.io/v1/" } else { host };
    if login.user.is_empty() {
        json!({"identitytoken": secret, "serveraddress": host})
    } else {
        json!({"username": login.user, "password": secret, "serveraddress": host})
    }
}

/// `nofile=1024[:2048]` as the API wants it (`github.com/docker/go-units`, `Ulimit`).
fn ulimit(text: &str) -> Option<Value> {
    let (name, limits) = text.split_once('=')?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    Some(json!({"Name": name, "Soft": soft.parse::<i64>().ok()?, "Hard": hard.parse::<i64>().ok()?}))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE;

    use super::ClassicBuild;
    use crate::registry::Login;
    use crate::secret::Secret;

    #[test]
    fn asks_for_everything_that_the_builder_can_do() {
        let build = ClassicBuild {
            dockerfile: "docker/Dockerfile".into(),
            tags: vec!["app:1".parse().unwrap(), "ghcr.io/org/app".parse().unwrap()],
            build_args: BTreeMap::from([("A".into(), "1".into())]),
            labels: BTreeMap::from([("l".into(), "v".into())]),
            cache_from: vec!["app:0".into()],
            target: Some("build".into()),
            network: Some("none".into()),
            shm_size: Some(3 << 30),
            extra_hosts: vec![("db".into(), "10.0.0.1".into())],
            ulimits: vec!["nofile=1024:2048".into(), "core=0".into()],
            no_cache: true,
            pull: true,
            platform: Some("linux/arm64".into()),
            ..ClassicBuild::default()
        };
        let query: Vec<String> = build.query().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            query,
            [
                "version=1",
                "rm=1",
                "forcerm=1",
                "t=app:1",
                "t=ghcr.io/org/app:latest",
                "extrahosts=db:10.0.0.1",
                "dockerfile=docker/Dockerfile",
                "target=build",
                "networkmode=none",
                "platform=linux/arm64",
                "shmsize=3221225472",
                "nocache=1",
                "pull=1",
                r#"buildargs={"A":"1"}"#,
                r#"labels={"l":"v"}"#,
                r#"cachefrom=["app:0"]"#,
                r#"ulimits=[{"Name":"nofile","Soft":1024,"Hard":2048},{"Name":"core","Soft":0,"Hard":0}]"#,
            ]
        );
        assert_eq!(ClassicBuild::default().query().len(), 3);
    }

    #[test]
    fn sends_logins_in_the_alphabet_that_the_engine_reads() {
        let login = Login { user: "me".into(), password: Secret::new("abc~~~???>>>") };
        let build = ClassicBuild { logins: BTreeMap::from([("ghcr.io".into(), login)]), ..ClassicBuild::default() };
        let request = build.request(()).unwrap();
        let header = request.headers().get("x-registry-config").unwrap();
        assert!(header.is_sensitive());
        assert_eq!(
            URL_SAFE.decode(header.as_bytes()).unwrap(),
            br#"{"ghcr.io":{"username":"me","password":"abc~~~???>>>","serveraddress":"ghcr.io"}}"#
        );
        assert!(!format!("{build:?}").contains("abc"));
        let token = Login { user: String::new(), password: Secret::new("t0ken") };
        let build = ClassicBuild { logins: BTreeMap::from([("r.io".into(), token)]), ..ClassicBuild::default() };
        let sent = URL_SAFE.decode(build.registry_config()).unwrap();
        assert_eq!(sent, br#"{"r.io":{"identitytoken":"t0ken","serveraddress":"r.io"}}"#);
    }
}

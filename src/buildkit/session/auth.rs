//! Auth: registry credentials for pulls of private base images and caches (`moby.filesync.v1.Auth`).

use std::collections::BTreeMap;

use bollard_buildkit_proto::moby::filesync::v1::auth_server::Auth;
use bollard_buildkit_proto::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse, GetTokenAuthorityRequest,
    GetTokenAuthorityResponse, VerifyTokenAuthorityRequest, VerifyTokenAuthorityResponse,
};
use tonic::{Request, Response, Status, async_trait};

use crate::registry::Login;

/// Only credentials: without the token methods the daemon fetches tokens by itself, which is what we want.
pub(super) const METHODS: &[&str] = &["/moby.filesync.v1.Auth/Credentials"];

/// How Docker Hub is called in references, in `config.json` and by the builder.
const DOCKER_HUB: [&str; 4] = ["docker.io", "index.docker.io", "registry-1.docker.io", "https://index.docker.io/v1/"];

/// Logins by registry host.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    logins: BTreeMap<String, Login>,
}

impl Credentials {
    /// Logins by host, as a person or `config.json` writes it.
    pub fn new(logins: impl IntoIterator<Item = (String, Login)>) -> Self {
        Self { logins: logins.into_iter().map(|(host, login)| (canonical(&host), login)).collect() }
    }

    /// All of them, by host; Docker Hub is `docker.io`.
    pub fn logins(&self) -> impl Iterator<Item = (&str, &Login)> {
        self.logins.iter().map(|(host, login)| (host.as_str(), login))
    }

    /// The login at a registry, by its host in an image's name.
    pub fn find(&self, host: &str) -> Option<&Login> {
        self.logins.get(&canonical(host))
    }
}

/// The host alone, and one name for Docker Hub.
fn canonical(host: &str) -> String {
    if DOCKER_HUB.contains(&host) {
        return "docker.io".to_owned();
    }
    let host = host.trim_start_matches("https://").trim_start_matches("http://");
    let host = host.split('/').next().unwrap_or_default();
    if DOCKER_HUB.contains(&host) { "docker.io".to_owned() } else { host.to_ascii_lowercase() }
}

#[async_trait]
impl Auth for Credentials {
    async fn credentials(&self, request: Request<CredentialsRequest>) -> Result<Response<CredentialsResponse>, Status> {
        let response = match self.find(&request.get_ref().host) {
            Some(login) => {
                CredentialsResponse { username: login.user.clone(), secret: login.password.expose().to_owned() }
            }
            None => CredentialsResponse::default(),
        };
        Ok(Response::new(response))
    }

    async fn fetch_token(&self, _: Request<FetchTokenRequest>) -> Result<Response<FetchTokenResponse>, Status> {
        Err(Status::unavailable("client side tokens are not offered"))
    }

    async fn get_token_authority(
        &self,
        _: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(Status::unavailable("client side tokens are not offered"))
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unavailable("client side tokens are not offered"))
    }
}

#[cfg(test)]
mod tests {
    use super::Credentials;
    use crate::registry::Login;
    use crate::secret::Secret;

    #[test]
    fn hosts_match_however_they_are_written() {
        let login = |user: &str| Login { user: user.to_owned(), password: Secret::new("p") };
        let credentials = Credentials::new([
            ("https://index.docker.io/v1/".to_owned(), login("hub")),
            ("https://ghcr.io".to_owned(), login("ghcr")),
            ("localhost:5000".to_owned(), login("local")),
        ]);
        let user = |host: &str| credentials.find(host).map(|login| login.user.clone());
        assert_eq!(user("registry-1.docker.io").as_deref(), Some("hub"));
        assert_eq!(user("docker.io").as_deref(), Some("hub"));
        assert_eq!(user("ghcr.io").as_deref(), Some("ghcr"));
        assert_eq!(user("localhost:5000").as_deref(), Some("local"));
        assert_eq!(user("localhost"), None);
    }
}

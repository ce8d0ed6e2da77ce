//! Logs in: answers a registry's challenge with a password, or with a token that is fetched for it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use url::Url;
use url::form_urlencoded::Serializer;

use super::challenge::{self, Challenge};
use super::repository::is_loopback;
use super::session::{failed, message_of};
use super::transport::{Answer, Reading, Transport};
use super::{Login, RegistryError};

/// A registry shows this name in its lists of who used a login (OAuth 2, `client_id`).
const CLIENT: &str = "watchparty-cache";

/// What one request wants to do: a token is good for that alone (distribution `docs/content/spec/auth/scope.md`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scope {
    /// The repository's path.
    pub(super) path: String,
    pub(super) access: Access,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Access {
    Pull,
    Push,
    Delete,
}

impl Scope {
    fn text(&self) -> String {
        let actions = match self.access {
            Access::Pull => "pull",
            // Nobody gives `push` alone.
            Access::Push => "pull,push",
            // Some registries give no `delete` without the others.
            Access::Delete => "pull,push,delete",
        };
        format!("repository:{}:{actions}", self.path)
    }
}

/// Who asks, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) registry: &'a str,
    pub(super) login: Option<&'a Login>,
    pub(super) transport: &'a Transport,
}

impl Asker<'_> {
    /// What to send as `Authorization` after this refusal; `None` if there is nothing that could be sent.
    pub(super) async fn authorize(
        &self,
        refusal: &Answer,
        scope: &Scope,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let headers = refusal.headers.get_all("www-authenticate");
        let challenges = headers.iter().filter_map(|header| header.to_str().ok()).flat_map(challenge::read);
        for challenge in challenges {
            match (challenge, self.login) {
                (Challenge::Basic, None) => {}
                (Challenge::Basic, Some(login)) => return self.secret(&basic(login)).map(Some),
                (Challenge::Bearer { realm, service }, _) => {
                    let token = self.token(&realm, service.as_deref(), scope).await?;
                    return self.secret(&format!("Bearer {token}")).map(Some);
                }
            }
        }
        Ok(None)
    }

    async fn token(&self, realm: &str, service: Option<&str>, scope: &Scope) -> Result<String, RegistryError> {
        let realm = self.realm(realm)?;
        let scope = scope.text();
        let query = [("service", service), ("scope", Some(scope.as_str()))];
        let query = query.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let answer = match self.login {
            Some(login) if login.user.is_empty() => {
                let form = [
                    ("grant_type", "refresh_token"),
                    ("client_id", CLIENT),
                    ("refresh_token", login.password.expose()),
                ];
                let body = Serializer::new(String::new()).extend_pairs(form).extend_pairs(query).finish();
                let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
                let headers = HeaderMap::from_iter([(CONTENT_TYPE, form_type)]);
                self.transport.send(&Method::POST, &realm, &headers, body, Reading::Whole).await
            }
            login => {
                let mut url = realm.clone();
                url.query_pairs_mut().extend_pairs(query);
                let mut headers = HeaderMap::new();
                if let Some(login) = login {
                    headers.insert(AUTHORIZATION, self.secret(&basic(login))?);
                }
                self.transport.send(&Method::GET, &url, &headers, "", Reading::Whole).await
            }
        };
        self.token_of(&answer.map_err(|error| failed(realm.authority(), error))?)
    }

    /// A password goes where the registry says, but not so that others on the way can read it.
    fn realm(&self, realm: &str) -> Result<Url, RegistryError> {
        let url = Url::parse(realm).ok().filter(|url| url.host_str().is_some());
        let is_safe = |url: &Url| match url.scheme() {
            "https" => true,
            "http" => is_loopback(url.host_str().unwrap_or_default()),
            _ => false,
        };
        url.filter(is_safe).ok_or_else(|| self.malformed(format!("a place to log in that is no https URL: {realm:?}")))
    }

    fn token_of(&self, answer: &Answer) -> Result<String, RegistryError> {
        #[derive(Deserialize)]
        struct Token {
            #[serde(default)]
            token: String,
            #[serde(default)]
            access_token: String,
        }
        let (registry, message) = (self.registry.to_owned(), message_of(&answer.body));
        match answer.status {
            StatusCode::OK => {}
            // Docker Hub says 401, GitHub 403 for a wrong password; OAuth 2 says 400 for a token that is not valid.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => {
                return Err(RegistryError::Unauthorized { registry, given: self.login.is_some(), message });
            }
            StatusCode::TOO_MANY_REQUESTS => return Err(RegistryError::RateLimited { registry, retry_after: None }),
            status => return Err(RegistryError::Refused { registry, status: status.as_u16(), message }),
        }
        // What cannot be read may hold a token: it is not shown.
        let token: Option<Token> = serde_json::from_slice(&answer.body).ok();
        token
            .map(|token| if token.token.is_empty() { token.access_token } else { token.token })
            .filter(|token| !token.is_empty())
            .ok_or_else(|| self.malformed("no token where one was promised".to_owned()))
    }

    /// A header that nobody prints.
    fn secret(&self, text: &str) -> Result<HeaderValue, RegistryError> {
        let mut value =
            HeaderValue::from_str(text).map_err(|_invalid| self.malformed("a token that cannot be sent".to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn malformed(&self, what: String) -> RegistryError {
        RegistryError::Malformed { registry: self.registry.to_owned(), what }
    }
}

/// RFC 7617.
fn basic(login: &Login) -> String {
    format!("Basic {}", STANDARD.encode(format!("{}:{}", login.user, login.password.expose())))
}

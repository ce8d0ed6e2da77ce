//! One request to a registry: logs in where it is asked to, tries again, follows redirects, says what a refusal means.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use tokio::sync::OnceCell;
use url::Url;

use super::auth::{Asker, Scope};
use super::repository::{api_host, is_loopback};
use super::transport::{Answer, Reading, Transport, TransportError};
use super::{Login, RegistryError};

/// Pauses before a request is tried again. Everything that is asked for may be asked for twice: a second deletion finds
/// nothing, which is what was wanted, and what is written twice is the same.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];
/// A registry that wants longer is left alone.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const REDIRECTS: usize = 5;
const LONGEST_MESSAGE: usize = 200;

/// A registry, with what is known of how to talk to it.
#[derive(Debug)]
pub(super) struct Session {
    host: String,
    login: Option<Login>,
    transport: Transport,
    base: OnceCell<Url>,
    /// What was sent as `Authorization` last.
    known: Mutex<BTreeMap<Scope, HeaderValue>>,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Question<'a> {
    pub(super) method: Method,
    /// Relative to the registry's `/v2/`, or as the registry gave it.
    pub(super) target: &'a str,
    pub(super) scope: Scope,
    /// Beside the login.
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) reading: Reading,
}

impl Session {
    pub(super) fn new(host: &str, login: Option<Login>, timeout: Duration) -> Result<Self, RegistryError> {
        let transport = Transport::new(timeout).map_err(|error| failed(host, error))?;
        Ok(Self { host: host.to_owned(), login, transport, base: OnceCell::new(), known: Mutex::default() })
    }

    pub(super) fn malformed(&self, what: impl Into<String>) -> RegistryError {
        RegistryError::Malformed { registry: self.host.clone(), what: what.into() }
    }

    /// Asks until there is an answer that says yes.
    pub(super) async fn ask(&self, question: &Question<'_>) -> Result<Answer, RegistryError> {
        let base = self.base.get_or_try_init(|| self.find()).await?;
        let url =
            base.join(question.target).map_err(|error| self.malformed(format!("a link that is no URL: {error}")))?;
        if url.origin() != base.origin() {
            return Err(self.malformed("a link to another host"));
        }
        let mut pauses = PAUSES.into_iter();
        loop {
            let answer = self.logged_in(question, &url).await;
            let result = answer.and_then(|answer| self.accepted(question, answer));
            let Err(error) = result else { return result };
            match pauses.next().and_then(|pause| worth_waiting(&error, pause)) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error),
            }
        }
    }

    /// Where the registry answers. On this machine it may do so without encryption, as Docker's engine has it: not if it
    /// speaks TLS with a certificate that nobody trusts.
    async fn find(&self) -> Result<Url, RegistryError> {
        let base = |scheme: &str| {
            Url::parse(&format!("{scheme}://{}/v2/", api_host(&self.host)))
                .map_err(|error| self.malformed(format!("nothing, since its name makes no URL: {error}")))
        };
        let encrypted = base("https")?;
        if !is_loopback(&self.host) {
            return Ok(encrypted);
        }
        match self.transport.send(&Method::GET, &encrypted, &HeaderMap::new(), "", Reading::Whole).await {
            Ok(_) => Ok(encrypted),
            Err(error @ (TransportError::Certificate(_) | TransportError::TimedOut(_))) => {
                Err(failed(&self.host, error))
            }
            Err(_) => base("http"),
        }
    }

    /// One answer, logged in if the registry wants that.
    async fn logged_in(&self, question: &Question<'_>, url: &Url) -> Result<Answer, RegistryError> {
        let answer = self.followed(question, url, self.known_for(&question.scope)).await?;
        // Where a redirect led elsewhere, that host does not say where a password goes.
        if answer.status != StatusCode::UNAUTHORIZED || answer.url.origin() != url.origin() {
            return Ok(answer);
        }
        let asker = Asker { registry: &self.host, login: self.login.as_ref(), transport: &self.transport };
        let Some(authorization) = asker.authorize(&answer, &question.scope).await? else { return Ok(answer) };
        let answer = self.followed(question, url, Some(authorization.clone())).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(question.scope.clone(), authorization);
        }
        Ok(answer)
    }

    /// What was accepted before: a token is good for its scope, a password for everything.
    fn known_for(&self, scope: &Scope) -> Option<HeaderValue> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let password = || known.values().find(|value| value.as_bytes().starts_with(b"Basic "));
        known.get(scope).or_else(password).cloned()
    }

    /// One answer that is no redirect. What reads may be sent elsewhere, without our login; what writes or deletes may not.
    async fn followed(
        &self,
        question: &Question<'_>,
        url: &Url,
        authorization: Option<HeaderValue>,
    ) -> Result<Answer, RegistryError> {
        let mut headers = question.headers.clone();
        headers.extend(authorization.map(|authorization| (AUTHORIZATION, authorization)));
        let mut url = url.clone();
        for _ in 0..=REDIRECTS {
            let sent =
                self.transport.send(&question.method, &url, &headers, question.body.clone(), question.reading).await;
            let answer = sent.map_err(|error| failed(url.authority(), error))?;
            if !answer.status.is_redirection() {
                return Ok(answer);
            }
            if question.method == Method::DELETE {
                return Err(self.malformed("a redirect of a deletion"));
            }
            if question.method != Method::GET && question.method != Method::HEAD {
                return Err(self.malformed("a redirect of what is written"));
            }
            let location = answer.header(LOCATION.as_str()).and_then(|location| url.join(location).ok());
            let next = location.ok_or_else(|| self.malformed("a redirect to nowhere"))?;
            if next.origin() != url.origin() {
                headers.remove(AUTHORIZATION);
            }
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(self.malformed("a redirect to where nothing is encrypted"));
            }
            url = next;
        }
        Err(self.malformed("too many redirects"))
    }

    fn accepted(&self, question: &Question<'_>, answer: Answer) -> Result<Answer, RegistryError> {
        let (status, registry) = (answer.status, self.host.clone());
        if status.is_success() {
            return Ok(answer);
        }
        let message = message_of(&answer.body);
        let is_deletion = question.method == Method::DELETE;
        Err(match status {
            // distribution says 401 as well to somebody whom it knows, and who may not.
            StatusCode::UNAUTHORIZED
                if answer.header("www-authenticate").is_some_and(|header| header.contains("insufficient_scope")) =>
            {
                RegistryError::Denied { registry, message }
            }
            StatusCode::UNAUTHORIZED => RegistryError::Unauthorized { registry, given: self.login.is_some(), message },
            StatusCode::FORBIDDEN => RegistryError::Denied { registry, message },
            StatusCode::NOT_FOUND => RegistryError::NotFound { registry, message },
            StatusCode::METHOD_NOT_ALLOWED if is_deletion => RegistryError::DeleteUnsupported { registry, message },
            StatusCode::TOO_MANY_REQUESTS => {
                let seconds = answer.header(RETRY_AFTER.as_str()).and_then(|text| text.trim().parse().ok());
                RegistryError::RateLimited { registry, retry_after: seconds.map(Duration::from_secs) }
            }
            _ if is_deletion && code_of(&answer.body).as_deref() == Some("UNSUPPORTED") => {
                RegistryError::DeleteUnsupported { registry, message }
            }
            status => RegistryError::Refused { registry, status: status.as_u16(), message },
        })
    }
}

/// How long to wait before this is tried again; `None` if that is useless.
fn worth_waiting(error: &RegistryError, pause: Duration) -> Option<Duration> {
    match error {
        RegistryError::Unreachable { .. } => Some(pause),
        RegistryError::Refused { status, .. } => (*status >= 500).then_some(pause),
        RegistryError::RateLimited { retry_after, .. } => {
            Some(retry_after.unwrap_or(pause)).filter(|after| *after <= LONGEST_PAUSE)
        }
        RegistryError::Unauthorized { .. }
        | RegistryError::Denied { .. }
        | RegistryError::NotFound { .. }
        | RegistryError::DeleteUnsupported { .. }
        | RegistryError::Certificate { .. }
        | RegistryError::TimedOut { .. }
        | RegistryError::Malformed { .. } => None,
    }
}

pub(super) fn failed(host: &str, error: TransportError) -> RegistryError {
    let host = host.to_owned();
    match error {
        TransportError::TimedOut(after) => RegistryError::TimedOut { host, after },
        TransportError::Certificate(source) => RegistryError::Certificate { host, source },
        TransportError::Unreachable(source) | TransportError::Tls(source) | TransportError::Request(source) => {
            RegistryError::Unreachable { host, source }
        }
        TransportError::TooLarge => RegistryError::Malformed { registry: host, what: "more than it may".to_owned() },
    }
}

#[derive(Deserialize, Default)]
struct Errors {
    #[serde(default)]
    errors: Vec<Said>,
}

/// OCI distribution specification, "Error Codes".
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

fn said(body: &[u8]) -> Option<Said> {
    serde_json::from_slice::<Errors>(body).unwrap_or_default().errors.into_iter().next()
}

fn code_of(body: &[u8]) -> Option<String> {
    said(body).map(|said| said.code)
}

/// What a refusal says, as one line that is not too long; empty if it says nothing in the form of the specification.
pub(super) fn message_of(body: &[u8]) -> String {
    let text = said(body).map(|said| if said.message.is_empty() { said.code } else { said.message });
    text.unwrap_or_default().chars().filter(|character| !character.is_control()).take(LONGEST_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::message_of;

    #[test]
    fn messages_are_one_short_line() {
        for (body, message) in [
            (r#"{"errors":[{"code":"DENIED","message":"no\n way"}]}"#, "no way".to_owned()),
            (r#"{"errors":[{"code":"DENIED"}]}"#, "DENIED".to_owned()),
            (r#"{"errors":[]}"#, String::new()),
            ("<html>", String::new()),
            (&format!(r#"{{"errors":[{{"message":"{}"}}]}}"#, "é".repeat(300)), "é".repeat(200)),
        ] {
            assert_eq!(message_of(body.as_bytes()), message);
        }
    }
}

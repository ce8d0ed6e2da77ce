//! The client: one repository, one token, a deadline.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use chrono::Utc;
use http_body_util::{BodyExt, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, LINK};
use hyper::{Method, Request, StatusCode, Uri};
use octocrab::Octocrab;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use crate::github::error::GithubError;
use crate::github::limits::{Ending, MOST_WAIT};
use crate::github::{Repository, Route, Task};
use crate::secret::Secret;

/// Where the API is if the runner does not say.
const GITHUB_COM: &str = "https://api.github.com";
/// The version that the requests are written for ("API versions" in GitHub's documentation).
const API_VERSION: &str = "2022-11-28";
/// To connect takes no longer.
const CONNECT: Duration = Duration::from_secs(4);
/// One attempt takes no longer.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Bytes of the largest answer that is read: a page of a hundred check runs with full texts has 13 MB.
const MAX_ANSWER: usize = 32 << 20;
/// Characters of GitHub's own words that are shown.
const MAX_MESSAGE: usize = 300;

/// Where and as whom to call.
#[derive(Debug, Clone)]
pub struct Access {
    address: String,
    repository: Repository,
    token: Secret,
}

impl Access {
    /// Reads what the runner says: `GITHUB_API_URL` (another one on GitHub Enterprise Server and on ghe.com),
    /// `GITHUB_REPOSITORY`, and the token.
    ///
    /// # Errors
    /// If there is no token, or no repository.
    pub fn new(api_url: Option<&str>, repository: Option<&str>, token: Option<&Secret>) -> Result<Self, GithubError> {
        let token = token.filter(|token| !token.is_empty()).ok_or(GithubError::NoToken)?.clone();
        let repository = repository.and_then(|repository| repository.parse().ok()).ok_or(GithubError::NoRepository)?;
        let address = api_url.unwrap_or(GITHUB_COM).trim_end_matches('/').to_owned();
        Ok(Self { address, repository, token })
    }
}

/// The API as one repository sees it. Clones share connections.
#[derive(Clone)]
pub struct Github {
    client: Octocrab,
    base: Uri,
    repository: Repository,
    deadline: Instant,
}

impl fmt::Debug for Github {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Github").field("base", &self.base).field("repository", &self.repository).finish_non_exhaustive()
    }
}

/// The entries of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// What was read of it, in its order.
    pub entries: Vec<T>,
    /// Whether there are more pages than were wanted.
    pub more: bool,
    /// How many GitHub says that there are, with the last page that was read; `None` if it does not.
    pub total: Option<u64>,
}

impl<T> Listed<T> {
    /// Whether it is all that GitHub says that there is. What moved to the next page while it was read is there twice; `id`
    /// tells.
    pub fn is_whole<K: Ord>(&self, id: impl Fn(&T) -> K) -> bool {
        let ids: BTreeSet<K> = self.entries.iter().map(id).collect();
        !self.more && self.total.is_none_or(|total| u64::try_from(ids.len()).is_ok_and(|count| count >= total))
    }
}

/// An answer of any status.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Github {
    /// A client; nothing is sent yet. Its calls may take as long as one attempt may, until [`Github::within`] says otherwise.
    ///
    /// # Errors
    /// If the address or the token cannot be used, or the machine has no certificates to trust.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn new(access: &Access) -> Result<Self, GithubError> {
        let Access { address, repository, token } = access;
        let setup = |source| GithubError::Setup { address: address.clone(), source };
        let base: Uri = address.parse().map_err(|error| setup(Box::new(error)))?;
        if base.authority().is_none() || !matches!(base.scheme_str(), Some("https" | "http")) {
            return Err(setup("it is not an HTTP address".into()));
        }
        // Octocrab panics over one that is no header.
        HeaderValue::from_str(token.expose()).map_err(|error| setup(Box::new(error)))?;
        // No retries of octocrab's own: they repeat writes as well, and wait for rate limits without an end.
        let client = Octocrab::builder()
            .base_uri(address.as_str())
            .map_err(|error| setup(Box::new(error)))?
            .personal_token(token.expose().to_owned())
            .set_connect_timeout(Some(CONNECT))
            .build()
            .map_err(|error| setup(Box::new(error)))?;
        Ok(Self { client, base, repository: repository.clone(), deadline: Instant::now() + ATTEMPT })
    }

    /// The same, for calls that are over so much time from now, whatever happens.
    #[must_use]
    pub fn within(&self, time: Duration) -> Self {
        Self { deadline: Instant::now() + time, ..self.clone() }
    }

    /// The repository.
    pub const fn repository(&self) -> &Repository {
        &self.repository
    }

    /// A path below the repository's own: `/repos/{owner}/{name}/…`.
    pub fn route<'a>(&'a self, segments: impl IntoIterator<Item = &'a str>) -> Route {
        let own = ["repos", &self.repository.owner, &self.repository.name];
        Route::new(own.into_iter().chain(segments))
    }

    /// Reads one thing. Repeated if GitHub or the connection fails, and after a rate limit that is lifted in time.
    ///
    /// # Errors
    /// If GitHub refuses or fails, or is not there.
    pub async fn get<T: DeserializeOwned>(&self, task: Task, route: &Route) -> Result<T, GithubError> {
        read(task, &self.call(task, &Method::GET, route, None).await?)
    }

    /// Reads a list, page by page, `pages` of them at most. `key` is the field that holds the entries where the answer is
    /// not the list itself: `check_runs`.
    ///
    /// # Errors
    /// As [`Github::get`]; what was read of it until then is lost.
    pub async fn list<T: DeserializeOwned>(
        &self,
        task: Task,
        route: Route,
        key: Option<&str>,
        pages: usize,
    ) -> Result<Listed<T>, GithubError> {
        let (mut entries, mut total) = (Vec::new(), None);
        let mut next = Some(route);
        for _ in 0..pages {
            let Some(route) = next.take() else { break };
            let answer = self.call(task, &Method::GET, &route, None).await?;
            let mut page: Value = read(task, &answer)?;
            total = page.get("total_count").and_then(Value::as_u64);
            let page = match key {
                Some(key) => page.get_mut(key).map(Value::take).unwrap_or_default(),
                None => page,
            };
            let page = understood::<Vec<T>>(task, page)?;
            let is_full = route.page_size().is_some_and(|size| page.len() >= size);
            next = self.next_page(&answer, &route, is_full).map_err(|error| unreadable(task, error))?;
            entries.extend(page);
        }
        Ok(Listed { entries, more: next.is_some(), total })
    }

    /// Creates something.
    ///
    /// # Errors
    /// If GitHub refuses or fails; whether it was created is then not known if [`GithubError::is_ambiguous`] says so.
    pub async fn post<T: DeserializeOwned>(
        &self,
        task: Task,
        route: &Route,
        body: &impl Serialize,
    ) -> Result<T, GithubError> {
        read(task, &self.call(task, &Method::POST, route, Some(written(task, body)?)).await?)
    }

    /// Changes something.
    ///
    /// # Errors
    /// As [`Github::post`].
    pub async fn patch<T: DeserializeOwned>(
        &self,
        task: Task,
        route: &Route,
        body: &impl Serialize,
    ) -> Result<T, GithubError> {
        read(task, &self.call(task, &Method::PATCH, route, Some(written(task, body)?)).await?)
    }

    /// Deletes something; what the answer says about it is not read.
    ///
    /// # Errors
    /// As [`Github::post`]; [`GithubError::NotFound`] if it is not there.
    pub async fn delete(&self, task: Task, route: &Route) -> Result<(), GithubError> {
        self.call(task, &Method::DELETE, route, None).await.map(|_| ())
    }

    /// Sends a request until there is an answer that counts, and gives it if it is a good one.
    async fn call(
        &self,
        task: Task,
        method: &Method,
        route: &Route,
        body: Option<String>,
    ) -> Result<Answer, GithubError> {
        let patience = self.deadline.min(Instant::now() + MOST_WAIT);
        let mut repeats = 0;
        loop {
            let attempt = self.attempt(task, method, route, body.clone()).await;
            let ending = match &attempt {
                Ok(answer) if answer.status.is_success() => return attempt,
                Ok(answer) => Ending::of(answer.status, &answer.headers, &answer.message(), Utc::now()),
                // The next attempt would have no more time than this one.
                Err(GithubError::TimedOut { .. }) => Ending::Final,
                Err(_) => Ending::Failed,
            };
            let room = patience.saturating_duration_since(Instant::now());
            let Some(pause) = ending.pause(method, repeats, room, Utc::now()) else {
                return Err(attempt.map_or_else(|error| error, |answer| answer.refusal(task, ending)));
            };
            tracing::debug!(%method, %route, ?ending, ?pause, "asking GitHub once more");
            sleep(pause).await;
            repeats += 1;
        }
    }

    async fn attempt(
        &self,
        task: Task,
        method: &Method,
        route: &Route,
        body: Option<String>,
    ) -> Result<Answer, GithubError> {
        let unreachable = |source| GithubError::Unreachable { doing: task.doing, source };
        let mut request = Request::builder()
            .method(method)
            .uri(route.to_string())
            .header(ACCEPT, "application/vnd.github+json")
            .header("X-GitHub-Api-Version", API_VERSION);
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(body.unwrap_or_default()).map_err(|error| unreachable(Box::new(error)))?;
        let exchange = async {
            let response = self.client.execute(request).await.map_err(|error| unreachable(Box::new(error)))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(unreachable)?.to_bytes().to_vec();
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        let begun = Instant::now();
        let answer = timeout_at(self.deadline.min(begun + ATTEMPT), exchange)
            .await
            .unwrap_or(Err(GithubError::TimedOut { doing: task.doing }));
        let status = answer.as_ref().map(|answer| answer.status.as_u16()).ok();
        tracing::debug!(%method, %route, status, "GitHub: {} ms", begun.elapsed().as_millis());
        answer
    }

    /// The next page, as the answer's `Link` header names it (RFC 8288).
    ///
    /// A link that leads elsewhere is not followed, because it would take the token along; it says that there is a next page
    /// all the same, as behind a proxy that leaves the links of a GitHub Enterprise Server as they are. Where a proxy drops
    /// the header, a page that is full may have one after it. Then the page is the one of the next number. A header that
    /// cannot be read is an error: half a list would pass for the whole.
    fn next_page(&self, answer: &Answer, route: &Route, is_full: bool) -> Result<Option<Route>, String> {
        if !answer.headers.contains_key(LINK) {
            return Ok(is_full.then(|| route.next_page()));
        }
        for links in answer.headers.get_all(LINK) {
            let links = links.to_str().map_err(|_| "a Link that is no text".to_owned())?;
            // Neither a comma nor a semicolon of a target stands outside of its brackets.
            for link in links.split('<').skip(1) {
                let (target, parameters) =
                    link.split_once('>').ok_or_else(|| format!("a Link that cannot be read: {links}"))?;
                if is_next(parameters) {
                    return Ok(Some(self.below(target).unwrap_or_else(|| route.next_page())));
                }
            }
        }
        Ok(None)
    }

    /// The route of an address of this API.
    fn below(&self, link: &str) -> Option<Route> {
        let link: Uri = link.parse().ok()?;
        let path = link.path_and_query()?.as_str().strip_prefix(self.base.path().trim_end_matches('/'))?;
        (link.authority() == self.base.authority()).then(|| Route::of_link(path))
    }
}

/// Whether the parameters of a link say that it leads to the next page, in any of the ways to write it.
fn is_next(parameters: &str) -> bool {
    parameters.split([';', ',']).any(|parameter| {
        let Some((name, value)) = parameter.split_once('=') else { return false };
        let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
        name.trim().eq_ignore_ascii_case("rel") && relations.any(|relation| relation.eq_ignore_ascii_case("next"))
    })
}

impl Answer {
    /// What GitHub said, on one line that is not too long.
    fn message(&self) -> String {
        let message = serde_json::from_slice::<Value>(&self.body).ok();
        let message = message.as_ref().and_then(|body| body.get("message")?.as_str()).unwrap_or("no reason given");
        message.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_MESSAGE).collect()
    }

    fn refusal(&self, task: Task, ending: Ending) -> GithubError {
        let Task { doing, needs } = task;
        if let Ending::Limited(until) = ending {
            return GithubError::RateLimited { doing, until };
        }
        match self.status {
            StatusCode::UNAUTHORIZED => GithubError::Unauthorized { doing, message: self.message() },
            StatusCode::FORBIDDEN => GithubError::Forbidden { doing, needs, message: self.message() },
            StatusCode::NOT_FOUND => GithubError::NotFound { doing, needs },
            status if status.is_server_error() => GithubError::Server { doing, status: status.as_u16() },
            status => GithubError::Rejected { doing, status: status.as_u16(), message: self.message() },
        }
    }
}

fn written(task: Task, body: &impl Serialize) -> Result<String, GithubError> {
    serde_json::to_string(body).map_err(|error| unreadable(task, error))
}

fn read<T: DeserializeOwned>(task: Task, answer: &Answer) -> Result<T, GithubError> {
    serde_json::from_slice(&answer.body).map_err(|error| unreadable(task, error))
}

fn understood<T: DeserializeOwned>(task: Task, value: Value) -> Result<T, GithubError> {
    serde_json::from_value(value).map_err(|error| unreadable(task, error))
}

fn unreadable(task: Task, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> GithubError {
    GithubError::Unreadable { doing: task.doing, source: error.into() }
}

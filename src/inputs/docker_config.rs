//! Registry credentials: `host user password` lines, or Docker's `config.json`.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::secret::Secret;

/// Credentials for one registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryCredential {
    /// The registry's host with its port if it has one, `docker.io` for Docker Hub.
    pub host: String,
    /// The user; empty if the password is an identity token.
    pub user: String,
    /// The password, or a token.
    pub password: Secret,
}

/// Everything that `registry-auth` gives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RegistryAuth {
    /// Logins, in the order in which they were given.
    pub logins: Vec<RegistryCredential>,
    /// Registries whose login cannot be used here. That matters only to who needs it.
    pub unusable: Vec<UnusableLogin>,
}

impl RegistryAuth {
    /// The logins.
    pub fn iter(&self) -> std::slice::Iter<'_, RegistryCredential> {
        self.logins.iter()
    }

    /// What cannot be used of the logins that these registries need, each once.
    pub fn missing<'a>(&self, hosts: impl IntoIterator<Item = &'a str>) -> Vec<&UnusableLogin> {
        let hosts: BTreeSet<&str> = hosts.into_iter().collect();
        self.unusable.iter().filter(|login| hosts.contains(login.host.as_str())).collect()
    }
}

/// A login that a `config.json` names and that cannot be used here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusableLogin {
    /// The registry's host, `docker.io` for Docker Hub.
    pub host: String,
    /// The file as it was named; `None` if its text stood in the input itself.
    pub file: Option<String>,
    /// Why not.
    pub why: Unusable,
}

/// Why an entry of a `config.json` is no login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// A program holds it, which is not in this action's image.
    Helper {
        /// `credsStore` or `credHelpers`.
        key: &'static str,
        /// `docker-credential-…`.
        program: String,
    },
    /// It holds nothing to log in with.
    Empty,
}

impl fmt::Display for UnusableLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.host;
        let file = self.file.as_deref().map_or_else(|| "its `config.json`".to_owned(), |file| format!("`{file}`"));
        write!(f, "registry-auth: there is no login for {host} that can be used: {file} ")?;
        match &self.why {
            Unusable::Helper { key, program } => {
                write!(f, "keeps it in the helper `{program}` (`{key}`), which this action does not have")
            }
            Unusable::Empty => write!(f, "has an entry for it that holds none"),
        }
    }
}

impl UnusableLogin {
    /// What to do about it.
    pub fn help(&self) -> String {
        format!(
            "write a line `{} USER PASSWORD` in `registry-auth` instead, with the password from a secret; or name a `config.json` \
             whose entry has `auth`, as `docker login` writes it where no helper is configured",
            self.host
        )
    }
}

/// Why a Docker configuration or a line of credentials cannot be used. Holds no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DockerConfigError {
    /// A line that has not three parts.
    #[error("line {line} is not `host user password`")]
    Line {
        /// The line, from 1.
        line: usize,
    },
    /// The file cannot be read.
    #[error("could not read the file `{path}`: {reason}")]
    Read {
        /// As written.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// Not JSON, or not of the shape of a `config.json`.
    #[error("is not a Docker `config.json` (line {line}, column {column})")]
    Json {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
}

impl DockerConfigError {
    /// What to do about it.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Line { .. } => {
                "write one line for each registry: its host, the user and the password, with blanks between them"
            }
            Self::Read { .. } => {
                "give a path inside the workspace: the container does not see the `~/.docker` of the host"
            }
            Self::Json { .. } => "give an object with the key `auths`, as `docker login` writes it",
        }
    }
}

/// `host user password`, one a line; blank lines and lines that begin with `#` are skipped.
pub(super) fn lines(text: &str) -> Result<Vec<RegistryCredential>, Vec<DockerConfigError>> {
    let mut credentials = Vec::new();
    let mut errors = Vec::new();
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let parts = line.split_once(char::is_whitespace).and_then(|(host, rest)| {
            let (user, password) = rest.trim_start().split_once(char::is_whitespace)?;
            Some((host, user, password.trim_start()))
        });
        match parts {
            Some((host, user, password)) => credentials.push(RegistryCredential {
                host: registry_host(host),
                user: user.to_owned(),
                password: Secret::new(password),
            }),
            None => errors.push(DockerConfigError::Line { line: number }),
        }
    }
    if errors.is_empty() { Ok(credentials) } else { Err(errors) }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default)]
    auths: std::collections::BTreeMap<String, Auth>,
    #[serde(default)]
    creds_store: String,
    #[serde(default)]
    cred_helpers: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Auth {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

/// Deserialization errors of serde quote what they found, and that can be a password; only the place is kept.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A `config.json` (docker/cli `cli/config/configfile`). `file` is where it was read, if it was a file.
///
/// `credHelpers` has the last word on its hosts. `docker login` leaves an empty entry in `auths` for every host whose login
/// `credsStore` keeps, so a host without an entry has no login.
pub(super) fn json(text: &str, file: Option<&str>) -> Result<RegistryAuth, Vec<DockerConfigError>> {
    let config: Config = serde_json::from_str(text)
        .map_err(|error| vec![DockerConfigError::Json { line: error.line(), column: error.column() }])?;
    let mut auth = RegistryAuth::default();
    let mut unusable = |host: &str, why| {
        auth.unusable.push(UnusableLogin { host: registry_host(host), file: file.map(str::to_owned), why });
    };
    let helper = |key, name: &str| Unusable::Helper { key, program: format!("docker-credential-{name}") };
    for (host, entry) in &config.auths {
        match credential(entry) {
            Some((user, password)) => {
                let (host, password) = (registry_host(host), Secret::new(password));
                auth.logins.push(RegistryCredential { host, user, password });
            }
            None if config.cred_helpers.contains_key(host) => {}
            None if config.creds_store.is_empty() => unusable(host, Unusable::Empty),
            None => unusable(host, helper("credsStore", &config.creds_store)),
        }
    }
    for (host, name) in &config.cred_helpers {
        unusable(host, helper("credHelpers", name));
    }
    // What the file itself holds is as good as what the helper would have given.
    auth.unusable.retain(|unusable| auth.logins.iter().all(|login| login.host != unusable.host));
    Ok(auth)
}

fn credential(auth: &Auth) -> Option<(String, String)> {
    if !auth.identitytoken.is_empty() {
        return Some((String::new(), auth.identitytoken.clone()));
    }
    if !auth.username.is_empty() && !auth.password.is_empty() {
        return Some((auth.username.clone(), auth.password.clone()));
    }
    let decoded = String::from_utf8(STANDARD.decode(auth.auth.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    // The Docker CLI pads with NUL characters.
    let password = password.trim_end_matches('\0');
    (!user.is_empty() && !password.is_empty()).then(|| (user.to_owned(), password.to_owned()))
}

/// The host of a key of `auths`, which for Docker Hub is `https://index.docker.io/v1/`.
fn registry_host(key: &str) -> String {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    match key.split('/').next().unwrap_or(key) {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        host => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{DockerConfigError, RegistryCredential, Unusable, UnusableLogin, json, lines};
    use crate::secret::Secret;

    fn credential(host: &str, user: &str, password: &str) -> RegistryCredential {
        RegistryCredential { host: host.to_owned(), user: user.to_owned(), password: Secret::new(password) }
    }

    #[test]
    fn reads_lines() {
        assert_eq!(
            lines("# ours\nghcr.io  octo  p,\"a ss\n\n https://index.docker.io/v1/ me #1\nlocalhost:5000 a b"),
            Ok(vec![
                credential("ghcr.io", "octo", "p,\"a ss"),
                credential("docker.io", "me", "#1"),
                credential("localhost:5000", "a", "b"),
            ])
        );
        assert_eq!(
            lines("ghcr.io octo\nx y z\nhunter2"),
            Err(vec![DockerConfigError::Line { line: 1 }, DockerConfigError::Line { line: 3 }])
        );
    }

    #[test]
    fn reads_a_docker_configuration() {
        let text = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "bWU6cGE6c3M="},
            "ghcr.io": {"username": "octo", "password": "x"},
            "r.example": {"auth": "AAAA", "identitytoken": "tok"}
        }, "HttpHeaders": {}}"#;
        let auth = json(text, None).unwrap();
        assert_eq!(
            auth.logins,
            [
                credential("ghcr.io", "octo", "x"),
                credential("docker.io", "me", "pa:ss"),
                credential("r.example", "", "tok"),
            ]
        );
        assert_eq!(auth.unusable, []);
    }

    #[test]
    fn what_cannot_be_used_is_noted_for_who_needs_it() {
        let text = r#"{
            "credsStore": "desktop",
            "credHelpers": {"gcr.io": "gcloud", "held.io": "held"},
            "auths": {"https://index.docker.io/v1/": {}, "gcr.io": {}, "held.io": {"auth": "bWU6cGE6c3M="}, "ghcr.io": {"auth": "hunter2"}}
        }"#;
        let auth = json(text, Some("ci/config.json")).unwrap();
        assert_eq!(auth.logins, [credential("held.io", "me", "pa:ss")]);
        let unusable = |host: &str, key, program: &str| UnusableLogin {
            host: host.to_owned(),
            file: Some("ci/config.json".to_owned()),
            why: Unusable::Helper { key, program: program.to_owned() },
        };
        let hub = unusable("docker.io", "credsStore", "docker-credential-desktop");
        let gcr = unusable("gcr.io", "credHelpers", "docker-credential-gcloud");
        let ghcr = unusable("ghcr.io", "credsStore", "docker-credential-desktop");
        assert_eq!(auth.unusable, [ghcr.clone(), hub, gcr.clone()]);
        assert_eq!(auth.missing(["gcr.io", "held.io", "other.io", "gcr.io"]), [&gcr]);
        assert_eq!(
            gcr.to_string(),
            "registry-auth: there is no login for gcr.io that can be used: `ci/config.json` keeps it in the helper \
             `docker-credential-gcloud` (`credHelpers`), which this action does not have"
        );
        assert!(gcr.help().contains("`gcr.io USER PASSWORD`"));
        assert!(!format!("{auth:?}").contains("hunter2"));
        let empty = json(r#"{"auths": {"r.io": {}}}"#, None).unwrap();
        assert_eq!(
            empty.unusable[0].to_string(),
            "registry-auth: there is no login for r.io that can be used: its `config.json` has an entry for it that holds none"
        );
    }

    #[test]
    fn refuses_what_is_no_configuration_without_showing_it() {
        let errors = json("{\"auths\":\n \"hunter2\"}", None).unwrap_err();
        assert_eq!(errors, [DockerConfigError::Json { line: 2, column: 10 }]);
        assert!(!format!("{errors:?} {}", errors[0]).contains("hunter2"));
    }
}

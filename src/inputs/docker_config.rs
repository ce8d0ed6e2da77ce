//! Registry credentials: `host user password` lines, or Docker's `config.json`.

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
    /// It names programs that hold the credentials.
    #[error("the configuration keeps its credentials in a helper (`{key}`), which cannot run here")]
    Helper {
        /// `credsStore` or `credHelpers`.
        key: &'static str,
    },
    /// An entry of `auths` that holds nothing to log in with.
    #[error("the entry for `{host}` holds no usable credentials")]
    Entry {
        /// The registry.
        host: String,
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
            Self::Helper { .. } => "write `host user password` lines instead, with the password from a secret",
            Self::Entry { .. } => "give it `auth` (base64 of `user:password`), or `username` and `password`",
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

/// The `auths` of a `config.json` (docker/cli `cli/config/configfile`).
pub(super) fn json(text: &str) -> Result<Vec<RegistryCredential>, Vec<DockerConfigError>> {
    let config: Config = serde_json::from_str(text)
        .map_err(|error| vec![DockerConfigError::Json { line: error.line(), column: error.column() }])?;
    let helpers = [("credsStore", !config.creds_store.is_empty()), ("credHelpers", !config.cred_helpers.is_empty())];
    let mut errors: Vec<_> =
        helpers.into_iter().filter(|(_, used)| *used).map(|(key, _)| DockerConfigError::Helper { key }).collect();
    let mut credentials = Vec::new();
    for (host, auth) in &config.auths {
        let host = registry_host(host);
        match credential(auth) {
            Some((user, password)) => {
                credentials.push(RegistryCredential { host, user, password: Secret::new(password) });
            }
            // With a helper the entries are empty by design, and the helper is the problem.
            None if errors.is_empty() || matches!(errors.first(), Some(DockerConfigError::Entry { .. })) => {
                errors.push(DockerConfigError::Entry { host });
            }
            None => {}
        }
    }
    if errors.is_empty() { Ok(credentials) } else { Err(errors) }
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
    use super::{DockerConfigError, RegistryCredential, json, lines};
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
        assert_eq!(
            json(text),
            Ok(vec![
                credential("ghcr.io", "octo", "x"),
                credential("docker.io", "me", "pa:ss"),
                credential("r.example", "", "tok"),
            ])
        );
    }

    #[test]
    fn refuses_what_it_cannot_use_without_showing_it() {
        for (text, expected) in [
            (r#"{"credsStore": "desktop", "auths": {"ghcr.io": {}}}"#, DockerConfigError::Helper { key: "credsStore" }),
            (r#"{"credHelpers": {"gcr.io": "gcloud"}}"#, DockerConfigError::Helper { key: "credHelpers" }),
            (r#"{"auths": {"ghcr.io": {"auth": "hunter2"}}}"#, DockerConfigError::Entry { host: "ghcr.io".to_owned() }),
            ("{\"auths\":\n \"hunter2\"}", DockerConfigError::Json { line: 2, column: 10 }),
        ] {
            let errors = json(text).unwrap_err();
            assert_eq!(errors, [expected]);
            assert!(!format!("{errors:?} {}", errors[0]).contains("hunter2"));
        }
    }
}

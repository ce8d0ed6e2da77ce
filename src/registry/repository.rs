//! Repositories, and where their registry answers.

use std::fmt;
use std::net::IpAddr;

use crate::image::ImageReference;

/// Docker Hub's name in references, and where it answers (`github.com/docker/cli` `cli/registry`).
const HUB: &str = "docker.io";
const HUB_API: &str = "registry-1.docker.io";

/// A repository on its registry: `ghcr.io/org/app`, without tag or digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    host: String,
    path: String,
}

impl Repository {
    /// The repository that a reference names; its grammar has been checked there.
    pub fn of(reference: &ImageReference) -> Self {
        Self { host: reference.host().to_owned(), path: reference.path().to_owned() }
    }

    /// The host with its port, as in a reference: `docker.io` for Docker Hub.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path on its host.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A tag of it, as a reference; `None` if the text is no tag.
    pub fn tagged(&self, tag: &str) -> Option<ImageReference> {
        format!("{self}:{tag}").parse().ok()
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

/// The host, with its port if it has one, that answers for a registry.
pub(super) fn api_host(host: &str) -> &str {
    if host == HUB { HUB_API } else { host }
}

/// Whether it is this machine, where Docker does without encryption too (`127.0.0.0/8`, `::1`, `localhost`; moby
/// `daemon/pkg/registry/config.go`).
pub fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What a person can do where a registry does not delete.
pub(super) fn way_to_delete(host: &str) -> &'static str {
    match host {
        "ghcr.io" => {
            "GitHub deletes versions of packages instead: use `scope: packages`, with a token that has `packages: write`"
        }
        HUB => "Docker Hub deletes tags on its own pages (hub.docker.com) and through its own API alone",
        _ => {
            "allow it in the registry's configuration (`storage: delete: enabled: true` of the distribution registry), or delete the tag there"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Repository, api_host, is_loopback};
    use crate::image::ImageReference;

    #[test]
    fn hosts() {
        for (host, loopback) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("127.1.2.3", true),
            ("[::1]:5000", true),
            ("[::2]:5000", false),
            ("localhost.example.com", false),
            ("10.0.0.1:5000", false),
            ("ghcr.io", false),
        ] {
            assert_eq!(is_loopback(host), loopback, "{host}");
        }
        assert_eq!((api_host("docker.io"), api_host("ghcr.io")), ("registry-1.docker.io", "ghcr.io"));
    }

    #[test]
    fn names() {
        for (text, name) in [
            ("app", "docker.io/library/app"),
            ("index.docker.io/org/app:1", "docker.io/org/app"),
            ("localhost:5000/a/b", "localhost:5000/a/b"),
        ] {
            let repository = Repository::of(&text.parse::<ImageReference>().unwrap());
            assert_eq!(repository.to_string(), name);
            assert_eq!(repository.tagged("1-cache").unwrap().canonical(), format!("{name}:1-cache"));
            assert_eq!(repository.tagged("no tag"), None);
        }
    }
}

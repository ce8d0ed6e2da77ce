//! Where the engine listens, as `DOCKER_HOST` and its companions say it, and how to connect to it.

mod dial;
mod tls;

use std::fmt;
use std::path::PathBuf;

pub use dial::{ByteStream, DialError, Duplex, dial, dial_http2};
pub use tls::{Tls, TlsError, TlsFiles, TlsTexts};

/// The socket that the runner mounts into every container action, and Docker's own default.
pub const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
const PLAIN_PORT: u16 = 2375;
const TLS_PORT: u16 = 2376;

/// Where the engine (or a BuildKit daemon beside it) listens. Plain data; [`dial`] connects to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket, by its absolute path.
    Unix(PathBuf),
    /// TCP, with TLS if `tls` is set.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// Port.
        port: u16,
        /// Certificates for a connection with TLS.
        tls: Option<Tls>,
    },
}

/// Why a text is not an address that this program can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// `ssh://`, `npipe://` and the like.
    #[error("use the engine address '{address}': {scheme}:// is not supported")]
    Scheme {
        /// The whole text.
        address: String,
        /// The part before `://`.
        scheme: String,
    },
    /// Not an address at all.
    #[error("read the engine address '{address}': {reason}")]
    Malformed {
        /// The whole text.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl AddressError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Scheme { scheme, .. } if scheme == "ssh" => {
                "Forward the engine's socket over SSH (ssh -L /tmp/docker.sock:/var/run/docker.sock HOST) and set \
                 DOCKER_HOST=unix:///tmp/docker.sock."
            }
            Self::Scheme { scheme, .. } if scheme == "npipe" => {
                "Container actions run on Linux only. Use a Linux runner, for example runs-on: ubuntu-24.04."
            }
            Self::Scheme { .. } | Self::Malformed { .. } => {
                "Set DOCKER_HOST to unix:///path/to/docker.sock or tcp://host:port, or leave it unset for \
                 unix:///var/run/docker.sock."
            }
        }
    }
}

impl Default for Address {
    fn default() -> Self {
        Self::Unix(PathBuf::from(DEFAULT_SOCKET))
    }
}

impl Address {
    /// The address that `DOCKER_HOST`, `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH` name; unset and empty are the same.
    ///
    /// `variable` looks up an environment variable. As with the docker CLI any non-empty `DOCKER_TLS_VERIFY` switches
    /// TLS on, and the certificates default to `$HOME/.docker`.
    ///
    /// # Errors
    /// [`AddressError`] names the address and what is wrong with it.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self, AddressError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let tls = set("DOCKER_TLS_VERIFY").map(|_| {
            let directory = set("DOCKER_CERT_PATH")
                .map_or_else(|| PathBuf::from(set("HOME").unwrap_or_default()).join(".docker"), PathBuf::from);
            TlsFiles::in_directory(directory)
        });
        set("DOCKER_HOST").map_or_else(|| Ok(Self::default()), |host| Self::parse(&host, tls))
    }

    /// Reads `unix:///path` or `tcp://host[:port]`; `tls` applies to the latter only.
    ///
    /// # Errors
    /// [`AddressError`] names the address and what is wrong with it.
    pub fn parse(address: &str, tls: Option<TlsFiles>) -> Result<Self, AddressError> {
        let malformed = |reason| AddressError::Malformed { address: address.to_owned(), reason };
        let (scheme, rest) = address.split_once("://").ok_or_else(|| malformed("it has no scheme"))?;
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Unix(PathBuf::from(rest))),
            "unix" => Err(malformed("the socket's path must be absolute")),
            "tcp" | "http" => {
                let authority = rest.trim_end_matches('/');
                if authority.contains('/') {
                    return Err(malformed("a path after the host is not supported"));
                }
                let default_port = if tls.is_some() { TLS_PORT } else { PLAIN_PORT };
                let (host, port) = split_port(authority, default_port).ok_or_else(|| malformed("invalid port"))?;
                if host.is_empty() {
                    return Err(malformed("it has no host"));
                }
                Ok(Self::Tcp { host: host.to_owned(), port, tls: tls.map(Tls::Files) })
            }
            other => Err(AddressError::Scheme { address: address.to_owned(), scheme: other.to_owned() }),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port, .. } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port, .. } => write!(f, "tcp://{host}:{port}"),
        }
    }
}

/// Splits `host[:port]`, brackets of an IPv6 address taken off; `None` if the port is no number.
fn split_port(authority: &str, default_port: u16) -> Option<(&str, u16)> {
    if let Some((host, rest)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, port.parse().ok()?)),
            None => rest.is_empty().then_some((host, default_port)),
        };
    }
    match authority.rsplit_once(':') {
        Some((host, port)) => Some((host, port.parse().ok()?)),
        None => Some((authority, default_port)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, AddressError, Tls, TlsFiles};

    fn from_env(pairs: &[(&str, &str)]) -> Result<Address, AddressError> {
        Address::from_env(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn reads_what_the_docker_client_reads() {
        for (host, expected) in [
            ("", "unix:///var/run/docker.sock"),
            ("unix:///run/user/1000/docker.sock", "unix:///run/user/1000/docker.sock"),
            ("tcp://10.0.0.1:2375", "tcp://10.0.0.1:2375"),
            ("tcp://docker", "tcp://docker:2375"),
            ("tcp://docker:2376/", "tcp://docker:2376"),
            ("tcp://[::1]:99", "tcp://[::1]:99"),
            ("tcp://[fe80::1]", "tcp://[fe80::1]:2375"),
        ] {
            assert_eq!(from_env(&[("DOCKER_HOST", host)]).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn takes_tls_from_the_environment() {
        let tls = |pairs: &[(&str, &str)]| match from_env(pairs).unwrap() {
            Address::Tcp { port, tls, .. } => (port, tls),
            Address::Unix(path) => panic!("{}", path.display()),
        };
        let host = ("DOCKER_HOST", "tcp://d");
        assert_eq!(
            tls(&[host, ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/certs")]),
            (2376, Some(Tls::Files(TlsFiles::in_directory("/certs"))))
        );
        assert_eq!(
            tls(&[host, ("DOCKER_TLS_VERIFY", "1"), ("HOME", "/root")]),
            (2376, Some(Tls::Files(TlsFiles::in_directory("/root/.docker"))))
        );
        assert_eq!(tls(&[host, ("DOCKER_TLS_VERIFY", ""), ("DOCKER_CERT_PATH", "/certs")]), (2375, None));
    }

    #[test]
    fn refuses_the_rest_and_says_why() {
        for (host, message, help) in [
            ("ssh://me@host", "use the engine address 'ssh://me@host': ssh:// is not supported", "ssh -L"),
            (
                "npipe:////./pipe/docker",
                "use the engine address 'npipe:////./pipe/docker': npipe:// is not supported",
                "Linux",
            ),
            ("/var/run/docker.sock", "read the engine address '/var/run/docker.sock': it has no scheme", "unix:///"),
            (
                "unix://docker.sock",
                "read the engine address 'unix://docker.sock': the socket's path must be absolute",
                "unix:///",
            ),
            ("tcp://", "read the engine address 'tcp://': it has no host", "tcp://"),
            ("tcp://host:port", "read the engine address 'tcp://host:port': invalid port", "tcp://"),
            (
                "tcp://host/base",
                "read the engine address 'tcp://host/base': a path after the host is not supported",
                "tcp://",
            ),
        ] {
            let error = from_env(&[("DOCKER_HOST", host)]).unwrap_err();
            assert_eq!(error.to_string(), message);
            assert!(error.help().contains(help), "{}", error.help());
        }
    }
}

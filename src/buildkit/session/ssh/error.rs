//! Why an SSH source cannot be offered, and what to do about it.

use std::io;
use std::path::PathBuf;

pub use super::key::KeyError;

/// Why an SSH source cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    /// Nothing there, or not for us.
    #[error("use the ssh source '{id}': read {}", path.display())]
    Missing {
        /// The source's id.
        id: String,
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A directory, a pipe, a device.
    #[error("use the ssh source '{id}': {} is neither the socket of an SSH agent nor a private key file", path.display())]
    Neither {
        /// The source's id.
        id: String,
        /// The path.
        path: PathBuf,
    },
    /// A file that is no key that could be used.
    #[error("use the ssh source '{id}': take the key {}", path.display())]
    Key {
        /// The source's id.
        id: String,
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// An agent and something else.
    #[error("use the ssh source '{id}': it is one agent's socket or private key files, not both")]
    Mixed {
        /// The source's id.
        id: String,
    },
}

impl SshError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Missing { .. } | Self::Neither { .. } => {
                "give a private key file of the workspace (`ssh: default=./id_ed25519`) or an agent's socket \
                 (`ssh: default=$SSH_AUTH_SOCK`), which a container action sees only if it is mounted"
            }
            Self::Key { source: KeyError::Encrypted, .. } => {
                "nobody can type its passphrase here: give a key without one, made for this purpose (a deploy key), or \
                 the socket of an agent that holds it"
            }
            Self::Key { source: KeyError::NotAKey, .. } => {
                "give the private key as `ssh-keygen` writes it, with its BEGIN and END lines; the `.pub` file is the \
                 public key"
            }
            Self::Key { source: KeyError::Unsupported { .. } | KeyError::Damaged, .. } => {
                "give an Ed25519, an ECDSA (nistp256, nistp384) or an RSA key (2048 to 4096 bits): `ssh-keygen -t ed25519`"
            }
            Self::Mixed { .. } => "give the agent an id of its own: `ssh: default=./key` and `agent=$SSH_AUTH_SOCK`",
        }
    }
}

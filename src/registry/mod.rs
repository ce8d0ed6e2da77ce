//! Registries of images: a small client of the OCI distribution API, as much of it as clearing cache tags needs.
//!
//! The API is the [OCI distribution specification](https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md):
//! manifests are pulled by "Pulling manifests", tags are listed by "Listing Tags", and deleted by "Deleting Manifests". How
//! one logs in is written down by distribution itself (`docs/content/spec/auth`), and every registry follows it.
//!
//! ```text
//! client      what is asked for: tags, heads, manifests, deletion by digest
//!   session   one request: logs in where it is asked to, tries again, follows redirects, says what a refusal means
//!     auth    challenges and tokens          transport   HTTP and TLS, bounded in time and size
//! ```

mod auth;
mod challenge;
mod client;
mod digest;
mod error;
mod manifest;
mod repository;
mod selector;
mod session;
mod transport;

use crate::secret::Secret;

pub use client::Registry;
pub use digest::{Digest, DigestError};
pub use error::RegistryError;
pub use manifest::{Descriptor, Manifest, MediaType};
pub use repository::Repository;
pub use selector::{RegistrySelector, RegistrySelectorError};

/// A login at one registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// User name; empty if the password is an identity token.
    pub user: String,
    /// Password or token.
    pub password: Secret,
}

//! Registries of images: a small client of the OCI distribution API, as much of it as clearing cache tags and keeping the
//! image cache in one need.
//!
//! The API is the [OCI distribution specification](https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md):
//! manifests are pulled by "Pulling manifests", tags are listed by "Listing Tags", and deleted by "Deleting Manifests". How
//! one logs in is written down by distribution itself (`docs/content/spec/auth`), and every registry follows it.
//!
//! ```text
//! client      what is asked for: tags, heads, manifests, deletion by digest
//! blob, write blobs read in pieces; small blobs and manifests written
//! layers      layers that are read when somebody asks for them; clients by their host
//! cache_tag   what the tags of caches are called
//!   session   one request: logs in where it is asked to, tries again, follows redirects, says what a refusal means
//!     auth    challenges and tokens          transport   HTTP and TLS, bounded in time and size
//! ```

mod auth;
mod blob;
pub mod cache_tag;
mod challenge;
mod client;
mod digest;
mod error;
mod layers;
mod manifest;
mod repository;
mod selector;
mod session;
mod transport;
mod write;

use crate::secret::Secret;

pub use blob::BlobReader;
pub use client::Registry;
pub use digest::{Digest, DigestError};
pub use error::{ASKS_FOR_LOGIN, RegistryError, TAKES_NO_LOGIN};
pub use layers::{Layers, Registries, RemoteLayer};
pub use manifest::{Descriptor, Manifest, MediaType};
pub use repository::{Repository, is_loopback};
pub use selector::{RegistrySelector, RegistrySelectorError};

/// A login at one registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// User name; empty if the password is an identity token.
    pub user: String,
    /// Password or token.
    pub password: Secret,
}

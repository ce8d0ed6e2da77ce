//! Registries of images: how one logs in at them.

use crate::secret::Secret;

/// A login at one registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// User name; empty if the password is an identity token.
    pub user: String,
    /// Password or token.
    pub password: Secret,
}

//! GitHub's REST API; the only importer of octocrab.
//!
//! A [`Github`] is one repository through one token. Every call says what it is doing and which permission it needs
//! ([`Task`]), ends by the handle's deadline ([`Github::within`]), and fails with a [`GithubError`] that a person can act on.
//! Reads are repeated where that can help; a write is sent once, unless GitHub says that it did nothing because of a rate
//! limit. Nothing here knows about builds.

pub mod caches;
pub mod checks;
mod client;
pub mod comments;
pub mod commits;
mod error;
mod limits;
pub mod packages;
mod permission;
mod repository;
mod route;

pub use client::{Access, Github, Listed};
pub use error::GithubError;
pub use permission::{Permission, Task};
pub use repository::Repository;
pub use route::Route;

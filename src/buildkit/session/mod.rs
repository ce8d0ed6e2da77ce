//! The session: services that the builder calls on this client while it builds.

pub mod filesync;

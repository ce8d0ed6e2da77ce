//! The BuildKit client: connection, session services, solve, trace. Nothing here knows about GitHub or ledgers.
//!
//! ```text
//! connection (two transports, one client) -> session (services that the builder calls) -> solve -> trace (events, steps)
//! ```

pub mod activity;
pub mod connection;
mod error;
pub mod gateway;
pub mod mask;
pub mod session;
pub mod solve;
mod stream;
pub mod trace;
pub mod usage;
pub mod workers;

pub use connection::{Connection, Transport};
pub use error::BuildKitError;

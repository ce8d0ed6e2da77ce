//! The BuildKit client: connection, session services, solve, trace. Nothing here knows about GitHub or ledgers.

pub mod session;
pub mod trace;

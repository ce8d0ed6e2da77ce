//! What GitHub is told of a build, and what is done where it cannot be told.

mod client;

//! Tags of registries cleared, against distribution's own registry with TLS and a password, and against registries that
//! answer wrongly. None of it needs an engine.

mod bearer;
mod client;
mod faults;
mod place;
mod real;
mod stand_in;

use std::path::Path;

use crate::support::{Action, Engine};

/// A step that clears registries alone, without an engine.
fn clear(workspace: &Path) -> Action {
    let nowhere = Engine { name: "none".to_owned(), address: "unix:///nowhere".to_owned() };
    Action::new(&nowhere, workspace).input("mode", "clear").input("scope", "registry")
}

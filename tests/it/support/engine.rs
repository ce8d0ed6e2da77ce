//! The engines that `scripts/test` started.

use std::env;

/// A real engine.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(crate) name: String,
    /// `unix://…`.
    pub(crate) address: String,
}

impl Engine {
    pub(crate) fn is_20_10(&self) -> bool {
        self.name == "20.10"
    }

    pub(crate) fn has_containerd_store(&self) -> bool {
        self.name == "28-containerd"
    }
}

/// The engine of this name; a missing one is a failure and not a skipped test.
pub(crate) fn engine(name: &str) -> Engine {
    let list = env::var("WATCHPARTY_TEST_ENGINES")
        .expect("WATCHPARTY_TEST_ENGINES is unset: run the tests with scripts/test, which starts the engines");
    let address = list.split(',').find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='));
    let address = address.unwrap_or_else(|| panic!("WATCHPARTY_TEST_ENGINES has no engine '{name}': {list}"));
    Engine { name: name.to_owned(), address: address.to_owned() }
}

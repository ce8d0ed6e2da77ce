//! The engines that `scripts/test` started.

use std::{env, thread};

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
///
/// A test says in its own name which engine it uses: nextest's groups (`.config/nextest.toml`) go by that, and tests
/// of one engine take each other's builder cache away if they run side by side. Where a group runs several at once, there
/// is an engine for each of its places.
pub(crate) fn engine(name: &str) -> Engine {
    let suffix = format!("engine_{}", name.replace(['.', '-'], "_"));
    let current = thread::current();
    let test = current.name().unwrap_or_default();
    assert!(test.ends_with(&suffix), "a test that uses engine {name} needs a name that ends in {suffix}: {test:?}");
    // `none` without a group, as where tests run without nextest.
    let place = env::var("NEXTEST_TEST_GROUP_SLOT").ok().and_then(|slot| slot.parse().ok()).unwrap_or(0);
    Engine { name: name.to_owned(), address: address(name, place) }
}

/// The first engine of this name, whatever other tests do there.
pub(crate) fn shared_engine(name: &str) -> Engine {
    Engine { name: name.to_owned(), address: address(name, 0) }
}

fn address(name: &str, place: usize) -> String {
    let list = env::var("WATCHPARTY_TEST_ENGINES")
        .expect("WATCHPARTY_TEST_ENGINES is unset: run the tests with scripts/test, which starts the engines");
    let mut addresses = list.split(',').filter_map(|entry| entry.strip_prefix(name)?.strip_prefix('='));
    let address = addresses.nth(place);
    address
        .unwrap_or_else(|| panic!("WATCHPARTY_TEST_ENGINES has no {}. engine '{name}': {list}", place + 1))
        .to_owned()
}

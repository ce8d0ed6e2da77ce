//! The content service of the session: the builder reads cache records from it, and writes them to it.
//!
//! `containerd.services.content.v1.Content`, as BuildKit's cache importer and exporter of type `local` call it
//! (`session/content`). Nothing of it touches the disk.

mod service;
mod store;
mod wire;

use std::collections::BTreeMap;

pub use service::ContentService;
pub use store::ContentStore;

/// What the builder may call.
pub(super) const METHODS: [&str; 5] = [
    "/containerd.services.content.v1.Content/Info",
    "/containerd.services.content.v1.Content/Read",
    "/containerd.services.content.v1.Content/Status",
    "/containerd.services.content.v1.Content/Write",
    "/containerd.services.content.v1.Content/Abort",
];

/// The stores of one session, by the names that cache imports and exports give them (`src`, `dest`).
#[derive(Debug, Clone, Default)]
pub struct ContentStores(BTreeMap<String, ContentStore>);

impl ContentStores {
    /// With one more store; the later one of two with the same name stands.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, store: ContentStore) -> Self {
        self.0.insert(name.into(), store);
        self
    }

    /// The store of a name.
    pub fn get(&self, name: &str) -> Option<&ContentStore> {
        self.0.get(name)
    }
}

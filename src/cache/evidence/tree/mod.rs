//! The files of one context: a tree of short digests, and what differs between two of them.

mod compare;
mod packed;

use serde::{Deserialize, Serialize};

use super::keyed::{Keyed, LENGTH};
pub use compare::FileChanges;
pub(super) use compare::changes;
use packed::Packed;

/// Entries of a context that are kept, directories included: 10 bytes each, 8 of a directory, 320 KB of JSON at most.
pub(super) const MAX_ENTRIES: usize = 24_000;

/// The files of one context as BuildKit sees them: content, permissions, link targets, extended attributes, devices.
///
/// Modification times are no part of a cache key, and owners are always 0 in what we send. Names are kept only in the
/// process that read them; see [`super::changes()`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Packed", into = "Packed")]
pub struct ContextFiles {
    /// Which part of the context was looked at.
    pub(super) coverage: Keyed,
    /// Whether every entry is here.
    pub(super) listed: bool,
    /// Every directory just before what lies in it.
    pub(super) nodes: Vec<Node>,
    /// The own name of each node; empty when it was read from a ledger.
    pub(super) names: Vec<String>,
}

/// A directory, a file, or anything else in a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    /// The place of its directory; absent at the top.
    pub(super) parent: Option<usize>,
    /// The digest of its own name.
    pub(super) name: [u8; LENGTH],
    pub(super) kind: Kind,
    /// The lower 12 bits of its mode.
    pub(super) permissions: u16,
    /// Of what [`Kind`] says; 0 where that is nothing.
    pub(super) digest: [u8; LENGTH],
}

/// What a node is, and what its digest is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing.
    Directory,
    /// Content and attributes.
    File,
    /// The size of a file that was not read.
    Unread,
    /// Nothing: a file that a secret of the build is read from.
    Withheld,
    /// The target of a symbolic link.
    Link,
    /// Type and device numbers.
    Other,
}

impl Kind {
    fn is_directory(self) -> bool {
        self == Self::Directory
    }
}

impl ContextFiles {
    /// Whether every file was seen and read, so that "nothing changed" can be said.
    pub fn complete(&self) -> bool {
        self.listed && !self.nodes.iter().any(|node| matches!(node.kind, Kind::Unread | Kind::Withheld))
    }

    /// Whether there are symbolic links: what a path leads to may lie under another one.
    pub fn has_links(&self) -> bool {
        self.nodes.iter().any(|node| node.kind == Kind::Link)
    }

    /// Entries, directories included.
    pub fn entries(&self) -> usize {
        self.nodes.len()
    }

    /// The path of a node, relative to the context; `None` if names are not known.
    pub(super) fn path(&self, index: usize) -> Option<String> {
        let mut names = Vec::new();
        let mut next = Some(index);
        while let Some(index) = next {
            names.push(self.names.get(index)?.as_str());
            next = self.nodes.get(index)?.parent;
        }
        names.reverse();
        Some(names.join("/"))
    }
}

//! The form in which a ledger holds a tree: one string, checked when it is read.
//!
//! Entries follow each other as the walk has them. Each begins with 16 bits, big endian: its kind in the upper 4, its
//! permissions in the lower 12. Then come 4 bytes of its name's digest and, for kinds that have one, 4 bytes of its own.
//! What follows a directory lies in it, up to 16 bits that are 0; at the end of the string they are left out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{ContextFiles, Kind, MAX_ENTRIES, Node};
use crate::cache::evidence::keyed::{Keyed, LENGTH};

const END: [u8; 2] = [0, 0];
const PERMISSIONS: u16 = 0o7777;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Packed {
    coverage: Keyed,
    listed: bool,
    tree: String,
}

/// Why stored files cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damaged {
    #[error("read context evidence: the tree is not base64")]
    Encoding,
    #[error("read context evidence: the tree ends within an entry")]
    Short,
    #[error("read context evidence: there is no entry of kind {0}")]
    Kind(u16),
    #[error("read context evidence: more directories end than begin")]
    End,
    #[error("read context evidence: there are more than {MAX_ENTRIES} entries")]
    Many,
}

impl Kind {
    fn number(self) -> u16 {
        match self {
            Self::Directory => 1,
            Self::File => 2,
            Self::Unread => 3,
            Self::Withheld => 4,
            Self::Link => 5,
            Self::Other => 6,
        }
    }

    fn from_number(number: u16) -> Result<Self, Damaged> {
        Ok(match number {
            1 => Self::Directory,
            2 => Self::File,
            3 => Self::Unread,
            4 => Self::Withheld,
            5 => Self::Link,
            6 => Self::Other,
            number => return Err(Damaged::Kind(number)),
        })
    }

    fn has_digest(self) -> bool {
        match self {
            Self::File | Self::Unread | Self::Link | Self::Other => true,
            Self::Directory | Self::Withheld => false,
        }
    }
}

impl From<ContextFiles> for Packed {
    fn from(files: ContextFiles) -> Self {
        let mut bytes = Vec::with_capacity(files.nodes.len() * 10);
        let mut open: Vec<usize> = Vec::new();
        for (index, node) in files.nodes.iter().enumerate() {
            while open.last().copied() != node.parent && open.pop().is_some() {
                bytes.extend(END);
            }
            bytes.extend((node.kind.number() << 12 | node.permissions & PERMISSIONS).to_be_bytes());
            bytes.extend(node.name);
            if node.kind.has_digest() {
                bytes.extend(node.digest);
            }
            if node.kind.is_directory() {
                open.push(index);
            }
        }
        Self { coverage: files.coverage, listed: files.listed, tree: STANDARD_NO_PAD.encode(bytes) }
    }
}

impl TryFrom<Packed> for ContextFiles {
    type Error = Damaged;

    fn try_from(packed: Packed) -> Result<Self, Damaged> {
        let bytes = STANDARD_NO_PAD.decode(packed.tree).map_err(|_| Damaged::Encoding)?;
        let mut rest = bytes.as_slice();
        let mut nodes: Vec<Node> = Vec::new();
        let mut open: Vec<usize> = Vec::new();
        while !rest.is_empty() {
            let head = take::<2>(&mut rest)?;
            if head == END {
                open.pop().ok_or(Damaged::End)?;
                continue;
            }
            let head = u16::from_be_bytes(head);
            let kind = Kind::from_number(head >> 12)?;
            let name = take::<LENGTH>(&mut rest)?;
            let digest = if kind.has_digest() { take::<LENGTH>(&mut rest)? } else { [0; LENGTH] };
            if nodes.len() == MAX_ENTRIES {
                return Err(Damaged::Many);
            }
            let parent = open.last().copied();
            if kind.is_directory() {
                open.push(nodes.len());
            }
            nodes.push(Node { parent, name, kind, permissions: head & PERMISSIONS, digest });
        }
        Ok(Self { coverage: packed.coverage, listed: packed.listed, nodes, names: Vec::new() })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Damaged> {
    let (taken, after) = rest.split_first_chunk::<N>().ok_or(Damaged::Short)?;
    *rest = after;
    Ok(*taken)
}

#[cfg(test)]
mod tests {
    use super::{ContextFiles, Damaged, Keyed, Kind, MAX_ENTRIES, Node, Packed, STANDARD_NO_PAD};
    use base64::Engine as _;
    use proptest::prelude::*;

    fn unpack(bytes: &[u8]) -> Result<ContextFiles, Damaged> {
        let packed = Packed { coverage: Keyed::default(), listed: true, tree: STANDARD_NO_PAD.encode(bytes) };
        ContextFiles::try_from(packed)
    }

    #[test]
    fn refuses_what_is_damaged() {
        assert_eq!(unpack(&[0x21]).unwrap_err(), Damaged::Short);
        assert_eq!(unpack(&[0x21, 0xa4, 1, 2, 3, 4, 5]).unwrap_err(), Damaged::Short);
        assert_eq!(unpack(&[0x71, 0xa4, 1, 2, 3, 4]).unwrap_err(), Damaged::Kind(7));
        assert_eq!(unpack(&[0x01, 0xa4, 1, 2, 3, 4]).unwrap_err(), Damaged::Kind(0));
        assert_eq!(unpack(&[0, 0]).unwrap_err(), Damaged::End);
        let directories = |count: usize| [0x11, 0xed, 1, 2, 3, 4].repeat(count);
        assert_eq!(unpack(&directories(MAX_ENTRIES)).unwrap().entries(), MAX_ENTRIES);
        assert_eq!(unpack(&directories(MAX_ENTRIES + 1)).unwrap_err(), Damaged::Many);
        let text = r#"{"coverage":"00000000","listed":true,"tree":"*"}"#;
        assert!(serde_json::from_str::<ContextFiles>(text).unwrap_err().to_string().contains("not base64"));
    }

    fn node() -> impl Strategy<Value = (usize, Kind, u16, [u8; 4], [u8; 4])> {
        let kinds = [Kind::Directory, Kind::File, Kind::Unread, Kind::Withheld, Kind::Link, Kind::Other];
        (0..4_usize, prop::sample::select(kinds.to_vec()), 0..=0o7777_u16, any::<[u8; 4]>(), any::<[u8; 4]>())
    }

    proptest! {
        #[test]
        fn comes_back_as_it_was(entries in prop::collection::vec(node(), 0..40), listed: bool) {
            let mut open = Vec::new();
            let mut nodes = Vec::new();
            for (closes, kind, permissions, name, digest) in entries {
                open.truncate(open.len().saturating_sub(closes));
                let digest = if kind.has_digest() { digest } else { [0; 4] };
                nodes.push(Node { parent: open.last().copied(), name, kind, permissions, digest });
                if kind == Kind::Directory {
                    open.push(nodes.len() - 1);
                }
            }
            let files = ContextFiles { coverage: Keyed([7; 4]), listed, nodes, names: Vec::new() };
            let text = serde_json::to_string(&files).unwrap();
            prop_assert_eq!(serde_json::from_str::<ContextFiles>(&text).unwrap(), files);
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(prop::sample::select(vec![0_u8, 0x11, 0x21, 0x51, 9]), 0..64)) {
            if let Ok(files) = unpack(&bytes) {
                let same = super::super::compare::changes(&files, &files);
                prop_assert!(same.content.is_empty() && same.permissions.is_empty());
            }
        }
    }
}

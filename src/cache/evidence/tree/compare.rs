//! What differs between two trees.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::{ContextFiles, Kind, Node};
use crate::cache::evidence::keyed::LENGTH;

/// What changed among the files of a context. Paths are relative to it, with `/`, in the order of the walk.
///
/// A directory counts where only its permissions changed, or where it is new or gone and empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileChanges {
    /// Other content, link target or attributes, or another kind of file. Permissions may have changed too.
    pub content: Vec<String>,
    /// The same content with other permissions.
    pub permissions: Vec<String>,
    /// New.
    pub added: Vec<String>,
    /// How many are gone, by the nearest directory that is still there; `.` is the context itself.
    pub removed: BTreeMap<String, usize>,
    /// How many files are in both trees and were not read in one of them: they may have changed.
    pub unknown: usize,
    /// Whether both trees are whole and cover the same part of the context. `added` and `removed` are empty if not:
    /// what is missing may only have been left out.
    pub listed: bool,
}

impl FileChanges {
    /// Whether every file is known to be as it was.
    pub fn is_unchanged(&self) -> bool {
        *self == Self { listed: true, ..Self::default() }
    }
}

/// Where a node is looked up: its directory (in the earlier tree), its name, whether it is a directory itself.
type Key = (Option<usize>, [u8; LENGTH], bool);

/// Compares; `now` is named, unnamed nodes of it are left out of the lists.
pub(in crate::cache::evidence) fn changes(before: &ContextFiles, now: &ContextFiles) -> FileChanges {
    let pairs = pair(before, now);
    let listed = before.listed && now.listed && before.coverage == now.coverage;
    let mut changes = FileChanges { listed, ..FileChanges::default() };
    let occupied = occupied(now);
    let nodes = now.nodes.iter().zip(&pairs.of_now).zip(occupied).enumerate();
    for (index, ((node, earlier), occupied)) in nodes {
        let list = match earlier.and_then(|earlier| before.nodes.get(earlier)) {
            None if listed && !occupied => &mut changes.added,
            None => continue,
            Some(earlier) => match difference(earlier, node) {
                Difference::None => continue,
                Difference::Unknown => {
                    changes.unknown += 1;
                    continue;
                }
                Difference::Content => &mut changes.content,
                Difference::Permissions => &mut changes.permissions,
            },
        };
        list.extend(now.path(index));
    }
    if listed {
        changes.removed = removed(before, now, &pairs.of_before);
    }
    changes
}

/// The place of each node's counterpart in the other tree.
struct Pairs {
    of_now: Vec<Option<usize>>,
    of_before: Vec<Option<usize>>,
}

fn pair(before: &ContextFiles, now: &ContextFiles) -> Pairs {
    // Two names in a directory can have one digest: then they are taken in their order.
    let mut waiting: HashMap<Key, VecDeque<usize>> = HashMap::new();
    for (index, node) in before.nodes.iter().enumerate() {
        waiting.entry((node.parent, node.name, node.kind.is_directory())).or_default().push_back(index);
    }
    let mut of_now: Vec<Option<usize>> = Vec::with_capacity(now.nodes.len());
    let mut of_before = vec![None; before.nodes.len()];
    for (index, node) in now.nodes.iter().enumerate() {
        let directory = match node.parent {
            None => Some(None),
            Some(parent) => of_now.get(parent).copied().flatten().map(Some),
        };
        let key = directory.map(|directory| (directory, node.name, node.kind.is_directory()));
        let earlier = key.and_then(|key| waiting.get_mut(&key)?.pop_front());
        of_now.push(earlier);
        if let Some(place) = earlier.and_then(|earlier| of_before.get_mut(earlier)) {
            *place = Some(index);
        }
    }
    Pairs { of_now, of_before }
}

/// Which nodes are directories with something in them.
fn occupied(files: &ContextFiles) -> Vec<bool> {
    let mut occupied = vec![false; files.nodes.len()];
    for node in &files.nodes {
        if let Some(parent) = node.parent.and_then(|parent| occupied.get_mut(parent)) {
            *parent = true;
        }
    }
    occupied
}

enum Difference {
    None,
    Content,
    Permissions,
    Unknown,
}

fn difference(before: &Node, now: &Node) -> Difference {
    let content = match (before.kind, now.kind) {
        (Kind::Withheld, _) | (_, Kind::Withheld) | (Kind::Unread, Kind::File) | (Kind::File, Kind::Unread) => {
            return Difference::Unknown;
        }
        (Kind::Unread, Kind::Unread) if before.digest == now.digest => return Difference::Unknown,
        (before_kind, now_kind) => before_kind != now_kind || before.digest != now.digest,
    };
    match (content, before.permissions == now.permissions) {
        (true, _) => Difference::Content,
        (false, false) => Difference::Permissions,
        (false, true) => Difference::None,
    }
}

fn removed(before: &ContextFiles, now: &ContextFiles, of_before: &[Option<usize>]) -> BTreeMap<String, usize> {
    // The directory that is still there, itself or the nearest above; directories come before what lies in them.
    let mut nearest: Vec<Option<usize>> = Vec::with_capacity(before.nodes.len());
    let mut counts: BTreeMap<Option<usize>, usize> = BTreeMap::new();
    for ((node, counterpart), occupied) in before.nodes.iter().zip(of_before).zip(occupied(before)) {
        let above = node.parent.and_then(|parent| nearest.get(parent).copied().flatten());
        nearest.push(counterpart.or(above));
        if counterpart.is_none() && !occupied {
            *counts.entry(above).or_default() += 1;
        }
    }
    let path = |directory: Option<usize>| directory.and_then(|index| now.path(index)).unwrap_or_else(|| ".".to_owned());
    counts.into_iter().map(|(directory, count)| (path(directory), count)).collect()
}

#[cfg(test)]
mod tests {
    use super::{ContextFiles, FileChanges, Kind, Node, changes};
    use crate::cache::evidence::keyed::Keyed;

    fn files(nodes: &[(Option<usize>, u8, Kind, u16, u8)]) -> ContextFiles {
        let node = |(parent, name, kind, permissions, digest): &(Option<usize>, u8, Kind, u16, u8)| Node {
            parent: *parent,
            name: [*name; 4],
            kind: *kind,
            permissions: *permissions,
            digest: [*digest; 4],
        };
        let names = nodes.iter().map(|node| char::from(node.1).to_string()).collect();
        ContextFiles { coverage: Keyed::default(), listed: true, nodes: nodes.iter().map(node).collect(), names }
    }

    #[test]
    fn what_was_not_read_is_unknown_unless_its_size_changed() {
        let of = |kind, digest| files(&[(None, b'a', kind, 0o644, digest)]);
        for (before, now, content, unknown) in [
            (of(Kind::Unread, 1), of(Kind::Unread, 1), 0, 1),
            (of(Kind::Unread, 1), of(Kind::Unread, 2), 1, 0),
            (of(Kind::Unread, 1), of(Kind::File, 1), 0, 1),
            (of(Kind::File, 1), of(Kind::Unread, 1), 0, 1),
            (of(Kind::Withheld, 0), of(Kind::File, 1), 0, 1),
            (of(Kind::Unread, 1), of(Kind::Link, 1), 1, 0),
            (of(Kind::File, 1), of(Kind::Link, 1), 1, 0),
            (of(Kind::File, 1), of(Kind::File, 1), 0, 0),
        ] {
            let found = changes(&before, &now);
            assert_eq!((found.content.len(), found.unknown), (content, unknown), "{before:?} {now:?}");
            assert_eq!(found.is_unchanged(), content + unknown == 0);
        }
    }

    #[test]
    fn names_with_one_digest_are_taken_in_their_order() {
        let of = |first, second| files(&[(None, b'a', Kind::File, 0, first), (None, b'a', Kind::File, 0, second)]);
        assert!(changes(&of(1, 2), &of(1, 2)).is_unchanged());
        assert_eq!(changes(&of(1, 2), &of(1, 3)).content.len(), 1);
    }

    #[test]
    fn a_file_in_place_of_a_directory() {
        let directory = files(&[(None, b'a', Kind::Directory, 0o755, 0), (Some(0), b'b', Kind::File, 0, 1)]);
        let file = files(&[(None, b'a', Kind::File, 0o644, 1)]);
        let listed = FileChanges { listed: true, ..FileChanges::default() };
        assert_eq!(
            changes(&directory, &file),
            FileChanges { added: vec!["a".into()], removed: [(".".into(), 1)].into(), ..listed.clone() }
        );
        assert_eq!(
            changes(&file, &directory),
            FileChanges { added: vec!["a/b".into()], removed: [(".".into(), 1)].into(), ..listed }
        );
    }

    #[test]
    fn a_list_that_is_not_whole_tells_of_neither_new_nor_gone() {
        let before = files(&[(None, b'a', Kind::File, 0, 1), (None, b'b', Kind::File, 0, 1)]);
        let now = files(&[(None, b'a', Kind::File, 0, 2), (None, b'c', Kind::File, 0, 1)]);
        let only_content = FileChanges { content: vec!["a".into()], ..FileChanges::default() };
        for part in [
            changes(&ContextFiles { listed: false, ..before.clone() }, &now),
            changes(&before, &ContextFiles { listed: false, ..now.clone() }),
            changes(&before, &ContextFiles { coverage: Keyed([1; 4]), ..now.clone() }),
        ] {
            assert_eq!(part, only_content);
        }
        let whole = changes(&before, &now);
        assert_eq!((whole.added, whole.removed), (vec!["c".to_owned()], [(".".to_owned(), 1)].into()));
    }
}

//! Reads the files of one context into a tree.

use std::collections::{BTreeMap, HashSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bollard_buildkit_proto::fsutil::types::Stat;
use tokio_util::sync::CancellationToken;

use super::keyed::{Hasher, Keyed, Of, Salt};
use super::tree::{ContextFiles, Kind, MAX_ENTRIES, Node};
use crate::buildkit::session::filesync::{Content, ContextFile, Stats, SyncError, follow_links};
use crate::patterns::{Entry, Filter, Walk};

/// Bytes of content that are read of one context. Where there is more, the largest files are left out.
const MAX_CONTENT: u64 = 256 * 1024 * 1024;

/// A context to read.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) root: PathBuf,
    /// The patterns of its ignore file.
    pub(super) exclude: Vec<String>,
    /// What of it is used ([`super::sources`]); `None` means everything.
    pub(super) sources: Option<Vec<String>>,
    /// Files that are not to be read.
    pub(super) withheld: Withheld,
    pub(super) limits: Limits,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) entries: usize,
    pub(super) content: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: MAX_ENTRIES, content: MAX_CONTENT }
    }
}

/// Files by device and inode, so that neither a link nor another spelling of a path leads to one of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Withheld(HashSet<(u64, u64)>);

impl Withheld {
    /// Those of the paths that exist.
    pub(super) fn new<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let metadata = paths.into_iter().filter_map(|path| std::fs::metadata(path).ok());
        Self(metadata.map(|metadata| (metadata.dev(), metadata.ino())).collect())
    }

    fn holds(&self, metadata: &Metadata) -> bool {
        self.0.contains(&(metadata.dev(), metadata.ino()))
    }
}

/// A file whose content is still to be read.
struct Unread {
    node: usize,
    size: u64,
    attributes: BTreeMap<String, Vec<u8>>,
}

/// Reads it; `None` if it was cancelled. What cannot be read makes the tree a part, never an error: the build itself
/// fails where that matters.
pub(super) fn read(salt: &Salt, context: &Context, cancelled: &CancellationToken) -> Option<ContextFiles> {
    let coverage = coverage(salt, context.sources.as_deref());
    let files = ContextFiles { coverage, listed: true, nodes: Vec::new(), names: Vec::new() };
    let mut reader = Reader { salt, context, files, unread: Vec::new(), open: Vec::new() };
    // No pattern would mean everything.
    if context.sources.as_ref().is_none_or(|sources| !sources.is_empty()) {
        match reader.walk() {
            Ok(walk) => reader.list(walk, cancelled)?,
            Err(error) => reader.leave_out(&error),
        }
    }
    reader.read_contents(cancelled)?;
    Some(reader.files)
}

fn coverage(salt: &Salt, sources: Option<&[String]>) -> Keyed {
    let sources: Vec<&[u8]> = sources.map_or(vec![b"/"], |sources| sources.iter().map(String::as_bytes).collect());
    salt.keyed(Of::Coverage, &sources)
}

struct Reader<'a> {
    salt: &'a Salt,
    context: &'a Context,
    files: ContextFiles,
    unread: Vec<Unread>,
    /// The directories that the last entry lies in, from the top, and their nodes.
    open: Vec<(PathBuf, usize)>,
}

impl Reader<'_> {
    fn walk(&self) -> Result<Walk, SyncError> {
        let root = &self.context.root;
        let sources = self.context.sources.as_deref().unwrap_or_default();
        let include = if sources.is_empty() { Vec::new() } else { follow_links(root, sources)? };
        Ok(Walk::new(root.clone(), Filter::new(&include, &self.context.exclude)?)?)
    }

    fn list(&mut self, walk: Walk, cancelled: &CancellationToken) -> Option<()> {
        let mut stats = Stats::new(self.context.root.clone());
        for entry in walk {
            if cancelled.is_cancelled() {
                return None;
            }
            if self.files.nodes.len() >= self.context.limits.entries {
                self.files.listed = false;
                break;
            }
            let added = entry.map_err(SyncError::from).and_then(|entry| {
                let (stat, content) = stats.of(&entry)?;
                self.add(&entry, &stat, content);
                Ok(())
            });
            if let Err(error) = added {
                self.leave_out(&error);
            }
        }
        Some(())
    }

    fn leave_out(&mut self, error: &SyncError) {
        tracing::debug!(%error, "evidence is incomplete");
        self.files.listed = false;
    }

    fn add(&mut self, entry: &Entry, stat: &Stat, content: Content) {
        let directory = entry.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        while self.open.last().is_some_and(|(path, _)| Some(path.as_path()) != directory) {
            self.open.pop();
        }
        let parent = self.open.last().map(|(_, node)| *node);
        // Its directory went away while it was listed.
        if parent.is_some() != directory.is_some() {
            self.files.listed = false;
            return;
        }
        let name = stat.path.rsplit('/').next().unwrap_or_default().to_owned();
        let index = self.files.nodes.len();
        let kind = entry.metadata.file_type();
        let attributes = attributes(stat);
        let (kind, digest) = if kind.is_dir() {
            self.open.push((entry.path.clone(), index));
            (Kind::Directory, Keyed::default())
        } else if self.context.withheld.holds(&entry.metadata) {
            (Kind::Withheld, Keyed::default())
        } else if kind.is_symlink() {
            (Kind::Link, self.digest(Of::Link, &attributes, stat.linkname.as_bytes()))
        } else if content == Content::File {
            let size = entry.metadata.len();
            self.unread.push(Unread { node: index, size, attributes });
            (Kind::Unread, self.salt.keyed(Of::Unread, &[&size.to_le_bytes()]))
        } else {
            let kind = format!("{:o} {} {}", entry.metadata.mode() & 0o170_000, stat.devmajor, stat.devminor);
            (Kind::Other, self.digest(Of::Other, &attributes, kind.as_bytes()))
        };
        self.files.nodes.push(Node {
            parent,
            name: self.salt.keyed(Of::Name, &[name.as_bytes()]).0,
            kind,
            permissions: u16::try_from(entry.metadata.mode() & 0o7777).unwrap_or_default(),
            digest: digest.0,
        });
        self.files.names.push(name);
    }

    fn digest(&self, of: Of, attributes: &BTreeMap<String, Vec<u8>>, rest: &[u8]) -> Keyed {
        let mut hasher = with_attributes(self.salt, of, attributes);
        hasher.piece(rest);
        hasher.finish()
    }

    fn read_contents(&mut self, cancelled: &CancellationToken) -> Option<()> {
        let unread = std::mem::take(&mut self.unread);
        let largest = largest_to_read(unread.iter().map(|file| file.size), self.context.limits.content);
        for file in unread.iter().filter(|file| file.size <= largest) {
            match self.read_content(file, cancelled)? {
                Ok(digest) => {
                    if let Some(node) = self.files.nodes.get_mut(file.node) {
                        (node.kind, node.digest) = (Kind::File, digest.0);
                    }
                }
                // It stays a file that was not read.
                Err(error) => tracing::debug!(%error, "evidence is incomplete"),
            }
        }
        Some(())
    }

    fn read_content(&self, file: &Unread, cancelled: &CancellationToken) -> Option<Result<Keyed, SyncError>> {
        let path = self.files.path(file.node).unwrap_or_default();
        let mut hasher = with_attributes(self.salt, Of::File, &file.attributes);
        let mut content = match ContextFile::open(&self.context.root, &path) {
            Ok(content) => content,
            Err(error) => return Some(Err(error)),
        };
        loop {
            if cancelled.is_cancelled() {
                return None;
            }
            match content.next_chunk() {
                Ok(Some(chunk)) => hasher.piece(&chunk),
                Ok(None) => return Some(Ok(hasher.finish())),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

fn with_attributes(salt: &Salt, of: Of, attributes: &BTreeMap<String, Vec<u8>>) -> Hasher {
    let mut hasher = salt.hasher(of);
    hasher.part(&(attributes.len() as u64).to_le_bytes());
    for (name, value) in attributes {
        hasher.part(name.as_bytes());
        hasher.part(value);
    }
    hasher
}

/// The extended attributes that are in a cache key (`v1TarHeaderSelect` in cache/contenthash/tarsum.go).
fn attributes(stat: &Stat) -> BTreeMap<String, Vec<u8>> {
    let counts =
        |name: &str| name == "security.capability" || !(name.starts_with("security.") || name.starts_with("system."));
    let attributes = stat.xattrs.iter().filter(|(name, _)| counts(name));
    attributes.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The size up to which files fit into `limit` together, the smallest first: sources come before data.
fn largest_to_read(sizes: impl Iterator<Item = u64>, limit: u64) -> u64 {
    let mut by_size: BTreeMap<u64, u64> = BTreeMap::new();
    for size in sizes {
        *by_size.entry(size).or_default() += 1;
    }
    let mut left = limit;
    let mut largest = 0;
    for (size, count) in by_size {
        match left.checked_sub(size.saturating_mul(count)) {
            Some(rest) => (left, largest) = (rest, size),
            None => break,
        }
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::{Stat, attributes, largest_to_read};

    #[test]
    fn attributes_count_as_buildkit_counts_them() {
        let names = ["user.x", "trusted.y", "security.capability", "security.selinux", "system.posix_acl_access"];
        let stat = Stat { xattrs: names.map(|name| (name.to_owned(), b"1".into())).into(), ..Stat::default() };
        let counted: Vec<_> = attributes(&stat).into_keys().collect();
        assert_eq!(counted, ["security.capability", "trusted.y", "user.x"]);
    }

    #[test]
    fn small_files_are_read_first() {
        for (sizes, limit, expected) in [
            (&[5, 1, 3][..], 9, 5),
            (&[5, 1, 3], 8, 3),
            (&[5, 5, 1], 10, 1),
            (&[5, 5, 1], 11, 5),
            (&[0, 0], 0, 0),
            (&[1], 0, 0),
            (&[u64::MAX, u64::MAX, 2], 4, 2),
            (&[], 4, 0),
        ] {
            assert_eq!(largest_to_read(sizes.iter().copied(), limit), expected, "{sizes:?}");
        }
    }
}

//! From the system's metadata to fsutil's `Stat` (stat.go, stat_unix.go).

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use bollard_buildkit_proto::fsutil::types::Stat;
use rustix::io::Errno;

use crate::patterns::Entry;

use super::error::SyncError;

/// Bits of Go's `io/fs.FileMode` above the nine permission bits.
mod go_mode {
    pub(super) const DIR: u32 = 1 << 31;
    pub(super) const SYMLINK: u32 = 1 << 27;
    pub(super) const DEVICE: u32 = 1 << 26;
    pub(super) const NAMED_PIPE: u32 = 1 << 25;
    pub(super) const SETUID: u32 = 1 << 23;
    pub(super) const SETGID: u32 = 1 << 22;
    pub(super) const CHAR_DEVICE: u32 = 1 << 21;
    pub(super) const STICKY: u32 = 1 << 20;
}

/// What can be asked for an entry's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// Directories, symbolic links, devices and pipes have none.
    None,
    File,
    /// A socket is sent as an empty file: the wire format has no sockets (fsutil clears the bit).
    Empty,
}

/// Makes the stats of one transfer; remembers files with several names.
#[derive(Debug)]
pub(crate) struct Stats {
    root: PathBuf,
    /// Device and inode to the path that was sent first.
    linked: HashMap<(u64, u64), String>,
    /// The filesystem that was last found to have no extended attributes.
    without_attributes: Option<u64>,
}

impl Stats {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, linked: HashMap::new(), without_attributes: None }
    }

    /// Owners are 0: an image must not depend on who checked the sources out (buildx's `resetUIDAndGID`).
    pub(crate) fn of(&mut self, entry: &Entry) -> Result<(Stat, Content), SyncError> {
        let metadata = &entry.metadata;
        let Some(path) = entry.path.to_str() else {
            return Err(SyncError::NameNotUtf8 { name: entry.path.to_string_lossy().into_owned() });
        };
        let full = self.root.join(&entry.path);
        let kind = metadata.file_type();
        let mut stat = Stat {
            path: path.to_owned(),
            mode: mode(metadata),
            mod_time: metadata.mtime().wrapping_mul(1_000_000_000).wrapping_add(metadata.mtime_nsec()),
            ..Stat::default()
        };
        if !kind.is_dir() {
            stat.size = i64::try_from(metadata.len()).unwrap_or(i64::MAX);
        }
        if kind.is_block_device() || kind.is_char_device() {
            (stat.devmajor, stat.devminor) = device(metadata.rdev());
        }
        if kind.is_symlink() {
            stat.linkname = read_link(&full, path)?;
        } else if !kind.is_dir() && metadata.nlink() > 1 {
            match self.linked.get(&(metadata.dev(), metadata.ino())) {
                Some(first) => stat.linkname.clone_from(first),
                None => {
                    self.linked.insert((metadata.dev(), metadata.ino()), path.to_owned());
                }
            }
        }
        self.load_attributes(&full, metadata.dev(), &mut stat)?;
        let content = if kind.is_file() {
            Content::File
        } else if kind.is_socket() {
            Content::Empty
        } else {
            Content::None
        };
        Ok((stat, content))
    }

    fn load_attributes(&mut self, full: &Path, device: u64, stat: &mut Stat) -> Result<(), SyncError> {
        if self.without_attributes == Some(device) {
            return Ok(());
        }
        match attribute_names(full) {
            Ok(names) if names.is_empty() => Ok(()),
            Ok(names) => {
                for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
                    // macOS's own attributes mean nothing elsewhere; fsutil leaves them out too.
                    let Ok(name) = std::str::from_utf8(name) else { continue };
                    if name.starts_with("com.apple.") {
                        continue;
                    }
                    // One that is gone or not for us to read is left out (fsutil does so).
                    if let Ok(value) = attribute(full, name) {
                        stat.xattrs.insert(name.to_owned(), value);
                    }
                }
                Ok(())
            }
            Err(Errno::NOTSUP) => {
                self.without_attributes = Some(device);
                Ok(())
            }
            // Gone since it was listed: its content, if asked for, will tell.
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(SyncError::ReadAttributes { path: stat.path.clone(), source: error.into() }),
        }
    }
}

fn read_link(full: &Path, path: &str) -> Result<String, SyncError> {
    let target = fs::read_link(full).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => SyncError::Removed { path: path.to_owned() },
        _ => SyncError::ReadLink { path: path.to_owned(), source },
    })?;
    target.into_os_string().into_string().map_err(|_| SyncError::TargetNotUtf8 { name: path.to_owned() })
}

/// Go's `FileMode` of a file.
fn mode(metadata: &Metadata) -> u32 {
    let unix = metadata.mode();
    let kind = metadata.file_type();
    let kind = if kind.is_dir() {
        go_mode::DIR
    } else if kind.is_symlink() {
        go_mode::SYMLINK
    } else if kind.is_block_device() {
        go_mode::DEVICE
    } else if kind.is_char_device() {
        go_mode::DEVICE | go_mode::CHAR_DEVICE
    } else if kind.is_fifo() {
        go_mode::NAMED_PIPE
    } else {
        0
    };
    let special = [(0o4000, go_mode::SETUID), (0o2000, go_mode::SETGID), (0o1000, go_mode::STICKY)];
    special.iter().filter(|(bit, _)| unix & bit != 0).fold(kind | unix & 0o777, |mode, (_, bit)| mode | bit)
}

/// Major and minor number, with the masks of stat_unix.go.
fn device(number: u64) -> (i64, i64) {
    let major = (number >> 8) & 0xfff;
    let minor = (number & 0xff) | ((number >> 12) & 0xf_ff00);
    (major.cast_signed(), minor.cast_signed())
}

fn attribute_names(path: &Path) -> Result<Vec<u8>, Errno> {
    // Most files have no attribute or one: the first try nearly always suffices.
    grow(256, |buffer| rustix::fs::llistxattr(path, buffer))
}

fn attribute(path: &Path, name: &str) -> Result<Vec<u8>, Errno> {
    grow(256, |buffer| rustix::fs::lgetxattr(path, name, buffer))
}

/// Calls with a larger buffer until the answer fits.
fn grow(size: usize, call: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    // The kernel's own limit on a list and on a value.
    const LIMIT: usize = 64 * 1024;
    let mut buffer = vec![0; size];
    loop {
        match call(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < LIMIT => buffer.resize(LIMIT, 0),
            Err(error) => return Err(error),
        }
    }
}

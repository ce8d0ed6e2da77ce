//! Reads one context file in chunks, whatever happens to it meanwhile.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::error::SyncError;

/// Bytes of content in one packet. Builders take up to 4 MiB in a message and write each to disk as it comes; fsutil
/// sends 32 KiB, four times as many packets.
pub(super) const CHUNK: usize = 128 * 1024;

/// A regular file that is being sent.
///
/// It is sent up to the size that it had when it was opened, so that one that keeps growing has an end; one that
/// shrinks just ends earlier, as the protocol announces no size that would have to be met.
#[derive(Debug)]
pub(crate) struct ContextFile<'a> {
    path: &'a str,
    descriptor: OwnedFd,
    left: Left,
}

#[derive(Debug, Clone, Copy)]
enum Left {
    Bytes(u64),
    /// Files of the kernel's own filesystems say 0 and have content.
    Unknown,
}

impl<'a> ContextFile<'a> {
    pub(crate) fn open(root: &Path, path: &'a str) -> Result<Self, SyncError> {
        // Neither a symbolic link nor a pipe that took the file's place must be followed or waited for.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let descriptor =
            rustix::fs::open(root.join(path), flags, Mode::empty()).map_err(|error| open_error(path, error))?;
        let stat = rustix::fs::fstat(&descriptor).map_err(|error| read_error(path, error))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(SyncError::Replaced { path: path.to_owned() });
        }
        let left = match u64::try_from(stat.st_size) {
            Ok(0) | Err(_) => Left::Unknown,
            Ok(size) => Left::Bytes(size),
        };
        Ok(Self { path, descriptor, left })
    }

    /// The next bytes, at most [`CHUNK`]; `None` at the end.
    pub(crate) fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, SyncError> {
        let wanted = match self.left {
            Left::Bytes(left) => usize::try_from(left).unwrap_or(CHUNK).min(CHUNK),
            Left::Unknown => CHUNK,
        };
        let mut chunk = Vec::with_capacity(wanted);
        while chunk.len() < wanted {
            match rustix::io::read(&self.descriptor, rustix::buffer::spare_capacity(&mut chunk)) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(read_error(self.path, error)),
            }
        }
        if let Left::Bytes(left) = &mut self.left {
            *left = left.saturating_sub(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        }
        Ok((!chunk.is_empty()).then_some(chunk))
    }
}

fn open_error(path: &str, error: Errno) -> SyncError {
    let path = path.to_owned();
    match error {
        Errno::NOENT | Errno::NOTDIR => SyncError::Removed { path },
        Errno::LOOP | Errno::NXIO => SyncError::Replaced { path },
        error => SyncError::ReadFile { path, source: io::Error::from(error) },
    }
}

fn read_error(path: &str, error: Errno) -> SyncError {
    SyncError::ReadFile { path: path.to_owned(), source: io::Error::from(error) }
}

//! The archive itself: headers, contents, and an end only if everything before it is whole.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc;

use super::ContextError;
use crate::patterns::Entry;

/// Bytes sent at once.
const CHUNK: usize = 128 * 1024;
/// Bytes of a name that a header has room for (POSIX `ustar`).
const NAME_SIZE: usize = 100;

/// Why writing stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// Nobody reads the stream any more.
    Gone,
    Failed(ContextError),
}

impl From<ContextError> for Stop {
    fn from(error: ContextError) -> Self {
        Self::Failed(error)
    }
}

/// An archive that is being written.
pub(super) struct Archive {
    builder: Builder<Sink>,
    /// Device and inode to the path that was sent first, of files with several names.
    linked: HashMap<(u64, u64), PathBuf>,
}

impl Archive {
    pub(super) fn new(out: mpsc::Sender<io::Result<Bytes>>) -> Self {
        let sink = Sink { out: Some(out), buffer: BytesMut::with_capacity(CHUNK) };
        Self { builder: Builder::new(sink), linked: HashMap::new() }
    }

    /// Adds what the walk found.
    pub(super) fn add(&mut self, root: &Path, entry: &Entry) -> Result<(), Stop> {
        let (path, metadata) = (&entry.path, &entry.metadata);
        let kind = metadata.file_type();
        let mut header = header(metadata);
        if kind.is_socket() {
            // The format has none; Docker's client leaves them out as well.
            return Ok(());
        }
        if !kind.is_dir() && metadata.nlink() > 1 {
            let inode = (metadata.dev(), metadata.ino());
            if let Some(first) = self.linked.get(&inode).cloned() {
                header.set_entry_type(EntryType::Link);
                return self.append(
                    header,
                    path.as_os_str().as_bytes(),
                    Some(first.as_os_str().as_bytes()),
                    io::empty(),
                );
            }
            self.linked.insert(inode, path.clone());
        }
        if kind.is_file() {
            return self.add_file(&root.join(path), path);
        }
        if kind.is_symlink() {
            header.set_entry_type(EntryType::Symlink);
            let target = std::fs::read_link(root.join(path)).map_err(|error| link_error(path, error))?;
            return self.append(header, path.as_os_str().as_bytes(), Some(target.as_os_str().as_bytes()), io::empty());
        }
        let mut name = path.as_os_str().as_bytes().to_vec();
        if kind.is_dir() {
            header.set_entry_type(EntryType::Directory);
            name.push(b'/');
        } else if kind.is_fifo() {
            header.set_entry_type(EntryType::Fifo);
        } else {
            header.set_entry_type(if kind.is_char_device() { EntryType::Char } else { EntryType::Block });
            set_device(&mut header, metadata.rdev());
        }
        self.append(header, &name, None, io::empty())
    }

    /// Adds a file from elsewhere under a name of the archive.
    pub(super) fn add_file_as(&mut self, path: &Path, name: &str) -> Result<(), Stop> {
        // Its path may be a link; what it leads to was looked at before.
        let real =
            path.canonicalize().map_err(|source| ContextError::FindDockerfile { path: path.to_owned(), source })?;
        self.add_file(&real, Path::new(name))
    }

    /// Adds a small file from memory.
    pub(super) fn add_text(&mut self, name: &str, content: &[u8]) -> Result<(), Stop> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut header = blank(0o600, now.as_secs());
        header.set_size(u64::try_from(content.len()).unwrap_or(u64::MAX));
        self.append(header, name.as_bytes(), None, content)
    }

    /// Writes the archive's end.
    pub(super) fn finish(self) {
        // Who does not read any more need not be told.
        let _ = self.builder.into_inner().and_then(|mut sink| sink.flush());
    }

    /// Ends the stream with an error in place of the archive's end, which the builder would write when it is dropped:
    /// to the engine a part would look whole.
    pub(super) fn fail(mut self, error: ContextError) {
        if let Some(out) = self.builder.get_mut().out.take() {
            let _ = out.blocking_send(Err(io::Error::other(error)));
        }
    }

    /// Writes nothing more.
    pub(super) fn abandon(mut self) {
        self.builder.get_mut().out = None;
    }

    fn add_file(&mut self, full: &Path, path: &Path) -> Result<(), Stop> {
        let file = open(full, path)?;
        let metadata = file.metadata().map_err(|source| read_error(path, source))?;
        if !metadata.is_file() {
            return Err(ContextError::Replaced { path: path.to_owned() }.into());
        }
        let mut header = header(&metadata);
        header.set_size(metadata.len());
        let content = Content { path, file, left: metadata.len() };
        self.append(header, path.as_os_str().as_bytes(), None, content)
    }

    /// Not by the builder's own methods for names: they tidy what a symbolic link holds.
    fn append(&mut self, mut header: Header, name: &[u8], link: Option<&[u8]>, content: impl Read) -> Result<(), Stop> {
        let long = |value: &[u8]| value.len() > NAME_SIZE;
        let records = [("path", Some(name)), ("linkpath", link)];
        let records = records.iter().filter_map(|(key, value)| Some((*key, value.filter(|value| long(value))?)));
        let records: Vec<(&str, &[u8])> = records.collect();
        let old = header.as_old_mut();
        fill(&mut old.name, name);
        fill(&mut old.linkname, link.unwrap_or_default());
        header.set_cksum();
        let extended = if records.is_empty() { Ok(()) } else { self.builder.append_pax_extensions(records) };
        extended.and_then(|()| self.builder.append(&header, content)).map_err(stop)
    }
}

/// Owners are 0: an image must not depend on who checked the sources out.
fn header(metadata: &Metadata) -> Header {
    blank(metadata.mode() & 0o7777, u64::try_from(metadata.mtime()).unwrap_or(0))
}

fn blank(mode: u32, mtime: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(mode);
    header.set_mtime(mtime);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header
}

fn set_device(header: &mut Header, device: u64) {
    if let Some(header) = header.as_ustar_mut() {
        header.set_device_major(rustix::fs::major(device));
        header.set_device_minor(rustix::fs::minor(device));
    }
}

/// As much of a name as a field has room for; all of a longer one stands in an extended header.
fn fill(field: &mut [u8; NAME_SIZE], value: &[u8]) {
    for (slot, byte) in field.iter_mut().zip(value) {
        *slot = *byte;
    }
}

fn open(full: &Path, path: &Path) -> Result<File, ContextError> {
    // Neither a symbolic link nor a pipe that took the file's place must be followed or waited for.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let path = || path.to_owned();
    rustix::fs::open(full, flags, Mode::empty()).map(File::from).map_err(|error| match error {
        Errno::NOENT | Errno::NOTDIR => ContextError::Removed { path: path() },
        Errno::LOOP | Errno::NXIO => ContextError::Replaced { path: path() },
        error => ContextError::ReadFile { path: path(), source: error.into() },
    })
}

fn read_error(path: &Path, source: io::Error) -> ContextError {
    ContextError::ReadFile { path: path.to_owned(), source }
}

fn link_error(path: &Path, error: io::Error) -> ContextError {
    match error.kind() {
        io::ErrorKind::NotFound => ContextError::Removed { path: path.to_owned() },
        io::ErrorKind::InvalidInput => ContextError::Replaced { path: path.to_owned() },
        _ => read_error(path, error),
    }
}

/// An error that is not one of ours is the sink's.
fn stop(error: io::Error) -> Stop {
    match error.downcast::<ContextError>() {
        Ok(error) => Stop::Failed(error),
        Err(_) => Stop::Gone,
    }
}

/// A file's content: exactly as many bytes as its header announced.
struct Content<'a> {
    path: &'a Path,
    file: File,
    left: u64,
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let buffer = buffer.get_mut(..wanted).unwrap_or_default();
        match self.file.read(buffer) {
            Ok(0) => Err(io::Error::other(ContextError::Shortened { path: self.path.to_owned() })),
            Ok(read) => {
                self.left = self.left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => Err(io::Error::other(read_error(self.path, error))),
        }
    }
}

/// Collects small writes, and waits while the connection is slower than the disk.
struct Sink {
    /// Absent when nothing more may be written.
    out: Option<mpsc::Sender<io::Result<Bytes>>>,
    buffer: BytesMut,
}

impl Write for Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.out.is_none() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.buffer.extend_from_slice(data);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let chunk = self.buffer.split().freeze();
        if chunk.is_empty() {
            return Ok(());
        }
        let sent = self.out.as_ref().and_then(|out| out.blocking_send(Ok(chunk)).ok());
        sent.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

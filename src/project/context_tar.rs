//! The build context as one tar stream: what the classic builder takes.
//!
//! What travels is what Docker's own client sends (`cli/command/image/build/context.go`): the tree without what the
//! ignore file leaves out, but always the Dockerfile and the ignore file, owners 0, times in whole seconds, sockets left
//! out. A Dockerfile that does not lie in the context travels under a random name, which the ignore file that travels
//! names, so that the engine removes it again before a `COPY` could see it. Two things are as BuildKit has them: a
//! Dockerfile may have an ignore file of its own, and an exception is found in whatever directory.

mod archive;
mod error;

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

pub use error::ContextError;

use self::archive::{Archive, Stop};
use super::target::Dockerfile;
use crate::patterns::{Filter, PatternMatcher, Walk, ignorefile};

const IGNORE_FILE: &str = ".dockerignore";
/// Chunks between the thread that reads and the connection.
const CHANNEL: usize = 4;

/// The context of a directory as a tar stream, and the name that the Dockerfile has in it.
///
/// The tree is read while the stream is: nothing is held but a few chunks, and reading ends when the stream is dropped.
/// After an error the stream ends without the end of an archive, so that nothing can be built from a part. Errors of the
/// stream hold a [`ContextError`].
///
/// # Errors
/// The Dockerfile or the ignore file cannot be read, or a pattern in it is broken.
pub fn stream(
    context: &Path,
    dockerfile: &Dockerfile,
) -> Result<(String, impl Stream<Item = io::Result<Bytes>> + Send + 'static), ContextError> {
    let plan = Plan::new(context, dockerfile)?;
    let name = plan.dockerfile.clone();
    let (out, chunks) = mpsc::channel(CHANNEL);
    tokio::task::spawn_blocking(move || plan.write(Archive::new(out)));
    Ok((name, ReceiverStream::new(chunks)))
}

/// What goes into the archive.
#[derive(Debug)]
struct Plan {
    root: PathBuf,
    exclude: Vec<String>,
    /// The Dockerfile's name in the archive.
    dockerfile: String,
    foreign: Option<Foreign>,
}

/// A Dockerfile from elsewhere, and the ignore file that hides it from the build.
#[derive(Debug)]
struct Foreign {
    source: Source,
    ignore_file: Vec<u8>,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    Text(String),
}

impl Plan {
    fn new(context: &Path, dockerfile: &Dockerfile) -> Result<Self, ContextError> {
        let own_ignore_file = read_ignore_file(&context.join(IGNORE_FILE))?;
        let (inside, source, beside) = match dockerfile {
            Dockerfile::File(path) => {
                let inside = inside(context, path)?;
                (inside, Source::File(path.clone()), read_ignore_file(&beside(path))?)
            }
            Dockerfile::Inline(text) => (None, Source::Text(text.clone()), None),
            Dockerfile::InContext(path) => (Some(path.clone()), Source::File(context.join(path)), None),
        };
        let patterns = ignorefile::read(beside.as_deref().or(own_ignore_file.as_deref()).unwrap_or_default());
        let (dockerfile, foreign) = match inside {
            Some(name) => (name, None),
            None => {
                let mut random = uuid::Uuid::new_v4().simple().to_string();
                random.truncate(20);
                let name = format!(".dockerfile.{random}");
                let mut ignore_file = own_ignore_file.unwrap_or_else(|| IGNORE_FILE.into());
                ignore_file.extend(format!("\n{name}\n").into_bytes());
                (name, Some(Foreign { source, ignore_file }))
            }
        };
        let exclude = with_exceptions(patterns, &[IGNORE_FILE, &dockerfile])?;
        Ok(Self { root: context.to_owned(), exclude, dockerfile, foreign })
    }

    fn write(&self, mut archive: Archive) {
        match self.add_everything(&mut archive) {
            Ok(()) => archive.finish(),
            Err(Stop::Gone) => archive.abandon(),
            Err(Stop::Failed(error)) => archive.fail(error),
        }
    }

    fn add_everything(&self, archive: &mut Archive) -> Result<(), Stop> {
        if let Some(foreign) = &self.foreign {
            archive.add_text(IGNORE_FILE, &foreign.ignore_file)?;
            match &foreign.source {
                Source::File(path) => archive.add_file_as(path, &self.dockerfile)?,
                Source::Text(text) => archive.add_text(&self.dockerfile, text.as_bytes())?,
            }
        }
        let filter = Filter::new(&[], &self.exclude).map_err(ContextError::from)?;
        let walk = Walk::new(self.root.clone(), filter).map_err(ContextError::from)?;
        for entry in walk {
            let entry = entry.map_err(ContextError::from)?;
            if self.foreign.is_some() && entry.path == Path::new(IGNORE_FILE) {
                continue;
            }
            archive.add(&self.root, &entry)?;
        }
        Ok(())
    }
}

/// `docker/Dockerfile.dockerignore` of `docker/Dockerfile`.
fn beside(dockerfile: &Path) -> PathBuf {
    let mut path = dockerfile.as_os_str().to_owned();
    path.push(IGNORE_FILE);
    path.into()
}

fn read_ignore_file(path: &Path) -> Result<Option<Vec<u8>>, ContextError> {
    match std::fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(source) => Err(ContextError::ReadIgnoreFile { path: path.to_owned(), source }),
    }
}

/// The Dockerfile's path in the context, if it really lies there: the engine does not follow links out of it.
fn inside(context: &Path, dockerfile: &Path) -> Result<Option<String>, ContextError> {
    let real = |path: &Path| {
        path.canonicalize().map_err(|source| ContextError::FindDockerfile { path: path.to_owned(), source })
    };
    let (context, dockerfile) = (real(context)?, real(dockerfile)?);
    Ok(dockerfile.strip_prefix(&context).ok().and_then(Path::to_str).map(str::to_owned))
}

/// Lets the files that the engine itself needs through. Only where they are left out: an exception more makes the walk
/// open more directories.
fn with_exceptions(mut patterns: Vec<String>, needed: &[&str]) -> Result<Vec<String>, ContextError> {
    for path in needed {
        if PatternMatcher::new(&patterns)?.matches(path)? {
            patterns.push(format!("!{}", literal(path)));
        }
    }
    Ok(patterns)
}

/// A pattern that matches this path and nothing else.
fn literal(path: &str) -> String {
    path.chars()
        .flat_map(|c| matches!(c, '*' | '?' | '[' | ']' | '\\').then_some('\\').into_iter().chain([c]))
        .collect()
}

#[cfg(test)]
mod tests;

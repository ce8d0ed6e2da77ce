//! The walk of a tree in fsutil's order: names sorted as bytes, a directory just before what lies in it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::PatternError;
use super::filter::{Above, Decision, Filter};

/// One thing that the filter lets through.
#[derive(Debug)]
pub struct Entry {
    /// Relative to the root, never empty.
    pub path: PathBuf,
    /// Of the thing itself: a symbolic link is not followed.
    pub metadata: Metadata,
}

/// Why a tree could not be walked.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// A directory that may hold something included could not be listed.
    #[error("read context directory '{}'", path.display())]
    ReadDirectory {
        /// Relative to the root; the root itself in full.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Its metadata could not be read.
    #[error("read context file '{}'", path.display())]
    ReadMetadata {
        /// Relative to the root.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A pattern cannot be compared with anything.
    #[error(transparent)]
    Match(#[from] PatternError),
}

impl WalkError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::ReadDirectory { .. } | Self::ReadMetadata { .. } => {
                "Make it readable for the user that builds, or exclude it in the .dockerignore file."
            }
            Self::Match(source) => source.help(),
        }
    }
}

/// An iterator over what a [`Filter`] lets through of a tree.
///
/// A directory that is left out but holds something that is not comes just before it, as fsutil has it. At most one
/// `lstat` is made for each entry, none for what is left out; a pruned directory is never opened. What disappears
/// between the listing of its directory and its turn is not there. After an error the walk is over.
#[derive(Debug)]
pub struct Walk {
    root: PathBuf,
    filter: Filter,
    directories: Vec<Directory>,
    ready: VecDeque<Result<Entry, WalkError>>,
}

/// A directory whose entries are being gone through.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    /// Sorted in descending order: the next one is the last.
    children: Vec<Child>,
    above: Above,
    /// Whether it was handed out (the root counts as such).
    seen: bool,
}

#[derive(Debug)]
struct Child {
    name: OsString,
    is_directory: bool,
}

impl Walk {
    /// Starts a walk.
    ///
    /// # Errors
    /// The root cannot be listed.
    pub fn new(root: PathBuf, filter: Filter) -> Result<Self, WalkError> {
        let children = list(&root).map_err(|source| WalkError::ReadDirectory { path: root.clone(), source })?;
        let top = Directory { path: PathBuf::new(), children, above: Above::default(), seen: true };
        Ok(Self { root, filter, directories: vec![top], ready: VecDeque::new() })
    }

    /// Takes one child of the innermost directory; what it gives goes to `ready`.
    fn visit(&mut self, path: PathBuf, is_directory: bool, above: &Above) -> Result<(), WalkError> {
        let (decision, below) = self.filter.decide(&path.to_string_lossy(), is_directory, above)?;
        match decision {
            Decision::Prune => Ok(()),
            Decision::Skip if !is_directory => Ok(()),
            Decision::Skip => self.open(path, below, false),
            Decision::Keep => {
                let Some(metadata) = self.metadata(&path)? else { return Ok(()) };
                self.show_parents()?;
                let descend = metadata.is_dir();
                self.ready.push_back(Ok(Entry { path: path.clone(), metadata }));
                if descend { self.open(path, below, true) } else { Ok(()) }
            }
        }
    }

    fn open(&mut self, path: PathBuf, above: Above, seen: bool) -> Result<(), WalkError> {
        let children = match list(&self.root.join(&path)) {
            Ok(children) => children,
            Err(error) if is_gone(&error) => return Ok(()),
            // A directory that is left out itself may be closed to us (fsutil ignores it too).
            Err(error) if !seen && error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            Err(source) => return Err(WalkError::ReadDirectory { path, source }),
        };
        self.directories.push(Directory { path, children, above, seen });
        Ok(())
    }

    /// Hands out the directories above that were left out so far.
    fn show_parents(&mut self) -> Result<(), WalkError> {
        let hidden: Vec<PathBuf> = self
            .directories
            .iter_mut()
            .filter_map(|directory| (!std::mem::replace(&mut directory.seen, true)).then(|| directory.path.clone()))
            .collect();
        for path in hidden {
            if let Some(metadata) = self.metadata(&path)? {
                self.ready.push_back(Ok(Entry { path, metadata }));
            }
        }
        Ok(())
    }

    /// `None` if it is not there any more.
    fn metadata(&self, path: &Path) -> Result<Option<Metadata>, WalkError> {
        match fs::symlink_metadata(self.root.join(path)) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(source) => Err(WalkError::ReadMetadata { path: path.to_owned(), source }),
        }
    }
}

impl Iterator for Walk {
    type Item = Result<Entry, WalkError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            let directory = self.directories.last_mut()?;
            let Some(child) = directory.children.pop() else {
                self.directories.pop();
                continue;
            };
            let path = directory.path.join(&child.name);
            let above = std::mem::take(&mut directory.above);
            let index = self.directories.len() - 1;
            let visited = self.visit(path, child.is_directory, &above);
            if let Some(directory) = self.directories.get_mut(index) {
                directory.above = above;
            }
            if let Err(error) = visited {
                self.directories.clear();
                self.ready.push_back(Err(error));
            }
        }
    }
}

/// The entries of a directory, the last one first.
fn list(path: &Path) -> io::Result<Vec<Child>> {
    let mut children = fs::read_dir(path)?
        .map(|entry| {
            let entry = entry?;
            // Where the filesystem does not tell the type, std asks for it with an lstat.
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            Ok(Child { name: entry.file_name(), is_directory })
        })
        .collect::<io::Result<Vec<_>>>()?;
    children.sort_unstable_by(|a, b| b.name.as_bytes().cmp(a.name.as_bytes()));
    Ok(children)
}

/// fsutil takes both answers for "not there".
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::{Filter, Walk};
    use std::fs;
    use std::path::Path;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file.trim_end_matches('/'));
            if file.ends_with('/') {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, file).unwrap();
            }
        }
        root
    }

    fn walk(root: &Path, include: &[&str], exclude: &[&str]) -> Vec<String> {
        Walk::new(root.to_owned(), Filter::new(include, exclude).unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().path.to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn goes_depth_first_in_the_order_of_bytes() {
        let root = tree(&["a/x", "a-b", "a.c", "a/y/z", "B", "ä", "empty/"]);
        assert_eq!(walk(root.path(), &[], &[]), ["B", "a", "a/x", "a/y", "a/y/z", "a-b", "a.c", "empty", "ä"]);
    }

    #[test]
    fn shows_the_directories_that_lead_to_an_exception() {
        let root = tree(&["docs/a/keep.md", "docs/a/drop.txt", "docs/b/drop.txt", "src/main.rs"]);
        assert_eq!(
            walk(root.path(), &[], &["docs", "!docs/a/keep.md"]),
            ["docs", "docs/a", "docs/a/keep.md", "src", "src/main.rs"]
        );
        assert_eq!(walk(root.path(), &["**/*.md"], &[]), ["docs", "docs/a", "docs/a/keep.md"]);
        assert_eq!(walk(root.path(), &["docs/b", "src"], &["src"]), ["docs", "docs/b", "docs/b/drop.txt"]);
        assert!(walk(root.path(), &["nothing"], &[]).is_empty());
    }

    #[test]
    fn names_a_root_that_is_not_there() {
        let error = Walk::new("/nonexistent/context".into(), Filter::new::<&str>(&[], &[]).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "read context directory '/nonexistent/context'");
    }

    #[test]
    fn a_broken_pattern_ends_the_walk() {
        let root = tree(&["a", "b"]);
        let mut walk = Walk::new(root.path().to_owned(), Filter::new(&[], &["x\\o"]).unwrap()).unwrap();
        assert!(walk.next().unwrap().is_err());
        assert!(walk.next().is_none());
    }
}

//! The directories that a build offers to the builder.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

/// The directories of a build by the name that the builder asks for: `context`, `dockerfile`, a named context's own.
#[derive(Debug, Clone, Default)]
pub struct Directories(BTreeMap<String, Directory>);

impl Directories {
    /// Offers nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Offers one more directory; the later one of two with the same name stands.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, directory: Directory) -> Self {
        self.0.insert(name.into(), directory);
        self
    }

    pub(super) fn get(&self, name: &str) -> Option<&Directory> {
        self.0.get(name)
    }
}

/// One directory, on disk or in memory. Everything in it is sent with owner and group 0.
#[derive(Debug, Clone)]
pub struct Directory(Source);

#[derive(Debug, Clone)]
pub(super) enum Source {
    Disk { root: PathBuf, only: Option<Vec<String>> },
    Memory { files: BTreeMap<String, Bytes>, modified: i64 },
}

impl Directory {
    /// A directory of this machine, all of it.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(Source::Disk { root: root.into(), only: None })
    }

    /// A directory of which the builder can see nothing but `paths` and what symbolic links in them lead to.
    ///
    /// For the directory of a Dockerfile: the file itself and `<file>.dockerignore`.
    pub fn only(root: impl Into<PathBuf>, paths: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(Source::Disk { root: root.into(), only: Some(paths.into_iter().map(Into::into).collect()) })
    }

    /// A directory with these files in it and nothing else, none below another directory: for an inline Dockerfile.
    ///
    /// Their modification time is now: the builder compares size and time alone, so two texts of one length must not
    /// have the same time.
    pub fn in_memory<N: Into<String>, C: Into<Bytes>>(files: impl IntoIterator<Item = (N, C)>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let modified = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
        let files = files.into_iter().map(|(name, content)| (name.into(), content.into())).collect();
        Self(Source::Memory { files, modified })
    }

    pub(super) fn source(&self) -> &Source {
        &self.0
    }
}

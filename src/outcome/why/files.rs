//! Which changed files a step takes.

use crate::cache::evidence::{FileChanges, Taken};
use crate::outcome::reason::{ChangedFiles, MissReason};
use crate::patterns::PatternMatcher;

/// How many files are named.
const NAMED: usize = 5;

/// What is known of the files that are taken from one context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Files {
    /// They changed.
    Changed(MissReason),
    /// All of them are as they were.
    Same,
    /// That cannot be said.
    Unsure,
}

/// Compares what is taken with what changed there. `excludes` says whether some of it is left out (`COPY --exclude`),
/// `links` whether a path may lead elsewhere.
pub(super) fn files(taken: &Taken, changes: &FileChanges, excludes: bool, links: bool) -> Files {
    let Some(selection) = taken.paths.as_ref().and_then(|paths| Selection::new(paths)) else {
        return if changes.is_unchanged() { Files::Same } else { Files::Unsure };
    };
    let content = selection.of(changes.content.iter().chain(&changes.added));
    let permissions = selection.of(changes.permissions.iter());
    let gone = selection.gone(changes);
    if content.is_empty() && permissions.is_empty() && gone == Some(0) {
        let whole = changes.listed && changes.unknown == 0;
        // What changed elsewhere may be what a link leads to.
        let elsewhere = links && !changes.is_unchanged();
        return if whole && !elsewhere { Files::Same } else { Files::Unsure };
    }
    if excludes {
        return Files::Unsure;
    }
    let gone = gone.unwrap_or_default();
    match (content.is_empty() && gone == 0, permissions.is_empty()) {
        (false, _) => Files::Changed(MissReason::FilesChanged(named(&content, gone))),
        // A file whose content is not known may have changed more than that.
        (true, false) if changes.unknown == 0 && changes.listed => {
            Files::Changed(MissReason::ModeChanged(named(&permissions, 0)))
        }
        (true, _) => Files::Unsure,
    }
}

fn named(paths: &[&String], gone: usize) -> ChangedFiles {
    let names: Vec<String> = paths.iter().take(NAMED).map(|path| (*path).clone()).collect();
    ChangedFiles { more: paths.len().saturating_sub(names.len()), names, gone }
}

/// The paths that are taken.
enum Selection<'a> {
    All,
    Of { matcher: PatternMatcher, paths: &'a [String] },
}

impl<'a> Selection<'a> {
    /// `None` where a path is none that can be compared.
    fn new(paths: &'a [String]) -> Option<Self> {
        if paths.iter().any(String::is_empty) {
            return Some(Self::All);
        }
        // Among ignore patterns this would be an exception.
        if paths.iter().any(|path| path.starts_with('!')) {
            return None;
        }
        Some(Self::Of { matcher: PatternMatcher::new(paths).ok()?, paths })
    }

    fn takes(&self, path: &str) -> bool {
        match self {
            Self::All => true,
            Self::Of { matcher, .. } => matcher.matches(path).unwrap_or(false),
        }
    }

    fn of<'p>(&self, paths: impl Iterator<Item = &'p String>) -> Vec<&'p String> {
        let mut taken: Vec<&String> = paths.filter(|path| self.takes(path)).collect();
        taken.sort_unstable();
        taken
    }

    /// How many of the files that are gone were taken; `None` if a wildcard may have meant one of them.
    fn gone(&self, changes: &FileChanges) -> Option<usize> {
        let wildcards = match self {
            Self::All => false,
            Self::Of { paths, .. } => paths.iter().any(|path| path.contains(['*', '?', '['])),
        };
        let mut gone = 0;
        for (directory, count) in &changes.removed {
            match self.takes(directory) {
                true => gone += count,
                false if wildcards => return None,
                false => {}
            }
        }
        Some(gone)
    }
}

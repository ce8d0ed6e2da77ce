//! `followpaths`: paths together with what symbolic links in them lead to, inside the root (fsutil's followlinks.go).

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::Path;

use crate::patterns::glob;
use crate::patterns::slash_path::{base, clean, parent};

use super::error::SyncError;

/// As many links in one path as the kernel follows (`path_resolution(7)`).
const MAX_LINKS: u8 = 40;

/// The include patterns for `paths`: sorted, none of them inside another; empty if everything is included.
///
/// A path that does not exist stands for itself. Only the last component of a path may have wildcards, which are
/// resolved where they lead to symbolic links. Unlike upstream, two paths through one link are both followed to
/// their ends.
pub(crate) fn follow_links(root: &Path, paths: &[String]) -> Result<Vec<String>, SyncError> {
    let mut resolved = BTreeSet::new();
    let mut followed = HashSet::new();
    let mut todo: Vec<(String, u8)> = paths.iter().map(|path| (path.clone(), 0)).collect();
    while let Some((path, links)) = todo.pop() {
        let (stop, targets) = resolve(root, &path)?;
        resolved.insert(stop);
        for target in targets.into_iter().filter(|_| links < MAX_LINKS) {
            if followed.insert(target.clone()) {
                todo.push((target, links + 1));
            }
        }
    }
    Ok(without_nested(resolved.iter().map(String::as_str)))
}

/// Include patterns, as upstream joins them with the followed paths; empty if everything is included.
pub(super) fn without_nested<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for pattern in patterns {
        if pattern == "." {
            return Vec::new();
        }
        let last = kept.last().map_or("", String::as_str);
        if !pattern.strip_prefix(last).is_some_and(|rest| rest.starts_with('/')) {
            kept.push(pattern.to_owned());
        }
    }
    kept
}

/// Goes down one path to its end or to the first symbolic link; gives that and the paths to go on with.
fn resolve(root: &Path, path: &str) -> Result<(String, Vec<String>), SyncError> {
    let path = relative(path);
    let mut current = String::from(".");
    let mut rest = path.as_str();
    loop {
        let (part, after) = rest.split_once('/').unwrap_or((rest, ""));
        current = clean(&format!("{current}/{part}"));
        rest = after;
        let targets = match link_targets(root, &current) {
            Ok(targets) => targets,
            Err(source) => return Err(SyncError::FollowLink { path: current, source }),
        };
        if rest.is_empty() || !targets.is_empty() {
            let targets = targets.iter().map(|target| clean(&format!("{target}/{rest}"))).collect();
            return Ok((current, targets));
        }
    }
}

/// Where a symbolic link leads, or each of those that a wildcard matches: absolute, the root being `/`.
fn link_targets(root: &Path, path: &str) -> io::Result<Vec<String>> {
    if path == "." || path == ".." || path.starts_with("../") {
        return Ok(Vec::new());
    }
    if !glob::has_wildcard(base(path)) {
        return Ok(link_target(root, path)?.into_iter().collect());
    }
    let directory = parent(path);
    let entries = match fs::read_dir(root.join(directory)) {
        Ok(entries) => entries,
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut targets = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        // A name that is not UTF-8 is refused when it is sent.
        let Some(name) = name.to_str() else { continue };
        if glob::matches(base(path), name).unwrap_or(false) {
            targets.extend(link_target(root, &clean(&format!("{directory}/{name}")))?);
        }
    }
    Ok(targets)
}

fn link_target(root: &Path, path: &str) -> io::Result<Option<String>> {
    let full = root.join(path);
    match fs::symlink_metadata(&full) {
        Ok(metadata) if metadata.is_symlink() => {}
        Ok(_) => return Ok(None),
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    }
    let target = fs::read_link(full)?;
    let target = target.to_string_lossy();
    let absolute = if target.starts_with('/') { clean(&target) } else { clean(&format!("/{}/{target}", parent(path))) };
    Ok(Some(absolute))
}

/// Go's `filepath.Join(".", path)`.
fn relative(path: &str) -> String {
    clean(&format!("./{path}"))
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::follow_links;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    /// `a -> b` is a link, `a/` a directory, anything else a file.
    fn tree(lines: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        };
        for line in lines {
            match (line.split_once(" -> "), line.strip_suffix('/')) {
                (Some((link, target)), _) => symlink(target, at(link)).unwrap(),
                (None, Some(directory)) => fs::create_dir_all(at(directory)).unwrap(),
                (None, None) => fs::write(at(line), "x").unwrap(),
            }
        }
        root
    }

    fn follow(root: &Path, paths: &[&str]) -> Vec<String> {
        follow_links(root, &paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn follows_chains_loops_and_absolute_links() {
        for (lines, paths, expected) in [
            (&["d/file", "d/l -> file", "top -> d/l", "b"][..], &["top", "b"][..], &["b", "d/file", "d/l", "top"][..]),
            (&["l1 -> l1", "l2 -> l3", "l3 -> l2"], &["l1", "l3"], &["l1", "l2", "l3"]),
            (&["d/l -> /f/up/z", "f/up -> ../", "z"], &["d/l"], &["d/l", "f/up", "z"]),
            (&["d/l -> /f/up/z", "f/up -> ../../../", "z"], &["d/l"], &["d/l", "f/up", "z"]),
            (&["l -> ../../etc/passwd"], &["l"], &["etc/passwd", "l"]),
            (&["l -> l/x"], &["l"], &["l"]),
            (&["d/f", "l -> d"], &["l/f"], &["d/f", "l"]),
            (&["d/f", "d/g", "l -> d"], &["l/f", "l/g"], &["d/f", "d/g", "l"]),
        ] {
            let root = tree(lines);
            assert_eq!(follow(root.path(), paths), expected, "{lines:?} {paths:?}");
        }
    }

    #[test]
    fn keeps_what_does_not_exist() {
        let root = tree(&["file"]);
        assert_eq!(follow(root.path(), &["a/b/c", "a/d"]), ["a/b/c", "a/d"]);
        assert_eq!(follow(root.path(), &["f*/foo/t*"]), ["f*/foo/t*"]);
        assert_eq!(follow(root.path(), &["file/below"]), ["file/below"]);
        assert_eq!(follow(root.path(), &["../outside"]), ["../outside"]);
    }

    #[test]
    fn the_root_means_everything() {
        let root = tree(&["d/l -> /", "a"]);
        assert!(follow(root.path(), &["."]).is_empty());
        assert!(follow(root.path(), &["a", "d/l"]).is_empty());
    }

    #[test]
    fn drops_what_lies_in_another() {
        let root = tree(&["d/l -> /foo", "foo/bar"]);
        assert_eq!(follow(root.path(), &["foo/bar", "d/l"]), ["d/l", "foo"]);
    }

    #[test]
    fn follows_the_links_that_a_wildcard_matches() {
        let root = tree(&["d/l1 -> /f/b1", "d/l2 -> /f/b2", "d/other -> /f/b3", "f/b2 -> ../z", "f/b1", "f/b3", "z"]);
        assert_eq!(follow(root.path(), &["d/l*"]), ["d/l*", "f/b1", "f/b2", "z"]);
        assert_eq!(follow(root.path(), &["d", "d/*er"]), ["d", "f/b3"]);
    }
}

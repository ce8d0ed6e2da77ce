//! The head commit of a Git repository, read from its files: there is no `git` in the container.

use std::fs;
use std::path::{Path, PathBuf};

/// Symbolic references deeper than this are a loop (`SYMREF_MAXDEPTH` in Git).
const MAX_DEPTH: usize = 5;

/// The commit that `HEAD` of the repository around `directory` names.
///
/// Reads `HEAD`, loose and packed references (gitrepository-layout(5)), also of a linked worktree. `None` if there is no
/// repository, no commit yet, or references are kept in another format (reftable).
pub(super) fn head_commit(directory: &Path) -> Option<String> {
    let git = directory.ancestors().find_map(|parent| git_directory(&parent.join(".git")))?;
    // A linked worktree has a HEAD of its own; branches live in the main repository.
    let common = fs::read_to_string(git.join("commondir")).map_or_else(|_| git.clone(), |path| git.join(path.trim()));
    let mut name = "HEAD".to_owned();
    for _ in 0..MAX_DEPTH {
        let text = [&git, &common].iter().find_map(|root| fs::read_to_string(root.join(&name)).ok());
        match text.as_deref().map(str::trim) {
            Some(text) => match text.strip_prefix("ref:") {
                Some(target) => target.trim().clone_into(&mut name),
                None => return is_commit(text).then(|| text.to_owned()),
            },
            None => return packed(&common, &name),
        }
        if name.split('/').any(|part| part == "..") {
            return None;
        }
    }
    None
}

fn git_directory(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        return Some(path.to_owned());
    }
    let text = fs::read_to_string(path).ok()?;
    Some(path.parent()?.join(text.strip_prefix("gitdir:")?.trim()))
}

fn packed(common: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(common.join("packed-refs")).ok()?;
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(commit, reference)| reference.trim() == name && is_commit(commit))
        .map(|(commit, _)| commit.to_owned())
}

/// SHA-1 or SHA-256 in hexadecimal.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.chars().all(|c| c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::head_commit;

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";

    /// A name, the files and the commit that they say.
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<&'a str>);

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn reads_every_form_of_head() {
        let packed = format!("# pack-refs with: peeled\n{TWO} refs/heads/main\n^{ONE}\n{ONE} refs/tags/v1\n");
        let loose = format!("{ONE}\n");
        let cases: [Case<'_>; 7] = [
            ("detached", &[(".git/HEAD", &loose)], Some(ONE)),
            ("loose", &[(".git/HEAD", "ref: refs/heads/main\n"), (".git/refs/heads/main", &loose)], Some(ONE)),
            ("packed", &[(".git/HEAD", "ref: refs/heads/main\n"), (".git/packed-refs", &packed)], Some(TWO)),
            (
                "loose before packed",
                &[
                    (".git/HEAD", "ref: refs/heads/main\n"),
                    (".git/refs/heads/main", &loose),
                    (".git/packed-refs", &packed),
                ],
                Some(ONE),
            ),
            ("unborn", &[(".git/HEAD", "ref: refs/heads/main\n")], None),
            ("loop", &[(".git/HEAD", "ref: HEAD\n")], None),
            ("outside", &[(".git/HEAD", "ref: ../../secret\n"), ("secret", &loose)], None),
        ];
        for (case, files, expected) in cases {
            let root = tempfile::tempdir().unwrap();
            for (path, text) in files {
                write(root.path(), path, text);
            }
            assert_eq!(head_commit(root.path()).as_deref(), expected, "{case}");
        }
    }

    #[test]
    fn finds_the_repository_above_and_of_a_worktree() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "main/.git/refs/heads/topic", TWO);
        write(root.path(), "main/.git/worktrees/w/HEAD", "ref: refs/heads/topic\n");
        write(root.path(), "main/.git/worktrees/w/commondir", "../..\n");
        write(root.path(), "w/.git", "gitdir: ../main/.git/worktrees/w\n");
        write(root.path(), "w/a/b/file", "");
        assert_eq!(head_commit(&root.path().join("w/a/b")).as_deref(), Some(TWO));
        assert_eq!(head_commit(&root.path().join("nowhere")).as_deref(), None);
    }
}

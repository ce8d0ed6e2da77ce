//! Trees that are edited, and what is found.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use proptest::prelude::*;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::walk::{Context, Limits, Withheld, read};
use super::{ContextFiles, Evidence, FileChanges, MAIN_CONTEXT, Salt, contexts, tree};
use crate::project::dockerfile::Dockerfile;
use crate::project::target::{self, BuildSecret, NamedContext, SecretSource, Target};

fn salt() -> Salt {
    "5a".repeat(16).parse().unwrap()
}

fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn tree(files: &[&str]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        write(root.path(), file, &format!("content of {file}"));
    }
    root
}

fn whole(root: &Path) -> Context {
    let exclude = vec!["ignored".to_owned(), "**/*.log".to_owned()];
    let (withheld, limits) = (Withheld::default(), Limits::default());
    Context { root: root.to_owned(), exclude, sources: None, withheld, limits }
}

fn files(context: &Context) -> ContextFiles {
    read(&salt(), context, &CancellationToken::new()).unwrap()
}

/// As the next build finds it in the ledger.
fn stored(files: &ContextFiles) -> ContextFiles {
    serde_json::from_str(&serde_json::to_string(files).unwrap()).unwrap()
}

fn none() -> FileChanges {
    FileChanges { listed: true, ..FileChanges::default() }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn every_kind_of_change_is_named() {
    let root = tree(&["a", "d/b", "d/e/f", "ignored/x", "d/y.log", "run.sh"]);
    let at = |path: &str| root.path().join(path);
    symlink("a", at("link")).unwrap();
    let before = stored(&files(&whole(root.path())));
    assert!(before.complete());
    write(root.path(), "a", "other content");
    write(root.path(), "d/new", "");
    write(root.path(), "ignored/x", "other");
    write(root.path(), "d/y.log", "other");
    fs::remove_file(at("d/e/f")).unwrap();
    fs::create_dir(at("empty")).unwrap();
    fs::remove_file(at("link")).unwrap();
    symlink("run.sh", at("link")).unwrap();
    mode(&at("run.sh"), 0o755);
    mode(&at("d"), 0o700);
    fs::File::open(at("d/b")).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let found = tree::changes(&before, &files(&whole(root.path())));
    let paths = |paths: &[&str]| paths.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        found,
        FileChanges {
            content: paths(&["a", "link"]),
            permissions: paths(&["d", "run.sh"]),
            added: paths(&["d/new", "empty"]),
            removed: [("d/e".to_owned(), 1)].into(),
            ..none()
        }
    );
}

#[test]
fn an_extended_attribute_is_content() {
    let root = tree(&["a", "b"]);
    let set = |name: &str, value: &[u8]| {
        rustix::fs::setxattr(root.path().join("a"), name, value, rustix::fs::XattrFlags::empty())
    };
    let before = files(&whole(root.path()));
    // Some filesystems have none.
    if set("user.x", b"1").is_err() {
        return;
    }
    assert_eq!(tree::changes(&before, &files(&whole(root.path()))).content, ["a"]);
}

#[test]
fn the_largest_files_are_not_read_beyond_the_limit() {
    let root = tree(&["small", "large/file", "z"]);
    write(root.path(), "large/file", &"x".repeat(100));
    let limited =
        |content: u64, entries: usize| files(&Context { limits: Limits { entries, content }, ..whole(root.path()) });
    let before = limited(99, 10);
    assert!(!before.complete());
    write(root.path(), "small", "changed");
    write(root.path(), "large/file", &"y".repeat(100));
    let expected = FileChanges { content: vec!["small".into()], unknown: 1, ..none() };
    assert_eq!(tree::changes(&before, &limited(99, 10)), expected);
    write(root.path(), "large/file", &"y".repeat(101));
    assert_eq!(tree::changes(&before, &limited(99, 10)).content, ["large/file", "small"]);

    let before = limited(1000, 3);
    assert_eq!((before.entries(), before.complete()), (3, false));
    write(root.path(), "a-new-one", "");
    write(root.path(), "large/file", "z");
    let expected = FileChanges { content: vec!["large/file".into()], listed: false, ..none() };
    assert_eq!(tree::changes(&before, &limited(1000, 3)), expected);
}

#[test]
fn only_what_is_taken_is_looked_at() {
    let root = tree(&["package.json", "src/a", "other/b"]);
    symlink("../other", root.path().join("src/link")).unwrap();
    let of = |sources: &[&str]| {
        let sources = Some(sources.iter().map(ToString::to_string).collect());
        files(&Context { sources, ..whole(root.path()) })
    };
    let names = |files: &ContextFiles| (0..files.entries()).map(|index| files.path(index).unwrap()).collect::<Vec<_>>();
    assert_eq!(names(&of(&["package.json", "src"])), ["package.json", "src", "src/a", "src/link"]);
    assert_eq!(names(&of(&["src/link/b"])), ["other", "other/b", "src", "src/link"]);
    assert_eq!(names(&of(&["*.json"])), ["package.json"]);
    assert!(of(&[]).complete() && names(&of(&[])).is_empty());
    assert!(!tree::changes(&of(&["src"]), &of(&["src", "other"])).listed);
}

#[test]
fn a_tree_that_cannot_be_read_is_incomplete() {
    let found = files(&whole(Path::new("/nonexistent")));
    assert_eq!((found.entries(), found.complete()), (0, false));
    let root = tree(&["a"]);
    fs::write(root.path().join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
    assert!(!files(&whole(root.path())).complete());
}

#[test]
fn nothing_is_said_when_cancelled() {
    let root = tree(&["a"]);
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    assert_eq!(read(&salt(), &whole(root.path()), &cancelled), None);
}

/// A project whose context holds the file that a secret is read from.
fn project() -> (TempDir, Target) {
    let root = tree(&["Dockerfile", "src/a", "token", "assets/x", "src/skipped", "src/also"]);
    fs::hard_link(root.path().join("token"), root.path().join("src/token")).unwrap();
    write(root.path(), ".dockerignore", "src/skipped\n");
    let dockerfile = target::Dockerfile::File(root.path().join("Dockerfile"));
    let mut target = Target::new("app", target::Context::Local(root.path().to_owned()), dockerfile);
    target.named_contexts = [
        ("assets".to_owned(), NamedContext::Local(root.path().join("assets"))),
        ("image".to_owned(), NamedContext::Remote("docker-image://x".to_owned())),
    ]
    .into();
    let source = SecretSource::File(root.path().join("token"));
    target.secrets = vec![BuildSecret { id: "token".to_owned(), source }];
    (root, target)
}

async fn read_project(target: &Target) -> Evidence {
    let text = "FROM base\nCOPY src /src\nCOPY --from=assets . /assets\n";
    let dockerfile = Dockerfile::parse(text).unwrap();
    let evidence = Evidence::new(&salt(), target, Some((&dockerfile, text)));
    let contexts = contexts(&salt(), target, Some(&dockerfile), &CancellationToken::new()).await.unwrap();
    Evidence { contexts, ..evidence }
}

#[tokio::test]
async fn reads_every_local_context_and_no_secret() {
    let (root, target) = project();
    let before = read_project(&target).await;
    assert_eq!(before.contexts.keys().collect::<Vec<_>>(), ["assets", MAIN_CONTEXT]);
    for path in ["src/a", "assets/x", "token", "src/skipped"] {
        write(root.path(), path, "changed");
    }
    let now = read_project(&target).await;
    let found = super::changes(&before, &now);
    let main = FileChanges { content: vec!["src/a".into()], unknown: 1, ..none() };
    let assets = FileChanges { content: vec!["x".into()], ..none() };
    assert_eq!(found.files, [("assets".to_owned(), assets), (MAIN_CONTEXT.to_owned(), main)].into());
    // Nothing of the secret, not even its length, is in what is kept.
    write(root.path(), "src/a", "content of src/a");
    write(root.path(), "assets/x", "content of assets/x");
    assert_eq!(serde_json::to_string(&before).unwrap(), serde_json::to_string(&read_project(&target).await).unwrap());
}

#[tokio::test]
async fn a_dockerfile_s_own_ignore_file_stands_before_the_context_s() {
    let (root, target) = project();
    write(root.path(), "Dockerfile.dockerignore", "src/also\n");
    let before = read_project(&target).await;
    write(root.path(), "src/also", "changed");
    write(root.path(), "src/skipped", "changed");
    let found = super::changes(&before, &read_project(&target).await);
    assert_eq!(found.files[MAIN_CONTEXT].content, ["src/skipped"]);
}

#[tokio::test]
async fn what_is_kept_names_neither_values_nor_files() {
    let (_root, mut target) = project();
    target.build_args = [("KEY".to_owned(), "a value".to_owned())].into();
    let text = serde_json::to_string(&read_project(&target).await).unwrap();
    for hidden in ["a value", "src", "token", "COPY", "also"] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
    assert!(text.contains("KEY"));
}

#[derive(Debug, Clone)]
enum Edit {
    Content(usize),
    Mode(usize),
    Remove(usize),
    Add(u8),
    Ignored,
    Touch(usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        any::<usize>().prop_map(Edit::Content),
        any::<usize>().prop_map(Edit::Mode),
        any::<usize>().prop_map(Edit::Remove),
        any::<u8>().prop_map(Edit::Add),
        Just(Edit::Ignored),
        any::<usize>().prop_map(Edit::Touch),
    ]
}

/// The directory of a path; `.` at the top.
fn directory(path: &str) -> String {
    path.rsplit_once('/').map_or(".", |(directory, _)| directory).to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn edits_are_named_and_nothing_else(
        paths in prop::collection::btree_set("([a-c]/){0,3}f[0-9]", 1..12),
        edits in prop::collection::vec(edit(), 0..6),
    ) {
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let root = tree(&paths);
        let at = |path: &str| root.path().join(path);
        let before = stored(&files(&whole(root.path())));
        let (mut content, mut permissions, mut removed) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut added = BTreeSet::new();
        for edit in edits {
            let pick = |number: usize| paths[number % paths.len()];
            match edit {
                Edit::Content(number) if !removed.contains(pick(number)) => {
                    write(root.path(), pick(number), "another content");
                    content.insert(pick(number));
                }
                Edit::Mode(number) if !removed.contains(pick(number)) => {
                    mode(&at(pick(number)), 0o751);
                    permissions.insert(pick(number));
                }
                Edit::Remove(number) if removed.insert(pick(number)) => fs::remove_file(at(pick(number))).unwrap(),
                Edit::Add(number) => {
                    let path = format!("{}/new{number}", directory(pick(usize::from(number))));
                    let path = path.trim_start_matches("./").to_owned();
                    write(root.path(), &path, "");
                    added.insert(path);
                }
                Edit::Ignored => {
                    write(root.path(), "a/x.log", "");
                    write(root.path(), "ignored/y", "");
                    // The directory may be new itself.
                    if !paths.iter().any(|path| path.starts_with("a/")) {
                        added.insert("a".to_owned());
                    }
                }
                Edit::Touch(number) if !removed.contains(pick(number)) => {
                    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
                    fs::File::open(at(pick(number))).unwrap().set_modified(time).unwrap();
                }
                Edit::Content(_) | Edit::Mode(_) | Edit::Remove(_) | Edit::Touch(_) => {}
            }
        }
        let found = tree::changes(&before, &files(&whole(root.path())));
        let mut gone: BTreeMap<String, usize> = BTreeMap::new();
        for path in &removed {
            *gone.entry(directory(path)).or_default() += 1;
        }
        // A directory that is empty now was there before: it is neither new nor gone.
        let kept = |paths: &BTreeSet<&str>, other: &BTreeSet<&str>| {
            let paths = paths.iter().filter(|path| !removed.contains(*path) && !other.contains(*path));
            paths.map(ToString::to_string).collect::<BTreeSet<_>>()
        };
        let set = |paths: &[String]| paths.iter().cloned().collect::<BTreeSet<_>>();
        prop_assert_eq!(set(&found.content), kept(&content, &BTreeSet::new()));
        prop_assert_eq!(set(&found.permissions), kept(&permissions, &content));
        prop_assert_eq!(set(&found.added), added);
        prop_assert_eq!(found.removed, gone);
        prop_assert!(found.listed && found.unknown == 0);
    }

    #[test]
    fn damaged_evidence_is_an_error_or_harmless(at in any::<prop::sample::Index>(), byte in 32_u8..127) {
        let root = tree(&["a", "d/b"]);
        let now = Evidence { contexts: [(MAIN_CONTEXT.to_owned(), files(&whole(root.path())))].into(), ..Evidence::default() };
        let mut text = serde_json::to_vec(&now).unwrap();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(before) = serde_json::from_slice::<Evidence>(&text) {
            let _ = super::changes(&before, &now);
            let _ = super::changes(&now, &before);
        }
    }
}

/// Takes the contents of a tree, all of it on disk, out of the page cache.
fn forget(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            forget(&entry.path());
        } else {
            let file = fs::File::open(entry.path()).unwrap();
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        }
    }
}

/// `cargo test --release --lib evidence -- --ignored --nocapture`
#[test]
#[ignore = "measures a large tree; writes 300 MB"]
fn a_large_context_takes_little() {
    let root = tempfile::tempdir().unwrap();
    for number in 0..20_000_usize {
        let size = if number % 100 == 0 { 1_000_000 } else { 5_000 };
        let content = format!("{number} ").repeat(size / 6);
        write(root.path(), &format!("d{}/e{}/file{number}", number % 40, number % 2000), &content);
    }
    let context = whole(root.path());
    // As after a checkout, and as on a disk that nobody has read yet.
    let begun = Instant::now();
    let found = files(&context);
    let reading = begun.elapsed();
    rustix::fs::sync();
    forget(root.path());
    let begun = Instant::now();
    assert_eq!(files(&context), found);
    let cold = begun.elapsed();
    let text = serde_json::to_string(&found).unwrap();
    let begun = Instant::now();
    let before: ContextFiles = serde_json::from_str(&text).unwrap();
    let parsing = begun.elapsed();
    let begun = Instant::now();
    let changes = tree::changes(&before, &found);
    let (comparing, entries, complete) = (begun.elapsed(), found.entries(), found.complete());
    println!("{entries} entries, complete: {complete}, {} bytes of JSON", text.len());
    println!("read in {reading:?}, cold {cold:?}, parsed in {parsing:?}, compared in {comparing:?}");
    assert!(changes.content.is_empty() && changes.listed);
    assert!(text.len() < 320 * 1024);
}

//! Contexts as archives: what they hold, in which form, and what goes wrong.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use tar::EntryType;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::archive::{Archive, Stop};
use super::{ContextError, stream};
use crate::patterns::Entry;
use crate::project::target::Dockerfile;

/// What the tests look at of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Packed {
    kind: EntryType,
    mode: u32,
    link: Option<String>,
    content: String,
}

fn tree(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    root
}

fn mkfifo(path: &Path) {
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
}

fn dockerfile(root: &TempDir) -> Dockerfile {
    Dockerfile::File(root.path().join("Dockerfile"))
}

async fn bytes(root: &Path, dockerfile: &Dockerfile) -> (String, io::Result<Vec<u8>>) {
    let (name, stream) = stream(root, dockerfile).unwrap();
    let chunks: io::Result<Vec<_>> = stream.try_collect().await;
    (name, chunks.map(|chunks| chunks.concat()))
}

async fn unpack(root: &Path, dockerfile: &Dockerfile) -> (String, Vec<(String, Packed)>) {
    let (name, archive) = bytes(root, dockerfile).await;
    let mut archive = tar::Archive::new(io::Cursor::new(archive.unwrap()));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        assert_eq!((entry.header().uid().unwrap(), entry.header().gid().unwrap()), (0, 0));
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let packed = Packed {
            kind: entry.header().entry_type(),
            mode: entry.header().mode().unwrap(),
            link: entry.link_name_bytes().map(|link| text(&link)).filter(|link| !link.is_empty()),
            content,
        };
        (text(&entry.path_bytes()), packed)
    });
    (name, entries.collect())
}

async fn names(root: &Path, dockerfile: &Dockerfile) -> Vec<String> {
    unpack(root, dockerfile).await.1.into_iter().map(|(name, _)| name).collect()
}

#[tokio::test]
async fn every_kind_of_file_keeps_what_it_is() {
    let root = tree(&[("Dockerfile", "FROM scratch"), ("a.txt", "hello"), ("dir/b", ""), ("z/deep/er", "x")]);
    let at = |path: &str| root.path().join(path);
    fs::set_permissions(at("a.txt"), fs::Permissions::from_mode(0o4750)).unwrap();
    symlink("./dir//b/../b", at("link")).unwrap();
    let (long, far) = ("l".repeat(180), format!("./{}", "t".repeat(150)));
    symlink(&far, at(&long)).unwrap();
    fs::hard_link(at("a.txt"), at("hard")).unwrap();
    fs::write(at(&format!("dir/{}", "f".repeat(120))), "long name").unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    mkfifo(&at("pipe"));

    let (name, entries) = unpack(root.path(), &dockerfile(&root)).await;
    assert_eq!(name, "Dockerfile");
    let order: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
    let long_file = format!("dir/{}", "f".repeat(120));
    let expected = [
        "Dockerfile",
        "a.txt",
        "dir/",
        "dir/b",
        &long_file,
        "hard",
        "link",
        &long,
        "pipe",
        "z/",
        "z/deep/",
        "z/deep/er",
    ];
    assert_eq!(order, expected);
    let entries: BTreeMap<String, Packed> = entries.into_iter().collect();
    assert_eq!((entries["a.txt"].mode, entries["a.txt"].content.as_str()), (0o4750, "hello"));
    assert_eq!((entries["hard"].kind, entries["hard"].link.as_deref()), (EntryType::Link, Some("a.txt")));
    assert_eq!((entries["link"].kind, entries["link"].link.as_deref()), (EntryType::Symlink, Some("./dir//b/../b")));
    assert_eq!(entries[&long].link.as_deref(), Some(far.as_str()));
    assert_eq!(entries[&long_file].content, "long name");
    assert_eq!(entries["pipe"].kind, EntryType::Fifo);
    assert_eq!(entries["z/"].kind, EntryType::Directory);
}

#[tokio::test]
async fn times_are_the_files_own() {
    let root = tree(&[("Dockerfile", "")]);
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_500_000_000_700);
    fs::File::options().write(true).open(root.path().join("Dockerfile")).unwrap().set_modified(time).unwrap();
    let archive = bytes(root.path(), &dockerfile(&root)).await.1.unwrap();
    let mut archive = tar::Archive::new(archive.as_slice());
    assert_eq!(archive.entries().unwrap().next().unwrap().unwrap().header().mtime().unwrap(), 1_500_000_000);
}

#[tokio::test]
async fn the_ignore_file_is_honoured_and_never_hides_what_the_engine_needs() {
    let root = tree(&[("Dockerfile", ""), ("keep", ""), ("drop/x", ""), ("docker/Other[1]", ""), ("docker/y", "")]);
    fs::write(root.path().join(".dockerignore"), "drop\n").unwrap();
    assert_eq!(
        names(root.path(), &dockerfile(&root)).await,
        [".dockerignore", "Dockerfile", "docker/", "docker/Other[1]", "docker/y", "keep"]
    );
    fs::write(root.path().join(".dockerignore"), "*\n").unwrap();
    assert_eq!(names(root.path(), &dockerfile(&root)).await, [".dockerignore", "Dockerfile"]);
    let other = Dockerfile::File(root.path().join("docker/Other[1]"));
    assert_eq!(names(root.path(), &other).await, [".dockerignore", "docker/", "docker/Other[1]"]);
    // The Dockerfile's own ignore file wins over the context's.
    fs::write(root.path().join("Dockerfile.dockerignore"), "d*\nkeep\n").unwrap();
    assert_eq!(
        names(root.path(), &dockerfile(&root)).await,
        [".dockerignore", "Dockerfile", "Dockerfile.dockerignore"]
    );
}

#[tokio::test]
async fn a_dockerfile_from_elsewhere_has_a_random_name_that_the_engine_hides() {
    let root = tree(&[("context/a", ""), ("context/.dockerignore", "b"), ("context/b", ""), ("Elsewhere", "FROM x")]);
    let context = root.path().join("context");
    symlink("../Elsewhere", context.join("Dockerfile")).unwrap();
    for (source, text) in [
        (Dockerfile::File(root.path().join("Elsewhere")), "FROM x"),
        // Docker's client does the same with a link out of the context.
        (Dockerfile::File(context.join("Dockerfile")), "FROM x"),
        (Dockerfile::Inline("FROM y".to_owned()), "FROM y"),
    ] {
        let (name, entries) = unpack(&context, &source).await;
        assert!(name.starts_with(".dockerfile.") && name.len() == 32, "{name}");
        let order: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(order, [".dockerignore", name.as_str(), "Dockerfile", "a"]);
        assert_eq!(entries[0].1.content, format!("b\n{name}\n"));
        assert_eq!(entries[1].1.content, text);
    }
    fs::remove_file(context.join(".dockerignore")).unwrap();
    let (name, entries) = unpack(&context, &Dockerfile::Inline(String::new())).await;
    assert_eq!(entries[0].1.content, format!(".dockerignore\n{name}\n"));
}

#[tokio::test]
async fn what_is_missing_or_broken_is_said_at_once() {
    let root = tree(&[("a", "")]);
    let error = |dockerfile: &Dockerfile| stream(root.path(), dockerfile).map(|_| ()).unwrap_err();
    assert!(matches!(error(&dockerfile(&root)), ContextError::FindDockerfile { .. }));
    fs::write(root.path().join("Dockerfile"), "").unwrap();
    fs::write(root.path().join(".dockerignore"), "[").unwrap();
    assert!(matches!(error(&dockerfile(&root)), ContextError::Pattern(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_shrinks_ends_the_stream_with_an_error_and_not_as_an_archive_ends() {
    // Larger than everything that is read ahead.
    let root = tree(&[("Dockerfile", "")]);
    let large = fs::File::create(root.path().join("large")).unwrap();
    large.set_len(64 << 20).unwrap();
    let (_, mut chunks) = stream(root.path(), &dockerfile(&root)).unwrap();
    chunks.next().await.unwrap().unwrap();
    large.set_len(1 << 20).unwrap();
    let mut rest: Vec<io::Result<Bytes>> = chunks.collect().await;
    let last = rest.pop().unwrap().unwrap_err().downcast::<ContextError>().unwrap();
    assert_eq!(last.to_string(), "context file 'large' became shorter while it was sent");
    assert!(rest.iter().all(Result::is_ok));
}

#[tokio::test]
async fn what_took_a_files_place_is_neither_followed_nor_waited_for() {
    type Change = fn(&Path);
    let changes: [(Change, &str); 4] = [
        (|_| {}, "removed"),
        (|path| symlink("/etc/passwd", path).unwrap(), "replaced"),
        (|path| mkfifo(path), "replaced"),
        (|path| fs::create_dir(path).unwrap(), "replaced"),
    ];
    for (change, expected) in changes {
        let root = tree(&[("file", "content")]);
        let path = root.path().join("file");
        let metadata = fs::symlink_metadata(&path).unwrap();
        fs::remove_file(&path).unwrap();
        change(&path);
        let (out, _chunks) = mpsc::channel(1);
        let entry = Entry { path: "file".into(), metadata };
        let stopped = Archive::new(out).add(root.path(), &entry);
        let Err(Stop::Failed(error)) = stopped else { panic!("{stopped:?}") };
        assert_eq!(error.to_string(), format!("context file 'file' was {expected} while it was sent"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_grows_is_sent_as_it_was() {
    let root = tree(&[("Dockerfile", "")]);
    let mut large = fs::File::create(root.path().join("large")).unwrap();
    large.set_len(16 << 20).unwrap();
    let (_, mut chunks) = stream(root.path(), &dockerfile(&root)).unwrap();
    let mut archive = chunks.next().await.unwrap().unwrap().to_vec();
    fs::File::options().append(true).open(root.path().join("large")).unwrap().write_all(b"more").unwrap();
    large.flush().unwrap();
    while let Some(chunk) = chunks.next().await {
        archive.extend_from_slice(&chunk.unwrap());
    }
    let mut archive = tar::Archive::new(archive.as_slice());
    let sizes: Vec<u64> = archive.entries().unwrap().map(|entry| entry.unwrap().size()).collect();
    assert_eq!(sizes, [0, 16 << 20]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_ends_when_nobody_listens() {
    let root = tree(&[("Dockerfile", "")]);
    fs::File::create(root.path().join("huge")).unwrap().set_len(1 << 40).unwrap();
    let (_, mut chunks) = stream(root.path(), &dockerfile(&root)).unwrap();
    chunks.next().await.unwrap().unwrap();
    drop(chunks);
    // A runtime waits for its blocking threads when it ends: this test hangs if the thread goes on.
}

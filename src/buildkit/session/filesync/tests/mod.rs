//! The service over a connection, with a receiver that is as strict as the builder's.

mod receiver;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::{Duration, Instant};

use bollard_buildkit_proto::fsutil::types::Packet;
use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use receiver::{Received, Refused, call, connect, receive};
use rustix::fs::{Mode, XattrFlags};

use super::{Directories, Directory, FileSyncService, SyncError};

fn write(root: &Path, path: &str, content: impl AsRef<[u8]>) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn service(root: &Path) -> FileSyncService {
    FileSyncService::new(Directories::new().with("context", Directory::new(root)))
}

async fn receive_all(root: &Path, metadata: &[(&'static str, &str)]) -> Result<Received, Refused> {
    let metadata: Vec<_> = [("dir-name", "context")].into_iter().chain(metadata.iter().copied()).collect();
    let transfer = receive(service(root), &metadata, |_| true);
    tokio::time::timeout(Duration::from_secs(60), transfer).await.expect("the transfer hangs")
}

#[tokio::test]
async fn sends_every_kind_of_file() {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    write(root.path(), "dir/file.txt", "hello");
    write(root.path(), "dir-x", "after the directory");
    write(root.path(), "empty", "");
    write(root.path(), "größe/ß", "utf-8");
    write(root.path(), "tool", "#!");
    fs::set_permissions(at("tool"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::set_permissions(at("dir"), fs::Permissions::from_mode(0o1777)).unwrap();
    symlink("../outside", at("dir/link")).unwrap();
    fs::hard_link(at("dir/file.txt"), at("same")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), Mode::from_raw_mode(0o600)).unwrap();
    let _listener = UnixListener::bind(at("socket")).unwrap();
    let modified = std::time::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
    File::options().write(true).open(at("empty")).unwrap().set_modified(modified).unwrap();

    let received = receive_all(root.path(), &[]).await.unwrap();

    assert_eq!(
        received.paths(),
        ["dir", "dir/file.txt", "dir/link", "dir-x", "empty", "größe", "größe/ß", "pipe", "same", "socket", "tool"]
    );
    assert_eq!(received.stat("dir").mode, 1 << 31 | 1 << 20 | 0o777);
    assert_eq!(received.stat("dir").size, 0);
    let file = received.stat("dir/file.txt");
    assert_eq!((file.size, file.uid, file.gid, file.linkname.as_str()), (5, 0, 0, ""));
    let link = received.stat("dir/link");
    assert_eq!((link.mode, link.linkname.as_str()), (1 << 27 | 0o777, "../outside"));
    assert_eq!(received.stat("empty").mod_time, 1_700_000_000_123_456_789);
    assert_eq!(received.stat("pipe").mode, 1 << 25 | 0o600);
    let same = received.stat("same");
    assert_eq!((same.linkname.as_str(), same.size), ("dir/file.txt", 5));
    assert_eq!(received.stat("tool").mode, 1 << 23 | 0o755);
    assert_eq!(received.stat("socket").mode & !0o777, 0);
    let expected = [
        ("dir/file.txt", "hello"),
        ("dir-x", "after the directory"),
        ("empty", ""),
        ("größe/ß", "utf-8"),
        ("socket", ""),
        ("tool", "#!"),
    ];
    let expected: BTreeMap<_, _> =
        expected.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).into_iter().collect();
    assert_eq!(received.contents, expected);
}

#[tokio::test]
async fn sends_devices_and_attributes_where_they_can_be_made() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "file", "x");
    let device = root.path().join("null");
    let made = rustix::fs::mknodat(
        rustix::fs::CWD,
        &device,
        rustix::fs::FileType::CharacterDevice,
        Mode::from_raw_mode(0o666),
        rustix::fs::makedev(1, 3),
    );
    let attributed = rustix::fs::setxattr(root.path().join("file"), "user.note", b"kept", XattrFlags::empty()).is_ok();

    let received = receive_all(root.path(), &[]).await.unwrap();

    if made.is_ok() {
        let stat = received.stat("null");
        assert_eq!((stat.mode & !0o777, stat.devmajor, stat.devminor), (1 << 26 | 1 << 21, 1, 3));
    }
    let expected = attributed.then(|| b"kept".to_vec());
    assert_eq!(received.stat("file").xattrs.get("user.note"), expected.as_ref());
}

#[tokio::test]
async fn filters_as_the_builder_asks() {
    let root = tempfile::tempdir().unwrap();
    for file in ["a/keep.md", "a/x.log", "b/c/d", "node_modules/m/index.js", "größe"] {
        write(root.path(), file, file);
    }
    symlink("c", root.path().join("b/l")).unwrap();
    for (metadata, expected) in [
        (
            &[("exclude-patterns", "a"), ("exclude-patterns", "!a/keep.md"), ("exclude-patterns", "node_modules")][..],
            &["a", "a/keep.md", "b", "b/c", "b/c/d", "b/l", "größe"][..],
        ),
        (&[("include-patterns", "**/*.log")], &["a", "a/x.log"]),
        (&[("followpaths", "b/l/d")], &["b", "b/c", "b/c/d", "b/l"]),
        (&[("followpaths", "b"), ("exclude-patterns", "b/c")], &["b", "b/l"]),
        (&[("followpaths", "gr%C3%B6%C3%9Fe"), ("followpaths-encoded", "1")], &["größe"]),
        (&[("followpaths", "missing")], &[]),
    ] {
        assert_eq!(receive_all(root.path(), metadata).await.unwrap().paths(), expected, "{metadata:?}");
    }
}

#[tokio::test]
async fn a_hard_link_whose_first_name_is_excluded_is_a_file() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "a", "text");
    for name in ["b", "c"] {
        fs::hard_link(root.path().join("a"), root.path().join(name)).unwrap();
    }
    let received = receive_all(root.path(), &[("exclude-patterns", "a")]).await.unwrap();
    assert_eq!(received.stat("b").linkname, "");
    assert_eq!(received.stat("c").linkname, "b");
    assert_eq!(received.contents["b"], b"text");
}

#[tokio::test]
async fn sends_only_what_is_wanted_and_counts_it() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "changed", "12345");
    write(root.path(), "same/one", "x");
    let service = service(root.path());
    let transferred = service.transferred();
    let received = receive(service, &[("dir-name", "context")], |stat| stat.path == "changed").await.unwrap();
    assert_eq!(received.contents.len(), 1);
    assert_eq!((transferred.stats(), transferred.files(), transferred.bytes()), (3, 1, 5));
    assert!(transferred.failure().is_none());
}

#[tokio::test]
async fn sends_large_files_whole_and_many_at_once() {
    let root = tempfile::tempdir().unwrap();
    let large: Vec<u8> = (0..3_000_001_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    for name in ["a", "b", "c", "d", "e", "f"] {
        write(root.path(), name, &large);
    }
    for n in 0..500 {
        write(root.path(), &format!("many/{n:03}"), format!("{n}"));
    }
    let received = receive_all(root.path(), &[]).await.unwrap();
    assert_eq!(received.contents.len(), 506);
    for name in ["a", "b", "c", "d", "e", "f"] {
        assert!(received.contents[name] == large, "{name} is not what it was");
    }
    assert!((0..500).all(|n| received.contents[&format!("many/{n:03}")] == format!("{n}").as_bytes()));
}

#[tokio::test]
async fn an_excluded_sparse_file_costs_nothing() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "Dockerfile", "FROM scratch");
    File::create(root.path().join("disk.img")).unwrap().set_len(10 << 30).unwrap();
    let started = Instant::now();
    let received = receive_all(root.path(), &[("exclude-patterns", "*.img")]).await.unwrap();
    assert_eq!(received.paths(), ["Dockerfile"]);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_inline_dockerfile_is_a_directory_of_one_file() {
    let directories = Directories::new().with("dockerfile", Directory::in_memory([("Dockerfile", "FROM scratch\n")]));
    let asked = [("dir-name", "dockerfile"), ("followpaths", "Dockerfile"), ("followpaths", "Dockerfile.dockerignore")];
    let received = receive(FileSyncService::new(directories.clone()), &asked, |_| true).await.unwrap();
    assert_eq!(received.paths(), ["Dockerfile"]);
    assert_eq!(received.contents["Dockerfile"], b"FROM scratch\n");
    let other = [("dir-name", "dockerfile"), ("followpaths", ".dockerignore")];
    let received = receive(FileSyncService::new(directories), &other, |_| true).await.unwrap();
    assert!(received.stats.is_empty());
}

#[tokio::test]
async fn shows_nothing_beside_the_paths_that_are_offered() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "docker/real", "FROM scratch");
    write(root.path(), "secret", "x");
    symlink("docker/real", root.path().join("Dockerfile")).unwrap();
    let directory = Directory::only(root.path(), ["Dockerfile", "Dockerfile.dockerignore"]);
    let service = FileSyncService::new(Directories::new().with("dockerfile", directory));
    let received = receive(service.clone(), &[("dir-name", "dockerfile")], |_| true).await.unwrap();
    assert_eq!(received.paths(), ["Dockerfile", "docker", "docker/real"]);
    let curious = [("dir-name", "dockerfile"), ("followpaths", "secret")];
    assert!(receive(service, &curious, |_| true).await.unwrap().stats.is_empty());
}

#[tokio::test]
async fn refuses_what_is_not_offered() {
    let root = tempfile::tempdir().unwrap();
    let refused = receive(service(root.path()), &[("dir-name", "home")], |_| true).await.unwrap_err();
    let status = refused.status.unwrap();
    assert_eq!((status.code(), status.message()), (tonic::Code::NotFound, "no access allowed to dir \"home\""));
}

/// The error in all the places where it must be.
async fn failure(root: &Path, metadata: &[(&'static str, &str)], before_reading: impl Fn()) -> String {
    let service = service(root);
    let transferred = service.transferred();
    let metadata: Vec<_> = [("dir-name", "context")].into_iter().chain(metadata.iter().copied()).collect();
    let transfer = receive(service, &metadata, |_| {
        before_reading();
        true
    });
    let refused = tokio::time::timeout(Duration::from_secs(60), transfer).await.expect("it hangs").unwrap_err();
    let status = refused.status.expect("the call ended without an error");
    assert_eq!(status.code(), tonic::Code::Unknown);
    assert_eq!(refused.packet.as_deref(), Some(status.message()));
    assert_eq!(transferred.failure().map(SyncError::chain).as_deref(), Some(status.message()));
    status.message().to_owned()
}

#[tokio::test]
async fn names_a_file_that_is_removed_meanwhile() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "dir/going.txt", "x");
    let path = root.path().join("dir/going.txt");
    let message = failure(root.path(), &[], || fs::remove_file(&path).unwrap()).await;
    assert_eq!(message, "context file 'dir/going.txt' was removed while it was sent");
}

#[tokio::test]
async fn names_a_file_that_is_replaced_meanwhile() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "file", "x");
    let path = root.path().join("file");
    let message = failure(root.path(), &[], || {
        fs::remove_file(&path).unwrap();
        symlink("/etc/hostname", &path).unwrap();
    })
    .await;
    assert_eq!(message, "context file 'file' was replaced while it was sent");
}

#[tokio::test]
async fn sends_what_is_left_of_a_file_that_shrinks() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "file", vec![7; 100_000]);
    let path = root.path().join("file");
    let received = receive(service(root.path()), &[("dir-name", "context")], |_| {
        File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
        true
    });
    let received = received.await.unwrap();
    assert_eq!(received.stat("file").size, 100_000);
    assert_eq!(received.contents["file"], [7; 10]);
}

#[tokio::test]
async fn names_what_is_not_utf8_unless_it_is_excluded() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "a", "x");
    fs::write(root.path().join(std::ffi::OsStr::from_bytes(b"b\xFF")), "x").unwrap();
    assert_eq!(failure(root.path(), &[], || {}).await, "send context file 'b\u{FFFD}': its name is not UTF-8");
    assert_eq!(receive_all(root.path(), &[("exclude-patterns", "b*")]).await.unwrap().paths(), ["a"]);
}

#[tokio::test]
async fn names_a_missing_context_and_a_broken_pattern() {
    let message = failure(Path::new("/nonexistent/context"), &[], || {}).await;
    assert_eq!(message, "read context directory '/nonexistent/context': No such file or directory (os error 2)");
    let root = tempfile::tempdir().unwrap();
    let message = failure(root.path(), &[("exclude-patterns", "a[")], || {}).await;
    assert_eq!(message, "read pattern 'a[': its syntax is wrong");
}

#[tokio::test]
async fn an_unreadable_directory_or_file_is_an_error_unless_it_is_excluded() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "closed/file", "x");
    fs::set_permissions(root.path().join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    if rustix::process::geteuid().is_root() {
        // Root may read everything: somebody else has to try.
        let test =
            "buildkit::session::filesync::tests::an_unreadable_directory_or_file_is_an_error_unless_it_is_excluded";
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let output = again.args(["--exact", test]).uid(65_534).gid(65_534).output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
        return;
    }
    let message = failure(root.path(), &[], || {}).await;
    assert_eq!(message, "read context directory 'closed': Permission denied (os error 13)");
    write(root.path(), "private", "x");
    fs::set_permissions(root.path().join("private"), fs::Permissions::from_mode(0o000)).unwrap();
    let message = failure(root.path(), &[("exclude-patterns", "closed")], || {}).await;
    assert_eq!(message, "read context file 'private': Permission denied (os error 13)");
    let received = receive_all(root.path(), &[("exclude-patterns", "closed"), ("exclude-patterns", "private")]);
    assert!(received.await.unwrap().paths().is_empty());
    // A directory that is left out, but might hold an exception, may stay closed too.
    let received = receive_all(root.path(), &[("exclude-patterns", "*"), ("exclude-patterns", "!**/x")]);
    assert!(received.await.unwrap().paths().is_empty());
}

fn packet(kind: PacketType, id: u32, data: &str) -> Packet {
    Packet { r#type: kind.into(), id, data: data.into(), ..Packet::default() }
}

#[tokio::test]
async fn ends_when_the_builder_fails_asks_for_nonsense_or_goes_away() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "dir/file", "x");
    for (answer, expected) in [
        (
            Some(packet(PacketType::PacketErr, 0, "no space left on device")),
            "the builder could not receive the context: no space left on device",
        ),
        (Some(packet(PacketType::PacketReq, 0, "")), "invalid file id 0"),
        (Some(packet(PacketType::PacketReq, 7, "")), "invalid file id 7"),
        (None, "the builder stopped receiving the context"),
    ] {
        let mut client = connect(service(root.path())).await;
        let (requests, call) = call(&[("dir-name", "context")]);
        let mut packets = client.diff_copy(call).await.unwrap().into_inner();
        while packets.message().await.unwrap().is_some_and(|packet| packet.stat.is_some()) {}
        match answer {
            Some(answer) => requests.send(answer).await.unwrap(),
            None => drop(requests),
        }
        let error = packets.message().await.unwrap().unwrap();
        assert_eq!(
            (error.r#type(), String::from_utf8(error.data).unwrap().as_str()),
            (PacketType::PacketErr, expected)
        );
        assert_eq!(packets.message().await.unwrap_err().message(), expected);
    }
}

#[test]
fn its_threads_end_when_the_builder_drops_the_call() {
    let root = tempfile::tempdir().unwrap();
    File::create(root.path().join("endless")).unwrap().set_len(1 << 40).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut client = connect(service(root.path())).await;
        let (requests, call) = call(&[("dir-name", "context")]);
        let mut packets = client.diff_copy(call).await.unwrap().into_inner();
        requests.send(packet(PacketType::PacketReq, 0, "")).await.unwrap();
        while packets.message().await.unwrap().unwrap().data.is_empty() {}
    });
    // Dropping a runtime waits for its blocking threads.
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        drop(runtime);
        done.send(()).unwrap();
    });
    ended.recv_timeout(Duration::from_secs(20)).expect("a thread goes on reading");
}

#[tokio::test]
async fn answers_unimplemented_to_tar_streams() {
    let root = tempfile::tempdir().unwrap();
    let mut client = connect(service(root.path())).await;
    let (_requests, call) = call(&[]);
    assert_eq!(client.tar_stream(call).await.unwrap_err().code(), tonic::Code::Unimplemented);
}

/// Not a check of correctness: prints time and peak memory of sender and receiver together.
///
/// `cargo test --release --lib filesync -- --ignored --exact --nocapture …::a_large_context_in_numbers`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, takes 329 MB of disk"]
async fn a_large_context_in_numbers() {
    let root = tempfile::tempdir().unwrap();
    for n in 0..20_000 {
        write(root.path(), &format!("d{}/e{}/file-{n}.txt", n % 40, n % 400), vec![b'x'; 16_450]);
    }
    for (name, changed) in [("first", None), ("nothing changed", Some("none")), ("one changed", Some("file-7.txt"))] {
        let service = service(root.path());
        let transferred = service.transferred();
        let started = Instant::now();
        let want = |path: &str| changed.is_none_or(|changed| path.ends_with(changed));
        let packets = drain(service, want).await;
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        println!(
            "{name}: {:?}, {packets} packets, {} stats, {} files, {} bytes; {peak}",
            started.elapsed(),
            transferred.stats(),
            transferred.files(),
            transferred.bytes(),
        );
    }
}

/// Receives and forgets.
async fn drain(service: FileSyncService, want: impl Fn(&str) -> bool) -> usize {
    let mut client = connect(service).await;
    let (requests, call) = call(&[("dir-name", "context")]);
    let mut packets = client.diff_copy(call).await.unwrap().into_inner();
    let (mut count, mut id, mut open, mut announced) = (0, 0, 0, false);
    let (asked, mut ids) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some((kind, id)) = ids.recv().await {
            requests.send(packet(kind, id, "")).await.unwrap();
        }
    });
    while let Some(received) = packets.message().await.unwrap() {
        count += 1;
        match received.r#type() {
            PacketType::PacketStat => match received.stat {
                Some(stat) => {
                    if stat.mode & 1 << 31 == 0 && want(&stat.path) {
                        asked.send((PacketType::PacketReq, id)).unwrap();
                        open += 1;
                    }
                    id += 1;
                }
                None => announced = true,
            },
            PacketType::PacketData if received.data.is_empty() => open -= 1,
            _ => {}
        }
        if announced && open == 0 {
            announced = false;
            asked.send((PacketType::PacketFin, 0)).unwrap();
        }
    }
    count
}

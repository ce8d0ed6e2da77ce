//! Memory: a large context is sent file by file, and never held.

use std::process::{Child, Output};
use std::time::Duration;

use crate::support::{Action, Project, docker, engine, unique};

const FILES: u32 = 20_000;
const SIZE: usize = 16_450;

/// What a running process holds in memory of its own in KiB (`RssAnon` of `proc_pid_status(5)`): without the pages of the
/// program's file, of which a debug build has more than twice as many as a release.
fn held(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Waits for a process, and gives the most that it held at any time in KiB.
pub(crate) fn watch(child: Child) -> (Output, u64) {
    let process = child.id();
    let (done, poll) = std::sync::mpsc::channel::<()>();
    let poller = std::thread::spawn(move || {
        let mut highest = 0;
        while poll.recv_timeout(Duration::from_millis(5)).is_err() {
            highest = held(process).unwrap_or(0).max(highest);
        }
        highest
    });
    let output = child.wait_with_output().unwrap();
    done.send(()).unwrap();
    (output, poller.join().unwrap())
}

/// A context of 20,000 files that cannot be compressed, 329 MB together.
fn large_context() -> Project {
    let project =
        Project::new(&[("Dockerfile", "FROM busybox:1.36\nCOPY . /context\n"), (".dockerignore", "Dockerfile\n")]);
    project.write("unique", unique("memory"));
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut content = vec![0; SIZE];
    for n in 0..FILES {
        for chunk in content.chunks_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
        }
        project.write(&format!("{}/{n}", n % 100), &content);
    }
    project
}

#[test]
fn a_large_context_takes_little_memory_engine_28_graph() {
    let engine = engine("28-graph");
    let project = large_context();
    let tag = unique("memory");
    let action = Action::new(&engine, project.path()).input("tags", &tag);
    let child = action.start();
    let (output, highest) = watch(child);
    let finished = action.finish(&output).expect_code(0);
    let sent = finished.result()["images"][0]["context_bytes"].as_u64().unwrap();
    assert!(sent >= u64::from(FILES) * SIZE as u64, "{sent} bytes travelled");
    assert!(highest > 0 && highest < 24 << 10, "{highest} KiB for {sent} bytes");
    docker(&engine, &["image", "rm", "-f", &tag]);
}

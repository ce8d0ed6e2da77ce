//! GitHub refuses, fails, limits, lies or is not there: nothing is said to be gone that is not, and nothing else goes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chrono::Utc;

use super::caches::{MAIN, caches, left, seeded};
use super::packages::{Seeded, line};
use super::{clear, removals};
use crate::support::Finished;
use crate::support::github::{Broken, FakeGithub, Fault, TOKEN};

const VERSIONS: &str = "/orgs/org/packages/container/app/versions";
const CACHES: &str = "/actions/caches";
const FORBIDDEN: &str = "Resource not accessible by integration";

/// Every way in which a call can fail at once. The limit is one that nobody waits for.
fn faults(method: &'static str, path: &'static str) -> Vec<Fault> {
    let reset = Utc::now().timestamp() + 1800;
    let refused = |status, message| Fault::refused(method, path, status, message);
    let mut faults = vec![
        refused(403, FORBIDDEN),
        refused(404, "Not Found"),
        refused(409, "Conflict"),
        refused(500, "Server Error"),
        refused(429, "Too many requests").header("retry-after", "3600"),
        refused(403, "API rate limit exceeded")
            .header("x-ratelimit-remaining", "0")
            .header("x-ratelimit-reset", &reset.to_string()),
        Fault::done_then(method, path, 502),
        Fault::done_then_broken(method, path),
    ];
    if method == "GET" {
        faults.truncate(6);
        faults.push(Fault::done_then_broken(method, path));
    }
    faults
}

/// Whether the summary says of something that it is removed.
fn says_removed(run: &Finished, what: &str) -> bool {
    run.summary.lines().any(|line| line.contains(what) && line.contains("🧹 removed"))
}

#[test]
fn of_packages_nothing_is_said_to_be_gone_that_is_not() {
    for fault in faults("DELETE", VERSIONS) {
        let it = Seeded::new();
        it.fake.goes_wrong(fault);
        let run = it.clear(":pr-1;untagged").run();
        let left = it.left();
        let all_gone = it.old.iter().chain([&it.orphan]).all(|digest| !left.contains(digest));
        // Where the removals were done all the same, a second look finds it out.
        assert_eq!(run.code, Some(if all_gone { 0 } else { 4 }), "{}", run.stdout);
        assert_eq!(run.output("verified"), if all_gone { "true" } else { "false" });
        assert_eq!(says_removed(&run, "org/app:pr-1`"), !left.contains(&it.old[0]), "{}", run.summary);
        it.bystanders_are_there();
    }
}

/// The index is gone, and what it was made of is not: that is no clear, and what to do is said.
#[test]
fn of_packages_a_removal_that_ends_halfway_is_not_verified_and_can_be_continued() {
    for done in 0..6 {
        let it = Seeded::new();
        let limit = Fault::refused("DELETE", VERSIONS, 500, "Server Error");
        it.fake.goes_wrong(limit.after(done));
        let run = it.clear(":pr-1;untagged").run().expect_code(4);
        assert_eq!(run.output("verified"), "false", "{done}: {}", run.stdout);
        let left = it.left();
        let gone = it.old.iter().chain([&it.orphan]).filter(|digest| !left.contains(*digest)).count();
        assert_eq!(gone, done, "{}", run.stdout);
        // One image with its parts, and then the next one.
        assert!(done == 0 || !left.contains(&it.old[0]), "{}", run.stdout);
        it.bystanders_are_there();
        // What the entry does not name any more, is named with one that does.
        let it = Seeded::new();
        it.fake.goes_wrong(Fault::refused("DELETE", VERSIONS, 500, "Server Error").after(done));
        let run = it.clear(":pr-1").run().expect_code(if done < 5 { 4 } else { 0 });
        let left: Vec<&String> = it.old.iter().filter(|digest| it.left().contains(*digest)).collect();
        assert_eq!(
            (left.len(), run.output("verified")),
            (5_usize.saturating_sub(done), if done < 5 { "false" } else { "true" })
        );
        let hints = run.stdout.lines().filter_map(|line| line.split("name it as `").nth(1)?.split('`').next());
        let hints: BTreeSet<&str> = hints.collect();
        assert_eq!(hints.is_empty(), done == 0 || done >= 5, "{done}: {}", run.stdout);
        it.fake.mended();
        let entries: Vec<&str> = hints.into_iter().collect();
        if !entries.is_empty() {
            let again = clear(&it.fake, "packages", &entries.join("\n")).run().expect_code(0);
            assert_eq!(again.output("verified"), "true");
            assert!(it.old.iter().all(|digest| !it.left().contains(digest)), "{}", again.stdout);
        }
        it.bystanders_are_there();
    }
}

#[test]
fn a_package_that_cannot_be_looked_at_is_left_alone() {
    for path in [VERSIONS, "/orgs/org/packages/container/app"] {
        for fault in faults("GET", path) {
            let it = Seeded::new();
            it.fake.goes_wrong(fault);
            let run = it.clear(":pr-1").run().expect_code(4);
            assert_eq!((run.output("verified"), removals(&it.fake).len()), ("false", 0), "{}", run.stdout);
            assert!(run.stdout.contains("package org/app"), "{}", run.stdout);
            it.bystanders_are_there();
        }
    }
}

#[test]
fn while_a_manifest_is_unread_nothing_goes() {
    for fault in [
        Fault::refused("GET", "/manifests/", 404, ""),
        Fault::refused("GET", "/manifests/", 500, ""),
        Fault::done_then_broken("GET", "/manifests/"),
        Fault::refused("GET", "/token", 403, ""),
    ] {
        let it = Seeded::new();
        let before = it.left();
        it.fake.goes_wrong(fault);
        let run = it.clear(":pr-1;untagged").run().expect_code(4);
        assert_eq!((it.left(), removals(&it.fake).len()), (before, 0));
        assert!(run.stdout.contains("nothing of the package org/app is removed"), "{}", run.stdout);
    }
    // One failure is not the end, and a manifest that was changed on the way is none.
    let it = Seeded::new();
    it.fake.goes_wrong(Fault::refused("GET", "/manifests/", 503, "").times(1));
    it.clear(":pr-1;untagged").run().expect_code(0);
    let it = Seeded::new();
    let main = it.stays.iter().next().unwrap();
    it.fake.state(|state| state.storage.version("org/app", main).manifest["x"] = 1.into());
    let run = it.clear(":pr-1").run().expect_code(4);
    assert!(run.stdout.contains("with a manifest that is not sha256:"), "{}", run.stdout);
    assert_eq!(removals(&it.fake).len(), 0);
}

#[test]
fn a_missing_role_or_permission_is_named() {
    let it = Seeded::new();
    it.fake.state(|state| state.storage.packages.get_mut("org/app").unwrap().is_admin = false);
    let no_role = it.clear(":pr-1").run().expect_code(4);
    let it = Seeded::new();
    it.fake.permit(&["packages: read"]);
    let read_only = it.clear(":pr-1").run().expect_code(4);
    // What one may not do once, one may not do again.
    assert_eq!(removals(&it.fake).len(), 1);
    it.fake.permit(&[]);
    let nothing = it.clear(":pr-1").run().expect_code(4);
    let absent = clear(&it.fake, "packages", "package=org/absent:x").run().expect_code(4);
    for run in [no_role, read_only, nothing, absent] {
        assert!(run.stdout.contains("permissions: packages: write"), "{}", run.stdout);
        assert!(run.stdout.contains("role Admin on the package"), "{}", run.stdout);
    }
    let fake = seeded();
    fake.permit(&["actions: read"]);
    let run = caches(&fake, "actions-cache=*").run().expect_code(4);
    assert!(run.stdout.contains("permissions: actions: write"), "{}", run.stdout);
    assert!(line(&run, "deps-linux-1").contains(FORBIDDEN), "{}", run.summary);
    assert_eq!(removals(&fake).len(), 1);
    let run = caches(&fake, "actions-cache=*").input("github-token", "").run().expect_code(4);
    assert!(run.stdout.contains("there is no token"), "{}", run.stdout);
    let run = caches(&fake, "actions-cache=*").input("github-token", "old").run().expect_code(4);
    assert!(run.stdout.contains("does not know the token"), "{}", run.stdout);
    assert!(!run.stdout.contains(TOKEN.trim_start_matches("ghs_")) || run.stdout.contains("::add-mask::"));
}

#[test]
fn of_caches_the_list_says_what_is_gone() {
    for fault in faults("DELETE", CACHES) {
        let fake = seeded();
        fake.goes_wrong(fault);
        let run = caches(&fake, "actions-cache=deps-*").run();
        let gone = !left(&fake).contains(&1);
        assert_eq!(run.code, Some(if gone { 0 } else { 4 }), "{}", run.stdout);
        assert_eq!(says_removed(&run, "deps-linux-1"), gone, "{}", run.summary);
        assert!(left(&fake).is_superset(&BTreeSet::from([4, 5, 6])));
    }
    for fault in faults("GET", CACHES) {
        let fake = seeded();
        fake.goes_wrong(fault);
        let run = caches(&fake, "actions-cache=deps-*").run().expect_code(4);
        assert_eq!((run.output("verified"), left(&fake).len()), ("false", 6));
    }
}

#[test]
fn one_that_fails_does_not_keep_the_others() {
    let fake = seeded();
    fake.goes_wrong(Fault::refused("DELETE", "/actions/caches/2", 500, "Server Error"));
    let run = caches(&fake, "actions-cache=deps-*").run().expect_code(4);
    assert_eq!(left(&fake), BTreeSet::from([2, 4, 5, 6]));
    assert!(run.stdout.contains("Actions cache deps-linux-1 (refs/pull/5/merge) is still there"), "{}", run.stdout);
}

#[test]
fn a_limit_that_ends_soon_is_waited_for_and_another_is_named() {
    let fake = seeded();
    let soon = Fault::refused("DELETE", CACHES, 429, "You have exceeded a secondary rate limit");
    fake.goes_wrong(soon.times(1).header("retry-after", "1"));
    let begun = Instant::now();
    caches(&fake, "actions-cache=deps-*").run().expect_code(0);
    assert!(begun.elapsed() >= Duration::from_secs(1));

    let fake = seeded();
    let reset = Utc::now() + chrono::TimeDelta::minutes(30);
    let limit = Fault::refused("DELETE", "/actions/caches/2", 403, "API rate limit exceeded");
    fake.goes_wrong(
        limit.header("x-ratelimit-remaining", "0").header("x-ratelimit-reset", &reset.timestamp().to_string()),
    );
    let run = caches(&fake, "actions-cache=deps-*").run().expect_code(4);
    let until = format!("rate limited until {}", reset.format("%H:%M:%S UTC"));
    assert_eq!(
        run.summary.lines().filter(|line| line.starts_with("> Actions cache") && line.contains(&until)).count(),
        2,
        "{}",
        run.summary
    );
    // By ref and key: the first one went, and after the limit nothing more was sent.
    assert_eq!((left(&fake), removals(&fake)), (BTreeSet::from([2, 3, 4, 5, 6]), vec![1, 2]));
}

#[test]
fn places_do_not_depend_on_each_other() {
    let it = Seeded::new();
    it.fake.permit(&["packages: write", "actions: write"]);
    it.fake.state(|state| state.storage.cache("deps", MAIN, 7));
    it.fake.goes_wrong(Fault::refused("GET", VERSIONS, 500, "Server Error"));
    let entries = format!("package={}/org/app:pr-1, actions-cache=deps", it.fake.registry());
    let run = clear(&it.fake, "packages, actions-cache", &entries).run().expect_code(4);
    assert_eq!((left(&it.fake), run.output("freed-bytes")), (BTreeSet::new(), "7"));
    assert!(says_removed(&run, "deps"), "{}", run.summary);
    assert!(run.stdout.contains("package org/app"), "{}", run.stdout);
}

#[test]
fn nobody_there_is_said() {
    let fake = FakeGithub::start();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let entries = "actions-cache=a, package=org/app:x";
    let step = clear(&fake, "packages, actions-cache", entries).variable("GITHUB_API_URL", &format!("http://{closed}"));
    let run = step.run().expect_code(4);
    assert_eq!(run.output("verified"), "false");
    assert!(run.stdout.contains("no connection to GitHub"), "{}", run.stdout);
}

#[test]
fn a_signal_ends_it_with_what_is_gone_by_then() {
    let fake = seeded();
    fake.goes_wrong(Fault::late("DELETE", "/actions/caches/2", Duration::from_secs(30)));
    let step = caches(&fake, "actions-cache=deps-*");
    let child = step.start();
    let begun = Instant::now();
    while removals(&fake).len() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never came so far");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let run = step.finish(&child.wait_with_output().unwrap());
    assert_eq!(run.code, Some(130), "{}", run.stdout);
    assert_eq!(run.output("verified"), "");
    assert!(line(&run, "deps-linux-2").contains("cancelled"), "{}", run.summary);
    assert!(left(&fake).is_superset(&BTreeSet::from([3, 4, 5, 6])) && !left(&fake).contains(&1));
}

#[test]
fn half_a_list_is_not_taken_for_the_whole() {
    // A list whose next page cannot be read, and one that is shorter than GitHub counts.
    for broken in [Broken::Unreadable, Broken::Short] {
        let fake = seeded();
        fake.state(|state| {
            for number in 0..130 {
                state.storage.cache(&format!("many-{number}"), MAIN, 1);
            }
        });
        fake.breaks_lists(broken);
        let run = caches(&fake, "actions-cache=*;ref=main").run().expect_code(4);
        assert_eq!((run.output("verified"), removals(&fake).len()), ("false", 0), "{}", run.stdout);
    }
}

//! The mark that a clear leaves: when, for whom, and who takes it away.

use std::time::{Duration, Instant};

use super::{Cleared, exists};
use crate::support::{Action, Images, LongStep, Manner, Meanwhile, Project, Proxy, docker, on_every_engine, unique};

on_every_engine!(a_build_takes_away_the_mark_that_it_saw_and_no_newer_one, |engine| {
    let images = Images::since_now(engine);
    let (tag, step) = (unique("seen"), LongStep::new());
    let text = format!("FROM busybox:1.36\nRUN echo {tag} && ({} & sleep 4)\n", step.command);
    let project = Project::new(&[("Dockerfile", &text)]);
    let build = || Action::new(engine, project.path()).input("tags", &tag);
    let clear =
        || Action::new(engine, project.path()).input("mode", "clear").input("tags", &tag).input("scope", "images");
    clear().run().expect_code(0);
    assert_eq!(images.of_kind("tombstone").len(), 1);
    let action = build();
    let child = action.start();
    assert!(step.waits_until(true, Duration::from_secs(60)), "the step never began");
    // What the build is making is not of this clear.
    clear().run().expect_code(0);
    let built = action.finish(&child.wait_with_output().unwrap()).expect_code(0);
    assert!(built.summary.contains("Fresh build"), "{}", built.summary);
    assert_eq!(images.of_kind("tombstone").len(), 1, "the newer mark is gone");
    let next = build().run().expect_code(0);
    assert!(next.summary.contains("cleared"), "{}", next.summary);
    assert_eq!(images.of_kind("tombstone").len(), 0);
    assert!(images.dangling().is_empty(), "marks without a name: {:?}", images.dangling());
});

on_every_engine!(the_marks_of_all_repositories_of_an_image_count_and_go, |engine| {
    let images = Images::since_now(engine);
    let it = Cleared::new();
    let second = unique("second");
    let build = || Action::new(engine, it.project.path()).input("tags", &format!("{}\n{second}:1", it.tag)).run();
    build().expect_code(0);
    it.clear(engine).input("images", &second).run().expect_code(0);
    assert_eq!(images.of_kind("tombstone").len(), 1);
    let fresh = build().expect_code(0);
    assert!(fresh.summary.contains("Fresh build"), "{}", fresh.summary);
    assert_eq!((fresh.cached(), images.of_kind("tombstone").len()), ((0, 3), 0));
    assert_eq!(build().expect_code(0).cached(), (3, 3));
});

on_every_engine!(marks_are_there_before_anything_goes, |engine| {
    let images = Images::since_now(engine);
    let it = Cleared::new();
    docker(engine, &["tag", "busybox:1.36", &it.tag]);
    let proxy = Proxy::new(engine, Manner::Itself);
    proxy.cut_after(0, "DELETE ");
    let run = it.clear(&proxy.engine(engine)).run().expect_code(4);
    assert!(exists(engine, &it.tag), "{}", run.stdout);
    assert_eq!(images.of_kind("tombstone").len(), 1, "{}", run.stdout);
});

on_every_engine!(a_clear_without_its_mark_is_not_verified, |engine| {
    let images = Images::since_now(engine);
    let it = Cleared::new();
    docker(engine, &["tag", "busybox:1.36", &it.tag]);
    let proxy = Proxy::new(engine, Manner::Itself);
    proxy.on(&["POST", "/images/create"], usize::MAX, || Meanwhile::Refused(500, "no space left on device"));
    let run = it.clear(&proxy.engine(engine)).input("scope", "images").run().expect_code(4);
    assert_eq!((run.output("verified"), run.output("images-removed")), ("false", "1"));
    assert!(run.stdout.contains("the next build would not know of the clear: "), "{}", run.stdout);
    assert!(run.stdout.contains("no space left on device"), "{}", run.stdout);
    // One that fails once is left at the second attempt.
    docker(engine, &["tag", "busybox:1.36", &it.tag]);
    let proxy = Proxy::new(engine, Manner::Itself);
    proxy.on(&["POST", "/images/create"], 1, || Meanwhile::Refused(500, "no space left on device"));
    let run = it.clear(&proxy.engine(engine)).input("scope", "images").run().expect_code(0);
    assert_eq!((run.output("verified"), images.of_kind("tombstone").len()), ("true", 1));
});

on_every_engine!(where_nobody_knows_whether_there_is_a_mark_nothing_is_offered, |engine| {
    let it = Cleared::new();
    let _images = Images::since_now(engine);
    it.build(engine);
    let build = |message: &'static str, times| {
        docker(engine, &["builder", "prune", "-af"]);
        let proxy = Proxy::new(engine, Manner::Itself);
        proxy.on(&["GET", "/images/watchparty-cache/tombstone"], times, move || Meanwhile::Refused(500, message));
        Action::new(&proxy.engine(engine), it.project.path()).input("tags", &it.tag).run().expect_code(0)
    };
    // An engine that stumbles over what changes meanwhile is asked again.
    let settled = build("layer does not exist", 2);
    assert_eq!(settled.cached(), (3, 3), "{}", settled.stdout);
    let unknown = build("out of memory", usize::MAX);
    assert_eq!(unknown.cached(), (0, 3), "{}", unknown.stdout);
    assert!(unknown.stdout.contains("so nothing is taken from previous images"), "{}", unknown.stdout);
});

on_every_engine!(after_a_signal_a_removal_that_was_begun_is_ended_and_marked, |engine| {
    let images = Images::since_now(engine);
    let it = Cleared::new();
    let (first, other) = (it.tag.clone(), unique("untouched"));
    docker(engine, &["tag", "busybox:1.36", &first]);
    docker(engine, &["tag", "busybox:1.36", &other]);
    let proxy = Proxy::new(engine, Manner::Itself);
    proxy.on(&["DELETE", "/images/"], 1, || Meanwhile::Late(Duration::from_millis(1500)));
    let step = Action::new(&proxy.engine(engine), it.project.path())
        .input("mode", "clear")
        .input("scope", "images")
        .input("images", &format!("{first}\n{other}"));
    let child = step.start();
    let begun = Instant::now();
    while !proxy.seen().iter().any(|line| line.starts_with("DELETE ")) {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never came so far");
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let run = step.finish(&child.wait_with_output().unwrap()).expect_code(130);
    assert!(begun.elapsed() < Duration::from_secs(9), "the runner kills: {:?}", begun.elapsed());
    let removed = run.stdout.lines().filter(|line| line.starts_with("removed ")).count();
    assert_eq!((removed, exists(engine, &first), exists(engine, &other)), (1, false, true), "{}", run.stdout);
    // What was not begun with is as it was.
    assert_eq!(images.of_kind("tombstone").len(), 1, "{}", run.stdout);
    assert_eq!(run.output("verified"), "");
});

on_every_engine!(what_an_engine_says_to_a_removal_is_looked_at_again, |engine| {
    let it = Cleared::new();
    let _images = Images::since_now(engine);
    let clear = |meanwhile: fn() -> Meanwhile, times: usize| {
        docker(engine, &["tag", "busybox:1.36", &it.tag]);
        let proxy = Proxy::new(engine, Manner::Itself);
        proxy.on(&["DELETE", "/images/clear"], times, meanwhile);
        it.clear(&proxy.engine(engine)).input("scope", "images").run()
    };
    // It fails at what it has done; it stumbles and is asked again; it says that something is gone which is not.
    let done = clear(|| Meanwhile::DoneThen(500, "out of memory"), usize::MAX).expect_code(0);
    assert_eq!((done.output("verified"), done.output("images-removed")), ("true", "1"));
    clear(|| Meanwhile::Refused(500, "unrecognized image ID sha256:0"), 2).expect_code(0);
    assert!(!exists(engine, &it.tag));
    for (meanwhile, said) in [
        ((|| Meanwhile::Refused(500, "out of memory")) as fn() -> Meanwhile, "out of memory"),
        (|| Meanwhile::Refused(404, "No such image: x"), "the engine still lists it"),
    ] {
        let run = clear(meanwhile, usize::MAX).expect_code(4);
        assert_eq!((run.output("verified"), run.output("images-removed")), ("false", "0"), "{}", run.stdout);
        assert!(run.stdout.contains(said) && exists(engine, &it.tag), "{said}: {}", run.stdout);
    }
});

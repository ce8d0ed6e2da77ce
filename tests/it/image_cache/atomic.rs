//! A ledger is one build's, whole: neither two builds at once nor a cancelled one leave half of it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{COMMIT, Scene, THREE_STAGES, assert_ran};
use crate::support::{Action, Finished, LongStep, Manner, Project, Proxy, docker, on_every_engine};

on_every_engine!(two_builds_of_one_image_at_once, |engine| {
    let scene = Scene::three_stages(engine);
    both(&scene.action(), &scene.action());
    whole_again(&scene, "two builds of the same tree");

    // Two checkouts, of different code: whichever ledger stays, it is that of one build.
    let deps = std::fs::read(scene.project.path().join("deps.txt")).unwrap();
    let other = Project::new(&[("Dockerfile", THREE_STAGES), ("app.txt", "other\n")]);
    other.write("deps.txt", deps);
    scene.project.write("app.txt", "second\n");
    both(&scene.action(), &Action::new(engine, other.path()).input("tags", &scene.tag));
    whole_again(&scene, "two builds of different trees");
    assert_eq!(scene.images.of_kind("ledger").len(), 1);
    assert_eq!(scene.images.of_kind("capture"), [""; 0]);
});

/// Nothing of it is stale, and the next build has all of the cache again.
///
/// How much the first one has is not certain. Where both ran a step, the builder has two results of it and exports one, which
/// may be a layer of the image that lost its name to the other build, and is gone with it.
fn whole_again(scene: &Scene<'_>, after: &str) {
    scene.build_pruned();
    scene.assert_final(COMMIT, after);
    assert_ran(&scene.build_pruned(), &[], after);
    scene.assert_final(COMMIT, after);
}

fn both(one: &Action, other: &Action) -> [Finished; 2] {
    let children = [one.start(), other.start()];
    let [first, second] = children.map(|child| child.wait_with_output().unwrap());
    [one.finish(&first).expect_code(0), other.finish(&second).expect_code(0)]
}

on_every_engine!(a_cancelled_build_leaves_the_ledger_as_it_was, |engine| {
    let scene = Scene::three_stages(engine);
    let first = scene.build();

    let step = LongStep::new();
    scene.project.write("Dockerfile", format!("{THREE_STAGES}RUN {}\n", step.command));
    scene.project.write("app.txt", "second\n");
    let action = scene.action();
    let child = action.start();
    assert!(step.waits_until(true, Duration::from_secs(30)), "the step never began");
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    let begun = Instant::now();
    action.finish(&child.wait_with_output().unwrap()).expect_code(143);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(step.waits_until(false, Duration::from_secs(10)), "the step still runs");

    scene.project.write("Dockerfile", THREE_STAGES);
    scene.project.write("app.txt", "first\n");
    let pruned = scene.build_pruned();
    assert_ran(&pruned, &[], "the build after a cancelled one");
    assert_eq!(pruned.output("image-id"), first.output("image-id"));
    assert_eq!(docker(engine, &["image", "inspect", "-f", "{{.Id}}", &scene.tag]), first.output("image-id"));
});

/// Where a build is when it is told to end, after its image was made.
#[derive(Clone, Copy, PartialEq)]
enum Moment {
    /// Its records are being captured.
    Capture,
    /// Its ledger is being written.
    Write,
}

on_every_engine!(a_build_that_is_cancelled_while_it_keeps_its_records_leaves_a_ledger_that_is_whole, |engine| {
    for moment in [Moment::Capture, Moment::Write] {
        let scene = Scene::three_stages(engine);
        scene.build();
        let before = scene.images.of_kind("ledger");
        let ledger = || docker(engine, &["image", "inspect", "-f", "{{.Id}}", &before[0]]);
        let written_before = ledger();
        scene.project.write("app.txt", "second\n");

        let proxy = Arc::new(Proxy::new(engine, Manner::Watched));
        let process = Arc::new(Mutex::new(None));
        let end = {
            let process = Arc::clone(&process);
            move || {
                let id: rustix::process::Pid = process.lock().unwrap().expect("it was started");
                rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
            }
        };
        match moment {
            // The first solve is the build's own.
            Moment::Capture => {
                let again = Arc::downgrade(&proxy);
                proxy.before_solve(move || again.upgrade().unwrap().before_solve(end));
            }
            Moment::Write => proxy.before(&["POST", "/images/load"], end),
        }
        let action = Action::new(&proxy.engine(engine), scene.project.path()).input("tags", &scene.tag);
        let child = action.start();
        *process.lock().unwrap() = Some(rustix::process::Pid::from_child(&child));
        let begun = Instant::now();
        // The image is what was asked for, and it is there.
        action.finish(&child.wait_with_output().unwrap()).expect_code(0);
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
        // The name has an image: of this build or of the one before.
        let left = ledger();
        if moment == Moment::Capture {
            assert_eq!(left, written_before, "nothing was captured");
        }
        // The engine may still be loading, and its list is no snapshot: it collects the images, and looks their names up then. A
        // name that moves in between, from an image that was collected to one that was not, is in no row.
        let deadline = Instant::now() + Duration::from_secs(10);
        while scene.images.of_kind("ledger") != before && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(scene.images.of_kind("ledger"), before, "there is one");
        assert_eq!(scene.images.of_kind("capture"), [""; 0]);

        // Whichever it is: nothing is stale, and the next build completes it.
        scene.build_pruned();
        scene.assert_final(COMMIT, "after a cancelled build");
        assert_ran(&scene.build_pruned(), &[], "the build after that");
    }
});

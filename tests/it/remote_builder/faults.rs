//! Daemons that cannot be used, and builds that are cut short.

use std::process::Child;
use std::time::{Duration, Instant};

use super::{Front, Listens, action, exists, options, project, with_certificates};
use crate::support::{Action, Engine, LongStep, Manner, Project, Proxy, docker, engine, unique};

#[test]
fn a_daemon_that_cannot_be_used_is_exit_3_with_the_way_out_engine_28_containerd() {
    let real = engine("28-containerd");
    let (project, _) = project();
    with_certificates(&project);
    let strict = Front::new(&real, Listens::Tls(&project.path().join("certs")));
    let plain = Front::new(&real, Listens::Plain);
    let gone = Front::new(&real, Listens::Plain).address.clone();
    let at = |front: &Front, options: &str| format!("{},{options}", front.address);
    let wrong_authority = options("client").replace("certs/ca.pem", "certs/foreign-ca.pem");
    std::thread::sleep(Duration::from_millis(100));
    for (builder, said, way_out) in [
        (at(&strict, &wrong_authority), "UnknownIssuer", "must be signed by the authority in `cacert`"),
        (at(&strict, &(options("client") + ",servername=other.example")), "not valid for name", "`servername`"),
        (at(&strict, &options("foreign")), "list its workers", "saw the certificate in `cert`"),
        (at(&strict, &options("expired")), "list its workers", "saw the certificate in `cert`"),
        (strict.address.clone(), "ask BuildKit to list its workers", "does it ask for TLS"),
        (at(&plain, &options("client")), "agree on TLS", "speaks no TLS"),
        (gone, "refused the connection", "is buildkitd running"),
        ("unix:///nowhere/buildkitd.sock".to_owned(), "there is no socket", "in the workspace"),
        (real.address.clone(), "BuildKit", "and no Docker engine"),
    ] {
        let begun = Instant::now();
        let run = action(&real, project.path(), &builder, "x").run().expect_code(3);
        assert!(begun.elapsed() < Duration::from_secs(15), "{builder}: {:?}", begun.elapsed());
        let error = run.stdout.lines().find(|line| line.starts_with("::error")).unwrap_or_default();
        let address = builder.split(',').next().unwrap();
        assert!(error.contains(&format!("use the builder at {address}")), "{builder}: {}", run.stdout);
        assert!(error.contains(said) && error.contains(way_out), "{builder}: {error}");
    }
    let named = at(&strict, &(options("client") + ",servername=builder.example"));
    let tag = unique("remote");
    action(&real, project.path(), &named, &tag).run().expect_code(0);
    docker(&real, &["image", "rm", "-f", &tag]);
}

#[test]
fn what_cannot_be_loaded_is_refused_before_it_is_built_engine_28_containerd() {
    let real = engine("28-containerd");
    let (project, _) = project();
    let front = Front::new(&real, Listens::Socket);
    let run = action(&real, project.path(), &front.address, "x")
        .input("platforms", "linux/amd64,linux/arm64")
        .input("provenance", "true")
        .run()
        .expect_code(2);
    assert!(run.stdout.contains("does not support manifest lists"), "{}", run.stdout);
    assert!(run.stdout.contains("provenance cannot be loaded"), "{}", run.stdout);
    assert!(!run.stdout.contains("Build x"), "{}", run.stdout);
}

#[test]
fn without_an_engine_there_is_nowhere_to_load_it_to() {
    let (project, _) = project();
    let none = Engine { name: "none".to_owned(), address: "unix:///nowhere/docker.sock".to_owned() };
    let run = action(&none, project.path(), "tcp://127.0.0.1:9", "x").run().expect_code(3);
    assert!(run.stdout.contains("The image of a remote builder is loaded into this engine"), "{}", run.stdout);
    let run = action(&none, project.path(), "kube-pod://x", "x").run().expect_code(2);
    assert!(run.stdout.contains("kubectl port-forward"), "{}", run.stdout);
}

/// A build at the daemon whose only step runs.
fn long(real: &Engine, front: &Front) -> (Project, Action, Child, LongStep) {
    let step = LongStep::new();
    let text = format!("FROM busybox:1.36\nRUN echo {} && {}\n", unique("long"), step.command);
    let project = Project::new(&[("Dockerfile", &text)]);
    let action = action(real, project.path(), &front.address, &unique("long"));
    let child = action.start();
    assert!(step.waits_until(true, Duration::from_secs(30)), "the step never began");
    (project, action, child, step)
}

#[test]
fn a_connection_that_breaks_fails_the_build_and_not_the_report_engine_28_containerd() {
    let real = engine("28-containerd");
    let front = Front::new(&real, Listens::Plain);
    let (_project, action, child, step) = long(&real, &front);
    front.cut();
    let cut = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(cut.elapsed() < Duration::from_secs(10), "{:?}", cut.elapsed());
    let finished = action.finish(&output).expect_code(1);
    assert!(finished.summary.contains("connection to the builder"), "{}", finished.summary);
    assert!(finished.stdout.contains("look at the builder and at the network to it"), "{}", finished.stdout);
    assert_eq!(finished.output("steps-total"), "1");
    assert!(step.waits_until(false, Duration::from_secs(10)), "the step still runs");
}

#[test]
fn a_build_that_is_cancelled_ends_there_too_engine_28_containerd() {
    let real = engine("28-containerd");
    let front = Front::new(&real, Listens::Plain);
    let (_project, action, child, step) = long(&real, &front);
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    let sent = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(sent.elapsed() < Duration::from_secs(7), "{:?}", sent.elapsed());
    let finished = action.finish(&output).expect_code(143);
    assert!(finished.summary.to_lowercase().contains("cancelled"), "{}", finished.summary);
    assert!(step.waits_until(false, Duration::from_secs(5)), "the step still runs");
}

#[test]
fn an_image_that_arrives_in_part_is_not_loaded_engine_28_containerd() {
    let real = engine("28-containerd");
    let text = format!("FROM busybox:1.36\nRUN echo {} && head -c 40000000 /dev/urandom > /big\n", unique("part"));
    let project = Project::new(&[("Dockerfile", &text)]);
    let tag = unique("part");

    let front = Front::new(&real, Listens::Plain);
    front.cut_after(20_000_000);
    let cut = action(&real, project.path(), &front.address, &tag).input("compression", "uncompressed");
    let cut = cut.run().expect_code(1);
    assert!(front.is_cut(), "it was to be cut while it sent");
    assert!(cut.stdout.contains("connection to the builder"), "{}", cut.stdout);
    assert!(!exists(&real, &tag), "it arrived in part");

    // The engine goes away while it loads: the builder is told, and the person learns whose fault it is.
    let front = Front::new(&real, Listens::Plain);
    let proxy = Proxy::new(&real, Manner::Itself);
    proxy.cut_after(0, "POST /v1.51/images/load");
    let refused = action(&proxy.engine(&real), project.path(), &front.address, &tag).run().expect_code(1);
    assert!(refused.stdout.contains("load the image into the engine"), "{}", refused.stdout);
    assert!(refused.stdout.contains("look at the engine of this machine"), "{}", refused.stdout);
    assert!(!exists(&real, &tag));
}

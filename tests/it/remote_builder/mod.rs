//! A BuildKit daemon at an address: built there, loaded here.
//!
//! The daemon is the BuildKit of the engine with the containerd image store, whose `docker` exporter is BuildKit's own
//! (`front`); the engine that loads is any of them.

mod certificates;
mod faults;
mod front;

use std::path::Path;

use crate::support::{Action, Engine, Project, Registry, command, docker, engine, shared_engine, unique};
use front::{Front, Listens};

/// The options of TLS with the certificate of a client.
fn options(client: &str) -> String {
    format!("cacert=certs/ca.pem,cert=certs/{client}.pem,key=certs/{client}.key")
}

/// A step with a marker of its own, and one that nothing else has run.
fn project() -> (Project, String) {
    let marker = unique("marker");
    let text = "LABEL of=$MARKER\nCOPY marker /\nRUN cat /marker > /copy\nCMD [\"cat\", \"/copy\"]\n";
    let project = Project::new(&[("Dockerfile", &format!("FROM busybox:1.36\n{}", text.replace("$MARKER", &marker)))]);
    project.write("marker", &marker);
    (project, marker)
}

fn with_certificates(project: &Project) {
    certificates::make(&project.path().join("certs"));
    project.write(".dockerignore", "certs\n");
}

fn action(engine: &Engine, workspace: &Path, builder: &str, tag: &str) -> Action {
    Action::new(engine, workspace).input("builder", builder).input("tags", tag)
}

fn exists(engine: &Engine, image: &str) -> bool {
    command(engine).args(["image", "inspect", image]).output().unwrap().status.success()
}

#[test]
fn an_image_is_built_there_and_loaded_into_every_engine_28_containerd() {
    let real = engine("28-containerd");
    let (project, marker) = project();
    with_certificates(&project);
    let front = Front::new(&real, Listens::Tls(&project.path().join("certs")));
    let builder = format!("{},{}", front.address, options("client"));
    let key = std::fs::read_to_string(project.path().join("certs/client.key")).unwrap();
    let secret: Vec<&str> = key.lines().filter(|line| !line.starts_with("-----")).collect();
    for (name, cached) in [("20.10", 0), ("28-graph", 2), ("28-containerd", 2)] {
        // Nothing is built in another one, so its own tests may run meanwhile.
        let destination = if name == real.name { real.clone() } else { shared_engine(name) };
        let (tag, other) = (unique("remote"), format!("registry.example/{}:1", unique("other")));
        let tags = format!("{tag}\n{other}");
        let built = action(&destination, project.path(), &builder, &tags).run().expect_code(0);
        assert_eq!(built.cached(), (cached, 2), "{}", built.stdout);
        assert_eq!(built.output("cache-source"), if cached == 0 { "none" } else { "builder" });
        let id = |image: &str| docker(&destination, &["image", "inspect", "--format", "{{.Id}}", image]);
        assert_eq!([id(&tag), id(&other)], [built.output("image-id"), built.output("image-id")], "{name}");
        assert_eq!(docker(&destination, &["run", "--rm", "--network", "none", &other]), marker, "{name}");
        let label = "{{index .Config.Labels \"of\"}}";
        assert_eq!(docker(&destination, &["image", "inspect", "--format", label, &tag]), marker);
        assert!(built.result()["images"][0]["size_bytes"].as_u64().is_some_and(|size| size > 0), "{}", built.summary);
        // Which caches there are is said, and the key is not.
        assert!(built.stdout.contains("its cache is its own and that of registries"), "{}", built.stdout);
        let (_, port) = front.address.rsplit_once(':').unwrap();
        assert!(built.summary.contains("BuildKit at tcp") && built.summary.contains(port), "{}", built.summary);
        let said = |line: &&str| secret.iter().any(|secret| line.contains(secret));
        let (masked, shown): (Vec<&str>, Vec<&str>) =
            built.stdout.lines().filter(said).partition(|line| line.starts_with("::add-mask::"));
        assert!(masked.len() > secret.len() && shown.is_empty(), "{shown:?}");
        // No ledger, and no image of another kind.
        let ours = docker(&destination, &["image", "ls", "-q", "--filter", &format!("label=of={marker}")]);
        assert_eq!(ours.lines().collect::<std::collections::BTreeSet<_>>().len(), 1, "{ours}");
        docker(&destination, &["image", "rm", "-f", &tag, &other]);
    }
}

#[test]
fn a_socket_or_a_port_without_tls_and_certificates_of_variables_do_engine_28_containerd() {
    let real = engine("28-containerd");
    let (project, marker) = project();
    with_certificates(&project);
    let certificates = project.path().join("certs");
    let read = |name: &str| std::fs::read_to_string(certificates.join(name)).unwrap();
    for listens in [Listens::Socket, Listens::Plain, Listens::Tls(&certificates)] {
        let front = Front::new(&real, listens);
        let tag = unique("remote");
        let built = action(&real, project.path(), &front.address, &tag)
            .variable("BUILDER_NODE_0_AUTH_TLS_CACERT", &read("ca.pem"))
            .variable("BUILDER_NODE_0_AUTH_TLS_CERT", &read("client.pem"))
            .variable("BUILDER_NODE_0_AUTH_TLS_KEY", &read("client.key"));
        // Whoever gives certificates wants TLS.
        if matches!(listens, Listens::Plain) {
            assert!(built.run().expect_code(3).stdout.contains("speaks no TLS"));
            action(&real, project.path(), &front.address, &tag).run().expect_code(0);
        } else {
            built.run().expect_code(0);
        }
        assert_eq!(docker(&real, &["run", "--rm", "--network", "none", &tag]), marker);
        docker(&real, &["image", "rm", "-f", &tag]);
    }
}

#[test]
fn what_was_built_there_is_pushed_from_here_engine_28_containerd() {
    let real = engine("28-containerd");
    let (project, marker) = project();
    let front = Front::new(&real, Listens::Plain);
    let registry = Registry::beside(&real);
    let name = unique("remote");
    let tag = format!("{}/org/{name}:1", registry.host());
    let push = || action(&real, project.path(), &front.address, &tag).input("push", "true");
    // Nobody is let in without a login, and the image is here all the same.
    let refused = push().run().expect_code(6);
    assert!(refused.summary.contains("not pushed") && exists(&real, &tag), "{}", refused.summary);
    let pushed = registry.known_to(push()).run().expect_code(0);
    assert_eq!(registry.digest(&format!("org/{name}"), "1").as_deref(), Some(pushed.output("digest")));
    // What is in the registry is what was built.
    docker(&real, &["image", "rm", "-f", &tag]);
    let based = Project::new(&[("Dockerfile", &format!("FROM {tag}\nRUN cat /copy > /again\n"))]);
    let local = unique("based");
    let build = Action::new(&real, based.path()).input("tags", &local).input("no-cache", "true");
    registry.known_to(build).run().expect_code(0);
    assert_eq!(docker(&real, &["run", "--rm", "--network", "none", &local, "cat", "/again"]), marker);
    docker(&real, &["image", "rm", "-f", &local]);
}

#[test]
fn its_cache_is_cleared_with_proof_engine_28_containerd() {
    let real = engine("28-containerd");
    let (project, _) = project();
    let front = Front::new(&real, Listens::Socket);
    let tag = unique("remote");
    let build = || action(&real, project.path(), &front.address, &tag).run().expect_code(0).cached();
    assert_eq!([build(), build()], [(0, 2), (2, 2)]);
    let clear = |action: Action| action.input("mode", "clear").input("builder", &front.address);
    // The engine that is said to be here has no records of its own: what goes are the daemon's.
    let here = shared_engine("20.10");
    let cleared = clear(Action::new(&here, project.path())).input("scope", "builder").run().expect_code(0);
    assert_eq!(cleared.output("verified"), "true");
    assert!(cleared.output("cache-records-removed").parse::<u32>().unwrap() >= 2, "{}", cleared.summary);
    assert_eq!(build(), (0, 2));
    docker(&real, &["image", "rm", "-f", &tag]);
}

#[test]
fn a_large_image_is_loaded_in_little_memory_engine_28_containerd() {
    const SIZE: u64 = 120_000_000;
    let real = engine("28-containerd");
    let front = Front::new(&real, Listens::Plain);
    let text = format!("FROM busybox:1.36\nRUN echo {} && head -c {SIZE} /dev/zero > /big\n", unique("memory"));
    let project = Project::new(&[("Dockerfile", &text)]);
    let tag = unique("memory");
    let action = action(&real, project.path(), &front.address, &tag).input("compression", "uncompressed");
    let child = action.start();
    let (output, highest) = crate::memory::watch(child);
    let finished = action.finish(&output).expect_code(0);
    let size = finished.result()["images"][0]["size_bytes"].as_u64().unwrap();
    assert!(size > SIZE, "{size} bytes were loaded");
    assert!(highest > 0 && highest < 24 << 10, "{highest} KiB for {size} bytes");
    docker(&real, &["image", "rm", "-f", &tag]);
}

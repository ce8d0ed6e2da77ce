//! Registries that do not take an image: what is said, what stays, and that it ends in time.

use std::io::{BufRead, BufReader};
use std::process::{Child, Output};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::project;
use crate::support::{Action, Engine, Finished, Project, Registry, docker, on_every_engine, unique};

/// What the result says of each tag: its digest or the error.
fn pushes(finished: &Finished) -> Vec<(String, Result<String, String>)> {
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let result = finished.result();
    let pushes = result["pushes"].as_array().unwrap().iter();
    let outcome = |push: &serde_json::Value| text(&push["digest"]).ok_or_else(|| text(&push["error"]).unwrap());
    pushes.map(|push| (text(&push["tag"]).unwrap(), outcome(push))).collect()
}

fn pushing(project: &Project, engine: &Engine, tags: &[String]) -> Action {
    Action::new(engine, project.path()).input("tags", &tags.join("\n")).input("push", "true")
}

on_every_engine!(a_repository_that_refuses_is_asked_once_and_the_others_all_the_same, |engine| {
    let (good, gone) = (Registry::beside(engine), Registry::beside(engine));
    let project = project(&unique("one-of-two"));
    let name = unique("app");
    let tags = [
        format!("{}/org/{name}:1", gone.host()),
        format!("{}/org/{name}:2", gone.host()),
        format!("{}/org/{name}:1", good.host()),
    ];
    let run = good.known_to(pushing(&project, engine, &tags)).run().expect_code(6);
    let digest = good.digest(&format!("org/{name}"), "1").unwrap();
    let pushes = pushes(&run);
    assert!(pushes[0].1.is_err(), "{pushes:?}");
    assert_eq!(pushes[1], (tags[1].clone(), Err(format!("not tried after {}", tags[0]))));
    assert_eq!(pushes[2], (tags[2].clone(), Ok(digest.clone())));
    assert_eq!(run.output("digest"), digest, "what was pushed has a digest");
    for said in ["2 of 3 tags not pushed", "Not pushed either", "What to do", "Pushed "] {
        assert!(run.summary.contains(said), "{said}: {}", run.summary);
    }
    assert_eq!(run.stdout.matches("is built and was not pushed").count(), 1, "{}", run.stdout);
    docker(engine, &[&["image", "rm", "-f"][..], &tags.each_ref().map(String::as_str)].concat());
});

on_every_engine!(a_certificate_has_to_be_trusted_by_the_engine, |engine| {
    let registry = Registry::with_tls_beside(engine);
    let project = project(&unique("tls"));
    let name = unique("app");
    let tag = format!("{}/{name}:1", registry.host());
    let build = || registry.known_to(pushing(&project, engine, std::slice::from_ref(&tag))).run();
    let unknown = build().expect_code(6);
    let way_out = format!("/etc/docker/certs.d/{}/ca.crt", registry.host());
    assert!(unknown.stdout.contains(&way_out), "{}", unknown.stdout);
    assert!(unknown.summary.contains("does not trust"), "{}", unknown.summary);

    registry.trust();
    let trusted = build().expect_code(0);
    assert_eq!(registry.digest(&name, "1").as_deref(), Some(trusted.output("digest")));
    docker(engine, &["image", "rm", "-f", &tag]);
});

/// Not on a graph driver of Docker 28, which asks such a registry again for 50 seconds before it gives up (measured).
mod a_registry_that_is_read_only_is_named_as_that {
    use super::*;

    fn run(engine: &str) {
        let engine = &crate::support::engine(engine);
        let registry = Registry::read_only_beside(engine);
        let project = project(&unique("read-only"));
        let tag = format!("{}/org/{}:1", registry.host(), unique("app"));
        let refused = registry.known_to(pushing(&project, engine, std::slice::from_ref(&tag))).run().expect_code(6);
        assert!(refused.stdout.contains("takes no images"), "{}", refused.stdout);
        docker(engine, &["image", "rm", "-f", &tag]);
    }

    #[test]
    fn engine_20_10() {
        run("20.10");
    }

    #[test]
    fn engine_28_containerd() {
        run("28-containerd");
    }
}

/// Waits until the program says this, and stops it then.
fn stopped_after(mut child: Child, said: &str) -> Output {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut stdout = String::new();
    for line in lines.by_ref() {
        stdout.extend([line.as_str(), "\n"]);
        if line.contains(said) {
            break;
        }
    }
    // What it says it does is on its way by then; whether it is makes no difference to how it has to end.
    std::thread::sleep(Duration::from_millis(500));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let sent = Instant::now();
    lines.for_each(|line| stdout.extend([line.as_str(), "\n"]));
    let output = child.wait_with_output().unwrap();
    assert!(sent.elapsed() < Duration::from_secs(7), "{:?}", sent.elapsed());
    Output { stdout: stdout.into_bytes(), ..output }
}

on_every_engine!(a_cancelled_push_ends_in_time_and_leaves_no_tag, |engine| {
    let registry = Registry::beside(engine);
    let project = project(&unique("cancelled"));
    let name = unique("app");
    let tag = format!("{}/{name}:1", registry.host());
    registry.pause();
    let action = registry.known_to(pushing(&project, engine, std::slice::from_ref(&tag)));
    let cancelled = action.finish(&stopped_after(action.start(), &format!("pushing {tag}"))).expect_code(143);
    for said in ["Cancelled", "every image was built already, not pushed"] {
        assert!(cancelled.summary.contains(said), "{said}: {}", cancelled.summary);
    }
    assert_ne!(cancelled.output("image-id"), "");
    assert_eq!(cancelled.output("digest"), "");
    assert_eq!(pushes(&cancelled), [(tag.clone(), Err("cancelled".to_owned()))]);

    // The engine was told, too: nothing arrives once the registry answers again.
    registry.resume();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(registry.digest(&name, "1"), None);
    // The next run pushes, and has nothing to build.
    let again = registry.known_to(pushing(&project, engine, std::slice::from_ref(&tag))).run().expect_code(0);
    assert_eq!(again.cached(), (2, 2));
    assert_eq!(registry.digest(&name, "1").as_deref(), Some(again.output("digest")));
    docker(engine, &["image", "rm", "-f", &tag]);
});

#[test]
fn an_image_with_an_attestation_is_pushed_as_it_was_built_engine_28_containerd() {
    let engine = &crate::support::engine("28-containerd");
    let registry = Registry::beside(engine);
    let project = project(&unique("attested"));
    let name = unique("app");
    let tag = format!("{}/{name}:1", registry.host());
    let action = pushing(&project, engine, std::slice::from_ref(&tag)).input("provenance", "mode=max");
    let pushed = registry.known_to(action).run().expect_code(0);
    assert_eq!(pushed.output("digest"), pushed.output("image-id"), "the attestation says when it was built");
    assert_eq!(registry.digest(&name, "1").as_deref(), Some(pushed.output("digest")));
    docker(engine, &["image", "rm", "-f", &tag]);
}

#[test]
fn an_image_out_of_the_image_cache_is_pushed_as_it_was_built_engine_28_containerd() {
    let engine = &crate::support::engine("28-containerd");
    let registry = Registry::beside(engine);
    let project = project(&unique("cached"));
    let name = unique("app");
    let tag = format!("{}/{name}:1", registry.host());
    let push = |marker: &str| {
        project.write("marker", marker);
        registry.known_to(pushing(&project, engine, std::slice::from_ref(&tag))).run().expect_code(0)
    };
    push(&unique("first"));
    let before = push(&unique("second"));
    docker(engine, &["builder", "prune", "-af"]);
    let pushed = registry.known_to(pushing(&project, engine, std::slice::from_ref(&tag))).run().expect_code(0);
    assert_eq!((pushed.cached(), pushed.output("cache-source")), ((2, 2), "image"));
    assert_eq!(pushed.output("digest"), before.output("digest"));
    assert_eq!(registry.digest(&name, "1").as_deref(), Some(pushed.output("image-id")));
    docker(engine, &["image", "rm", "-f", &tag]);
}

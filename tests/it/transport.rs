//! The ways to an engine's BuildKit: those that our engines have, and those of engines that we do not have.

use std::time::Duration;

use crate::support::{Action, LongBuild, Manner, Project, Proxy, docker, engine, on_every_engine, unique};

fn project() -> Project {
    let project = Project::new(&[("Dockerfile", "FROM busybox:1.36\nCOPY marker /\nRUN cat /marker > /copy\n")]);
    project.write("marker", unique("marker"));
    project
}

#[test]
fn docker_29_is_spoken_to_on_the_socket_itself_engine_28_containerd() {
    let real = engine("28-containerd");
    let proxy = Proxy::new(&real, Manner::Docker29);
    let project = project();
    let tag = unique("direct");
    let build = || Action::new(&proxy.engine(&real), project.path()).input("tags", &tag).run().expect_code(0);
    assert_eq!(build().cached(), (0, 2));
    assert_eq!(build().cached(), (2, 2));
    let seen = proxy.seen();
    assert!(seen.iter().any(|line| line.starts_with("PRI ")), "{seen:?}");
    assert!(!seen.iter().any(|line| line.contains("/grpc") || line.contains("/session")), "{seen:?}");
    docker(&real, &["image", "rm", "-f", &tag]);
}

on_every_engine!(the_session_goes_by_its_own_endpoint_where_there_is_no_other_way, |real| {
    let proxy = Proxy::new(real, Manner::WithoutControlSession);
    let project = project();
    let tag = unique("fallback");
    let action = Action::new(&proxy.engine(real), project.path()).variable("RUNNER_DEBUG", "1");
    let build = action.input("tags", &tag).run().expect_code(0);
    assert_eq!(build.cached(), (0, 2));
    assert!(build.stdout.contains("the session goes by /session"), "{}", build.stdout);
    let seen = proxy.seen();
    assert!(seen.iter().any(|line| line == "Control.Session"), "{seen:?}");
    assert!(seen.iter().any(|line| line.starts_with("POST /session")), "{seen:?}");
    docker(real, &["image", "rm", "-f", &tag]);
});

on_every_engine!(an_engine_that_goes_away_in_the_middle_fails_the_build_and_not_the_report, |real| {
    let proxy = Proxy::new(real, Manner::Itself);
    let build = LongBuild::start(&proxy.engine(real));
    proxy.cut();
    let cut = std::time::Instant::now();
    let output = build.child.wait_with_output().unwrap();
    assert!(cut.elapsed() < Duration::from_secs(10), "{:?}", cut.elapsed());
    let finished = build.action.finish(&output).expect_code(1);
    assert!(finished.summary.contains("connection to the builder"), "{}", finished.summary);
    assert_eq!(finished.output("steps-total"), "1");
});

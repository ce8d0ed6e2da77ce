//! A job with services: the action joins the job's network, and finds them by their names.

use crate::support::{Engine, docker, unique};

use super::{Runner, run_step};

fn services_are_found_by_name(engine: &Engine) {
    let network = unique("github_network");
    docker(engine, &["network", "create", &network]);
    let script = "mkdir /www && httpd -f -vv -p 5000 -h /www";
    let service = docker(
        engine,
        &[
            "run",
            "--detach",
            "--rm",
            "--network",
            &network,
            "--network-alias",
            "registry",
            "busybox:1.36",
            "sh",
            "-c",
            script,
        ],
    );
    let runner = Runner::new(engine, &[]);
    let clear = |host: &str| {
        let step = runner.step().network(&network).input("mode", "clear").input("scope", "registry");
        run_step(step.input("images", &format!("registry={host}:5000/app:cache")))
    };
    let asked = clear("registry");
    let log = docker(engine, &["logs", &service]) + &docker_stderr(engine, &["logs", &service]);
    // 20.10 asks name servers that are not there, for half a minute.
    let unknown = (!engine.is_20_10()).then(|| clear("nowhere"));
    docker(engine, &["rm", "--force", &service]);
    docker(engine, &["network", "rm", &network]);
    // The service answered, if only that it is no registry.
    assert!(log.contains("response:"), "{log}\n{}", asked.log.join("\n"));
    if let Some(unknown) = unknown {
        let unknown = unknown.expect_code(4).log.join("\n");
        assert!(unknown.contains("reach nowhere:5000") && unknown.contains("dns error"), "{unknown}");
    }
}

fn docker_stderr(engine: &Engine, args: &[&str]) -> String {
    String::from_utf8_lossy(&crate::support::command(engine).args(args).output().unwrap().stderr).into_owned()
}

#[test]
fn services_are_found_by_name_engine_20_10() {
    services_are_found_by_name(&crate::support::engine("20.10"));
}

#[test]
fn services_are_found_by_name_engine_28_containerd() {
    services_are_found_by_name(&crate::support::engine("28-containerd"));
}

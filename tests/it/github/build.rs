//! A build and GitHub: check run, baseline, gate, comment; and every way in which GitHub can be away.
//!
//! What an engine does is not in question here: one is enough.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{BASE, HEAD, Scene, record, remembered};
use crate::support::Finished;
use crate::support::github::{ACTIONS, FakeGithub, Fault};

/// What the summary and the log say of what GitHub was not told.
#[track_caller]
fn said(finished: &Finished, parts: &[&str]) {
    let log = finished.stdout.lines().find(|line| line.contains("warning: ")).unwrap_or_default();
    for part in parts {
        assert!(log.contains(part), "{part}: {}", finished.stdout);
    }
    // In the summary specials are character references; the first part has none.
    let first = parts.first().copied().unwrap_or_default();
    assert!(!first.is_empty() && finished.summary.contains(first), "{}", finished.summary);
}

mod a_push_makes_a_check_run_that_the_next_one_finds {
    use super::*;

    #[test]
    fn engine_28_graph() {
        let (scene, github) = (Scene::new(), FakeGithub::start_at("/api/v3"));
        github.state(|state| drop(state.commits.insert("main".into(), vec![BASE.into()])));
        let first = scene.push(&github).variable("GITHUB_SHA", BASE).run().expect_code(0);
        assert_eq!(first.output("baseline-seconds"), "");
        let checks = github.state(|state| state.checks.clone());
        let [check] = checks.as_slice() else { panic!("{checks:#?}") };
        assert_eq!(
            [&check["name"], &check["head_sha"], &check["conclusion"], &check["status"], &check["details_url"]],
            [
                &json!(scene.check_name()),
                &json!(BASE),
                &json!("success"),
                &json!("completed"),
                &json!("https://github.com/org/watchparty/actions/runs/7")
            ]
        );
        assert!(check["output"]["title"].as_str().unwrap().starts_with("Built "), "{check}");
        assert!(check["output"]["summary"].as_str().unwrap().contains(&scene.tag), "{check}");
        let cold = record(check);
        assert_eq!(
            [&cold["schema"], &cold["kind"], &cold["branch"], &cold["commit"], &cold["built"], &cold["cached"]],
            [&json!(1), &json!("cold"), &json!("main"), &json!(BASE), &json!(true), &json!(0)]
        );
        assert_eq!(
            (&cold["engine"]["store"], &cold["engine"]["builder"]),
            (&json!("graph-driver"), &json!("buildkit"))
        );
        assert!(cold["runner"].as_str().unwrap().starts_with("self-hosted Linux X64, "), "{cold}");

        // The second is warm: the first says nothing about it, but the third is compared with the second.
        let second = scene.push(&github).variable("GITHUB_SHA", BASE).run().expect_code(0);
        assert_eq!(second.output("baseline-seconds"), "");
        let third = scene.pull_request(&github).run().expect_code(0);
        let warm = github.state(|state| record(&state.checks[1]));
        assert_eq!(warm["kind"], "warm");
        assert_eq!(third.output("baseline-seconds").parse::<f64>().unwrap(), warm["seconds"].as_f64().unwrap());
        // Of the pull request itself, on its head and not on the merge; no later build is compared with it.
        let third = github.state(|state| state.checks[2].clone());
        assert_eq!((&third["head_sha"], &record(&third)["branch"]), (&json!(HEAD), &Value::Null));
        assert_eq!(github.count("GET", "/comments") + github.count("POST", "/comments"), 0);
    }
}

mod the_target_of_a_pull_request_has_a_check_only_of_what_was_built {
    use super::*;

    #[test]
    fn engine_28_graph() {
        let (scene, github) = (Scene::new(), FakeGithub::start());
        let run = || {
            let action = scene.pull_request(&github).variable("GITHUB_EVENT_NAME", "pull_request_target");
            action.variable("GITHUB_REF", "refs/heads/main").variable("GITHUB_SHA", BASE).run().expect_code(0)
        };
        said(&run(), &["no check run was made", "has built the base branch"]);
        assert_eq!(github.count("POST", "/check-runs"), 0);
        // The workflow checked out the pull request.
        scene.project.write(".git/HEAD", HEAD);
        run();
        let checks = github.state(|state| state.checks.clone());
        let [check] = checks.as_slice() else { panic!("{checks:#?}") };
        assert_eq!((&check["head_sha"], &record(check)["branch"]), (&json!(HEAD), &Value::Null));
    }
}

mod only_builds_of_the_same_sort_that_a_job_told_of_are_compared {
    use super::*;

    #[test]
    fn engine_28_graph() {
        let (scene, github) = (Scene::new(), FakeGithub::start());
        github.state(|state| drop(state.commits.insert("main".into(), vec![HEAD.into(), BASE.into()])));
        scene.push(&github).run().expect_code(0);
        scene.push(&github).run().expect_code(0);
        let warm = github.state(|state| record(&std::mem::take(&mut state.checks)[1]));
        let remember = |app, change| remembered(&github, &scene, &warm, app, &change);
        remember("somebody", json!({"seconds": 1.0}));
        remember("github-actions", json!({"seconds": 2.0, "kind": "cold"}));
        remember("github-actions", json!({"seconds": 3.0, "runner": "github-hosted Linux X64, 96 processors"}));
        remember("github-actions", json!({"seconds": 4.0, "images": []}));
        remember("github-actions", json!({"seconds": 5.0, "branch": "other"}));
        remember("github-actions", json!({"seconds": 6.0, "schema": 2}));
        for seconds in [900.0, 1000.0, 5000.0] {
            remember("github-actions", json!({"seconds": seconds}));
        }
        let run = scene.push(&github).input("fail-if-slower", "30s and 25%").run().expect_code(0);
        assert_eq!(run.output("baseline-seconds"), "1000.000");
        assert!(github.count("GET", "/commits") <= 12 * 3);
    }
}

mod a_build_that_is_too_slow_is_exit_5_and_a_failed_check {
    use super::*;

    #[test]
    fn engine_28_graph() {
        let (scene, github) = (Scene::new(), FakeGithub::start());
        github.state(|state| drop(state.commits.insert("main".into(), vec![BASE.into()])));
        scene.push(&github).run().expect_code(0);
        scene.push(&github).run().expect_code(0);
        let warm = github.state(|state| record(&state.checks[1]));
        remembered(&github, &scene, &warm, "github-actions", &json!({"seconds": 0.000_1}));
        let slow = scene.pull_request(&github).input("fail-if-slower", "10% and 0s").run().expect_code(5);
        assert!(slow.stdout.contains("Slower than fail-if-slower allows: "), "{}", slow.stdout);
        let check = github.state(|state| state.checks.last().unwrap().clone());
        assert_eq!((&check["conclusion"], &check["head_sha"]), (&json!("failure"), &json!(HEAD)));
        assert_eq!(record(&check)["built"], true);
        // Slower by a hundred times, and not by an hour.
        scene.pull_request(&github).input("fail-if-slower", "10% and 1h").run().expect_code(0);
    }
}

mod a_failed_build_fails_its_check_and_its_line {
    use super::*;

    #[test]
    fn engine_28_graph() {
        let (scene, github) = (Scene::new(), FakeGithub::start());
        scene.project.write("Dockerfile", "FROM busybox:1.36\nRUN exit 3\n");
        let run = scene.push(&github).input("fail-if-slower", "1% and 1s").run().expect_code(1);
        assert!(run.stdout.contains("::error title=") && run.stdout.contains("line=2"), "{}", run.stdout);
        let check = github.state(|state| state.checks[0].clone());
        assert_eq!((&check["conclusion"], &record(&check)["built"]), (&json!("failure"), &json!(false)));
    }
}

mod one_comment_is_written_and_then_kept_up_to_date {
    use super::*;

    #[test]
    fn engine_28_graph() {
        let (scene, github) = (Scene::new(), FakeGithub::start());
        let run = || scene.pull_request(&github).input("report", "comment").run().expect_code(0);
        let bodies = || github.state(|state| state.comments[&42].clone());
        github.state(|state| (0..120).for_each(|n| drop(state.add_comment(42, &n.to_string(), "a-person"))));
        run();
        let comment = bodies()[120].clone();
        let marker = comment["body"].as_str().unwrap().lines().next().unwrap().to_owned();
        assert!(marker.starts_with("<!-- watchparty-cache comment "), "{marker}");
        assert!(comment["body"].as_str().unwrap().contains("none of 1 step cached"), "{comment}");
        run();
        assert_eq!(bodies().len(), 121);
        assert_eq!(bodies()[120]["id"], comment["id"]);
        assert!(bodies()[120]["body"].as_str().unwrap().contains("its only step cached"), "{comment}");
        // A person's is not ours, whatever it says; what a killed run left behind goes.
        github.state(|state| {
            state.comments.insert(43, vec![]);
            state.comments.get_mut(&42).unwrap().clear();
            state.add_comment(42, &marker, "a-person");
            state.add_comment(42, &marker, ACTIONS);
            state.add_comment(42, &marker, ACTIONS);
        });
        run();
        let left = bodies();
        assert_eq!(left.len(), 2, "{left:#?}");
        assert_eq!((&left[0]["user"]["login"], &left[0]["body"]), (&json!("a-person"), &json!(marker)));
        assert_eq!(left[1]["user"]["login"], ACTIONS);
        assert_ne!(left[1]["body"], json!(marker));
        assert_eq!(github.count("POST", "/check-runs"), 0);
    }
}

mod a_comment_is_found_among_thousands {
    use super::*;

    #[test]
    fn engine_28_graph() {
        let (scene, github) = (Scene::new(), FakeGithub::start());
        let run = || scene.pull_request(&github).input("report", "comment").run().expect_code(0);
        let ours = || {
            let all = github.state(|state| state.comments[&42].clone());
            let numbered = all.iter().enumerate();
            numbered.filter(|(_, comment)| comment["user"]["login"] == ACTIONS).map(|(n, _)| n).collect::<Vec<_>>()
        };
        let people = |count: usize| {
            github.state(|state| (0..count).for_each(|n| drop(state.add_comment(42, &n.to_string(), "a-person"))));
        };
        people(1130);
        run();
        assert_eq!(ours(), [1130]);
        run();
        assert_eq!(ours(), [1130]);
        // What comes after it need not be read.
        people(1400);
        let before = github.count("GET", "/comments");
        run();
        assert_eq!((ours(), github.count("POST", "/comments")), (vec![1130], 1));
        assert!(github.count("GET", "/comments") - before <= 16, "{}", github.count("GET", "/comments"));
    }
}

mod nothing_is_written_twice {
    use super::*;

    #[test]
    fn engine_28_graph() {
        let scene = Scene::new();
        // Two runs that both see no comment: both write one, and one of them takes it back.
        let github = FakeGithub::start();
        github.goes_wrong(Fault::together("POST", "/comments", 2));
        let action = || scene.pull_request(&github).input("report", "comment");
        let (one, two) = (action(), action());
        let (first, second) = (one.start(), two.start());
        one.finish(&first.wait_with_output().unwrap()).expect_code(0);
        two.finish(&second.wait_with_output().unwrap()).expect_code(0);
        assert_eq!(github.count("POST", "/comments"), 2);
        github.state(|state| assert_eq!(state.comments[&42].len(), 1, "{:#?}", state.comments));

        // What was done although the answer says otherwise is found, and not done again.
        for fault in [Fault::done_then as fn(&str, &'static str, u16) -> Fault, |method, path, _| {
            Fault::done_then_broken(method, path)
        }] {
            let github = FakeGithub::start();
            github.goes_wrong(fault("POST", "/comments", 502));
            github.goes_wrong(fault("POST", "/check-runs", 502));
            let run = scene.pull_request(&github).input("report", "comment, check").run().expect_code(0);
            assert!(!run.stdout.contains("warning: "), "{}", run.stdout);
            assert_eq!((github.count("POST", "/comments"), github.count("POST", "/check-runs")), (1, 1));
            github.state(|state| assert_eq!((state.comments[&42].len(), state.checks.len()), (1, 1)));
        }

        // What was not done is done once more.
        let github = FakeGithub::start();
        github.goes_wrong(Fault::refused("POST", "/check-runs", 503, "Unavailable").times(1));
        scene.push(&github).run().expect_code(0);
        assert_eq!(github.state(|state| state.checks.len()), 1);
    }
}

mod what_github_refuses_is_said_in_one_line {
    use super::*;

    #[test]
    fn engine_28_graph() {
        let scene = Scene::new();
        let reports = "summary, check, comment";
        // A fork: the token can read.
        let github = FakeGithub::start();
        github.permit(&["contents: read", "checks: read", "pull-requests: read"]);
        let run = scene.pull_request(&github).input("report", reports).run().expect_code(0);
        said(
            &run,
            &[
                "the check run could not be made and the comment could not be written",
                "permissions: checks: write, pull-requests: write",
                "a pull request from a fork has a read-only token",
            ],
        );

        // A workflow without `permissions:` for it.
        github.permit(&["contents: read"]);
        github.state(|state| drop(state.commits.insert("main".into(), vec![BASE.into()])));
        let run = scene.pull_request(&github).run().expect_code(0);
        said(&run, &["earlier builds could not be read", "permissions: checks: read, checks: write"]);
        assert_eq!(run.output("steps-total"), "1");

        // GitHub answers 404 for what is not there, and for what the token may not see.
        github.permit(&["contents: read", "checks: write"]);
        github.goes_wrong(Fault::refused("POST", "/comments", 404, "Not Found").times(1));
        github.goes_wrong(Fault::refused("GET", "/comments", 404, "Not Found").times(1));
        let run = scene.pull_request(&github).input("report", "summary, comment").run().expect_code(0);
        said(
            &run,
            &[
                "the comment could not be written: GitHub does not find it",
                "it is not there, or the token may not see it",
                "permissions: pull-requests: write",
            ],
        );

        // No token at all.
        let run = scene.pull_request(&github).input("github-token", "").run().expect_code(0);
        said(&run, &["nothing could be reported to GitHub: there is no token"]);
        let requests = github.seen().len();
        let run = scene.pull_request(&github).input("report", "summary").run().expect_code(0);
        assert!(!run.stdout.contains("warning: "), "{}", run.stdout);
        assert_eq!(github.seen().len(), requests);
    }
}

mod a_github_that_limits_or_fails_costs_nobody_the_build {
    use super::*;

    #[test]
    fn engine_28_graph() {
        let scene = Scene::new();
        let github = FakeGithub::start();
        github.goes_wrong(Fault::refused("POST", "/check-runs", 429, "Too many").header("retry-after", "1").times(1));
        scene.push(&github).run().expect_code(0);
        assert_eq!(github.state(|state| state.checks.len()), 1);

        let github = FakeGithub::start();
        github.goes_wrong(Fault::refused("POST", "/check-runs", 403, "API rate limit").header("retry-after", "900"));
        said(
            &scene.push(&github).run().expect_code(0),
            &["the check run could not be made", "rate limit is used up until"],
        );

        let github = FakeGithub::start();
        github.goes_wrong(Fault::refused("POST", "/check-runs", 500, "Server Error"));
        said(&scene.push(&github).run().expect_code(0), &["GitHub failed with status 500"]);
    }
}

mod who_cancels_does_not_wait_for_github {
    use rustix::process::{Pid, Signal, kill_process};

    use super::*;

    #[test]
    fn engine_28_graph() {
        let (scene, github) = (Scene::new(), FakeGithub::start());
        github.goes_wrong(Fault::late("POST", "/check-runs", Duration::from_secs(600)));
        let action = scene.push(&github);
        let mut run = action.start();
        let begun = Instant::now();
        while github.count("POST", "/check-runs") == 0 {
            assert!(run.try_wait().unwrap().is_none(), "it ended without a check run");
            assert!(begun.elapsed() < Duration::from_secs(60), "no check run is made");
            std::thread::sleep(Duration::from_millis(20));
        }
        let begun = Instant::now();
        kill_process(Pid::from_child(&run), Signal::TERM).unwrap();
        let output = run.wait_with_output().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
        // Everything was built already: the signal has cancelled nothing of it.
        let finished = action.finish(&output).expect_code(0);
        assert_eq!(finished.output("steps-total"), "1");
        assert!(finished.summary.contains(&scene.tag), "{}", finished.summary);
    }
}

mod a_github_that_is_slow_or_gone_costs_seconds {
    use super::*;

    #[test]
    fn engine_28_graph() {
        let scene = Scene::new();
        let github = FakeGithub::start();
        scene.push(&github).input("report", "summary").run().expect_code(0);
        // It hears, and never answers.
        github.goes_wrong(Fault::late("GET", "/", Duration::from_secs(600)));
        github.goes_wrong(Fault::late("POST", "/", Duration::from_secs(600)));
        let begun = Instant::now();
        let run = scene.push(&github).run().expect_code(0);
        said(&run, &["earlier builds could not be read and the check run could not be made", "did not answer in time"]);
        // Seven seconds for all of it, and the build.
        let built = Duration::from_secs_f64(run.output("duration-seconds").parse().unwrap());
        let waited = begun.elapsed().saturating_sub(built);
        assert!((6_500..9_500).contains(&waited.as_millis()), "{waited:?}");

        // Nobody is there.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let action = scene.push(&github).variable("GITHUB_API_URL", &format!("http://{free}"));
        said(&action.run().expect_code(0), &["no connection to GitHub"]);
    }
}

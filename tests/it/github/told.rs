//! What a check run and a comment say, and what they must not say.

use serde_json::{Value, json};

use super::{BASE, HEAD, Scene, record, remembered};
use crate::support::docker;
use crate::support::github::FakeGithub;

/// The newest check run.
fn newest(github: &FakeGithub) -> Value {
    github.state(|state| state.checks.last().cloned()).unwrap()
}

fn title(check: &Value) -> &str {
    check["output"]["title"].as_str().unwrap()
}

mod legs_of_a_matrix_do_not_share_what_they_tell {
    use super::*;

    #[test]
    fn engine_28_graph() {
        let (scene, github) = (Scene::new(), FakeGithub::start());
        github.state(|state| drop(state.commits.insert("main".into(), vec![BASE.into()])));
        let stages =
            format!("FROM busybox:1.36 AS api\nRUN echo {0}\nFROM busybox:1.36 AS worker\nRUN echo w{0}\n", scene.tag);
        scene.project.write("Dockerfile", stages);
        let legs =
            [("target", "api", "target api"), ("target", "worker", "target worker"), ("cache-key", "arm", "key arm")];
        for (input, value, _) in legs {
            let run = || scene.pull_request(&github).input("report", "check, comment").input(input, value);
            run().run().expect_code(0);
            // The comment is this leg's own, also at its second run.
            run().run().expect_code(0);
        }
        let names = github.state(|state| state.checks.iter().map(|check| check["name"].clone()).collect::<Vec<_>>());
        let expected = legs.map(|(.., variant)| json!(format!("watchparty-cache / {} (CI, {variant})", scene.tag)));
        assert_eq!(names, [0, 0, 1, 1, 2, 2].map(|leg| expected[leg].clone()));
        assert_eq!(github.state(|state| state.comments[&42].len()), legs.len());
        let variants =
            github.state(|state| state.checks.iter().map(|check| record(check)["variant"].clone()).collect::<Vec<_>>());
        assert_eq!(variants[2], "target worker");
    }
}

mod a_branch_without_builds_is_named {
    use super::*;

    #[test]
    fn engine_28_graph() {
        let (scene, github) = (Scene::new(), FakeGithub::start());
        github.state(|state| drop(state.commits.insert("main".into(), vec![BASE.into()])));
        let first = scene.push(&github).run().expect_code(0);
        assert!(first.summary.contains("no earlier cold build of `main` is known"), "{}", first.summary);
        assert!(title(&newest(&github)).contains("no earlier cold build of main is known"), "{}", newest(&github));
        // Nobody was asked.
        let silent = scene.push(&github).input("report", "summary").run().expect_code(0);
        assert!(!silent.summary.contains("is known"), "{}", silent.summary);
        // The engine knows builds of this kind, and the branch has none.
        for number in 0..2 {
            scene
                .project
                .write("Dockerfile", format!("FROM busybox:1.36\nRUN echo {}\nRUN echo {number}\n", scene.tag));
            let run = scene.pull_request(&github).run().expect_code(0);
            let fallback = run.summary.contains("build on this engine (none of `main` is known)");
            let none = run.summary.contains("no earlier warm build of `main` is known");
            assert_eq!((none, fallback), (number == 0, number == 1), "{}", run.summary);
        }
    }
}

mod a_build_of_long_ago_is_found_and_a_merge_group_is_compared_with_its_base {
    use super::*;

    #[test]
    fn engine_28_graph() {
        let (scene, github) = (Scene::new(), FakeGithub::start());
        scene.push(&github).run().expect_code(0);
        scene.push(&github).run().expect_code(0);
        let warm = github.state(|state| record(&state.checks.drain(..).next_back().unwrap()));
        // Most commits touch nothing that is built.
        let mut commits: Vec<String> = (0..25).map(|number| format!("{number:040}")).collect();
        commits.push(BASE.to_owned());
        github.state(|state| drop(state.commits.insert("main".into(), commits)));
        remembered(&github, &scene, &warm, "github-actions", &json!({"seconds": 77.0}));
        let calls = || github.count("GET", "/commits/");
        let run = scene.pull_request(&github).run().expect_code(0);
        assert_eq!((run.output("baseline-seconds"), calls()), ("77.000", 26));

        let event = scene.event.path().join("group.json");
        let group = json!({"merge_group": {"head_sha": HEAD, "base_ref": "refs/heads/main"}});
        std::fs::write(&event, group.to_string()).unwrap();
        let run = scene
            .push(&github)
            .variable("GITHUB_EVENT_NAME", "merge_group")
            .variable("GITHUB_REF", "refs/heads/gh-readonly-queue/main/pr-42-0123")
            .variable("GITHUB_EVENT_PATH", event.to_str().unwrap());
        assert_eq!(run.run().expect_code(0).output("baseline-seconds"), "77.000");
        assert_eq!((&newest(&github)["head_sha"], calls()), (&json!(HEAD), 52));

        // Where the first commits tell of enough builds, no further ones are asked for.
        github.state(|state| state.commits.get_mut("main").unwrap().rotate_right(1));
        for seconds in [80.0, 81.0, 82.0, 83.0] {
            remembered(&github, &scene, &warm, "github-actions", &json!({"seconds": seconds}));
        }
        let before = calls();
        assert_eq!(scene.pull_request(&github).run().expect_code(0).output("baseline-seconds"), "81.000");
        assert!(calls() - before <= 15, "{}", calls() - before);
    }
}

mod a_gate_that_is_not_met_and_a_push_that_fails_are_told_as_failures {
    use super::*;

    #[test]
    fn engine_28_graph() {
        let (scene, github) = (Scene::new(), FakeGithub::start());
        scene.push(&github).run().expect_code(0);
        scene.push(&github).input("mode", "clear").input("scope", "images").run().expect_code(0);
        let stale = scene.push(&github).input("fail-if-stale", "true").run().expect_code(5);
        let check = newest(&github);
        assert_eq!(check["conclusion"], "failure");
        assert!(title(&check).starts_with("Not fresh: built "), "{check}");
        for part in ["### ❌ Not fresh", "`fail-if-stale` is set: this build fails"] {
            assert!(stale.summary.contains(part), "{part}: {}", stale.summary);
        }

        // Nobody listens there.
        let tag = format!("127.0.0.1:1/{}:1", scene.tag);
        let unpushed = scene.push(&github).input("tags", &tag).input("push", "true").run().expect_code(6);
        let check = newest(&github);
        assert_eq!(check["conclusion"], "failure");
        assert!(title(&check).ends_with(", not pushed"), "{check}");
        assert!(unpushed.summary.contains("### ❌ Built "), "{}", unpushed.summary);
        docker(&scene.engine, &["image", "rm", &tag]);
    }
}

mod nothing_that_is_secret_is_told {
    use super::*;

    #[test]
    fn engine_28_graph() {
        let (scene, github) = (Scene::new(), FakeGithub::start());
        let (value, secret) = ("value-of-the-argument", "s3cr3t-of-the-build");
        let dockerfile = |end: &str| {
            format!(
                "FROM busybox:1.36\nARG PASSWORD\nRUN echo {} $PASSWORD > /out\nCOPY Dockerfile /$PASSWORD\n\
                 RUN --mount=type=secret,id=token cat /run/secrets/token; echo $PASSWORD; {end}\n",
                scene.tag
            )
        };
        let run = || {
            let action = scene.pull_request(&github).input("report", "summary, check, comment, annotations");
            action.input("build-args", &format!("PASSWORD={value}")).input("secrets", &format!("token={secret}"))
        };
        scene.project.write("Dockerfile", dockerfile("true"));
        let built = run().run().expect_code(0);
        scene.project.write("Dockerfile", dockerfile("exit 3"));
        let failed = run().run().expect_code(1);
        // The step's last lines are shown, and say that something stood there.
        assert!(failed.summary.contains("```"), "{}", failed.summary);
        assert!(failed.stdout.contains("::error title="), "{}", failed.stdout);
        let told: Vec<String> = github.seen().iter().map(|seen| seen.body.to_string()).collect();
        assert!(told.iter().any(|body| body.contains("watchparty-cache build record")), "{told:#?}");
        assert!(told.iter().any(|body| body.contains("watchparty-cache comment")), "{told:#?}");
        let reports = told.iter().chain([&built.summary, &failed.summary]).chain(built.outputs.values());
        for report in reports.chain(failed.outputs.values()) {
            assert!(!report.contains(value) && !report.contains(secret), "{report}");
        }
        // What masks it is the one line of the log that has it.
        let lines = built.stdout.lines().chain(failed.stdout.lines());
        for line in lines.filter(|line| line.contains(value) || line.contains(secret)) {
            assert!(line.starts_with("::add-mask::"), "{line}");
        }
    }
}

//! Whole steps: what goes in by inputs and event, what comes out by files and log.

use crate::support::{Engine, Images, docker, on_every_engine, unique};

use super::{Level, Runner, Summary, run_step};

on_every_engine!(an_image_is_built_kept_as_a_cache_and_cleared, |engine| {
    let _images = Images::since_now(engine);
    let tag = unique("runner");
    let runner = Runner::new(
        engine,
        &[("Dockerfile", &format!("FROM busybox:1.36\nRUN echo {tag} >/a\nCOPY file /file\n")), ("file", "x")],
    );
    let build = || run_step(runner.step().input("tags", &tag)).expect_code(0);
    let first = build();
    assert_eq!(first.output("steps-total"), "2");
    assert_eq!((first.output("steps-cached"), first.output("cache-source")), ("0", "none"));
    assert!(first.shown_summary().contains(&tag), "{}", first.shown_summary());
    assert_eq!(
        std::fs::read_to_string(&first.summary_file).unwrap(),
        first.shown_summary(),
        "there is no secret in it"
    );
    assert_eq!(first.messages(Level::Error), [""; 0]);
    assert!(first.state.is_empty() && first.environment.is_empty());
    let again = build();
    assert_eq!((again.output("steps-cached"), again.output("cache-hit-percent")), ("2", "100"));
    assert_eq!(again.output("image-id"), docker(engine, &["image", "inspect", "--format", "{{.Id}}", &tag]));

    let cleared = run_step(runner.step().input("mode", "clear").input("images", &tag)).expect_code(0);
    assert_eq!((cleared.output("verified"), cleared.shown_summary().is_empty()), ("true", false));
    assert_eq!(docker(engine, &["image", "ls", "--quiet", &tag]), "");
    assert!(!runner.has_container(&cleared.container));
});

on_every_engine!(a_clear_keeps_the_image_and_the_container_that_it_runs_in, |engine| {
    let tag = unique("own");
    let runner = Runner::new(engine, &[]);
    docker(engine, &["tag", "busybox:1.36", &tag]);
    // By its name, and by what matches everything that this runner built.
    let (repository, _) = runner.image.split_once(':').unwrap();
    let images = format!("{},{repository}:*,{tag}", runner.image);
    let step = runner.step().input("mode", "clear").input("images", &images).input("scope", "images");
    let cleared = run_step(step).expect_code(0);
    assert_eq!(docker(engine, &["image", "ls", "--quiet", &tag]), "", "the other image of the pattern goes");
    assert_ne!(docker(engine, &["image", "ls", "--quiet", &runner.image]), "");
    let (log, kept) = (cleared.log.join("\n"), format!("kept {}: this action runs from it", runner.image));
    assert!(log.contains(&kept), "{log}");
});

on_every_engine!(a_pull_request_is_built_for_its_head_commit, |engine| {
    let _images = Images::since_now(engine);
    let tag = unique("event");
    let dockerfile = "FROM busybox:1.36\nARG GIT_COMMIT_HASH\nRUN echo $GIT_COMMIT_HASH >/commit\n";
    let runner = Runner::new(engine, &[("Dockerfile", dockerfile)]);
    let head = "89abcdef0123456789abcdef0123456789abcdef";
    let event = serde_json::json!({
        "pull_request": {"number": 42, "head": {"sha": head}, "base": {"ref": "main"}},
        "repository": {"default_branch": "main"},
    });
    let step = runner.step().event("pull_request", &event.to_string()).variable("GITHUB_REF", "refs/pull/42/merge");
    run_step(step.input("tags", &tag)).expect_code(0);
    assert_eq!(docker(engine, &["run", "--rm", &tag, "cat", "/commit"]), head);
});

fn text_of_a_build_is_text(engine: &Engine) {
    let _images = Images::since_now(engine);
    let tag = unique("text");
    let runner = Runner::new(
        engine,
        &[(
            "Dockerfile",
            &format!(
                "FROM busybox:1.36\nRUN echo {tag}; echo '::error::injected'; echo 'x ##[warning]injected'; \
         echo '::set-output name=a::b'; echo '::stop-commands::x'\n\
         RUN --mount=type=secret,id=token cat /run/secrets/token && false\n"
            ),
        )],
    );
    let failed = run_step(runner.step().input("tags", &tag).input("secrets", "token=hunter2-hunter2")).expect_code(1);
    // Shown, and not carried out.
    let log = failed.log.join("\n");
    assert!(log.contains("::error::injected"), "{log}");
    for annotation in &failed.annotations {
        assert!(!annotation.message.contains("injected"), "{annotation:?}");
    }
    assert!(!failed.outputs.contains_key("a"));
    // The step that failed is shown at its place in the source, and a secret nowhere.
    let place = failed.annotations.iter().find_map(|annotation| Some((annotation.file.as_deref()?, annotation.line?)));
    assert_eq!(place, Some(("Dockerfile", 3)), "{:?}", failed.annotations);
    let said = format!("{log}{:?}{:?}{}", failed.annotations, failed.outputs, failed.shown_summary());
    assert!(!said.contains("hunter2") && log.contains("***"), "{said}");
}

#[test]
fn text_of_a_build_is_never_a_command_engine_28_graph() {
    text_of_a_build_is_text(&crate::support::engine("28-graph"));
}

#[test]
fn text_of_a_build_is_never_a_command_engine_28_containerd() {
    text_of_a_build_is_text(&crate::support::engine("28-containerd"));
}

#[test]
fn bad_inputs_are_annotations_and_exit_2_engine_28_graph() {
    let runner = Runner::new(&crate::support::engine("28-graph"), &[("Dockerfile", "FROM scratch\n")]);
    let step = runner.step().input("pull", "yes").input("cache-max-age", "week").input("outputs", "type=local,dest=x");
    let finished = run_step(step).expect_code(2);
    let errors = finished.messages(Level::Error);
    for input in ["pull", "cache-max-age", "outputs"] {
        assert!(errors.iter().any(|error| error.contains(&format!("input `{input}`"))), "{input}: {errors:?}");
    }
    assert_eq!(finished.summary, Summary::None);
    // What is not declared is the runner's to warn of, and no input.
    run_step(runner.step().input("mode", "cleer").input("unknown", "x")).expect_code(2);
}

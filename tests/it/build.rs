//! Builds: what is built, how it is counted, what is said of it.

use crate::support::{Action, Project, docker, on_every_engine, unique};

/// A project of two stages whose second step depends on the commit.
fn two_stages() -> Project {
    Project::new(&[
        (
            "Dockerfile",
            "FROM busybox:1.36 AS build\n\
             COPY deps.txt /deps.txt\n\
             RUN cat /deps.txt > /installed\n\
             ARG GIT_COMMIT_HASH\n\
             COPY app.txt /app.txt\n\
             RUN cat /app.txt /installed > /out\n\
             FROM busybox:1.36\n\
             COPY --from=build /out /out\n\
             CMD [\"cat\", \"/out\"]\n",
        ),
        ("deps.txt", "a dependency\n"),
        ("app.txt", "first\n"),
    ])
}

on_every_engine!(a_change_rebuilds_from_where_it_is_used, |engine| {
    let project = two_stages();
    project.write("deps.txt", unique("dependency"));
    let tag = unique("lifecycle");
    let build = || Action::new(engine, project.path()).input("tags", &tag);

    let first = build().run().expect_code(0);
    assert_eq!(first.cached(), (0, 5));
    assert_eq!(first.output("cache-source"), "none");
    assert!(first.output("image-id").starts_with("sha256:"));

    let again = build().run().expect_code(0);
    assert_eq!(again.cached(), (5, 5));
    assert_eq!(again.output("cache-hit-percent"), "100");
    assert_eq!(again.output("cache-source"), "builder");
    assert_eq!(again.output("image-id"), first.output("image-id"));

    project.write("app.txt", "second\n");
    let changed = build().run().expect_code(0);
    assert_eq!(changed.cached(), (2, 5));
    assert_eq!(docker(engine, &["run", "--rm", &tag]).lines().next(), Some("second"));
    assert!(changed.summary.contains(&tag), "{}", changed.summary);
    docker(engine, &["image", "rm", "-f", &tag]);
});

on_every_engine!(the_commit_is_passed_only_where_it_is_declared, |engine| {
    let project = Project::new(&[
        ("declares/Dockerfile", "FROM busybox:1.36\nARG GIT_COMMIT_HASH\nRUN echo \"$GIT_COMMIT_HASH\" > /commit\n"),
        ("ignores/Dockerfile", "FROM busybox:1.36\nRUN touch /x\n"),
    ]);
    let tag = unique("commit");
    let build = |context: &str| Action::new(engine, project.path()).input("context", context).input("tags", &tag);
    build("declares").run().expect_code(0);
    let commit = docker(engine, &["run", "--rm", &tag, "cat", "/commit"]);
    assert_eq!(commit, "0123456789abcdef0123456789abcdef01234567");
    // A commit that nobody declared would be an unused argument, which the builder warns of.
    let ignored = build("ignores").run().expect_code(0);
    assert!(!ignored.stdout.contains("GIT_COMMIT_HASH"), "{}", ignored.stdout);
    docker(engine, &["image", "rm", "-f", &tag]);
});

on_every_engine!(a_failing_step_is_named_with_its_last_lines_and_its_place, |engine| {
    let project = Project::new(&[(
        "Dockerfile",
        "FROM busybox:1.36\nRUN true\nRUN echo \"::error::planted\" && echo the reason && exit 42\n",
    )]);
    let tag = unique("fails");
    let failed = Action::new(engine, project.path()).input("tags", &tag).run().expect_code(1);
    assert!(failed.summary.contains("the reason") && failed.summary.contains("42"), "{}", failed.summary);
    let annotation = failed.stdout.lines().find(|line| line.starts_with("::error ")).unwrap();
    assert!(annotation.contains("file=Dockerfile") && annotation.contains("line=3"), "{annotation}");
    assert!(annotation.contains("the reason"), "{annotation}");
    assert_eq!(failed.output("steps-total"), "2");
    assert!(!failed.outputs.contains_key("image-id") || failed.output("image-id").is_empty());
    // What the step printed must not be taken for a command of ours.
    let stopped = failed.stdout.find("::stop-commands::").unwrap();
    assert!(stopped < failed.stdout.find("::error::planted").unwrap());
});

on_every_engine!(values_of_arguments_and_secrets_appear_nowhere, |engine| {
    let project = Project::new(&[
        (
            "Dockerfile",
            "FROM busybox:1.36\n\
             ARG API_KEY\n\
             WORKDIR /home/${API_KEY}\n\
             RUN --mount=type=secret,id=token --mount=type=secret,id=file \
             echo \"arg is $API_KEY\" && cat /run/secrets/token /run/secrets/file && test \"$(cat /run/secrets/token)\" = s3cr3t-value && \
             test \"$(cat /run/secrets/file)\" = from-a-file\n\
             RUN echo \"then $API_KEY\" && exit 3\n",
        ),
        ("secret.txt", "from-a-file"),
    ]);
    let run = Action::new(engine, project.path())
        .input("tags", &unique("masked"))
        .input("build-args", "API_KEY=k3y-that-nobody-sees")
        .input("secrets", "token=s3cr3t-value")
        .input("secret-files", "file=./secret.txt")
        .run()
        .expect_code(1);
    let kept = format!("{:?}{}", run.outputs, run.summary);
    for secret in ["k3y-that-nobody-sees", "s3cr3t-value", "from-a-file"] {
        assert!(!kept.contains(secret), "{secret}: {kept}");
    }
    let shown: Vec<&str> = run.stdout.lines().filter(|line| !line.starts_with("::add-mask::")).collect();
    for secret in ["k3y-that-nobody-sees", "s3cr3t-value", "from-a-file"] {
        assert!(!shown.join("\n").contains(secret) && !run.stderr.contains(secret), "{secret}: {}", run.stdout);
    }
    assert!(run.stdout.contains("then $API_KEY") && run.summary.contains("$API_KEY"), "{}", run.stdout);
    assert!(run.stdout.starts_with("::add-mask::"), "secrets are masked before anything else is said");
});

on_every_engine!(one_stage_several_tags_labels_and_arguments, |engine| {
    let project = two_stages();
    let (tag, second) = (unique("target"), unique("target"));
    let run = Action::new(engine, project.path())
        .input("tags", &format!("{tag}\n{second}:v2"))
        .input("target", "build")
        .input("labels", "org.example.team=watch, party")
        .run()
        .expect_code(0);
    assert_eq!(run.output("steps-total"), "4");
    let format = "{{index .Config.Labels \"org.example.team\"}}";
    assert_eq!(docker(engine, &["image", "inspect", "-f", format, &format!("{second}:v2")]), "watch, party");
    assert_eq!(docker(engine, &["image", "inspect", "-f", "{{.Id}}", &tag]), run.output("image-id"));
    docker(engine, &["image", "rm", "-f", &tag, &format!("{second}:v2")]);
});

on_every_engine!(named_contexts_where_the_engine_knows_them, |engine| {
    let project = Project::new(&[
        ("app/Dockerfile", "FROM busybox:1.36\nCOPY --from=shared shared.txt /shared.txt\n"),
        ("shared/shared.txt", "shared\n"),
    ]);
    let tag = unique("contexts");
    let run = Action::new(engine, project.path())
        .input("context", "app")
        .input("tags", &tag)
        .input("build-contexts", "shared=./shared")
        .run();
    if engine.is_20_10() {
        let refused = run.expect_code(2);
        assert!(refused.stdout.contains("build-contexts need the BuildKit of Docker 23.0"), "{}", refused.stdout);
    } else {
        run.expect_code(0);
        assert_eq!(docker(engine, &["run", "--rm", &tag, "cat", "/shared.txt"]), "shared");
        docker(engine, &["image", "rm", "-f", &tag]);
    }
});

on_every_engine!(the_classic_builder_builds_and_caches, |engine| {
    let project = two_stages();
    project.write(
        "Dockerfile",
        "FROM busybox:1.36\nCOPY deps.txt /\nRUN cat /deps.txt\nCOPY app.txt /\nCMD cat /app.txt\n",
    );
    project.write("deps.txt", unique("classic"));
    let tag = unique("classic");
    let build = || Action::new(engine, project.path()).input("tags", &tag).input("builder", "classic");
    assert_eq!(build().run().expect_code(0).output("steps-cached"), "0");
    project.write("app.txt", "changed\n");
    let second = build().input("cache-from", &tag).run().expect_code(0);
    assert_eq!(second.output("steps-cached"), "2");
    assert_eq!(docker(engine, &["run", "--rm", &tag]), "changed");
    docker(engine, &["image", "rm", "-f", &tag]);
});

on_every_engine!(a_missing_cache_source_is_named_and_never_fatal, |engine| {
    let project = two_stages();
    let tag = unique("missing-source");
    let run = Action::new(engine, project.path())
        .input("tags", &tag)
        .input("cache-from", "localhost:1/nobody/has-this:latest")
        .run()
        .expect_code(0);
    assert!(run.summary.contains("localhost:1/nobody/has-this"), "{}", run.summary);
    docker(engine, &["image", "rm", "-f", &tag]);
});

//! The classic builder: the image is its cache, and what is said of a build is what is said of one by BuildKit.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Action, Engine, Project, docker, on_every_engine, unique};

fn action(engine: &Engine, project: &Project) -> Action {
    Action::new(engine, project.path()).input("builder", "classic")
}

/// What the image says of how often its steps really ran: a step that runs writes something new.
fn stamp(engine: &Engine, image: &str) -> String {
    docker(engine, &["run", "--rm", image, "cat", "/stamp"])
}

fn stamped() -> Project {
    let project = Project::new(&[
        (
            "Dockerfile",
            "FROM busybox:1.36\nENV A=1\nCOPY deps.txt /\nRUN head -c 16 /dev/urandom | sha256sum > /stamp\n\
             COPY app.txt /\nCMD [\"cat\", \"/app.txt\"]\n",
        ),
        ("app.txt", "first\n"),
    ]);
    project.write("deps.txt", unique("classic"));
    project
}

on_every_engine!(the_image_is_the_cache_also_after_a_prune, |engine| {
    let project = stamped();
    let tag = unique("classic-prune");
    let build = || action(engine, &project).input("tags", &tag).input("cache-from", &tag);
    let first = build().run().expect_code(0);
    assert_eq!(first.cached(), (0, 3), "{}", first.stdout);
    assert_eq!(first.output("cache-source"), "none");
    assert!(first.summary.contains("it is not in the engine"), "{}", first.summary);
    let ran = stamp(engine, &tag);

    docker(engine, &["builder", "prune", "-af"]);
    let again = build().run().expect_code(0);
    assert_eq!(again.cached(), (3, 3), "{}", again.stdout);
    assert_eq!(again.output("cache-source"), "image");
    assert_eq!(again.output("image-id"), first.output("image-id"));

    project.write("app.txt", "second\n");
    let changed = build().run().expect_code(0);
    assert_eq!(changed.cached(), (2, 3), "{}", changed.stdout);
    assert_eq!(stamp(engine, &tag), ran, "a step that was said to be cached ran");
    assert_eq!(docker(engine, &["run", "--rm", &tag]), "second");

    let fresh = build().input("no-cache", "true").run().expect_code(0);
    assert_eq!(fresh.cached(), (0, 3), "{}", fresh.stdout);
    assert_ne!(stamp(engine, &tag), ran);
    docker(engine, &["image", "rm", "-f", &tag]);
});

on_every_engine!(after_a_clear_nothing_is_cached_although_untagged_images_stay, |engine| {
    let project = stamped();
    let tag = unique("classic-clear");
    let build = || action(engine, &project).input("tags", &tag).run().expect_code(0);
    build();
    let ran = stamp(engine, &tag);
    action(engine, &project).input("mode", "clear").input("tags", &tag).run().expect_code(0);
    let fresh = build();
    assert_eq!(fresh.cached(), (0, 3), "{}", fresh.stdout);
    assert_ne!(stamp(engine, &tag), ran);
    assert_eq!(build().cached(), (3, 3));
    docker(engine, &["image", "rm", "-f", &tag]);
});

on_every_engine!(a_missing_source_is_named_and_does_not_switch_the_cache_off, |engine| {
    let project = stamped();
    let tag = unique("classic-missing");
    let build = || {
        let action = action(engine, &project).input("tags", &tag);
        action.input("cache-from", "nobody/has-this:1").run().expect_code(0)
    };
    build();
    let second = build();
    assert_eq!(second.cached(), (3, 3), "{}", second.stdout);
    let unused = &second.result()["images"][0]["unused_sources"][0];
    assert!(unused.to_string().contains("nobody/has-this:1"), "{unused}");
    assert!(unused.to_string().contains("it is not in the engine"), "{unused}");
    docker(engine, &["image", "rm", "-f", &tag]);
});

on_every_engine!(a_failing_step_has_its_place_its_last_lines_and_its_code, |engine| {
    let project = Project::new(&[(
        "Dockerfile",
        "ARG VERSION=1.36\nFROM busybox:$VERSION AS first\nENV A=1\nRUN true\nFROM first\nENV B=2\n\
         RUN echo the reason && exit 42\nRUN true\n",
    )]);
    let failed = action(engine, &project).input("tags", &unique("classic-fails")).run().expect_code(1);
    let annotation = failed.stdout.lines().find(|line| line.starts_with("::error ")).unwrap();
    assert!(annotation.contains("file=Dockerfile") && annotation.contains("line=7"), "{annotation}");
    assert!(annotation.contains("the reason"), "{annotation}");
    assert!(failed.summary.contains("the reason") && failed.summary.contains("42"), "{}", failed.summary);
    assert!(failed.stdout.contains("[7/8] RUN echo the reason"), "{}", failed.stdout);
});

on_every_engine!(what_cannot_be_parsed_or_found_is_said, |engine| {
    for (dockerfile, said) in [
        ("FROM busybox:1.36\nNONSENSE\n", "unknown instruction: NONSENSE"),
        ("FROM busybox:1.36\nCOPY nothing /\n", "nothing"),
        ("FROM busybox:1.36 AS a\nFROM registry.invalid/no:1\n", "registry.invalid"),
    ] {
        let project = Project::new(&[("Dockerfile", dockerfile)]);
        let failed = action(engine, &project).input("tags", &unique("classic-broken")).run().expect_code(1);
        let error = failed.stdout.lines().find(|line| line.starts_with("::error ")).unwrap();
        assert!(error.contains(said), "{error}");
    }
});

on_every_engine!(values_of_arguments_appear_nowhere, |engine| {
    let project = Project::new(&[(
        "Dockerfile",
        "FROM busybox:1.36\nARG API_KEY\nRUN echo \"arg is $API_KEY\" && env && exit 3\n",
    )]);
    let failed = action(engine, &project)
        .input("tags", &unique("classic-masked"))
        .input("build-args", "API_KEY=k3y-that-nobody-sees")
        .run()
        .expect_code(1);
    let shown: Vec<&str> = failed.stdout.lines().filter(|line| !line.starts_with("::add-mask::")).collect();
    let said = format!("{}{:?}{}{}", shown.join("\n"), failed.outputs, failed.summary, failed.stderr);
    assert!(!said.contains("k3y-that-nobody-sees"), "{said}");
    assert!(failed.stdout.contains("arg is $API_KEY") && failed.summary.contains("$API_KEY"), "{}", failed.stdout);
});

/// Lists every file of the context with mode, kind, links and time.
const LISTING: &str = "FROM busybox:1.36\nCOPY . /context\nRUN cd /context && find . -mindepth 1 | sort | while read -r f; do \
                       echo \"$(stat -c '%a %F %h %Y' \"$f\") $f $(readlink \"$f\")\"; done > /listing\n";

on_every_engine!(the_same_files_as_the_peer, |engine| {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let project = Project::new(&[("Dockerfile", LISTING)]);
    for path in ["a.txt", "b.md", "src/a.txt", "src/deep/er/keep.log", "node_modules/m/x", "ü n.txt"] {
        project.write(path, path);
    }
    project.write(&format!("{0}/{0}/{0}", "n".repeat(60)), "a long name");
    let executable = project.write("run.sh", "#!/bin/sh\n");
    std::fs::set_permissions(executable, std::fs::Permissions::from_mode(0o4755)).unwrap();
    let old = std::time::UNIX_EPOCH + Duration::from_millis(1_000_000_000_900);
    std::fs::File::options().write(true).open(project.path().join("b.md")).unwrap().set_modified(old).unwrap();
    symlink("./src//a.txt", project.path().join("link")).unwrap();
    symlink(format!("../{}", "t".repeat(150)), project.path().join("far")).unwrap();
    std::fs::hard_link(project.path().join("a.txt"), project.path().join("hard")).unwrap();
    std::fs::create_dir(project.path().join("empty")).unwrap();
    for ignore in ["", "*.md\nnode_modules\n", "*\n!src\nsrc/deep\n", "Dockerfile\n.dockerignore\n"] {
        project.write(".dockerignore", ignore);
        let (ours, theirs) = (unique("classic-ours"), unique("classic-theirs"));
        action(engine, &project).input("tags", &ours).input("no-cache", "true").run().expect_code(0);
        peer(engine, &["build", "--no-cache", "-t", &theirs, &project.path().display().to_string()]);
        let listing = |tag: &str| docker(engine, &["run", "--rm", tag, "cat", "/listing"]);
        assert_eq!(listing(&ours), listing(&theirs), "with the ignore file {ignore:?}");
        docker(engine, &["image", "rm", "-f", &ours, &theirs]);
    }
});

/// Docker's own client with its classic builder.
fn peer(engine: &Engine, args: &[&str]) {
    let peers = std::env::var("WATCHPARTY_TEST_PEERS").expect("WATCHPARTY_TEST_PEERS is unset: run scripts/test");
    let mut command = Command::new(format!("{peers}/docker"));
    command.env("DOCKER_CONFIG", &peers).env("DOCKER_HOST", &engine.address).env("DOCKER_BUILDKIT", "0");
    let output = command.args(args).output().unwrap();
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

on_every_engine!(a_dockerfile_outside_the_context_is_not_part_of_it, |engine| {
    let project = Project::new(&[
        ("docker/Dockerfile", "FROM busybox:1.36\nCOPY . /context\n"),
        ("docker/Dockerfile.dockerignore", "dropped\n"),
        ("app/dropped", ""),
        ("app/kept", ""),
    ]);
    let tag = unique("classic-outside");
    project.write("app/kept", &tag);
    let build = || {
        let action = action(engine, &project).input("tags", &tag).input("context", "app");
        action.input("file", "docker/Dockerfile").run().expect_code(0)
    };
    build();
    assert_eq!(docker(engine, &["run", "--rm", &tag, "ls", "-A", "/context"]), "kept");
    // Its random name must not make every context look new.
    assert_eq!(build().cached(), (1, 1));
    docker(engine, &["image", "rm", "-f", &tag]);
});

on_every_engine!(an_inline_dockerfile_is_built_and_hidden_as_well, |engine| {
    let project = Project::new(&[
        (
            "compose.yaml",
            "services:\n  web:\n    image: ${TAG}\n    build:\n      context: app\n      dockerfile_inline: |\n        \
             FROM busybox:1.36\n        COPY . /context\n",
        ),
        ("app/deep/er.log", ""),
        // BuildKit's reading: Docker's own client would not look into `deep`.
        ("app/.dockerignore", "*\n!**/*.log\n"),
    ]);
    let tag = unique("classic-inline");
    let build = action(engine, &project).input("compose-file", "compose.yaml").variable("TAG", &tag);
    build.run().expect_code(0);
    assert_eq!(docker(engine, &["run", "--rm", &tag, "find", "/context", "-type", "f"]), "/context/deep/er.log");
    docker(engine, &["image", "rm", "-f", &tag]);
});

on_every_engine!(a_cancelled_build_ends_at_once, |engine| {
    let marker = unique("classic-sleeps");
    let project =
        Project::new(&[("Dockerfile", &format!("FROM busybox:1.36\nRUN echo {marker} && sleep 300 && true\n"))]);
    let action = action(engine, &project).input("tags", &marker);
    let child = action.start();
    let deadline = Instant::now() + Duration::from_secs(60);
    while docker(engine, &["ps", "-q", "--no-trunc", "--filter", "status=running"]).is_empty() {
        assert!(Instant::now() < deadline, "the step did not begin");
        std::thread::sleep(Duration::from_millis(100));
    }
    let begun = Instant::now();
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let finished = action.finish(&child.wait_with_output().unwrap()).expect_code(143);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(!finished.stdout.contains("::error"), "{}", finished.stdout);
});

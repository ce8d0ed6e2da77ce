//! Docker's own clients build the same project beside us, before and after: no order of them gives a wrong result.

use super::{COMMIT, NEXT_COMMIT, Scene, assert_ran, prune, read};
use crate::support::{Action, Engine, Finished, Images, Project, command, docker, on_every_engine, unique};

/// Who builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Ours,
    Buildx,
    Compose,
}
use Who::{Buildx, Compose, Ours};

/// What changes before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit {
    Nothing,
    Code,
    Dependencies,
    Commit,
    /// Everything becomes what it was in the beginning, so that an old layer fits again.
    Back,
}
use Edit::{Back, Code, Commit, Dependencies, Nothing};

/// One build of a sequence.
#[derive(Debug, Clone, Copy)]
struct Turn {
    who: Who,
    edit: Edit,
    pruned: bool,
    inline: bool,
}

const PRUNED: bool = true;
const INLINE: bool = true;

const fn turn(who: Who, edit: Edit, pruned: bool, inline: bool) -> Turn {
    Turn { who, edit, pruned, inline }
}

/// A sequence of builds of one Compose project, each of which must give what its files say.
fn play(engine: &Engine, turns: &[Turn]) {
    let scene = Scene::three_stages(engine);
    let compose = format!(
        "name: {0}\nservices:\n  app:\n    image: {0}\n    build:\n      context: .\n      args: [GIT_COMMIT_HASH]\n      \
         cache_from: ['{0}']\n",
        scene.tag
    );
    scene.project.write("compose.yaml", compose);
    // The Compose file is no part of what is built.
    scene.project.write(".dockerignore", "compose.yaml\n");
    let begin = ["deps.txt", "app.txt"].map(|name| (name, std::fs::read(scene.project.path().join(name)).unwrap()));
    let mut commit = COMMIT;
    for (index, turn) in turns.iter().enumerate() {
        let when = format!("turn {index} of {turns:?}");
        match turn.edit {
            Nothing => {}
            Code => drop(scene.project.write("app.txt", unique("code") + "\n")),
            Dependencies => drop(scene.project.write("deps.txt", unique("dependency"))),
            Commit => commit = if commit == COMMIT { NEXT_COMMIT } else { COMMIT },
            Back => {
                commit = COMMIT;
                for (name, content) in &begin {
                    scene.project.write(name, content);
                }
            }
        }
        if turn.pruned {
            prune(engine);
        }
        build(&scene, *turn, commit);
        scene.assert_final(commit, &when);
    }
    let fresh = ours(&scene, commit).input("no-cache", "true").run().expect_code(0);
    assert_eq!(fresh.output("steps-cached"), "0");
    scene.assert_final(commit, "without any cache");
}

fn ours(scene: &Scene<'_>, commit: &str) -> Action {
    Action::new(scene.engine, scene.project.path()).input("compose-file", "compose.yaml").input("commit", commit)
}

fn build(scene: &Scene<'_>, turn: Turn, commit: &str) {
    let argument = "BUILDKIT_INLINE_CACHE=1";
    let commit_argument = format!("GIT_COMMIT_HASH={commit}");
    let mut args: Vec<&str> = match turn.who {
        Ours => {
            let action = ours(scene, commit);
            let action = if turn.inline { action.input("build-args", argument) } else { action };
            action.run().expect_code(0);
            return;
        }
        Buildx => vec!["buildx", "build", "-q", "-t", &scene.tag, "--cache-from", &scene.tag],
        Compose => vec!["compose", "build", "-q"],
    };
    args.extend(["--build-arg", &commit_argument]);
    if turn.inline {
        args.extend(["--build-arg", argument]);
    }
    if turn.who == Buildx {
        args.push(".");
    }
    let run = || {
        let output = command(scene.engine).args(&args).current_dir(scene.project.path()).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (mut success, mut said) = run();
    // Right after a prune the garbage collection of Docker 28's containerd store now and then takes what a build is unpacking.
    // We build again then, Docker's own clients do not.
    if said.contains("parent snapshot") && said.contains("does not exist") {
        (success, said) = run();
    }
    assert!(success, "{args:?}: {said}");
}

on_every_engine!(ours_then_theirs_and_back, |engine| {
    play(
        engine,
        &[
            turn(Ours, Nothing, false, false),
            turn(Buildx, Code, PRUNED, false),
            turn(Ours, Nothing, PRUNED, false),
            turn(Compose, Commit, PRUNED, INLINE),
            turn(Ours, Code, PRUNED, false),
            turn(Ours, Back, PRUNED, false),
        ],
    );
});

on_every_engine!(theirs_then_ours_and_back, |engine| {
    play(
        engine,
        &[
            turn(Compose, Nothing, false, INLINE),
            turn(Ours, Code, PRUNED, false),
            turn(Buildx, Dependencies, false, INLINE),
            turn(Ours, Back, PRUNED, false),
            turn(Buildx, Nothing, PRUNED, false),
            turn(Ours, Dependencies, false, false),
        ],
    );
});

on_every_engine!(inline_records_on_both_sides, |engine| {
    play(
        engine,
        &[
            turn(Ours, Nothing, false, INLINE),
            turn(Compose, Dependencies, PRUNED, INLINE),
            turn(Ours, Commit, PRUNED, INLINE),
            turn(Buildx, Code, PRUNED, INLINE),
            turn(Ours, Back, PRUNED, false),
            turn(Buildx, Commit, false, INLINE),
        ],
    );
});

on_every_engine!(an_image_of_buildx_with_inline_records_is_a_cache, |engine| {
    let mut scene = Scene::three_stages(engine);
    let earlier = unique("earlier");
    let path = scene.project.path().to_str().unwrap().to_owned();
    let commit = format!("GIT_COMMIT_HASH={COMMIT}");
    docker(
        engine,
        &[
            "buildx",
            "build",
            "-q",
            "-t",
            &earlier,
            "--build-arg",
            &commit,
            "--build-arg",
            "BUILDKIT_INLINE_CACHE=1",
            &path,
        ],
    );
    // Every second time is not enough, and an image of another name has no ledger that could help.
    for generation in 0..2 {
        scene.tag = unique("later");
        let empty = prune(engine);
        let unchanged = scene.action().input("cache-from", &earlier).run().expect_code(0);
        assert_ran(&unchanged, &[], &format!("generation {generation}"));
        assert!(!empty || unchanged.output("cache-source") == "image", "{}", unchanged.stdout);
        assert!(unchanged.result()["images"][0].get("unused_sources").is_none(), "{}", unchanged.stdout);
    }
    // The records name the layers of the last stage alone.
    scene.tag = unique("later");
    let empty = prune(engine);
    scene.project.write("app.txt", "second\n");
    let changed = scene.action().input("cache-from", &earlier).run().expect_code(0);
    let expected =
        ["COPY deps.txt", "RUN cat /deps", "COPY app.txt", "RUN echo", "COPY --from=build", "RUN cat /installed"];
    assert_ran(&changed, &expected, "code changed");
    assert!(!empty || changed.output("cache-source") == "image", "{}", changed.stdout);
    scene.assert_final(COMMIT, "code changed");
});

/// Two stages of which neither needs the other.
const TWO_HALVES: &str = "FROM busybox:1.36 AS left\n\
                          COPY left.txt /\n\
                          RUN cat /left.txt > /left\n\
                          FROM busybox:1.36 AS right\n\
                          COPY right.txt /\n\
                          RUN cat /right.txt > /right\n\
                          FROM busybox:1.36\n\
                          COPY --from=left /left /\n\
                          COPY --from=right /right /\n\
                          RUN cat /left /right > /both\n";

/// The first copy of the last stage is one branch's own; what is put on top of it was never made.
#[track_caller]
fn assert_both_serve(run: &Finished, when: &str) {
    assert_ran(run, &["COPY --from=right", "RUN cat /left /right"], when);
}

on_every_engine!(several_sources_are_one_cache, |engine| {
    let _images = Images::since_now(engine);
    let name = unique("app");
    let project = Project::new(&[("Dockerfile", TWO_HALVES)]);
    let build = |branch: &str, left: &str, right: &str, sources: &str| -> Finished {
        project.write("left.txt", format!("{name} {left}\n"));
        project.write("right.txt", format!("{name} {right}\n"));
        prune(engine);
        let action = Action::new(engine, project.path()).variable("GITHUB_REF", &format!("refs/heads/{branch}"));
        action.input("tags", &format!("{name}:{branch}")).input("cache-from", sources).run().expect_code(0)
    };
    let all = ["COPY left.txt", "RUN cat /left.txt", "COPY right.txt", "RUN cat /right.txt"];
    let last = ["COPY --from=left", "COPY --from=right", "RUN cat /left /right"];
    let cold = [&all[..], &last].concat();
    assert_ran(&build("a", "one", "one", ""), &cold, "branch a");
    assert_ran(&build("b", "two", "two", &format!("{name}:b")), &cold, "branch b, which knows nothing of a");

    // Each half is one branch's; together they are neither's. A layer of the wrong branch would be seen in the file.
    let sources = format!("{name}:a, {name}:b");
    let merged = build("merged", "one", "two", &sources);
    assert_eq!(read(engine, &format!("{name}:merged"), "/both"), format!("{name} one\n{name} two"));
    assert_both_serve(&merged, "both branches' images are its cache");

    // And the other way round, with the sources in the other order.
    let sources = format!("{name}:b, {name}:a");
    let crossed = build("crossed", "two", "one", &sources);
    assert_eq!(read(engine, &format!("{name}:crossed"), "/both"), format!("{name} two\n{name} one"));
    assert_both_serve(&crossed, "the other way round");
});

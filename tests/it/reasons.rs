//! Why each step was not cached: every reason provoked, next to what only looks like it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::image_cache::prune;
use crate::support::{Action, Engine, Finished, Images, LongStep, Project, docker, on_every_engine, unique};

/// Three stages upon an image of ours, `BASE`.
const DOCKERFILE: &str = "FROM BASE AS deps\n\
                          COPY deps.txt /deps.txt\n\
                          RUN cat /deps.txt > /installed\n\
                          FROM deps AS build\n\
                          ARG VERSION\n\
                          COPY src /src\n\
                          RUN cat /src/* /installed > /out; echo $VERSION >> /out\n\
                          FROM busybox:1.36\n\
                          ENV COLOUR=red\n\
                          COPY run.sh /run.sh\n\
                          COPY --from=build /out /out\n\
                          RUN cat /out > /final\n";

/// What the steps of [`DOCKERFILE`] are called here.
const DEPS: &str = "COPY deps.txt";
const INSTALL: &str = "RUN cat /deps.txt";
const SOURCES: &str = "COPY src";
const MAKE: &str = "RUN cat /src";
const SCRIPT: &str = "COPY run.sh";
const TAKE: &str = "COPY --from=build";
const FINISH: &str = "RUN cat /out";
const STEPS: [&str; 7] = [DEPS, INSTALL, SOURCES, MAKE, SCRIPT, TAKE, FINISH];

/// A project that is built again and again.
struct Scene<'a> {
    engine: &'a Engine,
    project: Project,
    tag: String,
    base: String,
    images: Images<'a>,
}

impl<'a> Scene<'a> {
    fn new(engine: &'a Engine) -> Self {
        let files = [("deps.txt", unique("dependency")), ("src/a", unique("source")), ("run.sh", unique("script"))];
        let files: Vec<(&str, &str)> = files.iter().map(|(name, content)| (*name, content.as_str())).collect();
        let images = Images::since_now(engine);
        let scene = Self { engine, project: Project::new(&files), tag: unique("why"), base: unique("base"), images };
        scene.make_base();
        scene.dockerfile(|text| text);
        scene
    }

    /// Gives the name of the base to another image than before.
    fn make_base(&self) {
        let content = unique("base");
        let project = Project::new(&[("Dockerfile", "FROM busybox:1.36\nCOPY file /base\n"), ("file", &content)]);
        docker(self.engine, &["build", "-q", "-t", &self.base, project.path().to_str().unwrap()]);
    }

    fn base_id(&self) -> String {
        docker(self.engine, &["image", "inspect", "--format", "{{.Id}}", &self.base]).trim().to_owned()
    }

    fn dockerfile(&self, edit: impl Fn(String) -> String) {
        self.project.write("Dockerfile", edit(DOCKERFILE.replace("BASE", &self.base)));
    }

    fn action(&self) -> Action {
        Action::new(self.engine, self.project.path())
            .input("tags", &self.tag)
            .input("build-args", "VERSION=one-version")
    }

    fn build(&self) -> Finished {
        self.action().run().expect_code(0)
    }

    fn write(&self, path: &str, content: &str) {
        self.project.write(path, content);
    }

    /// Gives a file a content that it never had.
    fn change(&self, path: &str) {
        self.write(path, &unique("content"));
    }
}

/// What is said of every step that ran: `instruction: reason`.
fn said(finished: &Finished) -> Vec<String> {
    let result = finished.result();
    let steps = result["images"].as_array().unwrap().iter().flat_map(|image| image["steps"].as_array().unwrap());
    let ran = steps.filter(|step| {
        // Something is said of those and of no other.
        let ran = step["cached"] == false && step["status"] != "not_run";
        assert_eq!(step.get("reason").is_some(), ran, "{step}");
        ran
    });
    ran.map(|step| format!("{}: {}", instruction(&step["name"]), reason(&step["reason"]))).collect()
}

/// `[build 2/3] COPY …` without what is in brackets.
fn instruction(name: &Value) -> &str {
    name.as_str().unwrap().split_once("] ").unwrap().1
}

fn reason(reason: &Value) -> String {
    let text = |field: &str| reason[field].as_str().unwrap();
    let files = || {
        let files: Vec<&str> = reason["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
        format!("{} +{} -{}", files.join(" "), reason["more"], reason["gone"])
    };
    match text("kind") {
        kind @ ("files-changed" | "mode-changed") => format!("{kind} {}", files()),
        kind @ "argument-changed" => format!("{kind} {}", text("name")),
        kind @ "setting-changed" => format!("{kind} {}", text("keyword")),
        kind @ "base-changed" => format!("{kind} {} {} {}", text("reference"), text("before"), text("now")),
        kind @ "cache-image-absent" => format!("{kind} {}", text("image")),
        kind @ "source-unreadable" => format!("{kind} {}: {}", text("source"), text("reason")),
        kind @ "earlier-step" => format!("{kind} {}", instruction(&reason["step"])),
        kind => kind.to_owned(),
    }
}

/// These steps ran for these reasons, and no other ran, in whatever order: each `(beginning of the instruction, beginning of the reason)`.
#[track_caller]
fn assert_said(finished: &Finished, expected: &[(&str, &str)], when: &str) {
    let said = said(finished);
    let mut rest: Vec<(&str, &str)> = said.iter().map(|said| said.split_once(": ").unwrap()).collect();
    let mut found = expected.iter().map(|(instruction, reason)| {
        let fits = |(step, because): &(&str, &str)| step.starts_with(instruction) && because.starts_with(reason);
        rest.iter().position(fits).map(|index| rest.remove(index)).is_some()
    });
    let fit = found.all(|found| found) && rest.is_empty();
    assert!(fit, "{when}: {said:#?}\nexpected {expected:#?}\n{}", finished.stdout);
}

fn earlier(step: &str) -> String {
    format!("earlier-step {step}")
}

on_every_engine!(what_changed, |engine| {
    let scene = Scene::new(engine);
    let first = scene.build();
    assert_said(&first, &STEPS.map(|step| (step, "first-build")), "cold");
    let image = &first.result()["images"][0];
    assert!(image["size_bytes"].as_u64().unwrap() > 0 && image.get("size_before_bytes").is_none(), "{image}");

    // What is in no cache key: times, comments, an ignored file, a file that nothing takes.
    for file in ["src/a", "deps.txt", "run.sh"] {
        let file = std::fs::File::open(scene.project.path().join(file)).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    }
    scene.change("README");
    scene.dockerfile(|text| text.replace("ENV COLOUR", "# A colour.\nENV COLOUR"));
    let unchanged = scene.build();
    assert_said(&unchanged, &[], "nothing that counts changed");
    let size = |finished: &Finished, field: &str| finished.result()["images"][0][field].as_u64();
    assert_eq!(size(&unchanged, "size_bytes"), size(&first, "size_bytes"));
    assert_eq!(size(&unchanged, "size_before_bytes"), size(&first, "size_bytes"));

    scene.change("src/a");
    scene.change("src/new");
    std::fs::set_permissions(scene.project.path().join("run.sh"), Permissions::from_mode(0o755)).unwrap();
    let files = scene.build();
    let script = earlier(SCRIPT);
    assert_said(
        &files,
        &[
            (SOURCES, "files-changed src/a src/new +0 -0"),
            (MAKE, &earlier(SOURCES)),
            (SCRIPT, "mode-changed run.sh +0 -0"),
            (TAKE, &script),
            (FINISH, &script),
        ],
        "files changed",
    );
    assert_eq!(size(&files, "size_before_bytes"), size(&first, "size_bytes"));

    std::fs::remove_file(scene.project.path().join("src/new")).unwrap();
    let argument = scene.action().input("build-args", "VERSION=another-version").run().expect_code(0);
    assert_said(
        &argument,
        &[
            (SOURCES, "files-changed  +0 -1"),
            (MAKE, "argument-changed VERSION"),
            (TAKE, &earlier(SOURCES)),
            (FINISH, &earlier(SOURCES)),
        ],
        "a file gone, and an argument changed",
    );
    for value in ["one-version", "another-version"] {
        assert!(!argument.output("result").contains(value), "{}", argument.output("result"));
    }

    // Here the step of the changed instruction is not the first that runs: its own reason stands.
    scene.dockerfile(|text| {
        text.replace("cat /deps.txt > ", "cat /deps.txt /base > ").replace("COLOUR=red", "COLOUR=blue")
    });
    let instruction = scene.action().input("build-args", "VERSION=another-version").run().expect_code(0);
    let install = earlier("RUN cat /deps.txt /base");
    assert_said(
        &instruction,
        &[
            ("RUN cat /deps.txt /base", "instruction-changed"),
            (SOURCES, &install),
            (MAKE, &install),
            (TAKE, &install),
            (FINISH, "setting-changed ENV"),
        ],
        "an instruction and a setting changed",
    );

    scene.dockerfile(|text| text);
    let back = scene.action().run().expect_code(0);
    assert!(said(&back).iter().all(|step| !step.contains("unknown")), "{:?}", said(&back));
    // Another owner is no other file, and the same image under another name, or the old name once more, no other base.
    for file in ["src/a", "run.sh"] {
        std::os::unix::fs::chown(scene.project.path().join(file), Some(1234), Some(1234)).unwrap();
    }
    assert_said(&scene.build(), &[], "another owner");
    let other = format!("{}-again", scene.base);
    docker(engine, &["tag", &scene.base, &other]);
    docker(engine, &["image", "rm", &scene.base]);
    docker(engine, &["tag", &other, &scene.base]);
    assert_said(&scene.build(), &[], "the same base, tagged anew");
    scene.dockerfile(|text| text.replace(&scene.base, &other));
    assert_said(&scene.build(), &[], "the same base under another name");
    scene.dockerfile(|text| text);
    docker(engine, &["image", "rm", &other]);

    let before = scene.base_id();
    scene.make_base();
    let moved = scene.build();
    let reason = format!("base-changed {} {before} {}", scene.base, scene.base_id());
    let deps = earlier(DEPS);
    let stages = [(DEPS, reason.as_str()), (INSTALL, &deps), (SOURCES, &deps), (MAKE, &deps)];
    // What the build stage makes does not depend on the base: what takes from it need not run.
    assert_said(&moved, &stages, "the base moved");
});

on_every_engine!(what_became_of_the_cache, |engine| {
    let scene = Scene::new(engine);
    // A source that cannot be read may never have had these steps: it is named, and is the reason of none.
    let unreadable = scene.action().input("cache-from", "127.0.0.1:1/none:1").run().expect_code(0);
    assert_said(&unreadable, &STEPS.map(|step| (step, "first-build")), "a cache source that cannot be read");
    assert_eq!(unreadable.result()["images"][0]["unused_sources"][0]["source"], "127.0.0.1:1/none:1");

    // The images are gone and the builder's records with them; one file changed besides.
    let ours: Vec<String> = scene.images.of_kind("stage").into_iter().chain([scene.tag.clone()]).collect();
    scene.images.remove(&ours);
    prune(engine);
    scene.change("src/a");
    let gone = scene.build();
    let script = earlier(SCRIPT);
    assert_said(
        &gone,
        &[
            (DEPS, "cache-image-absent watchparty-cache/stage:"),
            (INSTALL, &earlier(DEPS)),
            (SOURCES, "files-changed src/a"),
            (MAKE, &earlier(DEPS)),
            (SCRIPT, &format!("cache-image-absent {}", scene.tag)),
            (TAKE, &script),
            (FINISH, &script),
        ],
        "the images are gone",
    );

    // On another branch, the base branch's build is the one before.
    let event = r#"{"repository": {"full_name": "org/watchparty", "default_branch": "main"}}"#;
    let event = scene.project.write(".event.json", event);
    let on_branch = || {
        let action = scene.action().variable("GITHUB_REF", "refs/heads/topic");
        action.variable("GITHUB_EVENT_PATH", event.to_str().unwrap())
    };
    scene.change("run.sh");
    let branch = on_branch().run().expect_code(0);
    let expected = [(SCRIPT, "files-changed run.sh +0 -0"), (TAKE, script.as_str()), (FINISH, &script)];
    assert_said(&branch, &expected, "a branch's first build");
    scene.change("src/a");
    let sources = earlier(SOURCES);
    let expected = [(SOURCES, "files-changed src/a"), (MAKE, &*sources), (TAKE, &*sources), (FINISH, &*sources)];
    assert_said(&on_branch().run().expect_code(0), &expected, "a branch's second build");

    let asked = scene.action().input("no-cache-filters", "build").run().expect_code(0);
    // What the stage makes is the same as in the branch's build.
    assert_said(&asked, &[(SOURCES, "asked"), (MAKE, "asked")], "asked for a stage");

    // A clear of something else is no clear of this one, also where it takes the builder's records along.
    let other = unique("other");
    docker(engine, &["tag", "busybox:1.36", &other]);
    scene.build();
    scene.action().input("tags", &other).input("mode", "clear").run().expect_code(0);
    scene.change("run.sh");
    let changed = scene.build();
    let expected = [(SCRIPT, "files-changed run.sh +0 -0"), (TAKE, script.as_str()), (FINISH, &script)];
    assert_said(&changed, &expected, "another repository was cleared");

    scene.action().input("mode", "clear").run().expect_code(0);
    assert_said(&scene.build(), &STEPS.map(|step| (step, "cleared")), "cleared");

    // In the ledger's place is something else.
    let [ledger] = &scene.images.of_kind("ledger")[..] else { panic!("{:?}", scene.images.ours()) };
    docker(engine, &["tag", &scene.base, ledger]);
    scene.change("src/a");
    let reason = format!("source-unreadable {ledger}: it is not a ledger");
    let steps = [SOURCES, MAKE, TAKE, FINISH].map(|step| (step, reason.as_str()));
    assert_said(&scene.build(), &steps, "a ledger that is none");
});

on_every_engine!(what_fails_and_what_hides, |engine| {
    let scene = Scene::new(engine);
    scene.dockerfile(|_| {
        "FROM busybox:1.36\nCOPY src /src\nRUN test -e /src/b\nRUN date > /date\nCOPY run.sh /\nCOPY deps.txt /\n"
            .to_owned()
    });
    scene.write("src/b", "there");
    scene.build();

    // A step that fails has a reason too, and one that was never begun has none.
    std::fs::remove_file(scene.project.path().join("src/b")).unwrap();
    let failed = scene.action().run().expect_code(1);
    assert_said(&failed, &[("COPY src", "files-changed  +0 -1"), ("RUN test", "earlier-step COPY src")], "a failure");
    // The ledger's build is not the last one: what is above came from the builder, and is not what the ledger knows.
    let again = scene.action().run().expect_code(1);
    assert_said(&again, &[("RUN test", "unknown")], "the failure again");

    // Moved, and what is below it.
    scene.write("src/b", "there");
    scene.dockerfile(|_| {
        "FROM busybox:1.36\nCOPY src /src\nRUN test -e /src/b\nCOPY deps.txt /\nRUN date > /date\nCOPY run.sh /\n"
            .to_owned()
    });
    let moved = earlier("COPY deps.txt");
    let expected = [("COPY deps.txt", "instruction-changed"), ("RUN date", &*moved), ("COPY run.sh", &*moved)];
    assert_said(&scene.build(), &expected, "a copy moved up");

    // What was asked for is the reason, whatever changed besides.
    scene.change("run.sh");
    let asked = scene.action().input("no-cache", "true").run().expect_code(0);
    let steps = ["COPY src", "RUN test", "COPY deps.txt", "RUN date", "COPY run.sh"];
    assert_said(&asked, &steps.map(|step| (step, "asked")), "asked for everything");
});

/// The steps of two images that are the same: each is run once, for one reason.
fn both<'a>(steps: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [steps, steps].concat()
}

on_every_engine!(what_is_not_plain_to_see, |engine| {
    let scene = Scene::new(engine);
    let onbuild = Project::new(&[("Dockerfile", "FROM busybox:1.36\nONBUILD COPY deps.txt /triggered\n")]);
    docker(engine, &["build", "-q", "-t", &scene.base, onbuild.path().to_str().unwrap()]);
    scene.dockerfile(|_| {
        let mount = "RUN --mount=type=bind,source=src,target=/s cat /s/* > /x";
        let last = "FROM busybox:1.36\nCOPY --from=a /x /x\nCOPY run.sh /\n";
        format!("FROM {} AS a\n{mount}\nFROM busybox:1.36 AS unused\nRUN exit 1\n{last}", scene.base)
    });
    let compose = format!(
        "services:\n  one:\n    image: {0}-one\n    build: .\n  two:\n    image: {0}-two\n    build: .\n",
        scene.tag
    );
    scene.write("compose.yaml", &compose);
    let build = || Action::new(engine, scene.project.path()).input("compose-file", "compose.yaml").run().expect_code(0);
    let onbuild = if engine.is_20_10() { "COPY deps.txt" } else { "ONBUILD COPY deps.txt" };
    let (mount, take) = ("RUN --mount=type=bind", "COPY --from=a");
    let cold = both(&[onbuild, mount, take, SCRIPT].map(|step| (step, "first-build")));
    assert_said(&build(), &cold, "cold");

    scene.change("src/b");
    let because = earlier(mount);
    let mounted = [(mount, "files-changed src/b +0 -0"), (take, &because), (SCRIPT, &because)];
    assert_said(&build(), &both(&mounted), "what is mounted changed");

    scene.change("src/a");
    scene.change("deps.txt");
    let triggered = build();
    // What a trigger takes is not known; what is below it has its own change to show.
    let because = earlier(onbuild);
    let expected = [(onbuild, "unknown"), (mount, "files-changed src/a"), (take, &because), (SCRIPT, &because)];
    assert_said(&triggered, &both(&expected), "a trigger");

    // The image of another stage has a ledger of its own.
    scene.change("src/a");
    let other = scene.action().input("target", "a").run().expect_code(0);
    assert_said(&other, &[(mount, "first-build")], "another target");
});

on_every_engine!(what_is_cut_short, |engine| {
    let scene = Scene::new(engine);
    let long = LongStep::new();
    let slow = format!("RUN test ! -e /src/slow || {}", long.command);
    scene.dockerfile(|_| format!("FROM busybox:1.36\nCOPY src /src\n{slow}\nCOPY run.sh /\n"));
    scene.build();

    scene.change("src/slow");
    let action = scene.action();
    let run = action.start();
    assert!(long.waits_until(true, Duration::from_secs(30)), "the step never began");
    std::thread::sleep(Duration::from_millis(1500));
    kill_process(Pid::from_child(&run), Signal::INT).unwrap();
    let asked = Instant::now();
    let cancelled = action.finish(&run.wait_with_output().unwrap()).expect_code(130);
    assert!(asked.elapsed() < Duration::from_secs(7), "{:?}", asked.elapsed());
    let expected = [("COPY src", "files-changed src/slow +0 -0"), ("RUN test", "earlier-step COPY src")];
    assert_said(&cancelled, &expected, "cancelled");
    let result = cancelled.result();
    let step = &result["images"][0]["steps"][1];
    let seconds = step["duration_seconds"].as_f64().unwrap();
    assert!(step["status"] == "cancelled" && seconds >= 1.0, "{step}");
    assert!(cancelled.summary.contains("cut&nbsp;short; builds on"), "{}", cancelled.summary);
});

on_every_engine!(the_classic_builder_tells_little, |engine| {
    if engine.has_containerd_store() {
        return;
    }
    let scene = Scene::new(engine);
    scene.dockerfile(|_| "FROM busybox:1.36\nCOPY src /src\nCOPY run.sh /\nRUN date > /date\n".to_owned());
    let action = || scene.action().input("builder", "classic").input("build-args", "");
    let steps = ["COPY src", "COPY run.sh", "RUN date"];
    assert_said(&action().run().expect_code(0), &steps.map(|step| (step, "first-build")), "cold");
    assert_said(&action().run().expect_code(0), &[], "again");
    scene.change("run.sh");
    let changed = action().run().expect_code(0);
    assert_said(&changed, &[("COPY run.sh", "unknown"), ("RUN date", "earlier-step COPY run.sh")], "changed");
    let asked = action().input("no-cache", "true").run().expect_code(0);
    assert_said(&asked, &steps.map(|step| (step, "asked")), "asked");
});

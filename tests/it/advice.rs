//! Advice: given where it is sure, by a build that shows it, and by no build of the Dockerfile that follows it. And what
//! the build waited for.

use crate::support::{Action, Engine, Finished, Images, Project, on_every_engine, unique};

const NEXT_COMMIT: &str = "89abcdef0123456789abcdef0123456789abcdef";

/// An npm that takes longer than the least that advice is given for.
const NPM: &str = "#!/bin/sh\nset -e\ncat package.json > /dev/null\nsleep 2.5\nmkdir -p node_modules\n";

/// Sources above the installation, and the commit above it as well.
const BEFORE: &str = "FROM busybox:1.36\n\
                      COPY --chmod=755 npm /bin/npm\n\
                      WORKDIR /app\n\
                      COPY app .\n\
                      ARG GIT_COMMIT_HASH\n\
                      RUN npm ci\n\
                      RUN echo \"$GIT_COMMIT_HASH\" > /commit\n";

/// What the advice comes to.
const AFTER: &str = "FROM busybox:1.36\n\
                     COPY --chmod=755 npm /bin/npm\n\
                     WORKDIR /app\n\
                     COPY app/package.json ./\n\
                     RUN npm ci\n\
                     COPY app .\n\
                     ARG GIT_COMMIT_HASH\n\
                     RUN echo \"$GIT_COMMIT_HASH\" > /commit\n";

struct Scene<'a> {
    engine: &'a Engine,
    project: Project,
    tag: String,
    _images: Images<'a>,
}

impl<'a> Scene<'a> {
    fn new(engine: &'a Engine) -> Self {
        // The builder's cache is the engine's: nobody else has this package.
        let package = format!("{{\"name\": \"{}\"}}", unique("package"));
        let files =
            [("Dockerfile", BEFORE), ("npm", NPM), ("app/package.json", package.as_str()), ("app/main.js", "first\n")];
        Self { engine, project: Project::new(&files), tag: unique("advice"), _images: Images::since_now(engine) }
    }

    fn write(&self, path: &str, content: &str) {
        std::fs::write(self.project.path().join(path), content).unwrap();
    }

    fn build(&self, commit: Option<&str>) -> Finished {
        let action = Action::new(self.engine, self.project.path()).input("tags", &self.tag);
        let action = action.input("report", "summary, annotations");
        let action = match commit {
            Some(commit) => action.variable("GITHUB_SHA", commit),
            None => action,
        };
        action.run().expect_code(0)
    }
}

/// Every piece of advice: its kind, its line, and the steps that it names.
#[track_caller]
fn advice(finished: &Finished) -> Vec<(String, u64, Vec<String>)> {
    let result = finished.result();
    let advice = result["advice"].as_array().cloned().unwrap_or_default();
    let instruction = |name: &serde_json::Value| {
        let name = name.as_str().unwrap();
        name.split_once("] ").map_or(name, |(_, instruction)| instruction).to_owned()
    };
    let of = |advice: &serde_json::Value| {
        assert_eq!(advice["file"], "Dockerfile");
        assert!(advice["saves_seconds"].as_f64().unwrap() >= 2.0, "{advice}");
        let steps = advice["steps"].as_array().cloned().unwrap_or_default();
        let needs = advice["needs"].as_array().cloned().unwrap_or_default();
        let named = [&advice["copy"], &advice["install"]].into_iter().filter(|name| name.is_string());
        let named = steps.iter().chain(named).chain(&needs).map(instruction).collect();
        (advice["kind"].as_str().unwrap().to_owned(), advice["line"].as_u64().unwrap(), named)
    };
    advice.iter().map(of).collect()
}

on_every_engine!(is_given_where_it_is_sure_and_not_when_it_was_followed, |engine| {
    let scene = Scene::new(engine);
    let first = scene.build(None);
    assert_eq!(advice(&first), [], "the first build shows nothing");
    let commit = scene.build(Some(NEXT_COMMIT));
    let above = ("commit-above-steps".to_owned(), 5, vec!["RUN npm ci".to_owned()]);
    assert_eq!(advice(&commit), [above], "{}", commit.stdout);
    let notices = |finished: &Finished| finished.stdout.lines().filter(|line| line.starts_with("::notice ")).count();
    assert_eq!((notices(&first), notices(&commit)), (0, 1), "{}", commit.stdout);
    let notice = commit.stdout.lines().find(|line| line.starts_with("::notice ")).unwrap();
    for part in ["file=Dockerfile", "line=5", "could be faster", "Move ARG GIT_COMMIT_HASH below RUN npm ci"] {
        assert!(notice.contains(part), "{part}: {notice}");
    }
    assert!(commit.summary.contains("Move `ARG GIT_COMMIT_HASH` below `RUN npm ci`"), "{}", commit.summary);
    scene.write("app/main.js", "second\n");
    let sources = scene.build(Some(NEXT_COMMIT));
    let named = ["COPY app .", "RUN npm ci", "app/package.json"].map(str::to_owned).to_vec();
    assert_eq!(advice(&sources), [("copy-above-install".to_owned(), 4, named)], "{}", sources.stdout);

    scene.write("Dockerfile", AFTER);
    assert_eq!(advice(&scene.build(Some(NEXT_COMMIT))), [], "another instruction shows nothing");
    scene.write("app/main.js", "third\n");
    let followed = scene.build(None);
    assert_eq!(advice(&followed), [], "{}", followed.stdout);
    let steps = followed.result()["images"][0]["steps"].clone();
    let npm = steps.as_array().unwrap().iter().find(|step| step["name"].as_str().unwrap().ends_with("npm ci")).unwrap();
    assert_eq!(npm["cached"], true);
});

on_every_engine!(of_two_images_the_one_that_ends_last_is_critical, |engine| {
    let (fast, slow, shared) = (unique("fast"), unique("slow"), unique("shared"));
    let compose = format!(
        "services:\n  fast:\n    image: {fast}\n    build:\n      context: .\n      target: fast\n\
         \x20 slow:\n    image: {slow}\n    build:\n      context: .\n      target: slow\n"
    );
    let dockerfile = format!(
        "FROM busybox:1.36 AS shared\nRUN echo {shared} > /out && sleep 1\n\
         FROM shared AS fast\nRUN echo fast > /fast\n\
         FROM shared AS slow\nRUN echo slow > /slow && sleep 3\n"
    );
    let images = Images::since_now(engine);
    let project = Project::new(&[("Dockerfile", &dockerfile), ("compose.yaml", &compose)]);
    let built = Action::new(engine, project.path()).input("compose-file", "compose.yaml").run().expect_code(0);
    let result = built.result();
    let steps = result["images"].as_array().unwrap().iter().flat_map(|image| {
        let critical = image["steps"].as_array().unwrap().iter().filter(|step| step["critical"] == true);
        critical.map(|step| step["name"].as_str().unwrap().split(' ').next().unwrap().to_owned())
    });
    let mut stages: Vec<String> = steps.collect();
    stages.sort_unstable();
    // Whichever image ran the step that both have: it is there once.
    assert_eq!(stages, ["[shared", "[slow"], "{}", built.output("result"));
    drop(images);
});

on_every_engine!(the_slower_of_two_stages_is_critical, |engine| {
    let (fast, slow) = (unique("fast"), unique("slow"));
    let dockerfile = format!(
        "FROM busybox:1.36 AS fast\n\
         RUN echo {fast} > /out\n\
         FROM busybox:1.36 AS slow\n\
         RUN echo {slow} > /out && sleep 2\n\
         FROM busybox:1.36\n\
         COPY --from=fast /out /fast\n\
         COPY --from=slow /out /slow\n"
    );
    let images = Images::since_now(engine);
    let project = Project::new(&[("Dockerfile", &dockerfile)]);
    let built = Action::new(engine, project.path()).input("tags", &unique("critical")).run().expect_code(0);
    let result = built.result();
    let steps = result["images"][0]["steps"].as_array().unwrap();
    let critical = steps.iter().filter(|step| step["critical"] == true).map(|step| step["name"].as_str().unwrap());
    let stages: Vec<&str> = critical.map(|name| name.split(' ').next().unwrap()).collect();
    assert_eq!(stages, ["[slow", "[stage-2"], "{}", built.stdout);
    drop(images);
});

//! The image cache: with the builder pruned, the previous images are the cache, on every engine and at every build.

mod alike;
mod atomic;
mod bases;
mod behind;
mod beside;
mod clean;
mod failing;
mod features;
mod kept;
mod mixed;
mod sources;
mod subset;
mod table;
mod travel;
mod trust;
mod vanished;

use chrono::{DateTime, Utc};
use watchparty_cache::address::Address;

use crate::support::{Action, Engine, Finished, Images, Project, command, docker, unique};

/// The commit that [`Action`] names if a test does not.
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const NEXT_COMMIT: &str = "89abcdef0123456789abcdef0123456789abcdef";

/// Dependencies, a build on top of them, and an image that takes from both.
const THREE_STAGES: &str = "FROM busybox:1.36 AS deps\n\
                            COPY deps.txt /deps.txt\n\
                            RUN cat /deps.txt > /installed\n\
                            FROM deps AS build\n\
                            ARG GIT_COMMIT_HASH\n\
                            COPY app.txt /app.txt\n\
                            RUN echo \"$GIT_COMMIT_HASH\" | cat - /app.txt /installed > /out\n\
                            FROM busybox:1.36\n\
                            COPY --from=deps /installed /installed\n\
                            COPY --from=build /out /out\n\
                            RUN cat /installed /out > /final\n";

/// An image that is built again and again on one engine, and everything that its builds leave there.
struct Scene<'a> {
    engine: &'a Engine,
    project: Project,
    tag: String,
    images: Images<'a>,
}

impl<'a> Scene<'a> {
    fn new(engine: &'a Engine, files: &[(&str, &str)]) -> Self {
        Self { engine, project: Project::new(files), tag: unique("held"), images: Images::since_now(engine) }
    }

    /// [`THREE_STAGES`], with dependencies that nobody else has.
    fn three_stages(engine: &'a Engine) -> Self {
        Self::new(engine, &[("Dockerfile", THREE_STAGES), ("deps.txt", &unique("dependency")), ("app.txt", "first\n")])
    }

    fn action(&self) -> Action {
        Action::new(self.engine, self.project.path()).input("tags", &self.tag)
    }

    fn build(&self) -> Finished {
        self.action().run().expect_code(0)
    }

    /// A build for which the builder remembers nothing.
    fn build_pruned(&self) -> Finished {
        prune(self.engine);
        self.build()
    }

    /// A file of the image.
    fn read(&self, path: &str) -> String {
        read(self.engine, &self.tag, path)
    }

    /// What [`THREE_STAGES`] has to write for this commit, from the project's files as they are now.
    fn final_file(&self, commit: &str) -> String {
        let read = |name: &str| std::fs::read_to_string(self.project.path().join(name)).unwrap();
        let (deps, app) = (read("deps.txt"), read("app.txt"));
        format!("{deps}{commit}\n{app}{deps}").trim().to_owned()
    }

    #[track_caller]
    fn assert_final(&self, commit: &str, when: &str) {
        assert_eq!(self.read("/final"), self.final_file(commit), "{when}");
    }
}

/// A file of an image, without running it.
pub(crate) fn read(engine: &Engine, image: &str, path: &str) -> String {
    let container = docker(engine, &["create", image, "none"]);
    let output = command(engine).args(["cp", &format!("{container}:{path}"), "-"]).output().unwrap();
    docker(engine, &["rm", &container]);
    assert!(output.status.success(), "{image}: {path}: {}", String::from_utf8_lossy(&output.stderr));
    let mut archive = tar::Archive::new(output.stdout.as_slice());
    let file = archive.entries().unwrap().next().unwrap().unwrap();
    std::io::read_to_string(file).unwrap().trim().to_owned()
}

/// What makes an image a ledger.
fn label_and_document(engine: &Engine, ledger: &str) -> (String, String) {
    let field = |format: &str| docker(engine, &["image", "inspect", "--format", format, ledger]).trim_end().to_owned();
    (field("{{index .Config.Labels \"watchparty-cache.ledger\"}}"), field("{{.Author}}"))
}

/// Puts a document, with this label and as if it had been written then, into a ledger's place.
fn write_ledger(engine: &Engine, ledger: &str, label: &str, document: &str, written: DateTime<Utc>) {
    let address = Address::parse(&engine.address, None).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = watchparty_cache::engine::Engine::connect(&address).await.unwrap();
        engine.write_ledger(ledger, label, document, written).await.unwrap();
    });
}

/// Every record that nobody uses right now: after it, only images can be a cache. Says whether none is left.
pub(crate) fn prune(engine: &Engine) -> bool {
    // A build that has just ended may still hold records, which a prune leaves; after one that was cut short an engine
    // may hold some until it is started again: then they stay the same.
    let (mut before, mut same) = (Vec::new(), 0);
    while same < 4 {
        docker(engine, &["builder", "prune", "-af"]);
        let left = docker(engine, &["builder", "du"]);
        let is_record = |line: &&str| line.split_whitespace().any(|word| word == "true" || word == "false");
        let ids: Vec<String> = left.lines().filter(is_record).map(|line| line.chars().take(25).collect()).collect();
        if ids.is_empty() {
            return true;
        }
        same = if ids == before { same + 1 } else { 0 };
        before = ids;
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    false
}

/// The steps that were not cached, of all images: their instructions.
///
/// What is named by the engine's version is left out: `ONBUILD` before a trigger's instruction, and the joining of a
/// linked copy with what is below it.
pub(crate) fn ran(finished: &Finished) -> Vec<String> {
    let result = finished.result();
    let steps = result["images"].as_array().unwrap().iter().flat_map(|image| image["steps"].as_array().unwrap());
    let ran = steps.filter(|step| !step["cached"].as_bool().unwrap());
    let instructions = ran.map(|step| step["name"].as_str().unwrap().split_once("] ").unwrap().1);
    let ours = instructions.filter(|instruction| !instruction.starts_with("LINK "));
    ours.map(|instruction| instruction.trim_start_matches("ONBUILD ").to_owned()).collect()
}

/// Exactly these steps ran, named by the beginnings of their instructions, and no other.
#[track_caller]
pub(crate) fn assert_ran(finished: &Finished, expected: &[&str], when: &str) {
    let ran = ran(finished);
    let mut rest = ran.clone();
    let found = expected.iter().all(|start| {
        let index = rest.iter().position(|instruction| instruction.starts_with(start));
        index.map(|index| rest.remove(index)).is_some()
    });
    assert!(found && rest.is_empty(), "{when}: ran {ran:#?}\nexpected {expected:#?}\n{}", finished.stdout);
}

//! What teams do, row by row, with exact numbers: see the README's table.

use super::{COMMIT, NEXT_COMMIT, Scene, assert_ran, prune};
use crate::support::{Action, Engine, Finished, Images, Project, docker, on_every_engine, unique};

/// The steps of [`super::THREE_STAGES`] that a change of `app.txt` and of the commit runs again.
const AFTER_CODE: [&str; 4] = ["COPY app.txt", "RUN echo", "COPY --from=build", "RUN cat /installed"];

on_every_engine!(three_stages_row_by_row, |engine| {
    let scene = Scene::three_stages(engine);
    let first = scene.build();
    assert_row(&first, (0, 7), "none", "cold");

    let again = scene.build();
    assert_row(&again, (7, 7), "builder", "images and builder cache present");
    assert_eq!(again.output("image-id"), first.output("image-id"));

    // More than once, because the inline cache of images is known to work every second time.
    for generation in 0..3 {
        let source = source_after(prune(engine));
        let pruned = scene.build();
        assert_row(&pruned, (7, 7), source, &format!("builder cache pruned, generation {generation}"));
        assert_eq!(pruned.output("image-id"), first.output("image-id"), "generation {generation}");
    }

    let source = source_after(prune(engine));
    scene.project.write("app.txt", "second\n");
    let changed = scene.action().input("commit", NEXT_COMMIT).run().expect_code(0);
    assert_row(&changed, (3, 7), source, "code changed, builder cache pruned");
    assert_ran(&changed, &AFTER_CODE, "code changed, builder cache pruned");
    scene.assert_final(NEXT_COMMIT, "code changed");

    let next = || scene.action().input("commit", NEXT_COMMIT).run().expect_code(0);
    let images: Vec<String> = scene.images.ours().into_iter().chain([scene.tag.clone()]).collect();
    scene.images.remove(&images);
    assert_row(&next(), (7, 7), "builder", "images and ledgers removed, builder cache kept");

    let cleared = scene.action().input("mode", "clear").run().expect_code(0);
    assert_eq!(cleared.output("verified"), "true");
    for kind in ["stage", "ledger", "capture"] {
        assert_eq!(scene.images.of_kind(kind), [""; 0], "a clear leaves no {kind}");
    }
    assert_row(&next(), (0, 7), "none", "the build after a clear");
    assert_row(&next(), (7, 7), "builder", "the build after that");
    let source = source_after(prune(engine));
    assert_row(&next(), (7, 7), source, "the images of a fresh build are a cache again");
    scene.assert_final(NEXT_COMMIT, "in the end");
});

on_every_engine!(the_example_row_by_row, |engine| {
    let example = Example::new(engine);
    let first = example.build(COMMIT);
    assert_row(&first, (0, 12), "none", "cold");
    let ids = image_ids(&first);

    let again = example.build(COMMIT);
    assert_row(&again, (12, 12), "builder", "images and builder cache present");
    assert_eq!(image_ids(&again), ids);

    let source = source_after(prune(engine));
    let pruned = example.build(COMMIT);
    assert_row(&pruned, (12, 12), source, "builder cache pruned");
    assert_eq!(image_ids(&pruned), ids);

    let source = source_after(prune(engine));
    example.project.write("backend/app/playback.py", "# Another.\n");
    let changed = example.build(NEXT_COMMIT);
    assert_row(&changed, (8, 12), source, "code changed, builder cache pruned");
    // The sources of the frontend are the same, but its build uses the commit.
    let backend = ["COPY app ./app", "RUN python -m compileall"];
    let frontend = ["RUN npm run build", "COPY --from=build /app/dist"];
    assert_ran(&changed, &[backend, frontend].concat(), "code changed, builder cache pruned");

    let images: Vec<String> = example.tags().into_iter().chain(example.images.ours()).collect();
    example.images.remove(&images);
    assert_row(&example.build(NEXT_COMMIT), (12, 12), "builder", "images and ledgers removed, builder cache kept");

    let cleared = example.action().input("mode", "clear").run().expect_code(0);
    assert_eq!(cleared.output("verified"), "true");
    assert_row(&example.build(NEXT_COMMIT), (0, 12), "none", "the build after a clear");
    assert_row(&example.build(NEXT_COMMIT), (12, 12), "builder", "the build after that");
    let source = source_after(prune(engine));
    assert_row(&example.build(NEXT_COMMIT), (12, 12), source, "the images of a fresh build are a cache again");
});

/// Where hits come from after a prune: the images, unless the engine holds on to records, which cannot be told apart from
/// those that it was offered.
fn source_after(pruned: bool) -> &'static str {
    if pruned { "image" } else { "" }
}

/// An empty `source` is any.
#[track_caller]
fn assert_row(finished: &Finished, cached: (u32, u32), source: &str, row: &str) {
    let found = finished.output("cache-source");
    let source = if source.is_empty() { found } else { source };
    assert_eq!((finished.cached(), found), (cached, source), "{row}: {}", finished.stdout);
}

fn image_ids(finished: &Finished) -> Vec<String> {
    let result = finished.result();
    let images = result["images"].as_array().unwrap();
    images.iter().map(|image| image["image_id"].as_str().unwrap().to_owned()).collect()
}

/// `examples/watchparty`, with names and tools of its own.
///
/// The engines of the tests reach no package registry. So the images that the Dockerfiles name in arguments are others
/// here, whose `pip` and `npm` write down what they were given: what is cached is the same.
struct Example<'a> {
    engine: &'a Engine,
    project: Project,
    name: String,
    images: Images<'a>,
}

impl<'a> Example<'a> {
    fn new(engine: &'a Engine) -> Self {
        let example =
            Self { engine, project: Project::new(&[]), name: unique("watchparty"), images: Images::since_now(engine) };
        copy("examples/watchparty", &example.project);
        let compose = std::fs::read_to_string(example.project.path().join("compose.yaml")).unwrap();
        example.project.write("compose.yaml", compose.replace("watchparty", &example.name));
        let (python, node) = (example.tools("python", PYTHON), example.tools("node", NODE));
        let arguments = |service: &str, name: &str, image: &str| {
            format!("  {service}:\n    build:\n      args:\n        {name}: {image}\n")
        };
        let (backend, frontend) =
            (arguments("backend", "PYTHON_IMAGE", &python), arguments("frontend", "NODE_IMAGE", &node));
        example.project.write("tools.yaml", format!("services:\n{backend}{frontend}"));
        example
    }

    /// An image with these commands, and a marker so that nothing built on it is cached from elsewhere.
    fn tools(&self, name: &str, commands: &[(&str, &str)]) -> String {
        let tag = unique(name);
        let project = Project::new(&[("Dockerfile", "FROM busybox:1.36\nCOPY bin /usr/local/bin/\n")]);
        project.write("bin/marker", &tag);
        for (command, script) in commands {
            use std::os::unix::fs::PermissionsExt;
            let path = project.write(&format!("bin/{command}"), format!("#!/bin/sh\nset -e\n{script}\n"));
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        docker(self.engine, &["build", "-q", "-t", &tag, project.path().to_str().unwrap()]);
        tag
    }

    fn action(&self) -> Action {
        Action::new(self.engine, self.project.path()).input("compose-file", "compose.yaml, tools.yaml")
    }

    fn build(&self, commit: &str) -> Finished {
        self.action().input("commit", commit).run().expect_code(0)
    }

    fn tags(&self) -> Vec<String> {
        ["backend", "frontend"].map(|service| format!("{}-{service}:latest", self.name)).to_vec()
    }
}

const PYTHON: &[(&str, &str)] = &[
    ("useradd", "echo \"$3:x:100:100::/:/bin/false\" >> /etc/passwd"),
    ("pip", "mkdir -p /site-packages && cp requirements.txt /site-packages/"),
    ("python", "cat app/*.py > app/compiled"),
];

const NODE: &[(&str, &str)] = &[(
    "npm",
    "case $1 in\n\
     ci) mkdir node_modules && cp package-lock.json node_modules/ ;;\n\
     run) mkdir dist && { echo \"$VITE_GIT_COMMIT_HASH\"; cat src/* index.html; } > dist/index.html ;;\n\
     esac",
)];

fn copy(directory: &str, project: &Project) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut found = vec![root.clone()];
    while let Some(path) = found.pop() {
        if path.is_dir() {
            found.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
            project.write(name, std::fs::read(&path).unwrap());
        }
    }
}

//! The project on disk, its base image in an engine, and its builds.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::Stdio;

use super::inputs::{Base, Inputs};
use super::recipe::Recipe;
use super::tree::Image;
use crate::support::{Action, Engine, Finished, Project, command, docker, unique};

/// A project whose images one engine builds again and again.
pub(super) struct Site {
    pub(super) engine: Engine,
    project: Project,
    /// Begins the name of every image of this project.
    pub(super) name: String,
    bases: BTreeMap<Base, Image>,
    /// One for each content of the base image: its layer is the same in all images that are committed from it.
    containers: BTreeMap<u32, String>,
    /// Images of the engine in the namespace of this program, before the first build.
    foreign: BTreeSet<String>,
}

impl Site {
    pub(super) fn new(engine: &Engine, name: &str) -> Self {
        Self {
            engine: engine.clone(),
            project: Project::new(&[]),
            name: name.to_owned(),
            bases: BTreeMap::new(),
            containers: BTreeMap::new(),
            foreign: reserved(engine),
        }
    }

    pub(super) fn image(&self, target: &str) -> String {
        format!("{}-{target}", self.name)
    }

    /// Makes the base image what the inputs say, and gives it.
    pub(super) fn base(&mut self, inputs: &Inputs) -> &Image {
        let Self { engine, name, bases, containers, .. } = self;
        let Base { content, label } = inputs.base;
        let version = format!("{name}-base:{content}.{label}");
        let image = bases.entry(inputs.base).or_insert_with(|| {
            let container = containers.entry(content).or_insert_with(|| changed_container(engine, inputs));
            let env = format!("ENV BASE_CONTENT={content}");
            let label = format!("LABEL base.label={label}");
            let options = ["--change", &env, "--change", &label, "--change", "CMD [\"sh\"]"];
            docker(engine, &[&["commit"], &options[..], &[container, &version]].concat());
            Image::read(engine, &version)
        });
        docker(engine, &["tag", &version, &format!("{name}-base")]);
        image
    }

    /// Writes the tree that is built.
    pub(super) fn write(&self, recipe: &Recipe, inputs: &Inputs) {
        inputs.write_to(self.project.path());
        self.project.write("Dockerfile", recipe.dockerfile(inputs));
        let mut compose = String::from("services:\n");
        for target in Recipe::TARGETS {
            let image = self.image(target);
            let flavor = inputs.flavor();
            compose += &format!(
                "  {target}:\n    image: {image}\n    build:\n      context: .\n      target: {target}\n      \
                 args: {{ FLAVOR: {flavor} }}\n"
            );
        }
        self.project.write("compose.yaml", compose);
    }

    /// Builds these services at the same time.
    pub(super) fn build(&self, services: &[&str], inputs: &Inputs) -> Finished {
        Action::new(&self.engine, self.project.path())
            .input("compose-file", "compose.yaml")
            .input("services", &services.join(","))
            .input("commit", &inputs.commit())
            .variable("COMPOSE_PROJECT_NAME", &self.name)
            .variable("RUNNER_DEBUG", "1")
            .run()
    }

    /// Docker's own build of one target without any cache, under another name.
    pub(super) fn build_without_cache(&self, target: &str, inputs: &Inputs) -> Image {
        let image = format!("{}-fresh-{target}", self.name);
        let (flavor, commit) = (format!("FLAVOR={}", inputs.flavor()), format!("GIT_COMMIT_HASH={}", inputs.commit()));
        let directory = self.project.path().display().to_string();
        let options = ["--no-cache", "--quiet", "--provenance=false", "--build-arg", &flavor, "--build-arg", &commit];
        docker(
            &self.engine,
            &[&["buildx", "build"], &options[..], &["--target", target, "--tag", &image, &directory]].concat(),
        );
        Image::read(&self.engine, &image)
    }

    /// Removes what this project made; a failed test leaves it to be looked at.
    pub(super) fn remove(&self) {
        let containers: Vec<&str> = self.containers.values().map(String::as_str).collect();
        docker(&self.engine, &[&["rm", "--force"], &containers[..]].concat());
        let ours = docker(&self.engine, &["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]);
        let ours = ours.lines().filter(|image| image.starts_with(&self.name)).map(str::to_owned);
        let images: Vec<String> = ours.chain(reserved(&self.engine).difference(&self.foreign).cloned()).collect();
        let images: Vec<&str> = images.iter().map(String::as_str).collect();
        docker(&self.engine, &[&["image", "rm", "--force"], &images[..]].concat());
        docker(&self.engine, &["builder", "prune", "--all", "--force"]);
    }
}

/// A container with this version of the base image's file.
fn changed_container(engine: &Engine, inputs: &Inputs) -> String {
    let container = docker(engine, &["create", "--name", &unique("generations"), "busybox:1.36", "true"]);
    let content = format!("base {} of {}\n", inputs.base.content, inputs.salt);
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_data(&mut header, "base", content.as_bytes()).unwrap();
    let mut copy = command(engine);
    copy.args(["cp", "-", &format!("{container}:/")]).stdin(Stdio::piped());
    let mut copy = copy.spawn().unwrap();
    copy.stdin.take().unwrap().write_all(&tar.into_inner().unwrap()).unwrap();
    assert!(copy.wait().unwrap().success(), "docker cp");
    container
}

/// Images in the namespace that the program keeps for itself.
fn reserved(engine: &Engine) -> BTreeSet<String> {
    let images = docker(engine, &["image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "watchparty-cache/*"]);
    images.lines().map(str::to_owned).collect()
}

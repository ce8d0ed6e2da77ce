//! Compose files: reading, interpolating, merging, and the images that they build.
//!
//! The aim is to name what `docker compose build` (v2.40) would build, without an engine and without the `docker`
//! command. What does not concern a build (ports, networks, deploy, …) is checked for its name and otherwise ignored.
//!
//! ```text
//! files -> yaml -> interpolation -> canonical -> include, extends -> merge -> select -> build -> Targets
//! ```

mod build;
mod canonical;
mod dotenv;
mod environment;
mod errors;
mod extends;
mod files;
mod include;
mod interpolation;
mod loader;
mod merge;
mod name;
mod paths;
mod scalar;
mod schema;
mod select;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::dotenv::{DotenvError, DotenvProblem};
use self::environment::{Environment, project_env_files};
use self::errors::Report;
pub use self::errors::{ComposeError, ComposeErrors, Place, Problem};
pub use self::interpolation::InterpolationError;
use self::loader::{Loader, Parsed, Scope};
use self::select::Wanted;
use self::yaml::{Map, Node};
use crate::image::ImageReference;
use crate::project::target::Target;

/// What to load.
#[derive(Debug, Clone, Copy)]
pub struct LoadRequest<'a> {
    /// The Compose files, absolute, in the order in which they are merged. The directory of the first one is the
    /// project's: relative paths start there, and its `.env` is read.
    pub files: &'a [PathBuf],
    /// The variables of the process; they win over those of env files.
    pub environment: &'a BTreeMap<String, String>,
    /// The services to build; all active ones if empty.
    pub services: &'a [String],
    /// Active profiles; those of `COMPOSE_PROFILES` if empty.
    pub profiles: &'a [String],
    /// Base name of the project's directory on the host, the last resort for the project's name.
    pub directory_name: &'a str,
    /// What relative paths of `COMPOSE_ENV_FILES` start from, absolute; `PWD` where the environment has none.
    pub working_directory: &'a Path,
}

/// A Compose project, reduced to what it builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComposeProject {
    /// Its name, on which default image names depend.
    pub name: String,
    /// Its directory, absolute.
    pub directory: PathBuf,
    /// The services to build, in the order of the files.
    pub targets: Vec<Target>,
    /// The others that could be built, as far as they can be read.
    pub others: Vec<Target>,
    /// Every name of their images, in that order, each once.
    pub images: Vec<ImageReference>,
    /// What is worth saying and no error.
    pub warnings: Vec<String>,
}

/// Loads a project.
///
/// # Errors
///
/// Everything that is wrong, with file, line, column, key and way out. Files are read, nothing else is touched: whether
/// contexts, Dockerfiles and secret files exist is for the build to find out.
pub fn load(request: &LoadRequest<'_>) -> Result<ComposeProject, ComposeErrors> {
    let mut report = Report::default();
    let Some(directory) = request.files.first().map(|file| file.parent().unwrap_or(Path::new("/"))) else {
        report.error_without_place("", Problem::NoFile);
        return Err(ComposeErrors(report.errors));
    };
    let env_files = project_env_files(request.environment, directory, request.working_directory, &mut report);
    let mut environment = Environment::of_process(request.environment, request.working_directory);
    environment = environment.with_files(&env_files, &mut report);
    let files = parse_files(request.files, &mut report);
    let name = name::project_name(&files, &environment, request.directory_name, &mut report);
    environment.set("COMPOSE_PROJECT_NAME", &name);

    let is_empty = report.errors.is_empty() && files.iter().all(|(_, documents)| documents.is_empty());
    let mut loader = Loader { environment: &environment, report };
    let model = loader.load_model(files, &Scope { directory, environment: &environment, chain: &[] });
    let mut report = loader.report;
    if is_empty {
        report.error_without_place("", Problem::Empty);
    }
    // A model of which parts could not be read would only give errors that follow from that.
    let (targets, others) = if report.errors.is_empty() {
        schema::check_model(&model, &mut report);
        read_targets(&model, &name, &environment, request, &mut report)
    } else {
        Default::default()
    };
    finish(report, name, directory, targets, others)
}

fn parse_files(paths: &[PathBuf], report: &mut Report) -> Vec<Parsed> {
    let mut parsed = Vec::new();
    for path in paths {
        let file = Arc::new(path.clone());
        match files::read("Compose file", path) {
            Ok(text) => parsed.push((Arc::clone(&file), yaml::parse(&file, &text, report))),
            Err(problem) => report.error_without_place("", problem),
        }
    }
    parsed
}

/// The targets that are wanted, and the others.
fn read_targets(
    model: &Map,
    name: &str,
    environment: &Environment,
    request: &LoadRequest<'_>,
    report: &mut Report,
) -> (Vec<Target>, Vec<Target>) {
    let empty = Map::default();
    let section = |key: &str| model.get(key).and_then(Node::as_map).unwrap_or(&empty);
    let (services, secrets) = (section("services"), section("secrets"));
    let from_environment: Vec<String>;
    let profiles = if request.profiles.is_empty() {
        let profiles = environment.get("COMPOSE_PROFILES").unwrap_or_default();
        from_environment = profiles.split(',').map(|profile| profile.trim().to_owned()).collect();
        &from_environment
    } else {
        request.profiles
    };
    let selected = select::select(services, &Wanted { services: request.services, profiles }, report);
    let project = build::Project { name, environment, process: request.environment, services, secrets };
    let read = |service: &str, report: &mut Report| {
        let map = services.get(service)?.as_map().filter(|map| map.get("build").is_some())?;
        build::read_target(service, map, &project, report)
    };
    // What is wrong with a service that is not built is for the run that builds it.
    let others = services.keys().filter(|service| !selected.contains(service));
    let others = others.filter_map(|service| read(service, &mut Report::default())).collect();
    (selected.iter().filter_map(|service| read(service, report)).collect(), others)
}

fn finish(
    report: Report,
    name: String,
    directory: &Path,
    targets: Vec<Target>,
    others: Vec<Target>,
) -> Result<ComposeProject, ComposeErrors> {
    if !report.errors.is_empty() {
        // A file that several services extend is read for each of them, and says the same each time.
        let mut seen = BTreeSet::new();
        return Err(ComposeErrors(report.errors.into_iter().filter(|error| seen.insert(error.to_string())).collect()));
    }
    let mut images = Vec::new();
    for tag in targets.iter().flat_map(|target| &target.tags) {
        if !images.contains(tag) {
            images.push(tag.clone());
        }
    }
    Ok(ComposeProject { name, directory: directory.to_owned(), targets, others, images, warnings: report.warnings })
}

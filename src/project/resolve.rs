//! From what is asked to targets: reads the Compose files or takes the inputs, and looks into every Dockerfile.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::compose::{LoadRequest, load};
use super::dockerfile::{Dockerfile as Parsed, Stage, syntax};
use super::target::{Context, Dockerfile, NoCache, Target};
use super::{Project, ProjectError};
use crate::inputs::{BuildInputs, Source};

/// What a project follows from, besides the inputs.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The inputs.
    pub inputs: &'a BuildInputs,
    /// The process environment, for Compose's interpolation.
    pub environment: &'a BTreeMap<String, String>,
    /// The workspace, absolute.
    pub workspace: &'a Path,
    /// Base name of the project's directory on the host.
    pub directory_name: &'a str,
    /// The commit that is built, for the commit argument.
    pub commit: Option<&'a str>,
}

/// Finds out what there is to build. Every problem is reported at once.
pub fn resolve(request: &Request<'_>) -> Result<Project, Vec<ProjectError>> {
    let Described { mut targets, mut others, warnings } = described(request).map_err(|error| vec![error])?;
    others.iter_mut().for_each(|target| overlay(target, request));
    let mut dockerfiles = Vec::with_capacity(targets.len());
    let mut errors = Vec::new();
    for target in &mut targets {
        overlay(target, request);
        errors.extend(check_context(target));
        match read_dockerfile(target) {
            Ok(parsed) => dockerfiles.push(parsed),
            Err(error) => {
                errors.push(error);
                dockerfiles.push(None);
            }
        }
    }
    for (target, parsed) in targets.iter_mut().zip(&dockerfiles) {
        let Some(parsed) = parsed else { continue };
        errors.extend(check_stage(target, parsed));
        set_commit(target, parsed, request);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    wait_for_each_other(&mut targets, &dockerfiles);
    Ok(Project { targets, dockerfiles, others, warnings })
}

/// What the inputs or the Compose files say.
struct Described {
    targets: Vec<Target>,
    others: Vec<Target>,
    warnings: Vec<String>,
}

fn described(request: &Request<'_>) -> Result<Described, ProjectError> {
    match &request.inputs.source {
        Source::Compose { files, services } => {
            let project = load(&LoadRequest {
                files,
                environment: request.environment,
                services,
                profiles: &[],
                directory_name: request.directory_name,
                working_directory: request.workspace,
            })?;
            Ok(Described { targets: project.targets, others: project.others, warnings: project.warnings })
        }
        Source::Dockerfile { context, file, target, tags } => {
            let name = tags.first().map_or_else(|| "image".to_owned(), ToString::to_string);
            let described = Target {
                tags: tags.clone(),
                stage: target.clone(),
                ..Target::new(name, context.clone(), file.clone())
            };
            Ok(Described { targets: vec![described], others: Vec::new(), warnings: Vec::new() })
        }
    }
}

/// The inputs apply to every target; a single value of theirs wins over the Compose file's.
fn overlay(target: &mut Target, request: &Request<'_>) {
    let inputs = request.inputs;
    target.build_args.extend(inputs.build_args.clone());
    // The engine stamps layers and history with it; reproducible builds set it once, for everything.
    if let Some(epoch) = request.environment.get("SOURCE_DATE_EPOCH").filter(|epoch| !epoch.is_empty()) {
        target.build_args.entry("SOURCE_DATE_EPOCH".to_owned()).or_insert_with(|| epoch.clone());
    }
    target.labels.extend(inputs.labels.clone());
    target.annotations.extend(inputs.annotations.clone());
    target.named_contexts.extend(inputs.build_contexts.clone());
    target.secrets.retain(|secret| inputs.secrets.iter().all(|input| input.id != secret.id));
    target.secrets.extend(inputs.secrets.clone());
    target.ssh.retain(|ssh| inputs.ssh.iter().all(|input| input.id != ssh.id));
    target.ssh.extend(inputs.ssh.clone());
    target.extra_hosts.extend(inputs.add_hosts.clone());
    target.ulimits.extend(inputs.ulimits.clone());
    target.entitlements.extend(inputs.allow.clone());
    replace(&mut target.cache_from, &inputs.cache_from);
    replace(&mut target.cache_to, &inputs.cache_exports);
    replace(&mut target.platforms, &inputs.platforms);
    target.network = inputs.network.clone().or_else(|| target.network.take());
    target.shm_size = inputs.shm_size.or(target.shm_size);
    target.provenance = inputs.provenance.clone().or_else(|| target.provenance.take());
    target.sbom = inputs.sbom.clone().or_else(|| target.sbom.take());
    target.pull |= inputs.pull;
    if inputs.no_cache != NoCache::Off {
        target.no_cache = inputs.no_cache.clone();
    }
}

fn replace<T: Clone>(values: &mut Vec<T>, others: &[T]) {
    if !others.is_empty() {
        *values = others.to_vec();
    }
}

fn check_context(target: &Target) -> Option<ProjectError> {
    let Context::Local(path) = &target.context else { return None };
    let problem = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return None,
        Ok(_) => "is not a directory",
        Err(_) => "does not exist",
    };
    Some(ProjectError::Context { target: target.name.clone(), path: path.clone(), problem })
}

fn read_dockerfile(target: &mut Target) -> Result<Option<Parsed>, ProjectError> {
    let (text, path) = match &mut target.dockerfile {
        Dockerfile::InContext(_) => return Ok(None),
        Dockerfile::Inline(text) => (text.clone(), PathBuf::from("dockerfile_inline")),
        Dockerfile::File(path) => {
            let text = read(path).map_err(|source| ProjectError::Dockerfile {
                target: target.name.clone(),
                path: path.clone(),
                source,
            })?;
            (text, path.clone())
        }
    };
    // Another frontend may have another language; it says itself what is wrong.
    match Parsed::parse(&text) {
        Ok(parsed) => Ok(Some(parsed)),
        Err(_) if syntax(&text).is_some() || target.build_args.contains_key("BUILDKIT_SYNTAX") => Ok(None),
        Err(source) => Err(ProjectError::Syntax { target: target.name.clone(), path, source }),
    }
}

/// Reads the Dockerfile; `dockerfile` in lower case is taken where there is no `Dockerfile`, as docker does.
fn read(path: &mut PathBuf) -> io::Result<String> {
    match std::fs::read(&*path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.ends_with("Dockerfile") => {
            let lower = path.with_file_name("dockerfile");
            let bytes = std::fs::read(&lower).map_err(|_same| error)?;
            *path = lower;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        read => Ok(String::from_utf8_lossy(&read?).into_owned()),
    }
}

fn check_stage(target: &Target, parsed: &Parsed) -> Option<ProjectError> {
    let stage = target.stage.as_ref()?;
    if parsed.find_stage(stage).is_some() {
        return None;
    }
    let known = parsed.stages().iter().filter_map(Stage::name).map(str::to_owned).collect();
    Some(ProjectError::Stage { target: target.name.clone(), stage: stage.clone(), known })
}

/// The commit goes only to Dockerfiles that declare its argument. What the person set for it stays.
fn set_commit(target: &mut Target, parsed: &Parsed, request: &Request<'_>) {
    let name = &request.inputs.commit_arg;
    let asked = request.inputs.commit.as_deref();
    let already = target.build_args.get(name).is_some_and(|value| !value.is_empty());
    let Some(commit) = asked.or(request.commit).filter(|_| asked.is_some() || !already) else { return };
    if parsed.declares_arg(name) {
        target.build_args.insert(name.clone(), commit.to_owned());
    }
}

/// A target that builds on another one's image waits for it.
fn wait_for_each_other(targets: &mut [Target], dockerfiles: &[Option<Parsed>]) {
    let owners: Vec<(String, String)> = targets
        .iter()
        .flat_map(|target| target.tags.iter().map(|tag| (tag.canonical(), target.name.clone())))
        .collect();
    for (target, parsed) in targets.iter_mut().zip(dockerfiles) {
        let Some(parsed) = parsed else { continue };
        let references = parsed.image_references(target.stage.as_deref(), &target.build_args);
        let needed = references.iter().filter_map(|reference| {
            let reference: crate::image::ImageReference = reference.parse().ok()?;
            let owner = owners.iter().find(|(tag, _)| *tag == reference.canonical())?;
            Some(owner.1.clone())
        });
        // An image built on its own predecessor is no reason to wait.
        let needed: Vec<String> = needed.filter(|name| *name != target.name).collect();
        target.after.extend(needed);
        target.after.sort();
        target.after.dedup();
    }
}

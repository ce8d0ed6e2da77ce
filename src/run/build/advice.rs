//! After the builds: what would make the next one faster.
//!
//! [`advise`](crate::outcome::advise) decides; here is what it looks at: small files of the context, and how large what
//! travelled is.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::Prepared;
use crate::cache::evidence::ignored;
use crate::inputs::BuildInputs;
use crate::outcome::advice::{Advice, KeptCache};
use crate::outcome::advise::{self, ContextFile, Files, MUCH, Subject};
use crate::outcome::build::{ImageOutcome, ImageResult, StepOutcome};
use crate::outcome::known::Known;
use crate::patterns::{Filter, Walk};
use crate::plan::build::PlannedBuild;
use crate::project::target::{Context, Dockerfile as Source, Target};
use crate::run::Run;

/// Bytes of the largest manifest that is looked into.
const LARGEST: u64 = 1 << 20;
/// Files of a context that are looked at: of a larger one nothing is said.
const MOST_FILES: usize = 200_000;

/// What is looked at for one image.
#[derive(Debug, Default)]
struct Looked {
    files: Files,
    context: Option<Vec<ContextFile>>,
}

/// Advice for all images of a run; none for a run that was cancelled.
pub(super) async fn advice(
    run: &Run,
    inputs: &BuildInputs,
    prepared: &Prepared,
    images: &[ImageOutcome],
    known: &[Known<'_>],
) -> Vec<Advice> {
    let begun = Instant::now();
    let looking = images.iter().zip(known).map(|(image, known)| look(image, known));
    let looking = futures_util::future::join_all(looking);
    let Some(looked) = run.cancellation.token().run_until_cancelled(looking).await else { return Vec::new() };
    let files: Vec<Option<String>> =
        prepared.plan.builds.iter().map(|build| file(&build.target, &run.context.workspace)).collect();
    let kept: Vec<Vec<KeptCache>> = prepared.plan.builds.iter().map(|build| kept(build, inputs)).collect();
    let subjects = images.iter().zip(known).zip(&looked).zip(&files).zip(&kept);
    let subjects = subjects.map(|((((image, known), looked), file), kept)| Subject {
        image,
        known,
        commit_argument: &inputs.commit_arg,
        file: file.as_deref(),
        files: &looked.files,
        context: looked.context.as_deref(),
        kept,
    });
    let advice = advise::advise(&subjects.collect::<Vec<_>>(), run.started.elapsed());
    tracing::debug!("advice: thought of {} pieces in {} ms", advice.len(), begun.elapsed().as_millis());
    advice
}

/// What is kept besides the image: what there is of it, not what could be.
fn kept(build: &PlannedBuild, inputs: &BuildInputs) -> Vec<KeptCache> {
    let has_stages = inputs.cache_stages && build.keep.as_ref().is_some_and(|keep| !keep.stages.is_empty());
    let stages = has_stages.then_some(KeptCache::Stages);
    stages.into_iter().chain(inputs.cache_to.is_some().then_some(KeptCache::Registry)).collect()
}

/// The Dockerfile as reports name it: relative to the workspace where it lies inside.
fn file(target: &Target, workspace: &Path) -> Option<String> {
    let Source::File(path) = &target.dockerfile else { return None };
    Some(path.strip_prefix(workspace).unwrap_or(path).to_string_lossy().into_owned())
}

/// Looks at files only where a step took long enough for advice to be worth it.
async fn look(image: &ImageOutcome, known: &Known<'_>) -> Looked {
    let Context::Local(root) = &known.target.context else { return Looked::default() };
    let is_long = |step: &StepOutcome| !step.cached && step.duration() >= advise::SECONDS;
    let built = matches!(image.result, ImageResult::Built { .. });
    let wanted = known.dockerfile.filter(|_| built && image.steps.iter().any(is_long)).map(advise::wanted);
    let is_much = built && image.context_bytes >= MUCH;
    if wanted.is_none() && !is_much {
        return Looked::default();
    }
    let (root, dockerfile) = (root.clone(), known.target.dockerfile.clone());
    let reading = tokio::task::spawn_blocking(move || {
        let ignored = ignored(&root, &dockerfile);
        Looked {
            files: wanted.map(|wanted| manifests(&root, &wanted, &ignored)).unwrap_or_default(),
            context: if is_much { listing(root, &ignored) } else { None },
        }
    });
    // A thread that panicked has seen nothing.
    reading.await.unwrap_or_default()
}

/// Those of the files that the context shows, with their content.
fn manifests(root: &Path, wanted: &[String], ignored: &[String]) -> Files {
    let walk = |filter| Walk::new(root.to_owned(), filter).ok();
    // No pattern would mean everything.
    if wanted.is_empty() {
        return Files::new();
    }
    let walk = Filter::new(wanted, ignored).ok().and_then(walk).into_iter().flatten().map_while(Result::ok);
    let small = walk.filter(|entry| entry.metadata.is_file() && entry.metadata.len() <= LARGEST);
    let read = |path: PathBuf| {
        let mut content = String::new();
        std::fs::File::open(root.join(&path)).ok()?.take(LARGEST).read_to_string(&mut content).ok()?;
        Some((path.to_str()?.to_owned(), content))
    };
    small.filter_map(|entry| read(entry.path)).collect()
}

/// The files that the context shows, with their bytes; `None` if there are too many, or not all can be seen.
fn listing(root: PathBuf, ignored: &[String]) -> Option<Vec<ContextFile>> {
    let walk = Walk::new(root, Filter::new(&[], ignored).ok()?).ok()?;
    let mut files = Vec::new();
    for entry in walk {
        let entry = entry.ok()?;
        if entry.metadata.is_file() {
            files.push((entry.path.to_str()?.to_owned(), entry.metadata.len()));
        }
        if files.len() > MOST_FILES {
            return None;
        }
    }
    Some(files)
}

#[cfg(test)]
mod tests {
    use super::{listing, manifests};

    fn context() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("web")).unwrap();
        for (path, content) in [("web/package.json", "{}"), ("web/package-lock.json", ""), ("go.mod", "module x")] {
            std::fs::write(root.path().join(path), content).unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("go.sum")).unwrap();
        root
    }

    #[test]
    fn only_files_that_the_context_shows_are_read() {
        let root = context();
        let wanted = ["web/package.json", "web/package-lock.json", "go.sum", "pom.xml"].map(str::to_owned);
        let found = manifests(root.path(), &wanted, &["web/package-lock.json".to_owned()]);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("web/package.json".to_owned(), "{}".to_owned())]);
        assert!(manifests(root.path(), &[], &[]).is_empty());
    }

    #[test]
    fn a_listing_leaves_out_what_is_ignored() {
        let root = context();
        let found = listing(root.path().to_owned(), &["web/*.json".to_owned()]);
        assert_eq!(found, Some(vec![("go.mod".to_owned(), 8)]));
        assert_eq!(listing("/nonexistent".into(), &[]), None);
    }
}

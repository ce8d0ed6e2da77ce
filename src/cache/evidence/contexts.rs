//! The local contexts of a build, read beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::keyed::Salt;
use super::sources::sources;
use super::tree::ContextFiles;
use super::walk::{Context, Limits, Withheld, read};
use crate::patterns::ignorefile;
use crate::project::dockerfile::Dockerfile;
use crate::project::target::{self, NamedContext, SecretSource, Target};

/// The name of the main context, as BuildKit asks for it.
pub const MAIN_CONTEXT: &str = "context";
const IGNORE_FILE: &str = ".dockerignore";

/// The files of every local context of a target by the context's name; `None` if it was cancelled.
///
/// They are read on a thread of its own, after the ignore files, and of the main context only what the Dockerfile
/// takes where that is plain to see. At most 24,000 entries and 256 MiB of content of each. The files that secrets and
/// SSH keys are read from are never looked into. Reading ends soon after the future is dropped.
pub async fn contexts(
    salt: &Salt,
    target: &Target,
    dockerfile: Option<&Dockerfile>,
    cancelled: &CancellationToken,
) -> Option<BTreeMap<String, ContextFiles>> {
    let salt = salt.clone();
    let target = target.clone();
    let sources = dockerfile.and_then(sources);
    let token = cancelled.child_token();
    let _ends = token.clone().drop_guard();
    let reading = tokio::task::spawn_blocking(move || {
        let contexts = local(&target, sources).into_iter();
        contexts.map(|(name, context)| Some((name, read(&salt, &context, &token)?))).collect()
    });
    // A thread that panicked leaves no evidence.
    reading.await.ok().flatten()
}

fn local(target: &Target, sources: Option<Vec<String>>) -> BTreeMap<String, Context> {
    let withheld = withheld(target);
    let context = |root: &Path, exclude, sources| Context {
        root: root.to_owned(),
        exclude,
        sources,
        withheld: withheld.clone(),
        limits: Limits::default(),
    };
    let mut contexts = BTreeMap::new();
    if let target::Context::Local(root) = &target.context {
        contexts.insert(MAIN_CONTEXT.to_owned(), context(root, ignored(root, &target.dockerfile), sources));
    }
    for (name, named) in &target.named_contexts {
        if let NamedContext::Local(root) = named {
            contexts.insert(name.clone(), context(root, patterns(&root.join(IGNORE_FILE)).unwrap_or_default(), None));
        }
    }
    contexts
}

fn withheld(target: &Target) -> Withheld {
    let secrets = target.secrets.iter().filter_map(|secret| match &secret.source {
        SecretSource::File(path) => Some(path.as_path()),
        SecretSource::Value(_) => None,
    });
    let keys = target.ssh.iter().flat_map(|source| &source.paths).map(PathBuf::as_path);
    Withheld::new(secrets.chain(keys))
}

/// What the main context leaves out: a Dockerfile's own ignore file stands before the context's.
pub fn ignored(root: &Path, dockerfile: &target::Dockerfile) -> Vec<String> {
    let own = match dockerfile {
        target::Dockerfile::File(path) => {
            let mut path = path.clone().into_os_string();
            path.push(IGNORE_FILE);
            patterns(Path::new(&path))
        }
        target::Dockerfile::Inline(_) | target::Dockerfile::InContext(_) => None,
    };
    own.or_else(|| patterns(&root.join(IGNORE_FILE))).unwrap_or_default()
}

/// `None` if there is no such file, or none that can be read: the build itself says so.
fn patterns(path: &Path) -> Option<Vec<String>> {
    std::fs::read(path).ok().map(|content| ignorefile::read(&content))
}

//! The inputs of `mode: clear`.

use crate::image::pattern::Pattern;
use crate::inputs::error::{Problem, words};
use crate::inputs::reader::Reader;
use crate::inputs::selector::{self, RemoteSelector, Selector};
use crate::inputs::source::{self, ClearSource};
use crate::inputs::table::Input;
use crate::inputs::{ClearInputs, ClearScope, RawInputs, parse, table};

/// Reads the inputs of a clear.
pub(super) fn read(reader: &mut Reader<'_>) -> ClearInputs {
    let common = parse::common(reader);
    let source = source::clear(reader);
    let (images, remote) = selectors(reader, &table::IMAGES, selector::read);
    let (keep, kept_remote) = selectors(reader, &table::KEEP, selector::keep);
    let (cache_to, exports) = source::cache_to(reader);
    if !exports.is_empty() {
        reader.warnings.push(
            "input `cache-to`: what has `type=…` BuildKit wrote by itself; to clear it, name its tag in `images`, as \
             `registry=ghcr.io/org/app:buildcache`"
                .to_owned(),
        );
    }
    let inputs = ClearInputs {
        cache_to,
        source,
        images,
        remote,
        scope: scope(reader),
        keep,
        keep_caches: kept_remote.into_iter().filter_map(RemoteSelector::into_cache).collect(),
        dry_run: reader.boolean(&table::DRY_RUN),
        registry_auth: parse::registry_auth(reader),
        common,
    };
    check_selectors(reader, &inputs);
    check_images(reader, &inputs);
    inputs
}

/// Without an entry the project's own images are meant. Where every entry is of another place somebody thought of that place
/// alone, and whether of these images too, nobody knows: they must be named, as what is in other places.
fn check_images(reader: &mut Reader<'_>, inputs: &ClearInputs) {
    // A pattern that is wrong was meant to name something.
    if !inputs.scope.images || !inputs.images.is_empty() || reader.has_failed(&table::IMAGES) {
        return;
    }
    // In a job the ledgers of its repository say which images are meant; a machine has no such bounds.
    let has_repository = reader.raw.environment().non_empty("GITHUB_REPOSITORY").is_some();
    if !inputs.remote.is_empty() {
        reader.fail(&table::SCOPE, Problem::NothingNamed { scope: "images" });
    } else if inputs.source == ClearSource::Unknown && !has_repository {
        reader.fail(&table::SCOPE, Problem::NothingToClear);
    }
}

/// The entries of `images` or `keep`: patterns of images, and what is not on the engine.
fn selectors(
    reader: &mut Reader<'_>,
    input: &Input,
    read: fn(&RawInputs, &str) -> Result<Selector, Problem>,
) -> (Vec<Pattern>, Vec<RemoteSelector>) {
    let (mut images, mut remote) = (Vec::new(), Vec::new());
    for selector in reader.each(input, read) {
        match selector {
            Selector::Image(pattern) => images.push(pattern),
            Selector::Remote(selector) => remote.push(selector),
        }
    }
    (images, remote)
}

/// Packages and Actions caches must be named: nothing says which of them are this project's. A selector whose place is not
/// in scope removes nothing, which somebody may wonder about.
fn check_selectors(reader: &mut Reader<'_>, inputs: &ClearInputs) {
    let scope = inputs.scope;
    for (word, is_in_scope, must_be_named) in [
        ("registry", scope.registry, false),
        ("packages", scope.packages, true),
        ("actions-cache", scope.actions_cache, true),
    ] {
        let is_named = inputs.remote.iter().any(|selector| selector.scope() == word);
        if is_named && !is_in_scope {
            reader.warnings.push(format!("input `images` names something for `scope: {word}`, which is not in scope"));
        }
        if is_in_scope && must_be_named && !is_named && !reader.has_failed(&table::IMAGES) {
            reader.fail(&table::SCOPE, Problem::NothingNamed { scope: word });
        }
    }
}

fn scope(reader: &mut Reader<'_>) -> ClearScope {
    let entries = reader.list(&table::SCOPE);
    let mut scope = ClearScope::default();
    for (number, entry) in (1..).zip(&entries) {
        let problem = match entry.as_str() {
            "images" => {
                scope.images = true;
                continue;
            }
            "builder" => {
                scope.builder = true;
                continue;
            }
            "builders" => {
                scope.builders = true;
                continue;
            }
            "registry" => {
                scope.registry = true;
                continue;
            }
            "packages" => {
                scope.packages = true;
                continue;
            }
            "actions-cache" => {
                scope.actions_cache = true;
                continue;
            }
            _ => Problem::NotOneOf {
                allowed: words(["images", "builder", "builders", "registry", "packages", "actions-cache"]),
            },
        };
        reader.fail_entry(&table::SCOPE, number, entry, problem);
    }
    scope
}

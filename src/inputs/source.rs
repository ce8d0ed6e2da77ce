//! What the inputs say about what to build, or whose images to clear.

use std::path::PathBuf;

use crate::image::ImageReference;
use crate::inputs::entries;
use crate::inputs::error::Problem;
use crate::inputs::reader::Reader;
use crate::inputs::table;
use crate::project::target::{CacheOption, CacheSource, Context, Dockerfile};

/// What to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The services of Compose files.
    Compose {
        /// The files, absolute, in the order of their merge; at least one.
        files: Vec<PathBuf>,
        /// The services; empty means every one that has `build:`.
        services: Vec<String>,
    },
    /// One image.
    Dockerfile {
        /// Its build context.
        context: Context,
        /// Its Dockerfile.
        file: Dockerfile,
        /// The stage to build; the last one if absent.
        target: Option<String>,
        /// Its names; may be empty.
        tags: Vec<ImageReference>,
    },
}

/// Where the images of the project follow from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClearSource {
    /// The images of the services of Compose files.
    Compose {
        /// The files, absolute, in the order of their merge; at least one.
        files: Vec<PathBuf>,
        /// The services; empty means every one that has `build:`.
        services: Vec<String>,
    },
    /// The images of these names.
    Tags(Vec<ImageReference>),
    /// Nothing says; in a job the ledgers of its repository do.
    Unknown,
}

/// Reads what to build.
pub(super) fn build(reader: &mut Reader<'_>) -> Source {
    if let Some((files, services)) = compose(reader, &[table::CONTEXT, table::FILE, table::TARGET, table::TAGS]) {
        return Source::Compose { files, services };
    }
    let context = context(reader);
    let file = dockerfile(reader, &context);
    let target = reader.text(&table::TARGET).map(str::to_owned);
    Source::Dockerfile { context, file, target, tags: reader.each(&table::TAGS, entries::tag) }
}

/// Reads whose images to clear.
pub(super) fn clear(reader: &mut Reader<'_>) -> ClearSource {
    if let Some((files, services)) = compose(reader, &[table::TAGS]) {
        return ClearSource::Compose { files, services };
    }
    let tags = reader.each(&table::TAGS, entries::tag);
    if tags.is_empty() { ClearSource::Unknown } else { ClearSource::Tags(tags) }
}

/// Reads where the cache is kept: one place in a registry, and whatever else BuildKit is to write.
pub(super) fn cache_to(reader: &mut Reader<'_>) -> (Option<ImageReference>, Vec<CacheOption>) {
    let (mut places, mut exports) = (Vec::new(), Vec::new());
    for entry in reader.each(&table::CACHE_TO, entries::cache_sources).into_iter().flatten() {
        match entry {
            CacheSource::Image(place) => places.push(place),
            CacheSource::BuildKit(export) => exports.push(export),
        }
    }
    let mut places = places.into_iter();
    let place = places.next();
    if places.next().is_some() {
        let way_out = "name one, and read others by `cache-from`";
        reader.fail(&table::CACHE_TO, Problem::Refused { why: "the cache is kept in one place", way_out });
    }
    if place.as_ref().is_some_and(|place| place.digest().is_some()) {
        let way_out = "leave the part from `@` on out, and name a tag";
        reader.fail(&table::CACHE_TO, Problem::Refused { why: "what is written has no digest yet", way_out });
    }
    (place, exports)
}

fn compose(reader: &mut Reader<'_>, contrary: &[table::Input]) -> Option<(Vec<PathBuf>, Vec<String>)> {
    let files = reader.each(&table::COMPOSE_FILE, |raw, entry| Ok(raw.path(entry)));
    let services = reader.list(&table::SERVICES);
    if !reader.is_set(&table::COMPOSE_FILE) {
        if !services.is_empty() {
            reader.fail(&table::SERVICES, Problem::Needs { needs: table::COMPOSE_FILE.name });
        }
        return None;
    }
    for input in contrary {
        if reader.is_set(input) {
            let way_out =
                "leave one of the two out: Compose files say themselves how their images are built and called";
            reader.fail(input, Problem::Conflict { with: table::COMPOSE_FILE.name, way_out });
        }
    }
    Some((files, services))
}

fn context(reader: &mut Reader<'_>) -> Context {
    let text = reader.text(&table::CONTEXT).unwrap_or(".");
    if text.contains("{{") {
        let why = "templates such as `{{defaultContext}}` are not expanded";
        let way_out = "check the repository out and name a directory of it, or write the Git URL in full";
        reader.fail(&table::CONTEXT, Problem::Refused { why, way_out });
    } else if text == "-" {
        let way_out = "name a directory, or a Git or HTTP URL";
        reader.fail(&table::CONTEXT, Problem::Refused { why: "there is no standard input to read it from", way_out });
    }
    if is_remote(text) { Context::Remote(text.to_owned()) } else { Context::Local(reader.raw.path(text)) }
}

fn dockerfile(reader: &mut Reader<'_>, context: &Context) -> Dockerfile {
    let file = reader.text(&table::FILE);
    if file.is_some_and(|file| file == "-" || is_remote(file)) {
        let way_out = "name a file of the workspace, or of the context if that is a URL";
        reader.fail(&table::FILE, Problem::Refused { why: "a Dockerfile is read from a file", way_out });
    }
    match (context, file) {
        (Context::Remote(_), file) => Dockerfile::InContext(file.unwrap_or("Dockerfile").to_owned()),
        (Context::Local(_), Some(file)) => Dockerfile::File(reader.raw.path(file)),
        (Context::Local(directory), None) => Dockerfile::File(directory.join("Dockerfile")),
    }
}

/// Whether BuildKit fetches this by itself: HTTP, Git URLs and `user@host:path` (moby/buildkit `util/gitutil`).
pub(super) fn is_remote(text: &str) -> bool {
    const PREFIXES: [&str; 5] = ["http://", "https://", "git://", "ssh://", "github.com/"];
    let is_scp = || {
        text.split_once(':').and_then(|(host, _)| host.split_once('@')).is_some_and(|(user, host)| {
            !user.is_empty() && !host.is_empty() && !user.contains('/') && !host.contains('/')
        })
    };
    PREFIXES.iter().any(|prefix| text.starts_with(prefix)) || is_scp()
}

#[cfg(test)]
mod tests {
    use super::is_remote;

    /// The cases of docker/actions-toolkit's `isValidRef`, and paths that only look alike.
    #[test]
    fn tells_urls_from_paths() {
        for (text, expected) in [
            ("https://github.com/docker/buildx.git#refs/pull/648/head", true),
            ("git@github.com:moby/buildkit.git", true),
            ("git://github.com/user/repo.git", true),
            ("ssh://git@example.com/repo.git", true),
            ("github.com/moby/buildkit.git#main", true),
            ("v0.4.1", false),
            (".", false),
            ("a@b/c:d", false),
            ("dir/user@host:x", false),
            ("github.community", false),
        ] {
            assert_eq!(is_remote(text), expected, "{text}");
        }
    }
}

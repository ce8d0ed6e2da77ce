//! Raw inputs to [`Inputs`], or to every problem that they have.

use std::collections::BTreeSet;
use std::fs;

use chrono::TimeDelta;

use crate::inputs::age;
use crate::inputs::docker_config::{self, DockerConfigError, RegistryAuth};
use crate::inputs::error::{InputError, Problem, Shown, words};
use crate::inputs::raw::{Origin, RawInputs};
use crate::inputs::reader::Reader;
use crate::inputs::source;
use crate::inputs::table::{self, Modes};
use crate::inputs::{
    BuildInputs, BuilderChoice, Common, Compression, Inputs, Report, builder, clear, entries, secrets, size, slower,
};
use crate::outcome::baseline::SlowerThan;
use crate::project::target::NoCache;
use crate::secret::Secret;

/// Understands the inputs. With them come warnings, each one line.
///
/// Pure but for a few files: the `config.json` that `registry-auth` may name, and the certificates of `builder`.
///
/// # Errors
/// Every problem that the inputs have, in the order in which they are declared as far as that is possible.
pub fn parse(raw: &RawInputs) -> Result<(Inputs, Vec<String>), Vec<InputError>> {
    let mut reader = Reader::new(raw);
    // The inputs of a build stand in for those of a mode that does not exist: their problems are worth to know as well.
    let mode = reader.choice(&table::MODE, &[("build", Modes::Build), ("clear", Modes::Clear)]).unwrap_or(Modes::Build);
    check_declarations(&mut reader, mode);
    let inputs = match mode {
        Modes::Clear => Inputs::Clear(Box::new(clear::read(&mut reader))),
        Modes::Build | Modes::Both => Inputs::Build(Box::new(build(&mut reader))),
    };
    if reader.errors.is_empty() { Ok((inputs, reader.warnings)) } else { Err(reader.errors) }
}

/// Inputs of the other mode are a warning, since workflows share blocks of `with:`; those that do not work are errors.
fn check_declarations(reader: &mut Reader<'_>, mode: Modes) {
    for input in table::ALL {
        if input.modes == Modes::Both || input.modes == mode {
            reader.check_status(input);
        } else if reader.is_set(input) {
            let word = reader.raw.given(input).map_or(Origin::Input, |(origin, _)| origin).word();
            let other = if input.modes == Modes::Clear { "clear" } else { "build" };
            reader
                .warnings
                .push(format!("{word} `{}` has a meaning for `mode: {other}` alone and is not used", input.name));
        }
    }
}

pub(super) fn common(reader: &mut Reader<'_>) -> Common {
    Common {
        builder: builder::read(reader),
        report: report(reader),
        github_token: reader.text(&table::GITHUB_TOKEN).map(Secret::new),
    }
}

fn build(reader: &mut Reader<'_>) -> BuildInputs {
    let common = common(reader);
    let (cache_to, cache_exports) = source::cache_to(reader);
    BuildInputs {
        source: source::build(reader),
        build_args: reader.each(&table::BUILD_ARGS, entries::build_arg).into_iter().flatten().collect(),
        secrets: secrets::read(reader),
        ssh: reader.each(&table::SSH, secrets::ssh).into_iter().flatten().collect(),
        build_contexts: reader.each(&table::BUILD_CONTEXTS, entries::named_context).into_iter().collect(),
        labels: reader.each(&table::LABELS, entries::label).into_iter().collect(),
        annotations: reader.each(&table::ANNOTATIONS, entries::annotation),
        platforms: reader.each(&table::PLATFORMS, entries::platform),
        network: network(reader, &common.builder),
        add_hosts: reader.each(&table::ADD_HOSTS, entries::host),
        shm_size: shm_size(reader),
        ulimits: reader.each(&table::ULIMIT, entries::ulimit),
        allow: reader.each(&table::ALLOW, entries::entitlement),
        pull: reader.boolean(&table::PULL),
        no_cache: no_cache(reader),
        provenance: reader.text(&table::PROVENANCE).map(str::to_owned),
        sbom: reader.text(&table::SBOM).map(str::to_owned),
        push: reader.boolean(&table::PUSH),
        cache_from: reader.each(&table::CACHE_FROM, entries::cache_sources).into_iter().flatten().collect(),
        cache_to,
        cache_exports,
        cache_key: reader.text(&table::CACHE_KEY).map(str::to_owned),
        cache_max_age: cache_max_age(reader),
        cache_stages: reader.boolean(&table::CACHE_STAGES),
        remove_superseded: reader.boolean(&table::REMOVE_SUPERSEDED),
        fail_if_stale: reader.boolean(&table::FAIL_IF_STALE),
        compression: compression(reader),
        commit_arg: commit_arg(reader),
        commit: reader.text(&table::COMMIT).map(str::to_owned),
        fail_if_slower: fail_if_slower(reader),
        registry_auth: registry_auth(reader),
        common,
    }
}

fn report(reader: &mut Reader<'_>) -> Report {
    let entries = reader.list(&table::REPORT);
    let wanted: BTreeSet<_> = entries.iter().map(String::as_str).collect();
    for (number, entry) in (1..).zip(&entries) {
        let problem = match entry.as_str() {
            "summary" | "check" | "comment" | "annotations" => continue,
            "none" if wanted.len() == 1 => continue,
            "none" => Problem::Conflict { with: "report", way_out: "write `none` alone, or leave it out" },
            _ => Problem::NotOneOf { allowed: words(["summary", "check", "comment", "annotations", "none"]) },
        };
        reader.fail_entry(&table::REPORT, number, entry, problem);
    }
    Report {
        summary: wanted.contains("summary"),
        check: wanted.contains("check"),
        comment: wanted.contains("comment"),
        annotations: wanted.contains("annotations"),
    }
}

fn fail_if_slower(reader: &mut Reader<'_>) -> Option<SlowerThan> {
    let limit = slower::parse(reader.text(&table::FAIL_IF_SLOWER)?);
    if limit.is_none() {
        let form = "a percentage and a time, as `25% and 30s`: the build fails if it is slower by more than both";
        reader.fail(&table::FAIL_IF_SLOWER, Problem::Malformed { what: "a percentage and a time", form });
    }
    limit
}

/// BuildKit has three networks (docker/buildx `build/opt.go`); the classic builder takes any of the engine's.
fn network(reader: &mut Reader<'_>, builder: &BuilderChoice) -> Option<String> {
    let text = reader.text(&table::NETWORK)?;
    if *builder != BuilderChoice::Classic && !matches!(text, "default" | "none" | "host") {
        reader.fail(&table::NETWORK, Problem::NotOneOf { allowed: words(["default", "none", "host"]) });
    }
    Some(text.to_owned())
}

fn shm_size(reader: &mut Reader<'_>) -> Option<u64> {
    let bytes = size::parse(reader.text(&table::SHM_SIZE)?);
    if bytes.is_none() {
        let form = "a number with a unit, as `64m` or `2g`";
        reader.fail(&table::SHM_SIZE, Problem::Malformed { what: "a size", form });
    }
    bytes
}

fn cache_max_age(reader: &mut Reader<'_>) -> Option<TimeDelta> {
    let age = age::parse(reader.text(&table::CACHE_MAX_AGE)?);
    if age.is_none() {
        let form = "a number with a unit, as `7d`, `12h` or `30m`";
        reader.fail(&table::CACHE_MAX_AGE, Problem::Malformed { what: "an age", form });
    }
    age
}

fn no_cache(reader: &mut Reader<'_>) -> NoCache {
    let all = reader.boolean(&table::NO_CACHE);
    let stages = reader.list(&table::NO_CACHE_FILTERS);
    match (all, stages.is_empty()) {
        (true, false) => {
            let way_out = "leave `no-cache` unset for the named stages alone, or `no-cache-filters` for all of them";
            reader.fail(&table::NO_CACHE_FILTERS, Problem::Conflict { with: table::NO_CACHE.name, way_out });
            NoCache::All
        }
        (true, true) => NoCache::All,
        (false, false) => NoCache::Stages(stages),
        (false, true) => NoCache::Off,
    }
}

fn compression(reader: &mut Reader<'_>) -> Compression {
    let choices = [
        ("auto", Compression::Auto),
        ("uncompressed", Compression::Uncompressed),
        ("gzip", Compression::Gzip),
        ("zstd", Compression::Zstd),
    ];
    reader.choice(&table::COMPRESSION, &choices).unwrap_or(Compression::Auto)
}

fn commit_arg(reader: &mut Reader<'_>) -> String {
    let name = reader.text(&table::COMMIT_ARG).unwrap_or_default();
    if !entries::is_argument_name(name) {
        let form = "letters, digits and `_`, as `GIT_COMMIT_HASH`";
        reader.fail(&table::COMMIT_ARG, Problem::Malformed { what: "the name of a build argument", form });
    }
    name.to_owned()
}

/// A text that begins with `{` is a `config.json`; one word is a path to one; the rest are lines.
pub(super) fn registry_auth(reader: &mut Reader<'_>) -> RegistryAuth {
    let Some(text) = reader.text(&table::REGISTRY_AUTH) else { return RegistryAuth::default() };
    let auth = if text.starts_with('{') {
        docker_config::json(text, None)
    } else if text.contains(char::is_whitespace) {
        docker_config::lines(text).map(|logins| RegistryAuth { logins, unusable: Vec::new() })
    } else {
        match fs::read_to_string(reader.raw.path(text)) {
            Ok(content) => docker_config::json(&content, Some(&shown_path(text))),
            Err(error) => {
                Err(vec![DockerConfigError::Read { path: shown_path(text), reason: error.kind().to_string() }])
            }
        }
    };
    if auth.as_ref().is_ok_and(|auth| auth.logins.is_empty()) {
        reader.warnings.push("input `registry-auth`: there is no login in it that can be used here".to_owned());
    }
    auth.unwrap_or_else(|errors| {
        for error in errors {
            reader.fail_shown(&table::REGISTRY_AUTH, Shown::Nothing, Problem::DockerConfig(error));
        }
        RegistryAuth::default()
    })
}

/// What does not look like the path of a `.json` file could be a password.
fn shown_path(text: &str) -> String {
    if text.ends_with(".json") { text.to_owned() } else { "***".to_owned() }
}

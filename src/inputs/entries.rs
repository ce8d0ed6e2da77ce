//! What the entries of lists mean, each by the rules of `docker build`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::image::ImageReference;
use crate::inputs::error::{Problem, words};
use crate::inputs::raw::RawInputs;
use crate::inputs::source::is_remote;
use crate::project::target::{CacheOption, CacheSource, NamedContext};

const ENTITLEMENTS: [&str; 3] = ["network.host", "security.insecure", "device"];
/// The names that docker/go-units `ulimit.go` knows.
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// `NAME=value`, or a bare `NAME` that stands for the variable of that name, and for nothing if it is not set.
pub(super) fn build_arg(raw: &RawInputs, entry: &str) -> Result<Option<(String, String)>, Problem> {
    let (name, value) = match entry.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (entry, raw.environment().get(entry)),
    };
    if !is_argument_name(name) {
        return Err(Problem::Malformed {
            what: "a build argument",
            form: "`NAME=value`; quote an entry that spans several lines",
        });
    }
    Ok(value.map(|value| (name.to_owned(), value.to_owned())))
}

/// Whether a Dockerfile could declare an `ARG` of this name. BuildKit itself passes on names with dots and dashes.
pub(super) fn is_argument_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

/// `key=value`; a bare `key` has the empty value.
pub(super) fn label(_: &RawInputs, entry: &str) -> Result<(String, String), Problem> {
    let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
    if key.trim().is_empty() {
        return Err(Problem::Malformed { what: "a label", form: "`key=value`" });
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// `[type:]key=value`.
pub(super) fn annotation(_: &RawInputs, entry: &str) -> Result<(String, String), Problem> {
    match entry.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Problem::Malformed { what: "an annotation", form: "`key=value`, or `manifest:key=value`" }),
    }
}

/// `name=value`.
pub(super) fn named_context(raw: &RawInputs, entry: &str) -> Result<(String, NamedContext), Problem> {
    let malformed =
        Problem::Malformed { what: "a build context", form: "`name=directory` or `name=docker-image://image`" };
    let (name, value) = entry.split_once('=').ok_or_else(|| malformed.clone())?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || value.is_empty() {
        return Err(malformed);
    }
    let context = if value.starts_with("oci-layout://") {
        return Err(Problem::Refused {
            why: "an OCI layout is not read as a build context",
            way_out: "load it into the engine and name it as `docker-image://…`",
        });
    } else if is_remote(value) || value.starts_with("docker-image://") {
        NamedContext::Remote(value.to_owned())
    } else {
        NamedContext::Local(raw.path(value))
    };
    Ok((name.to_owned(), context))
}

/// `os[/arch[/variant]]`.
pub(super) fn platform(_: &RawInputs, entry: &str) -> Result<String, Problem> {
    let is_word = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
    };
    if entry.split('/').count() > 3 || !entry.split('/').all(is_word) {
        return Err(Problem::Malformed { what: "a platform", form: "`os/arch[/variant]`, as `linux/arm64`" });
    }
    Ok(entry.to_owned())
}

/// `host=ip` or `host:ip`, an IPv6 address also in brackets (docker/cli `opts/hosts.go`).
pub(super) fn host(_: &RawInputs, entry: &str) -> Result<(String, String), Problem> {
    let malformed = || Problem::Malformed { what: "a host and its address", form: "`host:ip` or `host=ip`" };
    let (name, address) = entry.split_once('=').or_else(|| entry.split_once(':')).ok_or_else(malformed)?;
    let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    let is_address = address == "host-gateway" || address.parse::<IpAddr>().is_ok();
    if name.is_empty() || name.contains(char::is_whitespace) || !is_address {
        return Err(malformed());
    }
    Ok((name.to_owned(), address.to_owned()))
}

/// `name=soft[:hard]`; -1 means no limit.
pub(super) fn ulimit(_: &RawInputs, entry: &str) -> Result<String, Problem> {
    let is_valid = entry.split_once('=').is_some_and(|(name, limits)| {
        let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
        let order = |limit: i64| if limit == -1 { i64::MAX } else { limit };
        match (soft.parse::<i64>(), hard.parse::<i64>()) {
            (Ok(soft), Ok(hard)) => ULIMITS.contains(&name) && soft >= -1 && hard >= -1 && order(soft) <= order(hard),
            _ => false,
        }
    });
    if !is_valid {
        return Err(Problem::Malformed { what: "a resource limit", form: "`name=soft[:hard]`, as `nofile=1024:2048`" });
    }
    Ok(entry.to_owned())
}

/// An entitlement of BuildKit (`util/entitlements`).
pub(super) fn entitlement(_: &RawInputs, entry: &str) -> Result<String, Problem> {
    let name = entry.split_once('=').map_or(entry, |(name, _)| name);
    if ENTITLEMENTS.contains(&name) && (name == entry || name == "device") {
        return Ok(entry.to_owned());
    }
    Err(Problem::NotOneOf { allowed: words(ENTITLEMENTS) })
}

/// A name to give to an image.
pub(super) fn tag(_: &RawInputs, entry: &str) -> Result<ImageReference, Problem> {
    let reference = reference(entry)?;
    if reference.digest().is_some() {
        return Err(Problem::DigestInTag);
    }
    Ok(reference)
}

/// `type=…,…`, or image references (docker/buildx `util/buildflags/cache.go`).
pub(super) fn cache_sources(_: &RawInputs, entry: &str) -> Result<Vec<CacheSource>, Problem> {
    let fields: Vec<_> = entry.split(',').map(str::trim).filter(|field| !field.is_empty()).collect();
    if !fields.iter().any(|field| field.contains('=')) {
        return fields.into_iter().map(|field| reference(field).map(CacheSource::Image)).collect();
    }
    let malformed = || Problem::Malformed {
        what: "a cache source",
        form: "an image reference, or `type=registry,ref=…` with `name=value` pairs",
    };
    let mut attributes = BTreeMap::new();
    for field in fields {
        let (key, value) = field.split_once('=').ok_or_else(malformed)?;
        attributes.insert(key.trim().to_ascii_lowercase(), value.to_owned());
    }
    let kind = attributes.remove("type").filter(|kind| !kind.is_empty()).ok_or_else(malformed)?;
    Ok(vec![CacheSource::BuildKit(CacheOption { kind, attributes })])
}

fn reference(text: &str) -> Result<ImageReference, Problem> {
    let reference: ImageReference = text.parse().map_err(Problem::Reference)?;
    if reference.is_reserved() { Err(Problem::Reserved) } else { Ok(reference) }
}

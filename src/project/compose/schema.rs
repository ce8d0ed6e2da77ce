//! The keys that Compose knows, so that a misspelt one is an error and not silence.
//!
//! Facts: `schema/compose-spec.json` of compose-go, where these objects take no additional properties but `x-…`.

use super::errors::{Problem, Report};
use super::yaml::{KeyPath, Map, Node, Value};

/// Top-level keys that decide what is built.
const TOP_LEVEL: &[&str] = &["name", "services", "include", "secrets"];
/// Top-level keys that do not.
const TOP_LEVEL_IGNORED: &[&str] = &["version", "networks", "volumes", "configs", "models"];

/// Keys of a service that decide what is built.
const SERVICE: &[&str] = &["build", "extends", "image", "platform", "profiles", "provider"];
/// Keys of a service that do not.
#[rustfmt::skip]
const SERVICE_IGNORED: &[&str] = &[
    "annotations", "attach", "blkio_config", "cap_add", "cap_drop", "cgroup", "cgroup_parent", "command",
    "configs", "container_name", "cpu_count", "cpu_percent", "cpu_period", "cpu_quota", "cpu_rt_period",
    "cpu_rt_runtime", "cpu_shares", "cpus", "cpuset", "credential_spec", "depends_on", "deploy", "develop",
    "device_cgroup_rules", "devices", "dns", "dns_opt", "dns_search", "domainname", "entrypoint", "env_file",
    "environment", "expose", "external_links", "extra_hosts", "gpus", "group_add", "healthcheck", "hostname",
    "init", "ipc", "isolation", "label_file", "labels", "links", "logging", "mac_address", "mem_limit",
    "mem_reservation", "mem_swappiness", "memswap_limit", "models", "network_mode", "networks",
    "oom_kill_disable", "oom_score_adj", "pid", "pids_limit", "ports", "post_start", "pre_start", "pre_stop",
    "privileged", "pull_policy", "pull_refresh_after", "read_only", "restart", "runtime", "scale", "secrets",
    "security_opt", "shm_size", "stdin_open", "stop_grace_period", "stop_signal", "storage_opt", "sysctls",
    "tmpfs", "tty", "ulimits", "use_api_socket", "user", "userns_mode", "uts", "volumes", "volumes_from",
    "working_dir",
];

/// Keys of `build:`.
#[rustfmt::skip]
const BUILD: &[&str] = &[
    "additional_contexts", "args", "cache_from", "cache_to", "context", "dockerfile", "dockerfile_inline",
    "entitlements", "extra_hosts", "isolation", "labels", "network", "no_cache", "no_cache_filter", "platforms",
    "privileged", "provenance", "pull", "sbom", "secrets", "shm_size", "ssh", "tags", "target", "ulimits",
];
/// Keys of an entry of `build.secrets`.
pub(super) const BUILD_SECRET: &[&str] = &["source", "target", "uid", "gid", "mode"];
/// Keys of an entry of the top-level `secrets`.
const SECRET: &[&str] =
    &["name", "environment", "file", "external", "labels", "driver", "driver_opts", "template_driver"];
/// Keys of `extends`.
pub(super) const EXTENDS: &[&str] = &["service", "file"];
/// Keys of an entry of `include`.
pub(super) const INCLUDE: &[&str] = &["path", "project_directory", "env_file"];

pub(super) fn is_ignored_top_level(key: &str) -> bool {
    key.starts_with("x-") || TOP_LEVEL_IGNORED.contains(&key)
}

pub(super) fn is_ignored_in_service(key: &str) -> bool {
    key.starts_with("x-") || SERVICE_IGNORED.contains(&key)
}

/// Names the unknown keys of a settled model, and what is no mapping but has to be.
pub(super) fn check_model(model: &Map, report: &mut Report) {
    check_keys(model, &[TOP_LEVEL, TOP_LEVEL_IGNORED], &KeyPath::default(), report);
    for (section, known) in [("services", &[SERVICE, SERVICE_IGNORED][..]), ("secrets", &[SECRET][..])] {
        let path = KeyPath::of(&[section]);
        let Some(entries) = model.get(section).and_then(|node| expect_map(node, &path, report)) else { continue };
        for (name, entry) in entries.iter() {
            if !is_name(&name.text) {
                let expected = "a name of letters, digits, '.', '_' and '-'";
                report.error(&name.place, &path, Problem::Value { value: name.text.clone(), expected });
            }
            let path = path.child(&name.text);
            let Some(entry) = expect_map(entry, &path, report) else { continue };
            check_keys(entry, known, &path, report);
            if let Some(build) = entry.get("build").and_then(Node::as_map) {
                check_keys(build, &[BUILD], &path.child("build"), report);
            }
        }
    }
}

/// Names the keys of `map` that are in none of the lists.
pub(super) fn check_keys(map: &Map, known: &[&[&'static str]], path: &KeyPath, report: &mut Report) {
    let known: Vec<&'static str> = known.iter().copied().flatten().copied().collect();
    for (key, _) in map.iter() {
        if !key.text.starts_with("x-") && !known.contains(&key.text.as_str()) {
            let nearest = nearest(&key.text, &known);
            report.error(&key.place, path, Problem::UnknownKey { key: key.text.clone(), nearest });
        }
    }
}

fn expect_map<'a>(node: &'a Node, path: &KeyPath, report: &mut Report) -> Option<&'a Map> {
    match &node.value {
        Value::Map(map) => Some(map),
        other => {
            report.error(&node.place, path, Problem::Type { expected: "a mapping", found: other.kind() });
            None
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// The known key that is at most two edits away.
fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    known
        .iter()
        .map(|candidate| (edit_distance(key, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= 2 && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance.
fn edit_distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = i;
        let mut previous = i + 1;
        let mut next = vec![previous];
        for (b, above) in right.chars().zip(row.iter().skip(1)) {
            let replaced = diagonal + usize::from(a != b);
            diagonal = *above;
            previous = replaced.min(above + 1).min(previous + 1);
            next.push(previous);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{BUILD, SERVICE, edit_distance, nearest};

    #[test]
    fn suggests_what_resembles() {
        assert_eq!(nearest("dockerfil", BUILD), Some("dockerfile"));
        assert_eq!(nearest("biuld", SERVICE), Some("build"));
        assert_eq!(nearest("cache-from", BUILD), Some("cache_from"));
        assert_eq!(nearest("something", BUILD), None);
        for (left, right, distance) in [("", "ab", 2), ("ab", "ab", 0), ("kitten", "sitting", 3), ("ab", "ba", 2)] {
            assert_eq!(edit_distance(left, right), distance, "{left} {right}");
        }
    }
}

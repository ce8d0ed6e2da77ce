//! Sizes, ulimits and extra hosts of the containers in which `RUN` steps execute.

use std::net::IpAddr;

use super::fields::{Section, Text, wrong_type};
use crate::project::compose::errors::{Problem, Report};
use crate::project::compose::yaml::{KeyPath, Node, Value};

const SIZE: &str = "a size in bytes, or with a unit as in '64m'";
const LIMIT: &str = "a whole number, -1 for no limit";
const HOST: &str = "'host=address', the address an IP address or 'host-gateway'";

/// `shm_size` in bytes; 0 is the engine's default.
pub(super) fn read_shm_size(build: Section<'_>, report: &mut Report) -> Option<u64> {
    let node = build.node("shm_size")?;
    let text = match &node.value {
        Value::Text(text) => text.as_str(),
        Value::Number(number) => number.canonical(),
        other => {
            report.error(&node.place, build.path.child("shm_size"), wrong_type("a size", other));
            return None;
        }
    };
    let size = parse_size(text);
    if size.is_none() {
        let problem = Problem::Value { value: text.to_owned(), expected: SIZE };
        report.error(&node.place, build.path.child("shm_size"), problem);
    }
    size.filter(|size| *size > 0)
}

/// `RAMInBytes` of docker's go-units: `64m`, `64mb`, `64MiB`, `1.5 g`; every unit is a power of 1024.
fn parse_size(text: &str) -> Option<u64> {
    let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.')? + 1;
    let (number, unit) = text.split_at(end);
    if !number.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let exponent = match unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return None,
    };
    let factor = 1024_u64.pow(exponent);
    match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(factor),
        Err(_) => whole_bytes(number.parse::<f64>().ok()? * bytes_as_float(factor)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "powers of 1024 are exact in a float")]
fn bytes_as_float(factor: u64) -> f64 {
    factor as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
fn whole_bytes(bytes: f64) -> Option<u64> {
    (bytes.is_finite() && (0.0..1e18).contains(&bytes)).then_some(bytes as u64)
}

/// `ulimits` as `name=soft:hard`, or `name=both`.
pub(super) fn read_ulimits(build: Section<'_>, report: &mut Report) -> Vec<String> {
    let path = build.path.child("ulimits");
    let mut ulimits = Vec::new();
    for (name, node) in build.entries("ulimits", report) {
        let path = path.child(&name.text);
        if name.text.is_empty() || !name.text.chars().all(|c| c.is_ascii_lowercase()) {
            let problem = Problem::Value { value: name.text.clone(), expected: "a ulimit's name in lower case" };
            report.error(&name.place, &path, problem);
            continue;
        }
        let limit = match &node.value {
            Value::Map(map) => {
                let section = Section { map, path: &path };
                let mut read = |key| match section.node(key) {
                    Some(node) => read_limit(node, &path.child(key), report),
                    None => {
                        report.error(&node.place, &path, Problem::MissingKey { key });
                        None
                    }
                };
                let (soft, hard) = (read("soft"), read("hard"));
                soft.zip(hard).map(|(soft, hard)| format!("{}={soft}:{hard}", name.text))
            }
            _ => read_limit(node, &path, report).map(|limit| format!("{}={limit}", name.text)),
        };
        ulimits.extend(limit);
    }
    ulimits
}

fn read_limit(node: &Node, path: &KeyPath, report: &mut Report) -> Option<i64> {
    let text = match &node.value {
        Value::Number(number) => number.canonical(),
        Value::Text(text) => text.as_str(),
        other => {
            report.error(&node.place, path, wrong_type("a whole number", other));
            return None;
        }
    };
    let limit = text.parse().ok().filter(|limit| *limit >= -1);
    if limit.is_none() {
        report.error(&node.place, path, Problem::Value { value: text.to_owned(), expected: LIMIT });
    }
    limit
}

/// `extra_hosts`: `host=address` or `host:address`, several addresses separated by commas, IPv6 with or without brackets.
pub(super) fn read_extra_hosts(build: Section<'_>, report: &mut Report) -> Vec<(String, String)> {
    let mut hosts = Vec::new();
    for text in build.texts("extra_hosts", report) {
        match split_host(&text) {
            Some(entries) => {
                for entry in entries {
                    if !hosts.contains(&entry) {
                        hosts.push(entry);
                    }
                }
            }
            None => text.invalid(HOST, report),
        }
    }
    hosts
}

fn split_host(text: &Text<'_>) -> Option<Vec<(String, String)>> {
    let (host, addresses) = text.text.split_once('=').or_else(|| text.text.split_once(':'))?;
    if host.is_empty() || host.contains([':', '=']) {
        return None;
    }
    addresses
        .split(',')
        .map(|address| {
            let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
            let is_address = bare == "host-gateway" || bare.parse::<IpAddr>().is_ok();
            is_address.then(|| (host.to_owned(), bare.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::parse_size;

    #[test]
    fn reads_sizes_as_docker_does() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("1048576", Some(1_048_576)),
            ("64m", Some(67_108_864)),
            ("64M", Some(67_108_864)),
            ("64mb", Some(67_108_864)),
            ("64MiB", Some(67_108_864)),
            ("1.5k", Some(1536)),
            ("1 g", Some(1_073_741_824)),
            ("10b", Some(10)),
            ("", None),
            ("m", None),
            ("64x", None),
            ("64mbs", None),
            ("-1", None),
            ("1.2.3m", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn sizes_never_panic(text in "([0-9]{0,25}|\\.| |é|.){0,6}[a-zA-Zé]{0,4}") {
            let _ = parse_size(&text);
        }
    }
}

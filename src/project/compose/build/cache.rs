//! `cache_from` and `cache_to`, in the syntax of buildx (`util/buildflags/cache.go`).

use std::collections::BTreeMap;

use super::fields::{Section, Text};
use super::read_image;
use crate::project::compose::errors::Report;
use crate::project::target::{CacheOption, CacheSource};

/// Images, or `type=…,…`.
pub(super) fn read_cache_from(build: Section<'_>, report: &mut Report) -> Vec<CacheSource> {
    let mut sources = Vec::new();
    for entry in build.texts("cache_from", report) {
        let source = match read_entry(&entry, report) {
            Some(Entry::Reference) => read_image(&entry, report).map(CacheSource::Image),
            Some(Entry::Option(option)) => Some(CacheSource::BuildKit(option)),
            None => None,
        };
        sources.extend(source.filter(|source| !sources.contains(source)));
    }
    sources
}

/// `type=…,…`; a bare reference stands for `type=registry`.
pub(super) fn read_cache_to(build: Section<'_>, report: &mut Report) -> Vec<CacheOption> {
    let mut options = Vec::new();
    for entry in build.texts("cache_to", report) {
        let option = match read_entry(&entry, report) {
            Some(Entry::Reference) => read_image(&entry, report).map(|_| CacheOption {
                kind: "registry".to_owned(),
                attributes: BTreeMap::from([("ref".to_owned(), entry.text.to_owned())]),
            }),
            Some(Entry::Option(option)) => Some(option),
            None => None,
        };
        options.extend(option.filter(|option| !options.contains(option)));
    }
    options
}

enum Entry {
    /// The whole text is an image's name.
    Reference,
    Option(CacheOption),
}

fn read_entry(entry: &Text<'_>, report: &mut Report) -> Option<Entry> {
    let expected = "an image or 'type=…,key=value,…'";
    let Some(fields) = csv_fields(entry.text) else {
        entry.invalid(expected, report);
        return None;
    };
    if let [field] = fields.as_slice()
        && !field.contains('=')
    {
        return Some(Entry::Reference);
    }
    let mut attributes = BTreeMap::new();
    for field in &fields {
        let Some((key, value)) = field.split_once('=') else {
            entry.invalid(expected, report);
            return None;
        };
        attributes.insert(key.trim().to_ascii_lowercase(), value.to_owned());
    }
    let Some(kind) = attributes.remove("type").filter(|kind| !kind.is_empty()) else {
        entry.invalid(expected, report);
        return None;
    };
    if let Some(reference) = attributes.get("ref") {
        read_image(&Text { text: reference, path: entry.path.clone(), ..*entry }, report)?;
    }
    Some(Entry::Option(CacheOption { kind, attributes }))
}

/// The fields of one CSV record; `None` if its quotes are not in order.
fn csv_fields(text: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (field, after) = rest.split_at(end);
                (!field.contains('"')).then(|| (field.to_owned(), after))?
            }
        };
        fields.push(field);
        if after.is_empty() {
            return Some(fields);
        }
        rest = after.strip_prefix(',')?;
    }
}

/// Reads up to the closing quote; `""` is a quote of the value.
fn quoted_field(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Some((field, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::csv_fields;

    #[test]
    fn reads_csv() {
        for (text, expected) in [
            ("a", Some(vec!["a"])),
            ("a,b=c", Some(vec!["a", "b=c"])),
            ("type=s3,\"k=a,b\"", Some(vec!["type=s3", "k=a,b"])),
            ("\"a\"\"b\"", Some(vec!["a\"b"])),
            ("a,", Some(vec!["a", ""])),
            ("a\"b", None),
            ("\"a", None),
            ("\"a\"b", None),
        ] {
            let expected = expected.map(|fields| fields.into_iter().map(ToOwned::to_owned).collect::<Vec<_>>());
            assert_eq!(csv_fields(text), expected, "{text}");
        }
    }
}

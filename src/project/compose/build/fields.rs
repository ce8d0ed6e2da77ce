//! Reading the keys of a section by type; what does not fit is reported with its place.

use crate::project::compose::errors::{Problem, Report};
use crate::project::compose::yaml::{Key, KeyPath, Map, Node, Value};

/// A mapping of a Compose file with the path to it, for messages.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    pub(super) map: &'a Map,
    pub(super) path: &'a KeyPath,
}

/// A string of a Compose file with its place and path.
pub(super) struct Text<'a> {
    pub(super) text: &'a str,
    pub(super) node: &'a Node,
    pub(super) path: KeyPath,
}

impl Text<'_> {
    pub(super) fn error(&self, problem: Problem, report: &mut Report) {
        report.error(&self.node.place, &self.path, problem);
    }

    pub(super) fn invalid(&self, expected: &'static str, report: &mut Report) {
        self.error(Problem::Value { value: self.text.to_owned(), expected }, report);
    }
}

impl<'a> Section<'a> {
    /// A key's value. A key without one (`target:` alone) is not the same as no key: Compose refuses it.
    pub(super) fn node(self, key: &str) -> Option<&'a Node> {
        self.map.get(key)
    }

    /// A string; an empty one counts as absent, as it does in Compose.
    pub(super) fn text(self, key: &str, report: &mut Report) -> Option<Text<'a>> {
        let node = self.node(key)?;
        let text = text(node, self.path.child(key), report)?;
        (!text.text.is_empty()).then_some(text)
    }

    /// `true` or `false`, also as a string (what a variable gives).
    pub(super) fn boolean(self, key: &str, report: &mut Report) -> bool {
        match self.node(key).map(|node| (node, &node.value)) {
            None => false,
            Some((_, Value::Bool(value))) => *value,
            Some((node, Value::Text(text))) => match text.to_ascii_lowercase().as_str() {
                "true" | "y" | "yes" | "on" => true,
                "false" | "n" | "no" | "off" => false,
                _ => {
                    let problem = Problem::Value { value: text.clone(), expected: "'true' or 'false'" };
                    report.error(&node.place, self.path.child(key), problem);
                    false
                }
            },
            Some((node, other)) => {
                report.error(&node.place, self.path.child(key), wrong_type("a boolean", other));
                false
            }
        }
    }

    /// A list of strings; empty ones, which variables without a value leave, are dropped.
    pub(super) fn texts(self, key: &str, report: &mut Report) -> Vec<Text<'a>> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let path = self.path.child(key);
        let Value::List(items) = &node.value else {
            report.error(&node.place, path, wrong_type("a list of strings", &node.value));
            return Vec::new();
        };
        items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| text(item, path.index(index), report))
            .filter(|text| !text.text.is_empty())
            .collect()
    }

    /// A string or a list of strings.
    pub(super) fn text_or_texts(self, key: &str, report: &mut Report) -> Vec<Text<'a>> {
        match self.node(key).map(|node| &node.value) {
            Some(Value::Text(_)) => self.text(key, report).into_iter().collect(),
            _ => self.texts(key, report),
        }
    }

    /// The entries of a mapping.
    pub(super) fn entries(self, key: &str, report: &mut Report) -> Vec<(&'a Key, &'a Node)> {
        let Some(node) = self.node(key) else { return Vec::new() };
        match &node.value {
            Value::Map(map) => map.iter().collect(),
            other => {
                report.error(&node.place, self.path.child(key), wrong_type("a mapping or a list", other));
                Vec::new()
            }
        }
    }

    /// The entries of a mapping whose values are strings, numbers, booleans or nothing, as Compose writes them out.
    ///
    /// A number that does not look the same afterwards (`1.10` is `1.1`) is warned of, without its value.
    pub(super) fn scalars(self, key: &str, report: &mut Report) -> Vec<(&'a str, Option<String>)> {
        let path = self.path.child(key);
        let mut result = Vec::new();
        for (name, node) in self.entries(key, report) {
            let value = match &node.value {
                Value::Null => None,
                Value::Bool(value) => Some(value.to_string()),
                Value::Text(text) => Some(text.clone()),
                Value::Number(number) => {
                    if number.written() != number.canonical() {
                        report.warn(format!(
                            "{}: {}: the number is not passed on as it is written here: put it in quotes to keep it",
                            node.place,
                            path.child(&name.text)
                        ));
                    }
                    Some(number.canonical().to_owned())
                }
                other @ (Value::List(_) | Value::Map(_)) => {
                    report.error(&node.place, path.child(&name.text), wrong_type("a string", other));
                    continue;
                }
            };
            result.push((name.text.as_str(), value));
        }
        result
    }
}

pub(super) fn wrong_type(expected: &'static str, found: &Value) -> Problem {
    Problem::Type { expected, found: found.kind() }
}

/// A node that has to be a string.
pub(super) fn text<'a>(node: &'a Node, path: KeyPath, report: &mut Report) -> Option<Text<'a>> {
    match &node.value {
        Value::Text(text) => Some(Text { text, node, path }),
        other => {
            report.error(&node.place, path, wrong_type("a string", other));
            None
        }
    }
}

//! YAML as a tree with positions and with Compose's own tags, merge keys resolved.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use saphyr::{LoadableYamlNode, MarkedYaml, Marker, Scalar, YamlData};

use super::errors::{Place, Problem, Report};
use super::scalar::Number;

/// A node of a Compose file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) tag: Tag,
    pub(super) place: Place,
}

/// The tags with which a later file says how it is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Tag {
    /// Merge as the key's rule says.
    #[default]
    None,
    /// `!reset`: the key is removed.
    Reset,
    /// `!override`: the value replaces the earlier one.
    Override,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Map),
}

/// A mapping in the order of the file; a key occurs once.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Map(pub(super) Vec<(Key, Node)>);

/// A mapping's key.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) place: Place,
}

/// Two keys are the same wherever they stand.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Map {
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.0.iter().find(|(found, _)| found.text == key).map(|(_, node)| node)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.0.iter_mut().find(|(found, _)| found.text == key).map(|(_, node)| node)
    }

    pub(super) fn insert(&mut self, key: Key, node: Node) {
        match self.get_mut(&key.text) {
            Some(old) => *old = node,
            None => self.0.push((key, node)),
        }
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<Node> {
        let index = self.0.iter().position(|(found, _)| found.text == key)?;
        Some(self.0.remove(index).1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Node)> {
        self.0.iter().map(|(key, node)| (key, node))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.text.as_str())
    }
}

impl Value {
    /// What it is, in the words of messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

impl Node {
    pub(super) fn new(value: Value, place: Place) -> Self {
        Self { value, tag: Tag::None, place }
    }

    pub(super) fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(super) fn as_map_mut(&mut self) -> Option<&mut Map> {
        match &mut self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The node without `!reset` keys and without tags: what is left when nothing more is merged.
    pub(super) fn settled(mut self) -> Self {
        self.tag = Tag::None;
        self.value = match self.value {
            Value::Map(map) => Value::Map(Map(map
                .0
                .into_iter()
                .filter(|(_, node)| node.tag != Tag::Reset)
                .map(|(key, node)| (key, node.settled()))
                .collect())),
            Value::List(items) => Value::List(items.into_iter().map(Self::settled).collect()),
            other => other,
        };
        self
    }
}

/// The way to a node: `services.web.build.args`, `services.web.build.tags[0]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct KeyPath(Vec<String>);

impl KeyPath {
    pub(super) fn of(parts: &[&str]) -> Self {
        Self(parts.iter().map(|part| (*part).to_owned()).collect())
    }

    pub(super) fn child(&self, key: &str) -> Self {
        let mut parts = self.0.clone();
        parts.push(key.to_owned());
        Self(parts)
    }

    pub(super) fn index(&self, index: usize) -> Self {
        let mut parts = self.0.clone();
        match parts.last_mut() {
            Some(last) => last.push_str(&format!("[{index}]")),
            None => parts.push(format!("[{index}]")),
        }
        Self(parts)
    }

    /// The parts as written, for comparison with a pattern.
    pub(super) fn parts(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl From<&KeyPath> for String {
    fn from(path: &KeyPath) -> Self {
        path.to_string()
    }
}

impl From<KeyPath> for String {
    fn from(path: KeyPath) -> Self {
        path.to_string()
    }
}

/// Parses a file's text into its documents; a file without content has none.
pub(super) fn parse(file: &Arc<PathBuf>, text: &str, report: &mut Report) -> Vec<Node> {
    let has_content = text.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    if !has_content {
        return Vec::new();
    }
    match MarkedYaml::load_from_str(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        Ok(documents) => {
            let mut converter = Converter { file, source: text.chars().collect(), report };
            documents.iter().map(|document| converter.node(document, &KeyPath::default())).collect()
        }
        Err(error) => {
            let place = place(file, error.marker());
            report.error(&place, "", Problem::Syntax { message: error.info().to_owned() });
            Vec::new()
        }
    }
}

/// The parser counts lines from 1 and columns from 0.
fn place(file: &Arc<PathBuf>, marker: &Marker) -> Place {
    Place { file: Arc::clone(file), line: marker.line().max(1), column: marker.col() + 1 }
}

struct Converter<'a> {
    file: &'a Arc<PathBuf>,
    source: Vec<char>,
    report: &'a mut Report,
}

impl Converter<'_> {
    fn node(&mut self, node: &MarkedYaml<'_>, path: &KeyPath) -> Node {
        let place = place(self.file, &node.span.start);
        let (tag, data) = untagged(&node.data);
        let value = match data {
            YamlData::Value(scalar) => self.scalar(node, scalar),
            YamlData::Sequence(items) => Value::List(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| self.node(item, &path.index(index)))
                    .filter(|item| item.tag != Tag::Reset)
                    .collect(),
            ),
            YamlData::Mapping(_) => Value::Map(self.map(data, path)),
            YamlData::Representation(text, ..) => Value::Text(text.clone().into_owned()),
            YamlData::Tagged(..) | YamlData::Alias(_) | YamlData::BadValue => {
                let message = "a value that does not fit its tag, or an unknown alias".to_owned();
                self.report.error(&place, path, Problem::Syntax { message });
                Value::Null
            }
        };
        Node { value, tag, place }
    }

    /// Numbers keep how they were written, which the parser's own value does not.
    fn scalar(&self, node: &MarkedYaml<'_>, scalar: &Scalar<'_>) -> Value {
        match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(value) => Value::Bool(*value),
            Scalar::String(text) => match Number::parse(text).filter(|_| self.is_plain(node, text)) {
                Some(number) => Value::Number(number),
                None => Value::Text(text.clone().into_owned()),
            },
            Scalar::Integer(value) => {
                let fallback = || Value::Number(Number::from(*value));
                Number::parse(&self.written(node)).map_or_else(fallback, Value::Number)
            }
            Scalar::FloatingPoint(value) => {
                let written = self.written(node);
                match Number::parse(&written) {
                    Some(number) => Value::Number(number),
                    None if written.starts_with('*') => Value::Number(Number::from(value.into_inner())),
                    None => Value::Text(written),
                }
            }
        }
    }

    /// A plain scalar as it stands in the file, without its anchor and tag.
    fn written(&self, node: &MarkedYaml<'_>) -> String {
        let range = node.span.start.index()..node.span.end.index();
        let text: String = self.source.get(range).unwrap_or_default().iter().collect();
        text.split_whitespace().next_back().unwrap_or_default().to_owned()
    }

    /// Whether a string stands unquoted after its key or dash. Compose takes more plain scalars for numbers than the
    /// parser does (`1_000`, `0b11`); those of quotes and blocks are never numbers.
    fn is_plain(&self, node: &MarkedYaml<'_>, text: &str) -> bool {
        let start = node.span.start.index();
        let line_before = self.source.get(start.saturating_sub(node.span.start.col())..start).unwrap_or_default();
        let has_tag = self.source.get(start) == Some(&'!');
        !has_tag && self.written(node) == text && line_before.iter().any(|c| !c.is_whitespace())
    }

    fn map<'b>(&mut self, data: &YamlData<'b, MarkedYaml<'b>>, path: &KeyPath) -> Map {
        let mut map = Map::default();
        let mut merged = Vec::new();
        for (key, value) in data.as_mapping().into_iter().flatten() {
            let key_place = place(self.file, &key.span.start);
            let YamlData::Value(Scalar::String(text)) = &key.data else {
                self.report.error(&key_place, path, Problem::NonStringKey);
                continue;
            };
            if text == "<<" {
                merged.push(self.node(value, path));
            } else {
                let node = self.node(value, &path.child(text));
                map.insert(Key { text: text.clone().into_owned(), place: key_place }, node);
            }
        }
        for node in merged {
            self.merge_keys(&mut map, node, path);
        }
        map
    }

    /// The merge key `<<`: what the mapping itself says wins, then the first of several.
    fn merge_keys(&mut self, map: &mut Map, node: Node, path: &KeyPath) {
        match node.value {
            Value::Map(other) => {
                for (key, value) in other.0 {
                    if map.get(&key.text).is_none() {
                        map.insert(key, value);
                    }
                }
            }
            Value::List(items) if items.iter().all(|item| item.as_map().is_some()) => {
                for item in items {
                    self.merge_keys(map, item, path);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
                let problem = Problem::Type { expected: "a mapping or a list of mappings", found: node.value.kind() };
                self.report.error(&node.place, path.child("<<"), problem);
            }
        }
    }
}

/// Takes the tags off; tags that are not Compose's are left to the parser.
fn untagged<'a, 'b>(data: &'a YamlData<'b, MarkedYaml<'b>>) -> (Tag, &'a YamlData<'b, MarkedYaml<'b>>) {
    match data {
        YamlData::Tagged(tag, inner) => {
            let (inner_tag, data) = untagged(&inner.data);
            match (tag.handle.as_ref(), tag.suffix.as_ref()) {
                ("!", "reset") => (Tag::Reset, data),
                ("!", "override") => (Tag::Override, data),
                _ => (inner_tag, data),
            }
        }
        other => (Tag::None, other),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::{Node, Tag, Value, parse};
    use crate::project::compose::errors::Report;

    fn read(text: &str) -> (Vec<Node>, Vec<String>) {
        let mut report = Report::default();
        let nodes = parse(&Arc::new(PathBuf::from("/c.yaml")), text, &mut report);
        (nodes, report.errors.iter().map(|error| format!("{error}; {}", error.help())).collect())
    }

    /// The node as flow YAML, numbers in their canonical form.
    fn show(node: &Node) -> String {
        let tag = match node.tag {
            Tag::None => "",
            Tag::Reset => "!reset ",
            Tag::Override => "!override ",
        };
        let value = match &node.value {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Number(number) => number.canonical().to_owned(),
            Value::Text(text) => format!("{text:?}"),
            Value::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
            Value::Map(map) => {
                let entries: Vec<_> = map.iter().map(|(key, node)| format!("{}: {}", key.text, show(node))).collect();
                format!("{{{}}}", entries.join(", "))
            }
        };
        format!("{tag}{value}")
    }

    #[test]
    fn reads_values_tags_and_merge_keys() {
        for (text, expected) in [
            ("a: 1\nb: 1.10\nc: 'x'\nd:\ne: true\nf: yes\n", "{a: 1, b: 1.1, c: \"x\", d: null, e: true, f: \"yes\"}"),
            (
                "a: 1_000\nb: '1_000'\nc: |-\n  1_000\nd: 2020-01-01\n",
                "{a: 1000, b: \"1_000\", c: \"1_000\", d: \"2020-01-01\"}",
            ),
            ("a: !reset null\nb: !override [1]\nc: !reset\n", "{a: !reset null, b: !override [1], c: !reset null}"),
            ("a: &a 0x10\nb: *a\nc: !!str 12\n", "{a: 16, b: 16, c: \"12\"}"),
            ("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\n", "{x: {a: 1, b: 2}, y: {b: 3, a: 1}}"),
            ("p: &p {a: 1}\nq: &q {a: 2, b: 2}\ny: {<<: [*p, *q]}\n", "{p: {a: 1}, q: {a: 2, b: 2}, y: {a: 1, b: 2}}"),
            ("x: &x !override [1]\ny: *x\n", "{x: !override [1], y: !override [1]}"),
            ("a: [1, !reset 2, 3]\n", "{a: [1, 3]}"),
            ("a: |\n  text\nb: >-\n  x\n  y\n", "{a: \"text\\n\", b: \"x y\"}"),
            ("\u{feff}a: 1\n", "{a: 1}"),
        ] {
            let (nodes, errors) = read(text);
            assert_eq!(errors, Vec::<String>::new(), "{text}");
            assert_eq!(nodes.iter().map(show).collect::<Vec<_>>(), [expected], "{text}");
        }
        assert_eq!(read("").0.len(), 0);
        assert_eq!(read("# comment\n\n").0.len(), 0);
        assert_eq!(read("a: 1\n---\nb: 2\n").0.len(), 2);
    }

    #[test]
    fn knows_places() {
        let (nodes, _) = read("a:\n  - é: 1\n    bb: 2\n");
        let Value::List(items) = &nodes[0].as_map().unwrap().get("a").unwrap().value else { panic!() };
        let (key, value) = items[0].as_map().unwrap().iter().nth(1).unwrap();
        assert_eq!((key.place.to_string().as_str(), value.place.to_string().as_str()), ("/c.yaml:3:5", "/c.yaml:3:9"));
    }

    #[test]
    fn says_where_it_is_no_yaml_and_what_was_expected() {
        for (text, expected) in [
            ("a: 1\na: 2\n", "/c.yaml:2:1: invalid YAML: duplicated key in mapping; expected each key once"),
            (
                "a: [1\nb: 2\n",
                "/c.yaml:2:2: invalid YAML: illegal placement of ':' indicator; expected one 'key: value'",
            ),
            (
                "a:\n\t- b\n",
                "/c.yaml:2:2: invalid YAML: tabs disallowed within this context (block indentation); expected spaces",
            ),
            (
                "a: b: c\n",
                "/c.yaml:1:5: invalid YAML: mapping values are not allowed in this context; expected one 'key: value'",
            ),
            ("a:\n  5: x\n", "/c.yaml:2:3: a: a key must be a string; put the key in quotes"),
            ("a: {<<: 5}\n", "/c.yaml:1:9: a.<<: expected a mapping or a list of mappings, found a number; write"),
        ] {
            let (_, errors) = read(text);
            assert_eq!(errors.len(), 1, "{text}");
            assert!(errors[0].starts_with(expected), "{}", errors[0]);
        }
    }
}

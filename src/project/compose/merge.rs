//! How a later file's values are laid over an earlier one's: the Compose Specification's merge rules.
//!
//! Facts: compose-go's `override/merge.go`. Both sides are in canonical form (see [`super::canonical`]), so that key-value
//! lists and mappings merge alike.

use super::errors::{Problem, Report};
use super::yaml::{KeyPath, Map, Node, Tag, Value};

/// Lays `over` on `base`. `base` carries no tags; the tags of `over` stay in the result, because a model that is merged
/// further (`extends`, then the files before it) needs them again.
pub(super) fn merge(base: Node, over: Node, path: &KeyPath, report: &mut Report) -> Node {
    match (over.tag, Rule::of(path)) {
        (Tag::Reset | Tag::Override, _) | (Tag::None, Rule::Replace) => over,
        (Tag::None, Rule::AppendNew) => append_new(base, over, path, report),
        (Tag::None, Rule::Ordinary) => merge_ordinary(base, over, path, report),
    }
}

/// Lays the keys of one mapping on another's.
pub(super) fn merge_maps(mut base: Map, over: Map, path: &KeyPath, report: &mut Report) -> Map {
    for (key, value) in over.0 {
        let merged = match base.remove_in_place(&key.text) {
            Some((index, old)) => {
                let merged = merge(old, value, &path.child(&key.text), report);
                base.0.insert(index, (key, merged));
                continue;
            }
            None => value,
        };
        base.0.push((key, merged));
    }
    base
}

impl Map {
    fn remove_in_place(&mut self, key: &str) -> Option<(usize, Node)> {
        let index = self.0.iter().position(|(found, _)| found.text == key)?;
        Some((index, self.0.remove(index).1))
    }
}

/// The rule of a key.
enum Rule {
    /// Mappings merge, lists are appended, all else is replaced; nothing (`null`) changes nothing.
    Ordinary,
    /// The later value stands, also if it is nothing: what a key of a key-value list does.
    Replace,
    /// Entries that the list does not have yet are appended.
    AppendNew,
}

impl Rule {
    fn of(path: &KeyPath) -> Self {
        match path.parts().as_slice() {
            ["services", _, "build", "args" | "labels" | "additional_contexts", _] => Self::Replace,
            ["services", _, "build", "extra_hosts"] => Self::AppendNew,
            _ => Self::Ordinary,
        }
    }
}

fn merge_ordinary(base: Node, over: Node, path: &KeyPath, report: &mut Report) -> Node {
    let Node { value: over_value, tag, place } = over;
    let value = match (base.value, over_value) {
        (old, Value::Null) => return Node { value: old, tag, place: base.place },
        (Value::Map(old), Value::Map(new)) => Value::Map(merge_maps(old, new, path, report)),
        (Value::List(mut old), Value::List(new)) => {
            old.extend(new);
            Value::List(old)
        }
        (old @ (Value::Map(_) | Value::List(_)), new) => {
            report.error(&place, path, Problem::Merge { base: old.kind(), over: new.kind() });
            old
        }
        (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_), new) => new,
    };
    Node { value, tag, place }
}

fn append_new(base: Node, over: Node, path: &KeyPath, report: &mut Report) -> Node {
    match (base.value, over.value) {
        (Value::List(mut old), Value::List(new)) => {
            for item in new {
                if !old.iter().any(|known| known.value == item.value) {
                    old.push(item);
                }
            }
            Node { value: Value::List(old), tag: over.tag, place: over.place }
        }
        (old, new) => merge_ordinary(Node { value: old, ..base }, Node { value: new, ..over }, path, report),
    }
}

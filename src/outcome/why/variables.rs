//! Which build arguments a step depends on.

use std::collections::{BTreeMap, BTreeSet};

use super::layout::{Layout, Place};
use crate::cache::evidence::{Changes, Evidence};
use crate::project::dockerfile::{Arg, Instruction, Stage};

/// Names that a text expands: `$NAME`, `${NAME:-word}`; what follows a backslash is none.
pub(super) fn expanded(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '$' => {
                chars.next_if_eq(&'{');
                let name: String =
                    std::iter::from_fn(|| chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_')).collect();
                names.insert(name);
            }
            _ => {}
        }
    }
    names.remove("");
    names
}

/// What is known of a step's arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Arguments {
    /// This one has another value.
    Changed(String),
    /// None that it depends on has.
    Same,
    /// That cannot be said.
    Unsure,
}

/// The arguments of both builds.
#[derive(Clone, Copy)]
pub(super) struct Variables<'a> {
    pub(super) layout: Layout<'a>,
    pub(super) changes: &'a Changes,
    pub(super) now: &'a Evidence,
}

/// Variables with another value, by what an instruction calls them, each with the argument behind it.
#[derive(Default)]
struct Scope {
    changed: BTreeMap<String, String>,
    doubtful: BTreeSet<String>,
}

impl Scope {
    fn set(&mut self, name: &str, value: &Arguments) {
        self.changed.remove(name);
        self.doubtful.remove(name);
        match value {
            Arguments::Changed(argument) => drop(self.changed.insert(name.to_owned(), argument.clone())),
            Arguments::Unsure => drop(self.doubtful.insert(name.to_owned())),
            Arguments::Same => {}
        }
    }

    /// What a text that is expanded depends on.
    fn of(&self, names: &BTreeSet<String>) -> Arguments {
        match names.iter().find_map(|name| self.changed.get(name)) {
            Some(argument) => Arguments::Changed(argument.clone()),
            None if names.is_disjoint(&self.doubtful) => Arguments::Same,
            None => Arguments::Unsure,
        }
    }
}

impl Variables<'_> {
    /// The arguments of an instruction. A `RUN` has every declared one in its environment, whether it uses it or not.
    pub(super) fn of(&self, place: Place, instruction: &Instruction) -> Arguments {
        let mut scope = Scope::default();
        for (_, above) in self.layout.above(place) {
            match above.keyword.as_str() {
                "ARG" => self.declare(above, &mut scope),
                "ENV" => self.assign(above, &mut scope),
                _ => {}
            }
        }
        let named = scope.of(&expanded(&self.layout.text(instruction)));
        match (instruction.keyword.as_str(), named) {
            ("RUN", Arguments::Same | Arguments::Unsure) => match scope.changed.values().next() {
                Some(argument) => Arguments::Changed(argument.clone()),
                None if scope.doubtful.is_empty() => Arguments::Same,
                None => Arguments::Unsure,
            },
            (_, named) => named,
        }
    }

    /// The arguments that a stage's `FROM` expands: those above the first one.
    pub(super) fn of_base(&self, stage: usize) -> Arguments {
        let Some(stage) = self.layout.stage(stage) else { return Arguments::Unsure };
        let mut scope = Scope::default();
        for arg in self.layout.dockerfile.global_args() {
            let value = self.value(arg, &scope, true);
            scope.set(&arg.name, &value);
        }
        scope.of(&expanded(stage.base()))
    }

    fn declare(&self, instruction: &Instruction, scope: &mut Scope) {
        let declared = self.layout.dockerfile.stages().iter().flat_map(Stage::args);
        for arg in declared.filter(|arg| arg.line == instruction.lines.first) {
            let value = self.value(arg, scope, false);
            scope.set(&arg.name, &value);
        }
    }

    /// What is known of the value that an `ARG` has now and had before.
    fn value(&self, arg: &Arg, scope: &Scope, global: bool) -> Arguments {
        let given = self.layout.target.build_args.contains_key(&arg.name);
        let changed = self.changes.arguments.contains(&arg.name);
        match (&arg.default, changed) {
            // Its value holds a secret, of which nothing is kept.
            _ if given && !self.now.arguments.contains_key(&arg.name) => Arguments::Unsure,
            _ if given && changed => Arguments::Changed(arg.name.clone()),
            _ if given => Arguments::Same,
            (Some(default), false) => scope.of(&expanded(default)),
            // One of the same name above the first `FROM` is what is known, and does not count where it has a default.
            (Some(_), true) if !global => Arguments::Unsure,
            (Some(_) | None, true) => Arguments::Changed(arg.name.clone()),
            (None, false) => Arguments::Same,
        }
    }

    fn assign(&self, instruction: &Instruction, scope: &mut Scope) {
        let text = &instruction.arguments;
        // Where words are quoted it is not plain which value a name has.
        let plain = !text.contains(['"', '\'', '\\']);
        for (name, value) in assignments(text) {
            let value = match scope.of(&expanded(if plain { value } else { text })) {
                Arguments::Changed(_) if !plain && assignments(text).nth(1).is_some() => Arguments::Unsure,
                // It stands before the argument of its name.
                Arguments::Same if scope.changed.contains_key(name) => Arguments::Unsure,
                value => value,
            };
            scope.set(name, &value);
        }
    }
}

/// `ENV NAME=value …` or `ENV NAME value`.
pub(super) fn assignments(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let legacy = text.split_once(char::is_whitespace).filter(|(name, _)| !name.contains('='));
    let pairs = if legacy.is_none() { text } else { "" };
    legacy.into_iter().chain(pairs.split_whitespace().filter_map(|word| word.split_once('=')))
}

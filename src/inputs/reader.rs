//! Reads typed values out of raw inputs and collects every problem on the way.

use crate::inputs::error::{InputError, Problem, Shown, words};
use crate::inputs::list::{self, Commas};
use crate::inputs::raw::{Origin, RawInputs};
use crate::inputs::table::{Input, Kind, Status};

/// Problems are noted and a harmless value stands in, so that one run finds them all.
pub(super) struct Reader<'a> {
    pub(super) raw: &'a RawInputs,
    pub(super) errors: Vec<InputError>,
    pub(super) warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(raw: &'a RawInputs) -> Self {
        Self { raw, errors: Vec::new(), warnings: raw.unknown() }
    }

    /// Whether the input has a value other than its default.
    pub(super) fn is_set(&self, input: &Input) -> bool {
        self.raw.given(input).is_some_and(|(_, value)| match (input.kind, input.default) {
            (Kind::Boolean, Some(default)) => !value.trim().eq_ignore_ascii_case(default),
            (_, default) => Some(value.trim()) != default,
        })
    }

    /// The trimmed value, or the default; `None` if there is neither.
    pub(super) fn text(&self, input: &Input) -> Option<&'a str> {
        self.raw.given(input).map(|(_, value)| value.trim()).or_else(|| input.fallback())
    }

    pub(super) fn boolean(&mut self, input: &Input) -> bool {
        match self.text(input) {
            Some("true" | "True" | "TRUE") => true,
            Some("false" | "False" | "FALSE") | None => false,
            Some(_) => {
                self.fail(input, Problem::NotBoolean);
                false
            }
        }
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(&mut self, input: &Input, choices: &[(&'static str, T)]) -> Option<T> {
        let text = self.text(input)?;
        let found = choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice);
        if found.is_none() {
            let allowed = words(choices.iter().map(|(word, _)| *word));
            self.fail(input, Problem::NotOneOf { allowed });
        }
        found
    }

    /// The entries of a list, trimmed unless they are secret.
    pub(super) fn list(&mut self, input: &Input) -> Vec<String> {
        let (text, commas) = match input.kind {
            Kind::SecretLines => (self.raw.given(input).map(|(_, value)| value), Commas::Keep),
            Kind::Lines | Kind::Assignments => (self.text(input), Commas::Keep),
            Kind::List | Kind::Text | Kind::Boolean | Kind::Secret => (self.text(input), Commas::Separate),
        };
        match list::entries(text.unwrap_or_default(), commas) {
            Ok(entries) if input.kind == Kind::SecretLines => entries,
            Ok(entries) => entries.iter().map(|entry| entry.trim().to_owned()).collect(),
            Err(unclosed) => {
                self.fail_shown(input, Shown::Nothing, Problem::UnclosedQuote { line: unclosed.line });
                Vec::new()
            }
        }
    }

    /// The entries of a list, each understood by `parse`; those that it does not understand are noted and left out.
    pub(super) fn each<T>(&mut self, input: &Input, parse: impl Fn(&RawInputs, &str) -> Result<T, Problem>) -> Vec<T> {
        let entries = self.list(input);
        let mut values = Vec::with_capacity(entries.len());
        for (number, entry) in (1..).zip(&entries) {
            match parse(self.raw, entry) {
                Ok(value) => values.push(value),
                Err(problem) => self.fail_entry(input, number, entry, problem),
            }
        }
        values
    }

    /// Whether a problem with this input was noted.
    pub(super) fn has_failed(&self, input: &Input) -> bool {
        self.errors.iter().any(|error| error.input == input.name)
    }

    /// Notes a problem with the whole value.
    pub(super) fn fail(&mut self, input: &Input, problem: Problem) {
        let shown = match self.text(input) {
            Some(text) if !input.is_secret() => Shown::value(text),
            _ => Shown::Nothing,
        };
        self.fail_shown(input, shown, problem);
    }

    /// Notes a problem with one entry of a list, counted from 1.
    pub(super) fn fail_entry(&mut self, input: &Input, number: usize, entry: &str, problem: Problem) {
        let shown = match input.kind {
            Kind::Secret | Kind::SecretLines | Kind::Assignments => Shown::Entry(number),
            Kind::Text | Kind::Boolean | Kind::List | Kind::Lines => Shown::value(entry),
        };
        self.fail_shown(input, shown, problem);
    }

    /// Notes a problem and says what of the value to show.
    pub(super) fn fail_shown(&mut self, input: &Input, shown: Shown, problem: Problem) {
        let origin = self.raw.given(input).map_or(Origin::Input, |(origin, _)| origin);
        self.errors.push(InputError { input: input.name, origin, shown, problem });
    }

    /// Notes an input that is set and that this release refuses.
    pub(super) fn check_status(&mut self, input: &Input) {
        let errors = self.errors.len();
        if input.kind == Kind::Boolean && input.status != Status::Works {
            self.boolean(input);
        }
        let Status::Refused { harmless, why, way_out } = input.status else { return };
        let is_harmless = |text: &str| harmless.iter().any(|word| text.eq_ignore_ascii_case(word));
        if self.errors.len() == errors && self.text(input).is_some_and(|text| !is_harmless(text)) {
            self.fail(input, Problem::Refused { why, way_out });
        }
    }
}

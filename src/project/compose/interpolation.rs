//! Variable substitution: `$X`, `${X}`, `${X:-d}`, `${X-d}`, `${X:?e}`, `${X?e}`, `${X:+a}`, `${X+a}` and `$$`.
//!
//! The grammar is that of the Compose Specification, section "Interpolation", as `template.go` of compose-go reads it:
//! a `$` that starts nothing stays, a `${` that is no variable is an error.

use std::collections::BTreeSet;

/// Nested defaults deeper than this are refused: nobody writes them, and each level costs stack.
const MAX_DEPTH: usize = 64;

/// Why a text cannot be interpolated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InterpolationError {
    /// `${` without a variable.
    #[error("invalid variable in '{template}'")]
    Invalid {
        /// The text as written.
        template: String,
    },
    /// `${X:?message}` or `${X?message}` of a variable without a value.
    #[error("required variable {name} is missing a value{}", if message.is_empty() { String::new() } else { format!(": {message}") })]
    Required {
        /// The variable.
        name: String,
        /// What the file says about it.
        message: String,
    },
}

impl InterpolationError {
    pub(super) fn help(&self) -> String {
        match self {
            Self::Invalid { .. } => "write '$$' for a literal dollar sign, '${NAME}' for a variable".to_owned(),
            Self::Required { name, .. } => format!("set {name} in 'env:' of the step or in the project's .env file"),
        }
    }
}

/// Substitutes the variables of `template`.
///
/// Names of variables that are used without a default and have no value are added to `unset`; they become empty.
pub(super) fn interpolate<'v>(
    template: &str,
    lookup: &dyn Fn(&str) -> Option<&'v str>,
    unset: &mut BTreeSet<String>,
) -> Result<String, InterpolationError> {
    substitute(template, lookup, unset, 0)
}

fn substitute<'v>(
    template: &str,
    lookup: &dyn Fn(&str) -> Option<&'v str>,
    unset: &mut BTreeSet<String>,
    depth: usize,
) -> Result<String, InterpolationError> {
    let invalid = || InterpolationError::Invalid { template: template.to_owned() };
    if depth > MAX_DEPTH {
        return Err(invalid());
    }
    let mut result = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let (inner, after) = split_braced(after).ok_or_else(invalid)?;
            let (name, modifier) = split_name(inner).ok_or_else(invalid)?;
            let expression = Expression::parse(modifier).ok_or_else(invalid)?;
            result.push_str(&expression.evaluate(name, lookup, unset, depth)?);
            rest = after;
        } else if let Some((name, after)) = split_name(after) {
            result.push_str(&value_or_blank(name, lookup, unset));
            rest = after;
        } else {
            result.push('$');
            rest = after;
        }
    }
    result.push_str(rest);
    Ok(result)
}

/// Splits what follows `${` at its closing brace. Braces inside nest; if they do not balance, the last one of the line
/// closes. An expression does not span lines.
fn split_braced(text: &str) -> Option<(&str, &str)> {
    let line = text.split('\n').next().unwrap_or(text);
    let mut open = 1_usize;
    let balanced = line.char_indices().find_map(|(index, c)| {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        (open == 0).then_some(index)
    });
    let end = balanced.or_else(|| line.rfind('}'))?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

/// Splits a variable's name off the front; `None` if there is none.
fn split_name(text: &str) -> Option<(&str, &str)> {
    text.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic()).then(|| {
        let end = text.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(text.len());
        text.split_at(end)
    })
}

fn value_or_blank<'v>(name: &str, lookup: &dyn Fn(&str) -> Option<&'v str>, unset: &mut BTreeSet<String>) -> String {
    lookup(name).map_or_else(
        || {
            unset.insert(name.to_owned());
            String::new()
        },
        ToOwned::to_owned,
    )
}

/// What follows the name inside braces. `strict` is the form with a colon, for which empty is the same as unset.
enum Expression<'a> {
    Value,
    Default { word: &'a str, strict: bool },
    Required { word: &'a str, strict: bool },
    Alternative { word: &'a str, strict: bool },
}

impl<'a> Expression<'a> {
    fn parse(modifier: &'a str) -> Option<Self> {
        if modifier.is_empty() {
            return Some(Self::Value);
        }
        let (strict, modifier) = modifier.strip_prefix(':').map_or((false, modifier), |rest| (true, rest));
        let word = modifier.get(1..);
        match (modifier.chars().next()?, word?) {
            ('-', word) => Some(Self::Default { word, strict }),
            ('?', word) => Some(Self::Required { word, strict }),
            ('+', word) => Some(Self::Alternative { word, strict }),
            _ => None,
        }
    }

    fn evaluate<'v>(
        &self,
        name: &str,
        lookup: &dyn Fn(&str) -> Option<&'v str>,
        unset: &mut BTreeSet<String>,
        depth: usize,
    ) -> Result<String, InterpolationError> {
        let present = |strict: bool| lookup(name).filter(|value| !(strict && value.is_empty()));
        match *self {
            Self::Value => Ok(value_or_blank(name, lookup, unset)),
            Self::Default { word, strict } => match present(strict) {
                Some(value) => Ok(value.to_owned()),
                None => substitute(word, lookup, unset, depth + 1),
            },
            Self::Required { word, strict } => match present(strict) {
                Some(value) => Ok(value.to_owned()),
                None => Err(InterpolationError::Required {
                    name: name.to_owned(),
                    message: substitute(word, lookup, unset, depth + 1)?,
                }),
            },
            Self::Alternative { word, strict } => match present(strict) {
                Some(_) => substitute(word, lookup, unset, depth + 1),
                None => Ok(String::new()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{InterpolationError, interpolate};

    fn lookup(name: &str) -> Option<&'static str> {
        match name {
            "FOO" => Some("first"),
            "BAR" => Some("second"),
            "EMPTY" => Some(""),
            _ => None,
        }
    }

    fn run(template: &str) -> Result<String, InterpolationError> {
        interpolate(template, &lookup, &mut BTreeSet::new())
    }

    #[test]
    fn substitutes_every_form() {
        for (template, expected) in [
            ("plain", "plain"),
            ("$FOO", "first"),
            ("${FOO}", "first"),
            ("a$FOO.b", "afirst.b"),
            ("$FOO_", ""),
            ("${FOO}_", "first_"),
            ("$$FOO", "$FOO"),
            ("$${FOO}", "${FOO}"),
            ("$$$FOO", "$first"),
            ("cost: 5$", "cost: 5$"),
            ("$1 $ {X}", "$1 $ {X}"),
            ("${GONE:-d}", "d"),
            ("${GONE-d}", "d"),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY-d}", ""),
            ("${FOO:-d}", "first"),
            ("${FOO-d}", "first"),
            ("${GONE:-}", ""),
            ("${GONE:-a:-b}", "a:-b"),
            ("${GONE-a?b+c}", "a?b+c"),
            ("${FOO:+alt}", "alt"),
            ("${FOO+alt}", "alt"),
            ("${EMPTY:+alt}", ""),
            ("${EMPTY+alt}", "alt"),
            ("${GONE:+alt}", ""),
            ("${GONE+alt}", ""),
            ("${FOO:?e}", "first"),
            ("${EMPTY?e}", ""),
            ("${GONE:-${FOO}}", "first"),
            ("${GONE:-${OTHER:-${BAR}}}", "second"),
            ("${GONE:-a ${FOO} b} ${BAR}", "a first b second"),
            ("${FOO:+${BAR}-x}", "second-x"),
            ("${GONE:-$$FOO}", "$FOO"),
            ("${GONE:-{\"a\": \"${FOO}\"}}", "{\"a\": \"first\"}"),
            ("${GONE:-{}", "{"),
            ("${GONE:-/a/b:c}", "/a/b:c"),
            ("${FOO:-x}-${GONE:-y}", "first-y"),
            ("line\n${FOO}\nline", "line\nfirst\nline"),
            ("ünï ${FOO} çödé", "ünï first çödé"),
        ] {
            assert_eq!(run(template).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn refuses_what_is_no_variable() {
        for template in ["${", "${}", "${FOO", "${1}", "${FOO!}", "${FOO:}", "${FOO:=x}", "${ FOO }", "${GONE:-a\nb}"] {
            assert_eq!(run(template), Err(InterpolationError::Invalid { template: template.to_owned() }), "{template}");
        }
    }

    #[test]
    fn names_the_required_variable() {
        for (template, message) in [
            ("${GONE:?set $FOO}", "set first"),
            ("${EMPTY:?not empty}", "not empty"),
            ("${GONE?}", ""),
            ("a ${FOO} ${GONE?x} b", "x"),
        ] {
            let error = run(template).unwrap_err();
            assert!(
                matches!(&error, InterpolationError::Required { message: found, .. } if found == message),
                "{error}"
            );
        }
        assert_eq!(run("${GONE?}").unwrap_err().to_string(), "required variable GONE is missing a value");
        assert_eq!(run("${GONE:?why}").unwrap_err().to_string(), "required variable GONE is missing a value: why");
    }

    #[test]
    fn reports_unset_variables_that_have_no_default() {
        let mut unset = BTreeSet::new();
        interpolate("$A ${B} ${C:-x} ${D:-$E} ${FOO:-$F} ${G:+x}", &lookup, &mut unset).unwrap();
        assert_eq!(unset.into_iter().collect::<Vec<_>>(), ["A", "B", "E"]);
    }

    #[test]
    fn bounds_the_nesting() {
        let deep = "${GONE:-".repeat(10_000) + &"}".repeat(10_000);
        assert!(run(&deep).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(template in "(\\$|\\{|\\}|:|-|\\?|\\+|FOO|GONE|é|\n| |.){0,40}") {
            let _ = run(&template);
        }

        #[test]
        fn text_without_dollar_is_itself(template in "[^$]{0,40}") {
            prop_assert_eq!(run(&template), Ok(template));
        }

        #[test]
        fn doubled_dollars_are_literal(text in "[^$]{0,10}(\\$[^$]{0,10}){0,4}") {
            prop_assert_eq!(run(&text.replace('$', "$$")), Ok(text));
        }
    }
}

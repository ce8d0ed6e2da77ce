//! Replaces the values of build arguments by `$NAME`, and secrets by `***`, in everything that a builder says.
//!
//! BuildKit expands arguments in step names and errors, and processes print them. A name keeps the step's identity
//! stable from build to build, and a value may be a token that somebody should not have passed as an argument.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::secret::Secret;

/// A value shorter than this is replaced only where it stands alone: `ENV=test` must not turn `latest` into `la$ENV`.
const SHORT: usize = 8;
/// A secret's or a value's line shorter than this is no secret: `{` in a JSON document.
const SHORTEST_LINE: usize = 4;
/// What follows this in an error is a process's exit status, which is nobody's value.
const EXIT_CODE: &str = "exit code: ";

/// The replacements of one build.
#[derive(Clone, Default)]
pub struct Masks {
    /// Longest value first, so that a value inside another does not spoil it.
    replacements: Vec<Replacement>,
}

#[derive(Clone)]
struct Replacement {
    value: String,
    with: String,
    /// Whether it is replaced inside of words too, however short it is: a secret is.
    always: bool,
}

impl Masks {
    /// Replaces nothing.
    pub const NONE: Self = Self { replacements: Vec::new() };

    /// Masks for build arguments, by name, and for secrets.
    pub fn new<'a>(build_args: &BTreeMap<String, String>, secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let args = build_args.iter().flat_map(|(name, value)| {
            spellings(value).map(move |value| Replacement { value, with: format!("${name}"), always: false })
        });
        let secrets = secrets.into_iter().flat_map(|secret| {
            spellings(secret.expose()).map(|value| Replacement { value, with: "***".to_owned(), always: true })
        });
        // A secret wins over an argument of the same value.
        let mut replacements: Vec<Replacement> = secrets.chain(args).collect();
        replacements.sort_by_key(|replacement| std::cmp::Reverse(replacement.value.len()));
        replacements.dedup_by(|later, earlier| later.value == earlier.value);
        Self { replacements }
    }

    /// The text with every value replaced. One pass: what a replacement wrote is not looked at again.
    pub fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if !self.replacements.iter().any(|replacement| text.contains(replacement.value.as_str())) {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut before = None;
        while let Some(next) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix(EXIT_CODE) {
                let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
                let (code, after) = after.split_at(digits);
                out.push_str(EXIT_CODE);
                out.push_str(code);
                before = code.chars().next_back().or(Some(' '));
                rest = after;
                continue;
            }
            let found = self.replacements.iter().find_map(|Replacement { value, with, always }| {
                let after = rest.strip_prefix(value.as_str())?;
                let whole = *always || value.len() >= SHORT || (!is_word(before) && !is_word(after.chars().next()));
                whole.then_some((after, value, with))
            });
            match found {
                Some((after, value, with)) => {
                    out.push_str(with);
                    before = value.chars().next_back();
                    rest = after;
                }
                None => {
                    out.push(next);
                    before = Some(next);
                    rest = rest.get(next.len_utf8()..).unwrap_or_default();
                }
            }
        }
        Cow::Owned(out)
    }
}

fn is_word(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// The value itself, its lines (logs come line by line), and both as Go quotes them in error texts.
fn spellings(value: &str) -> impl Iterator<Item = String> {
    let lines = value.lines().map(str::trim).filter(|line| value.contains('\n') && line.len() >= SHORTEST_LINE);
    let mut all: Vec<String> = std::iter::once(value).chain(lines).map(str::to_owned).collect();
    let quoted: Vec<String> = all.iter().map(|v| go_quoted(v)).filter(|quoted| !all.contains(quoted)).collect();
    all.extend(quoted);
    all.into_iter().filter(|v| !v.trim().is_empty())
}

/// The inside of Go's `%q` for the characters that occur in arguments.
fn go_quoted(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::Masks;
    use crate::secret::Secret;

    fn masks(args: &[(&str, &str)]) -> Masks {
        let args: BTreeMap<String, String> = args.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Masks::new(&args, [])
    }

    #[test]
    fn values_become_names() {
        let masks = masks(&[
            ("GIT_COMMIT_HASH", "0a1b2c3d"),
            ("TOKEN", "abc\"def"),
            ("DEBUG", "1"),
            ("ENV", "test"),
            ("EMPTY", ""),
        ]);
        for (text, expected) in [
            ("RUN echo 0a1b2c3d > /commit", "RUN echo $GIT_COMMIT_HASH > /commit"),
            ("COPY app-0a1b2c3d.js /x", "COPY app-$GIT_COMMIT_HASH.js /x"),
            ("process \"echo abc\\\"def\"", "process \"echo $TOKEN\""),
            ("RUN make DEBUG=1 v1.2 11", "RUN make DEBUG=$DEBUG v1.2 11"),
            ("nothing here", "nothing here"),
            ("failed with exit code: 1", "failed with exit code: 1"),
            ("app:latest", "app:latest"),
        ] {
            assert_eq!(masks.apply(text), expected);
        }
    }

    #[test]
    fn longest_value_first_and_never_twice() {
        let masks = masks(&[("A", "secret"), ("B", "secretive"), ("C", "$A-x")]);
        assert_eq!(masks.apply("secretive secret"), "$B $A");
        assert_eq!(masks.apply("secret-x"), "$A-x");
    }

    #[test]
    fn lines_of_a_long_value_are_replaced_alone() {
        let masks = masks(&[("KEY", "-----BEGIN-----\nabcdefgh\n-----END-----")]);
        assert_eq!(masks.apply("got abcdefgh"), "got $KEY");
    }

    #[test]
    fn secrets_win() {
        let args = BTreeMap::from([("A".to_owned(), "hunter22".to_owned())]);
        assert_eq!(Masks::new(&args, [&Secret::new("hunter22")]).apply("x hunter22"), "x ***");
    }

    proptest! {
        #[test]
        fn a_long_value_never_survives(value in "[a-z0-9/+=]{8,20}", before in "[ -~]{0,20}", after in "[ -~]{0,20}") {
            let masked = masks(&[("NAME", &value)]).apply(&format!("{before}{value}{after}")).into_owned();
            prop_assert!(!masked.contains(&value) || "$NAME".contains(&value));
        }
    }
}

//! The `.env` file syntax of Compose: quotes, escapes, comments, `export`, inherited names and interpolation.
//!
//! Facts: compose-go's `dotenv` package (`parser.go`), which differs from other dotenv dialects: `KEY: value` is accepted,
//! ` #` starts a comment after an unquoted value, a name alone takes its value from the environment.

use std::collections::{BTreeMap, BTreeSet};

use super::interpolation::{InterpolationError, interpolate};

/// Why an env file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}: {problem}")]
pub struct DotenvError {
    /// Line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    #[source]
    pub problem: DotenvProblem,
}

/// What can be wrong in an env file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DotenvProblem {
    /// A character that a variable's name cannot have.
    #[error("unexpected character '{0}' in a variable's name")]
    Name(char),
    /// `MY KEY=value`.
    #[error("a variable's name cannot contain a space")]
    Space,
    /// An opening quote without a closing one.
    #[error("unterminated quoted value")]
    Unterminated,
    /// A variable in a value cannot be substituted.
    #[error(transparent)]
    Interpolation(#[from] InterpolationError),
}

impl DotenvError {
    pub(super) fn help(&self) -> &'static str {
        match self.problem {
            DotenvProblem::Name(_) | DotenvProblem::Space => "write one NAME=value per line",
            DotenvProblem::Unterminated => "add the closing quote",
            DotenvProblem::Interpolation(_) => {
                "write '$$' for a literal dollar sign, or put the value in single quotes"
            }
        }
    }
}

/// Reads an env file's text into `values`; variables are looked up in `environment` first, then in `values`.
///
/// Variables without a value that are used are added to `unset`.
pub(super) fn parse(
    text: &str,
    environment: &BTreeMap<String, String>,
    values: &mut BTreeMap<String, String>,
    unset: &mut BTreeSet<String>,
) -> Result<(), DotenvError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut rest = skip_blank(text);
    while !rest.is_empty() {
        let line = text.get(..text.len() - rest.len()).unwrap_or_default().matches('\n').count() + 1;
        let error = |problem| DotenvError { line, problem };
        let lookup_environment = |name: &str| environment.get(name).cloned();
        match split_name(rest).map_err(error)? {
            Statement::Inherited { name, after } => {
                if let Some(value) = lookup_environment(name) {
                    values.insert(name.to_owned(), value);
                }
                rest = after;
            }
            Statement::Assignment { name, after } => {
                let lookup = |name: &str| environment.get(name).or_else(|| values.get(name)).map(String::as_str);
                let (value, after) = read_value(after, &mut |text| interpolate(text, &lookup, unset)).map_err(error)?;
                values.insert(name.to_owned(), value);
                rest = after;
            }
        }
        rest = skip_blank(rest);
    }
    Ok(())
}

/// Skips white space, blank lines and comments.
fn skip_blank(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        match text.strip_prefix('#') {
            Some(comment) => text = comment.split_once('\n').map_or("", |(_, rest)| rest),
            None => return text,
        }
    }
}

enum Statement<'a> {
    /// `NAME` alone.
    Inherited { name: &'a str, after: &'a str },
    /// `NAME=` or `NAME:`, and what follows.
    Assignment { name: &'a str, after: &'a str },
}

fn split_name(text: &str) -> Result<Statement<'_>, DotenvProblem> {
    let text = match text.strip_prefix("export") {
        Some(rest) if rest.starts_with(char::is_whitespace) => rest.trim_start_matches(is_blank),
        _ => text,
    };
    for (index, c) in text.char_indices() {
        match c {
            '=' | ':' | '\n' => {
                let name = text.get(..index).unwrap_or_default().trim_end();
                let after = text.get(index + 1..).unwrap_or_default();
                if name.contains(' ') {
                    return Err(DotenvProblem::Space);
                }
                let after = after.trim_start_matches(is_blank);
                return Ok(if c == '\n' {
                    Statement::Inherited { name, after }
                } else {
                    Statement::Assignment { name, after }
                });
            }
            '_' | '.' | '-' | '[' | ']' => {}
            c if is_blank(c) || c.is_alphanumeric() => {}
            c => return Err(DotenvProblem::Name(c)),
        }
    }
    Ok(Statement::Inherited { name: text.trim_end(), after: "" })
}

/// White space that does not end a line.
fn is_blank(c: char) -> bool {
    c != '\n' && c.is_whitespace()
}

fn read_value<'a>(
    text: &'a str,
    expand: &mut dyn FnMut(&str) -> Result<String, InterpolationError>,
) -> Result<(String, &'a str), DotenvProblem> {
    match text.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let (raw, after) = read_quoted(text.get(1..).unwrap_or_default(), quote)?;
            let value = if quote == '"' { expand(&expand_escapes(&raw))? } else { raw };
            Ok((value, after))
        }
        _ => {
            let (line, after) = text.split_once('\n').unwrap_or((text, ""));
            let value = line.split_once(" #").map_or(line, |(value, _)| value).trim_end();
            Ok((expand(value)?, after))
        }
    }
}

/// Reads up to the closing quote; a backslash before the quote makes it part of the value, others stay as they are.
fn read_quoted(text: &str, quote: char) -> Result<(String, &str), DotenvProblem> {
    let mut value = String::new();
    let mut escaped = false;
    for (index, c) in text.char_indices() {
        match (escaped, c) {
            (false, '\\') => escaped = true,
            (false, c) if c == quote => return Ok((value, text.get(index + 1..).unwrap_or_default())),
            (true, c) => {
                if c != quote {
                    value.push('\\');
                }
                value.push(c);
                escaped = false;
            }
            (false, c) => value.push(c),
        }
    }
    Err(DotenvProblem::Unterminated)
}

/// Shell escapes of a double-quoted value. `\$` becomes `$$`, which the interpolation turns into a dollar sign.
fn expand_escapes(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        result.push_str(before);
        let (replacement, length) = match after.chars().next() {
            Some('a') => ("\u{7}".to_owned(), 1),
            Some('b') => ("\u{8}".to_owned(), 1),
            Some('f') => ("\u{c}".to_owned(), 1),
            Some('n') => ("\n".to_owned(), 1),
            Some('r') => ("\r".to_owned(), 1),
            Some('t') => ("\t".to_owned(), 1),
            Some('v') => ("\u{b}".to_owned(), 1),
            Some('$') => ("$$".to_owned(), 1),
            Some('"') => ("\"".to_owned(), 1),
            Some('\\') => ("\\".to_owned(), 1),
            Some('0') => octal(after).map_or_else(|| ("\\".to_owned(), 0), |c| (c.to_string(), 4)),
            _ => ("\\".to_owned(), 0),
        };
        result.push_str(&replacement);
        rest = after.get(length..).unwrap_or_default();
    }
    result.push_str(rest);
    result
}

/// `0` and three octal digits, as in `\0101`.
fn octal(text: &str) -> Option<char> {
    let digits = text.get(1..4)?;
    digits.chars().all(|c| c.is_digit(8)).then(|| u8::from_str_radix(digits, 8).ok().map(char::from)).flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::{DotenvError, parse};

    fn read(text: &str) -> Result<BTreeMap<String, String>, DotenvError> {
        let environment = BTreeMap::from([("HOME".to_owned(), "/root".to_owned()), ("A".to_owned(), "env".to_owned())]);
        let mut values = BTreeMap::new();
        parse(text, &environment, &mut values, &mut BTreeSet::new())?;
        Ok(values)
    }

    #[test]
    fn reads_every_form() {
        for (text, name, value) in [
            ("X=1", "X", "1"),
            ("X = 1 ", "X", "1"),
            ("X: 1", "X", "1"),
            ("export X=1", "X", "1"),
            ("export\tX=1", "X", "1"),
            ("\u{feff}X=1", "X", "1"),
            ("X=1\r\nY=2\r\n", "X", "1"),
            ("# c\n\n  X=1\n", "X", "1"),
            ("X=", "X", ""),
            ("X=a b # c", "X", "a b"),
            ("X=a#b", "X", "a#b"),
            ("X=#b", "X", "#b"),
            ("X='a # b' # c", "X", "a # b"),
            ("X='$HOME \\n'", "X", "$HOME \\n"),
            ("X='it\\'s'", "X", "it's"),
            ("X=\"a\\nb\\t\\\"c\\\" \\\\ \\q\"", "X", "a\nb\t\"c\" \\ \\q"),
            ("X=\"\\0101\\07\"", "X", "A\\07"),
            ("X=\"$HOME\"", "X", "/root"),
            ("X=\"\\$HOME\"", "X", "$HOME"),
            ("X=$$HOME", "X", "$HOME"),
            ("X=${HOME}/x", "X", "/root/x"),
            ("Y=1\nX=${Y}2", "X", "12"),
            ("A=file\nX=$A", "X", "env"),
            ("X=${GONE:-d}", "X", "d"),
            ("X=\"two\nlines\"\nY=2", "X", "two\nlines"),
            ("X='{\"a\": 1}'", "X", "{\"a\": 1}"),
            ("X=1\nX=2", "X", "2"),
            ("a.b-c[0]=1", "a.b-c[0]", "1"),
            ("HOME\n", "HOME", "/root"),
            ("HOME", "HOME", "/root"),
            ("X=a=b", "X", "a=b"),
            ("ÜMLAUT=ä", "ÜMLAUT", "ä"),
        ] {
            assert_eq!(read(text).unwrap().get(name).map(String::as_str), Some(value), "{text:?}");
        }
        assert_eq!(read("GONE\nX=1").unwrap().len(), 1);
        assert_eq!(read("\n# only\n").unwrap().len(), 0);
    }

    #[test]
    fn names_the_line_of_an_error() {
        for (text, expected) in [
            ("A=1\n\n# c\nB!=1", "4: unexpected character '!' in a variable's name"),
            ("MY KEY=1", "1: a variable's name cannot contain a space"),
            ("A='x\ny\n", "1: unterminated quoted value"),
            ("A='x\ny'\nB=\"", "3: unterminated quoted value"),
            ("A=${}", "1: invalid variable in '${}'"),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(\"|'|\\\\|=|#|\\$|\\{|\\}|\n|\r|0|1|A|é| |.){0,40}") {
            let _ = read(&text);
        }

        #[test]
        fn single_quotes_keep_everything(value in "[^'\\\\\r]{0,30}") {
            prop_assert_eq!(read(&format!("X='{value}'")).unwrap().remove("X"), Some(value));
        }
    }
}

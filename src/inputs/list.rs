//! The list syntax of Docker's own actions: newlines, commas, CSV quoting; and `#` comments.
//!
//! What `Util.getList` of docker/actions-toolkit (`src/util.ts`) does with csv-parse, `relaxQuotes` included. A comment is a
//! whole line: `bar=qux#baz` keeps its `#`, as in docker/build-push-action.

use std::iter::Peekable;
use std::str::Chars;

/// A quote that is never closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnclosedQuote {
    /// The line that opens it, from 1.
    pub(super) line: usize,
}

/// What a comma outside quotes does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Commas {
    /// It separates entries.
    Separate,
    /// It is part of the entry.
    Keep,
}

/// The non-empty entries of a list, untrimmed.
pub(super) fn entries(text: &str, commas: Commas) -> Result<Vec<String>, UnclosedQuote> {
    let mut entries = Vec::new();
    for record in records(text)? {
        match (commas, record.as_slice()) {
            (Commas::Keep, fields) => entries.push(fields.join(",")),
            // A quoted record is split all the same, as upstream does.
            (Commas::Separate, [only]) => entries.extend(only.split(',').map(str::to_owned)),
            (Commas::Separate, _) => entries.extend(record),
        }
    }
    entries.retain(|entry| !entry.trim().is_empty());
    Ok(entries)
}

fn records(text: &str) -> Result<Vec<Vec<String>>, UnclosedQuote> {
    let mut records = Vec::new();
    let mut record = Vec::new();
    let mut field = String::new();
    let mut line = 1;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if field.is_empty() => {
                let opened = line;
                field = quoted(&mut chars, &mut line).ok_or(UnclosedQuote { line: opened })?;
            }
            '#' if record.is_empty() && field.trim().is_empty() => {
                field.clear();
                while chars.next_if(|c| *c != '\n').is_some() {}
            }
            ',' => record.push(std::mem::take(&mut field)),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' => {
                line += 1;
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            c => field.push(c),
        }
    }
    record.push(field);
    records.push(record);
    Ok(records)
}

/// The rest of a quoted field, whose opening quote is consumed; `None` if it never ends.
fn quoted(chars: &mut Peekable<Chars<'_>>, line: &mut usize) -> Option<String> {
    let mut field = String::new();
    loop {
        match chars.next()? {
            '"' if chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => {
                return Some(match chars.peek() {
                    None | Some(',' | '\r' | '\n') => field,
                    // Text goes on behind the quote, so it was none: `"a" b` is taken as it stands.
                    Some(_) => format!("\"{field}\""),
                });
            }
            c => {
                *line += usize::from(c == '\n');
                field.push(c);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Commas, UnclosedQuote, entries};

    fn split(text: &str) -> Vec<String> {
        entries(text, Commas::Separate).unwrap()
    }

    fn lines(text: &str) -> Vec<String> {
        entries(text, Commas::Keep).unwrap()
    }

    /// The cases of docker/actions-toolkit's `__tests__/util.test.ts`.
    #[test]
    fn reads_what_dockers_actions_read() {
        for (text, expected) in [
            ("bar", &["bar"][..]),
            ("bar\nbaz", &["bar", "baz"]),
            ("bar\n\nbaz", &["bar", "baz"]),
            ("bar,baz", &["bar", "baz"]),
            ("bar,baz,", &["bar", "baz"]),
            ("bar\r\nbaz", &["bar", "baz"]),
            ("bar\r\nbaz,bat", &["bar", "baz", "bat"]),
            ("foo=bar\nbar=qux#baz", &["foo=bar", "bar=qux#baz"]),
            ("linux/amd64\n\"linux/arm64,linux/arm/v7\"", &["linux/amd64", "linux/arm64", "linux/arm/v7"]),
            ("", &[]),
            ("# all of them\nbar\n  # and, this\nbaz", &["bar", "baz"]),
        ] {
            assert_eq!(split(text), expected, "{text:?}");
        }
        for (text, expected) in [
            ("user/app:cache\r\ntype=local,src=path/to/dir", &["user/app:cache", "type=local,src=path/to/dir"][..]),
            ("A=b,c=0\n\"M=aaaa\nbb\"\"b\n\nccc\"\nFOO=bar", &["A=b,c=0", "M=aaaa\nbb\"b\n\nccc", "FOO=bar"]),
            ("M=aaaa\nbbb\nFOO=bar", &["M=aaaa", "bbb", "FOO=bar"]),
            ("KEY={\"a\": \"b\"}", &["KEY={\"a\": \"b\"}"]),
            ("\"a\" b", &["\"a\" b"]),
            ("type=registry,\"ref=a,b\"", &["type=registry,ref=a,b"]),
            ("\"# not a comment\"\n#a", &["# not a comment"]),
        ] {
            assert_eq!(lines(text), expected, "{text:?}");
        }
    }

    #[test]
    fn says_which_quote_is_open() {
        assert_eq!(entries("a\n\"b\n\nc", Commas::Keep), Err(UnclosedQuote { line: 2 }));
        assert_eq!(entries("\"a\nb\"\n\"c", Commas::Keep), Err(UnclosedQuote { line: 3 }));
    }

    proptest! {
        #[test]
        fn quoting_keeps_any_text(values in prop::collection::vec("[^\u{0}]{1,20}", 1..5)) {
            prop_assume!(values.iter().all(|value| !value.trim().is_empty()));
            let text: Vec<_> = values.iter().map(|value| format!("\"{}\"", value.replace('"', "\"\""))).collect();
            prop_assert_eq!(entries(&text.join("\n"), Commas::Keep), Ok(values));
        }

        #[test]
        fn never_panics(text in ".{0,60}") {
            let _ = entries(&text, Commas::Separate);
            let _ = entries(&text, Commas::Keep);
        }
    }
}

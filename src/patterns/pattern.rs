//! One pattern, compiled as upstream compiles it: to a comparison where that is enough, else to a regular expression.
//!
//! Upstream builds the text of a Go regular expression, and its quirks are part of what users rely on: `[*]` is not a
//! class with a star in it, `\d` is a digit, an unknown escape is an error once the pattern is compared with a path.
//! So the same text is built here and then rewritten in the syntax of the `regex` crate.

use regex::Regex;

use super::PatternError;
use super::glob;
use super::go_regex;
use super::slash_path::clean;

#[derive(Debug, Clone)]
pub(super) struct Pattern {
    /// Cleaned, without the `!`.
    text: String,
    exception: bool,
    matcher: Matcher,
}

#[derive(Debug, Clone)]
enum Matcher {
    Exact,
    /// `a/**`: the text without its two stars.
    Prefix(String),
    /// `**/a`: the text without its two stars; `**/a` matches `a` too.
    Suffix(String),
    Regex(Regex),
    /// What Go's regexp package refuses; reported when it is compared, as upstream does.
    Broken,
}

impl Pattern {
    /// `None` for a blank pattern.
    pub(super) fn parse(pattern: &str) -> Result<Option<Self>, PatternError> {
        let pattern = pattern.trim();
        if pattern.is_empty() {
            return Ok(None);
        }
        let cleaned = clean(pattern);
        let (text, exception) = match cleaned.strip_prefix('!') {
            Some("") => return Err(PatternError::EmptyException),
            Some(text) => (text.to_owned(), true),
            None => (cleaned, false),
        };
        glob::check(&text).map_err(|_| PatternError::Syntax { pattern: text.clone() })?;
        let matcher = compile(&text);
        Ok(Some(Self { text, exception, matcher }))
    }

    pub(super) fn is_exception(&self) -> bool {
        self.exception
    }

    /// The text without a trailing `/**` and then `/*` (fsutil's `patternWithoutTrailingGlob`).
    pub(super) fn without_trailing_glob(&self) -> &str {
        let text = self.text.strip_suffix("/**").unwrap_or(&self.text);
        text.strip_suffix("/*").unwrap_or(text)
    }

    pub(super) fn matches(&self, path: &str) -> Result<bool, PatternError> {
        match &self.matcher {
            Matcher::Exact => Ok(path == self.text),
            Matcher::Prefix(prefix) => Ok(path.starts_with(prefix)),
            Matcher::Suffix(suffix) => {
                Ok(path.ends_with(suffix) || suffix.strip_prefix('/').is_some_and(|name| path == name))
            }
            Matcher::Regex(regex) => Ok(regex.is_match(path)),
            Matcher::Broken => Err(PatternError::Syntax { pattern: self.text.clone() }),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exact,
    Prefix,
    Suffix,
    Regex,
}

fn compile(text: &str) -> Matcher {
    let (kind, go_regex) = translate(text);
    match kind {
        Kind::Exact => Matcher::Exact,
        Kind::Prefix => Matcher::Prefix(text.strip_suffix("**").unwrap_or(text).to_owned()),
        Kind::Suffix => Matcher::Suffix(text.strip_prefix("**").unwrap_or(text).to_owned()),
        Kind::Regex => go_regex::rewrite(&go_regex)
            .and_then(|regex| Regex::new(&regex).ok())
            .map_or(Matcher::Broken, Matcher::Regex),
    }
}

/// `Pattern.compile` of patternmatcher.go: which kind of match it is, and the Go regular expression.
fn translate(text: &str) -> (Kind, String) {
    let mut kind = Kind::Exact;
    let mut regex = String::from("^");
    let mut chars = text.chars().peekable();
    let mut first = true;
    while let Some(c) = chars.next() {
        match c {
            '*' if chars.next_if_eq(&'*').is_some() => {
                chars.next_if_eq(&'/');
                if chars.peek().is_some() {
                    regex.push_str("(.*/)?");
                    kind = Kind::Regex;
                } else if kind == Kind::Exact {
                    kind = Kind::Prefix;
                } else {
                    regex.push_str(".*");
                    kind = Kind::Regex;
                }
                if first {
                    kind = Kind::Suffix;
                }
            }
            '*' => {
                regex.push_str("[^/]*");
                kind = Kind::Regex;
            }
            '?' => {
                regex.push_str("[^/]");
                kind = Kind::Regex;
            }
            // Upstream means to escape `{|}` too, but its table has no room for them: they keep their meaning.
            '.' | '+' | '(' | ')' | '$' => regex.extend(['\\', c]),
            '\\' => {
                regex.push('\\');
                if let Some(escaped) = chars.next() {
                    regex.push(escaped);
                    kind = Kind::Regex;
                }
            }
            '[' | ']' => {
                regex.push(c);
                kind = Kind::Regex;
            }
            c => regex.push(c),
        }
        first = false;
    }
    regex.push('$');
    (kind, regex)
}

#[cfg(test)]
mod tests {
    use super::{Matcher, Pattern, translate};

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap().unwrap()
    }

    #[test]
    fn takes_the_fast_path_where_upstream_does() {
        for (text, expected) in [
            ("a/b.txt", "exact"),
            ("a/**", "prefix"),
            ("a**", "prefix"),
            ("**", "suffix"),
            ("**/a", "suffix"),
            ("**a", "suffix"),
            ("**/*.go", "regex"),
            ("a/**/b", "regex"),
            ("*", "regex"),
            ("a?", "regex"),
            ("[ab]", "regex"),
            ("a\\*", "regex"),
            ("fo\\o", "broken"),
        ] {
            let kind = match pattern(text).matcher {
                Matcher::Exact => "exact",
                Matcher::Prefix(_) => "prefix",
                Matcher::Suffix(_) => "suffix",
                Matcher::Regex(_) => "regex",
                Matcher::Broken => "broken",
            };
            assert_eq!(kind, expected, "{text:?}");
        }
    }

    #[test]
    fn translates_as_upstream() {
        assert_eq!(translate("a/**/b*.c?").1, "^a/(.*/)?b[^/]*\\.c[^/]$");
        assert_eq!(translate("[^a-z]+(x)").1, "^[^a-z]\\+\\(x\\)$");
        assert_eq!(translate("**/x").1, "^(.*/)?x$");
        assert_eq!(translate("a*/**").1, "^a[^/]*/.*$");
    }

    #[test]
    fn keeps_upstreams_quirks() {
        // The star in the class becomes `[^/]*` before the class is read: a `[`, `^` or `/`, any times, then a `]`.
        assert!(pattern("[*]").matches("[^]").unwrap());
        assert!(!pattern("[*]").matches("*").unwrap());
        assert!(pattern("v\\d").matches("v7").unwrap());
        assert!(pattern("**foo").matches("xfoo").unwrap());
        assert!(pattern("*.a|b").matches("x.ac").unwrap());
        assert!(pattern("[x]{2}").matches("xx").unwrap());
        assert!(pattern("*{x").matches("a{x").unwrap());
        assert!(pattern("*{2}").matches("a").is_err());
        assert!(pattern("fo\\o").matches("foo").is_err());
    }
}

//! One pattern, compiled as upstream compiles it: to a comparison where that is enough, else to a regular expression.
//!
//! Upstream builds the text of a Go regular expression, and its quirks are part of what users rely on: `[*]` is not a
//! class with a star in it, `\d` is a digit, an unknown escape is an error once the pattern is compared with a path.
//! So the same text is built here and then rewritten in the syntax of the `regex` crate.

use regex::Regex;

use super::PatternError;
use super::glob;
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
        Kind::Regex => {
            from_go(&go_regex).and_then(|regex| Regex::new(&regex).ok()).map_or(Matcher::Broken, Matcher::Regex)
        }
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
            '.' | '+' | '(' | ')' | '|' | '{' | '}' | '$' => regex.extend(['\\', c]),
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

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// A Go regular expression in the syntax of the `regex` crate; `None` if Go refuses it.
///
/// Only what [`translate`] can produce is known here. The two differ in classes (nested ones and set operations exist
/// only in the crate) and in escapes.
fn from_go(go: &str) -> Option<String> {
    let mut regex = String::with_capacity(go.len() + 8);
    let mut chars = go.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '[' => class_from_go(&mut chars, &mut regex)?,
            ']' => regex.push_str("\\]"),
            '\\' => match escape_from_go(&mut chars)? {
                Escape::Char(c) => push_char(&mut regex, c),
                Escape::Set(set) => regex.push_str(set),
                Escape::Assertion(assertion) => regex.push_str(assertion),
            },
            c => regex.push(c),
        }
    }
    Some(regex)
}

fn class_from_go(chars: &mut Chars<'_>, regex: &mut String) -> Option<()> {
    regex.push('[');
    if chars.next_if_eq(&'^').is_some() {
        regex.push('^');
    }
    let mut first = true;
    loop {
        if !first && chars.next_if_eq(&']').is_some() {
            regex.push(']');
            return Some(());
        }
        first = false;
        if let Some(name) = named_class(chars) {
            regex.push_str(&name);
            continue;
        }
        match class_char(chars)? {
            Escape::Char(low) => {
                push_char(regex, low);
                let mut ahead = chars.clone();
                // `a-]` is an `a` and a dash.
                if ahead.next() == Some('-') && ahead.peek().is_some_and(|next| *next != ']') {
                    chars.next();
                    let Escape::Char(high) = class_char(chars)? else { return None };
                    regex.push('-');
                    push_char(regex, high);
                }
            }
            Escape::Set(set) => regex.push_str(set),
            Escape::Assertion(_) => return None,
        }
    }
}

/// `[:alpha:]` and the like, taken from `chars` if that is what comes next.
fn named_class(chars: &mut Chars<'_>) -> Option<String> {
    let mut ahead = chars.clone();
    if ahead.next() != Some('[') || ahead.next() != Some(':') {
        return None;
    }
    let mut name = String::from("[:");
    loop {
        let c = ahead.next()?;
        name.push(c);
        if c == ':' && ahead.next_if_eq(&']').is_some() {
            name.push(']');
            *chars = ahead;
            return Some(name);
        }
    }
}

fn class_char(chars: &mut Chars<'_>) -> Option<Escape> {
    match chars.next()? {
        '\\' => escape_from_go(chars),
        c => Some(Escape::Char(c)),
    }
}

enum Escape {
    Char(char),
    Set(&'static str),
    Assertion(&'static str),
}

/// What follows a backslash (`regexp/syntax`, Perl flavour); `None` if Go refuses it.
fn escape_from_go(chars: &mut Chars<'_>) -> Option<Escape> {
    Some(match chars.next()? {
        'd' => Escape::Set("[0-9]"),
        'D' => Escape::Set("[^0-9]"),
        's' => Escape::Set("[\\t\\n\\f\\r ]"),
        'S' => Escape::Set("[^\\t\\n\\f\\r ]"),
        'w' => Escape::Set("[0-9A-Za-z_]"),
        'W' => Escape::Set("[^0-9A-Za-z_]"),
        'A' => Escape::Assertion("\\A"),
        'z' => Escape::Assertion("\\z"),
        'b' => Escape::Assertion("(?-u:\\b)"),
        'a' => Escape::Char('\x07'),
        'f' => Escape::Char('\x0C'),
        'n' => Escape::Char('\n'),
        'r' => Escape::Char('\r'),
        't' => Escape::Char('\t'),
        'v' => Escape::Char('\x0B'),
        // A digit but 0 is an octal number only if another octal digit follows, else a back reference.
        '1'..='7' if !chars.peek().is_some_and(|next| next.is_digit(8)) => return None,
        c @ '0'..='7' => Escape::Char(octal(c, chars)?),
        c if c.is_ascii_alphanumeric() || !c.is_ascii() => return None,
        c => Escape::Char(c),
    })
}

fn octal(first: char, chars: &mut Chars<'_>) -> Option<char> {
    let mut value = first.to_digit(8)?;
    for _ in 0..2 {
        let Some(digit) = chars.peek().and_then(|next| next.to_digit(8)) else { break };
        chars.next();
        value = value * 8 + digit;
    }
    char::from_u32(value)
}

/// A literal, inside a class or outside.
fn push_char(regex: &mut String, c: char) {
    // `\<` and `\>` are the crate's word boundaries.
    if c.is_ascii_punctuation() && !matches!(c, '<' | '>' | '_') {
        regex.push('\\');
    }
    regex.push(c);
}

#[cfg(test)]
mod tests {
    use super::{Matcher, Pattern, from_go, translate};

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
    fn rewrites_classes_and_escapes() {
        for (go, expected) in [
            ("^[a-z]$", Some("^[a-z]$")),
            ("^[a&&b~~c]$", Some("^[a\\&\\&b\\~\\~c]$")),
            ("^[[a]$", Some("^[\\[a]$")),
            ("^[[:alpha:]]$", Some("^[[:alpha:]]$")),
            ("^[\\.\\-]$", Some("^[\\.\\-]$")),
            ("^a]$", Some("^a\\]$")),
            ("^\\d\\-$", Some("^[0-9]\\-$")),
            ("^\\101$", Some("^A$")),
            ("^\\1x$", None),
            ("^\\o$", None),
            ("^[a$", None),
        ] {
            assert_eq!(from_go(go).as_deref(), expected, "{go}");
        }
    }

    #[test]
    fn keeps_upstreams_quirks() {
        // The star in the class becomes `[^/]*` before the class is read: a `[`, `^` or `/`, any times, then a `]`.
        assert!(pattern("[*]").matches("[^]").unwrap());
        assert!(!pattern("[*]").matches("*").unwrap());
        assert!(pattern("v\\d").matches("v7").unwrap());
        assert!(pattern("**foo").matches("xfoo").unwrap());
        assert!(pattern("fo\\o").matches("foo").is_err());
    }
}

//! Go's `filepath.Match` on Unix: what it accepts as a pattern, and what a pattern matches.

/// The pattern is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadPattern;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// `*`: any run of characters but `/`.
    Star,
    /// `?`: one character but `/`.
    Any,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    Literal(char),
}

/// Whether `name` matches `pattern`, which is checked to its end whether it matches or not.
pub(crate) fn matches(pattern: &str, name: &str) -> Result<bool, BadPattern> {
    let tokens = parse(pattern)?;
    let name: Vec<char> = name.chars().collect();
    Ok(matches_tokens(&tokens, &name))
}

/// Whether a pattern is well formed; upstream asks `filepath.Match(pattern, ".")` for its error alone.
pub(crate) fn check(pattern: &str) -> Result<(), BadPattern> {
    parse(pattern).map(|_| ())
}

/// Whether a name has an unescaped wildcard (`containsWildcards` in fsutil's followlinks.go).
pub(crate) fn has_wildcard(name: &str) -> bool {
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

fn parse(pattern: &str) -> Result<Vec<Token>, BadPattern> {
    let mut chars = pattern.chars().peekable();
    let mut tokens = Vec::new();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Star,
            '?' => Token::Any,
            '\\' => Token::Literal(chars.next().ok_or(BadPattern)?),
            '[' => parse_class(&mut chars)?,
            c => Token::Literal(c),
        });
    }
    Ok(tokens)
}

fn parse_class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Token, BadPattern> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Ok(Token::Class { negated, ranges });
        }
        let low = class_char(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() { class_char(chars)? } else { low };
        ranges.push((low, high));
    }
}

fn class_char(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<char, BadPattern> {
    let c = match chars.next().ok_or(BadPattern)? {
        '-' | ']' => return Err(BadPattern),
        '\\' => chars.next().ok_or(BadPattern)?,
        c => c,
    };
    // A class always goes on after one of its characters, at least with the bracket that closes it.
    if chars.peek().is_none() { Err(BadPattern) } else { Ok(c) }
}

/// Greedy matching with one point to return to: the last star. Earlier stars need no second try.
fn matches_tokens(tokens: &[Token], name: &[char]) -> bool {
    let (mut token, mut at) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let stepped = match (tokens.get(token), name.get(at)) {
            (None, None) => return true,
            (Some(Token::Star), _) => {
                retry = Some((token, at));
                token += 1;
                continue;
            }
            (Some(Token::Any), Some(c)) => *c != '/',
            (Some(Token::Literal(literal)), Some(c)) => literal == c,
            (Some(Token::Class { negated, ranges }), Some(c)) => {
                ranges.iter().any(|(low, high)| low <= c && c <= high) != *negated
            }
            (None, Some(_)) | (Some(_), None) => false,
        };
        if stepped {
            token += 1;
            at += 1;
            continue;
        }
        match retry {
            Some((star, from)) if name.get(from).is_some_and(|c| *c != '/') => {
                retry = Some((star, from + 1));
                token = star + 1;
                at = from + 1;
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BadPattern, check, has_wildcard, matches};
    use proptest::prelude::*;

    #[test]
    fn matches_as_go_does() {
        for (pattern, name, expected) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*", "a/b", false),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("[a-ζ]*", "α", true),
            ("*[a-ζ]", "A", false),
            ("a?b", "a/b", false),
            ("[\\]a]", "]", true),
            ("[\\-]", "-", true),
            ("[x\\-]", "z", false),
            ("*x", "xxx", true),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, name), Ok(expected), "{pattern:?} {name:?}");
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        for pattern in ["[]a]", "[-]", "[x-]", "[-x]", "\\", "[a-b-c]", "[", "[^", "[^bc", "a[", "[a", "[]", "x\\"] {
            assert_eq!(check(pattern), Err(BadPattern), "{pattern:?}");
        }
    }

    #[test]
    fn finds_wildcards() {
        assert!(has_wildcard("a*"));
        assert!(has_wildcard("[a]"));
        assert!(!has_wildcard("a\\*"));
        assert!(!has_wildcard("plain"));
    }

    proptest! {
        #[test]
        fn never_panics(pattern in "[a\\[\\]^*?\\\\/-]{0,12}", name in "[a*/]{0,8}") {
            let _ = matches(&pattern, &name);
        }

        #[test]
        fn a_star_in_place_of_a_middle_still_matches(start in "[a-z]{1,3}", middle in "[a-z]{0,5}", end in "[a-z]{1,3}") {
            prop_assert_eq!(matches(&format!("{start}*{end}"), &format!("{start}{middle}{end}")), Ok(true));
        }
    }
}

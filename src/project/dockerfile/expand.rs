//! Words as BuildKit reads them: variables, quotes and escapes (`frontend/dockerfile/shell/lex.go`).

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

use regex::Regex;

/// Why a text cannot be expanded. BuildKit reports the same when it builds, with its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadSubstitution;

/// `text` with its variables replaced, its quotes and escapes taken away. Unset variables are empty.
pub(super) fn expand(
    text: &str,
    escape: char,
    variables: &BTreeMap<String, String>,
) -> Result<String, BadSubstitution> {
    let lexer = Lexer { escape, raw: false, keep_unset: false, variables };
    lexer.run(&mut text.chars().peekable(), None, false).map(|(text, _)| text)
}

/// The words of `text`, quotes and escapes left in (`raw`) or not; variables are left as they are.
pub(super) fn words(text: &str, raw_quotes: bool, raw_escapes: bool) -> Result<Vec<String>, BadSubstitution> {
    let lexer = Lexer { escape: '\\', raw: raw_quotes, keep_unset: true, variables: &BTreeMap::new() };
    lexer.run(&mut text.chars().peekable(), None, raw_escapes).map(|(_, words)| words.finish())
}

struct Lexer<'a> {
    escape: char,
    /// Quotes are kept.
    raw: bool,
    keep_unset: bool,
    variables: &'a BTreeMap<String, String>,
}

type Input<'a> = Peekable<Chars<'a>>;

#[derive(Default)]
struct Words {
    done: Vec<String>,
    current: String,
}

impl Words {
    /// White space ends a word.
    fn add(&mut self, text: &str) {
        for c in text.chars() {
            if !c.is_whitespace() {
                self.current.push(c);
            } else if !self.current.is_empty() {
                self.done.push(std::mem::take(&mut self.current));
            }
        }
    }

    fn finish(mut self) -> Vec<String> {
        if !self.current.is_empty() {
            self.done.push(self.current);
        }
        self.done
    }
}

impl Lexer<'_> {
    /// Goes on to `stop` or, without one, to the end.
    fn run(
        &self,
        input: &mut Input<'_>,
        stop: Option<char>,
        raw_escapes: bool,
    ) -> Result<(String, Words), BadSubstitution> {
        let mut result = String::new();
        let mut words = Words::default();
        while let Some(c) = input.next() {
            if stop == Some(c) {
                return Ok((result, words));
            }
            let (text, splits) = match c {
                '\'' => (self.single_quoted(input)?, false),
                '"' => (self.double_quoted(input, raw_escapes)?, false),
                '$' => (self.variable(input)?, true),
                '<' => (possible_heredoc(input), false),
                c if c == self.escape => {
                    let mut text = if raw_escapes { c.to_string() } else { String::new() };
                    text.extend(input.next());
                    (text, false)
                }
                c => (c.to_string(), true),
            };
            result.push_str(&text);
            if splits {
                words.add(&text);
            } else {
                words.current.push_str(&text);
            }
        }
        if stop.is_some() { Err(BadSubstitution) } else { Ok((result, words)) }
    }

    fn single_quoted(&self, input: &mut Input<'_>) -> Result<String, BadSubstitution> {
        let mut text = String::new();
        loop {
            match input.next().ok_or(BadSubstitution)? {
                '\'' if self.raw => return Ok(format!("'{text}'")),
                '\'' => return Ok(text),
                c => text.push(c),
            }
        }
    }

    fn double_quoted(&self, input: &mut Input<'_>, raw_escapes: bool) -> Result<String, BadSubstitution> {
        let mut text = String::new();
        loop {
            match input.next().ok_or(BadSubstitution)? {
                '"' if self.raw => return Ok(format!("\"{text}\"")),
                '"' => return Ok(text),
                '$' => text.push_str(&self.variable(input)?),
                c if c == self.escape => {
                    if raw_escapes {
                        text.push(c);
                    }
                    match input.peek().copied() {
                        None => {}
                        Some(next) if next == '"' || next == '$' || next == self.escape => {
                            text.push(next);
                            input.next();
                        }
                        Some(_) => text.push(c),
                    }
                }
                c => text.push(c),
            }
        }
    }

    /// What follows a dollar sign.
    fn variable(&self, input: &mut Input<'_>) -> Result<String, BadSubstitution> {
        if input.next_if_eq(&'{').is_none() {
            let name = name(input);
            return Ok(match (name.is_empty(), self.variables.get(&name)) {
                (true, _) => "$".to_owned(),
                (false, Some(value)) => value.clone(),
                (false, None) if self.keep_unset => format!("${name}"),
                (false, None) => String::new(),
            });
        }
        let name = name(input);
        if name.is_empty() {
            return Err(BadSubstitution);
        }
        let operator = match input.next().ok_or(BadSubstitution)? {
            '}' => {
                let unset = if self.keep_unset { format!("${{{name}}}") } else { String::new() };
                return Ok(self.variables.get(&name).cloned().unwrap_or(unset));
            }
            '/' => return self.replacement(&name, input),
            ':' => format!(":{}", input.next().ok_or(BadSubstitution)?),
            operator => operator.to_string(),
        };
        let is_pattern = matches!(operator.as_str(), "#" | "%");
        let (word, _) = self.run(input, Some('}'), is_pattern)?;
        let value = self.variables.get(&name).map(String::as_str);
        if self.keep_unset && value.is_none() {
            return Ok(format!("${{{name}{operator}{word}}}"));
        }
        // With a colon an empty variable counts as unset.
        let present = if operator.starts_with(':') { value.filter(|value| !value.is_empty()) } else { value };
        match operator.trim_start_matches(':') {
            "-" => Ok(present.map_or(word, str::to_owned)),
            "+" => Ok(present.map(|_| word).unwrap_or_default()),
            "?" => present.map(str::to_owned).ok_or(BadSubstitution),
            "#" if is_pattern => trim_prefix(value.unwrap_or_default(), &word),
            "%" if is_pattern => trim_suffix(value.unwrap_or_default(), &word),
            _ => Err(BadSubstitution),
        }
    }

    /// `${name/pattern/replacement}` after its first slash; `//` replaces every match.
    fn replacement(&self, name: &str, input: &mut Input<'_>) -> Result<String, BadSubstitution> {
        let every = input.next_if_eq(&'/').is_some();
        let (pattern, _) = self.run(input, Some('/'), true)?;
        let (replacement, _) = self.run(input, Some('}'), true)?;
        let Some(value) = self.variables.get(name) else {
            let unset = if self.keep_unset { format!("${{{name}/{pattern}/{replacement}}}") } else { String::new() };
            return Ok(unset);
        };
        let regex = pattern_regex(&pattern, true, "")?;
        let limit = if every { 0 } else { 1 };
        Ok(regex.replacen(value, limit, regex::NoExpand(&replacement)).into_owned())
    }
}

/// A variable's name, or one of the shell's special parameters.
fn name(input: &mut Input<'_>) -> String {
    let Some(first) = input.peek().copied() else { return String::new() };
    if first.is_numeric() {
        return std::iter::from_fn(|| input.next_if(|c| c.is_numeric())).collect();
    }
    if matches!(first, '@' | '*' | '#' | '?' | '-' | '$' | '!') {
        return input.next().into_iter().collect();
    }
    std::iter::from_fn(|| input.next_if(|c| c.is_alphanumeric() || *c == '_')).collect()
}

/// `<<` keeps the white space after it, so that `<< EOF` is one word.
fn possible_heredoc(input: &mut Input<'_>) -> String {
    let mut text = String::from("<");
    if input.next_if_eq(&'<').is_some() {
        text.push('<');
        text.extend(std::iter::from_fn(|| input.next_if(|c| matches!(c, '\t' | '\r' | ' '))));
    }
    text
}

fn trim_prefix(value: &str, word: &str) -> Result<String, BadSubstitution> {
    let (pattern, greedy) = word.strip_prefix('#').map_or((word, false), |pattern| (pattern, true));
    let regex = pattern_regex(pattern, greedy, "^")?;
    Ok(regex.replace(value, "").into_owned())
}

fn trim_suffix(value: &str, word: &str) -> Result<String, BadSubstitution> {
    let (pattern, longest) = word.strip_prefix('%').map_or((word, false), |pattern| (pattern, true));
    let regex = Regex::new(&format!("^(?:{})$", pattern_source(pattern, true)?)).map_err(|_| BadSubstitution)?;
    let mut starts = value.char_indices().map(|(at, _)| at).chain([value.len()]);
    let matches = |at: &usize| value.get(*at..).is_some_and(|end| regex.is_match(end));
    let start = if longest { starts.find(matches) } else { starts.rfind(matches) };
    Ok(start.and_then(|at| value.get(..at)).unwrap_or(value).to_owned())
}

fn pattern_regex(pattern: &str, greedy: bool, anchor: &str) -> Result<Regex, BadSubstitution> {
    Regex::new(&format!("{anchor}{}", pattern_source(pattern, greedy)?)).map_err(|_| BadSubstitution)
}

/// A shell pattern without bracket expressions as a regular expression.
fn pattern_source(pattern: &str, greedy: bool) -> Result<String, BadSubstitution> {
    let mut source = String::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => source.push_str(if greedy { ".*" } else { ".*?" }),
            '?' => source.push('.'),
            '\\' => match chars.next() {
                Some(c @ ('}' | '/' | '*' | '?' | '\\')) => source.push_str(&regex::escape(&c.to_string())),
                _ => return Err(BadSubstitution),
            },
            c => source.push_str(&regex::escape(&c.to_string())),
        }
    }
    Ok(source)
}

#[cfg(test)]
mod tests {
    use super::{BadSubstitution, expand, words};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn variables() -> BTreeMap<String, String> {
        [("A", "one"), ("EMPTY", ""), ("PATHS", "a/b/c.tar.gz"), ("N1", "x")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn expands_as_buildkit_does() {
        for (text, expected) in [
            ("plain", "plain"),
            ("$A-${A}", "one-one"),
            ("$UNSET|${UNSET}", "|"),
            ("${UNSET:-d}${EMPTY:-d}${A:-d}", "ddone"),
            ("${UNSET-d}${EMPTY-d}", "d"),
            ("${UNSET:+d}${EMPTY:+d}${A:+d}", "d"),
            ("${EMPTY+d}", "d"),
            ("${A:?must be set}", "one"),
            ("${UNSET:-${A}-x}", "one-x"),
            ("'$A' \"$A\" \\$A", "$A one $A"),
            ("\"a\\\"b\\c\"", "a\"b\\c"),
            ("$", "$"),
            ("$1x", "x"),
            ("$N1", "x"),
            ("${PATHS#*/}", "b/c.tar.gz"),
            ("${PATHS##*/}", "c.tar.gz"),
            ("${PATHS%.*}", "a/b/c.tar"),
            ("${PATHS%%.*}", "a/b/c"),
            ("${PATHS%nothing}", "a/b/c.tar.gz"),
            ("${PATHS/b/B}", "a/B/c.tar.gz"),
            ("${PATHS//\\//-}", "a-b-c.tar.gz"),
            ("${PATHS/?.tar/x}", "a/b/x.gz"),
        ] {
            assert_eq!(expand(text, '\\', &variables()).as_deref(), Ok(expected), "{text}");
        }
        assert_eq!(expand("`$A", '`', &variables()).as_deref(), Ok("$A"));
    }

    #[test]
    fn refuses_broken_substitutions() {
        for text in
            ["${", "${}", "${A", "${A:-x", "${:x}", "${UNSET:?}", "${EMPTY:?x}", "${A!x}", "'a", "\"a", "${A:#x}"]
        {
            assert_eq!(expand(text, '\\', &variables()), Err(BadSubstitution), "{text}");
        }
    }

    #[test]
    fn splits_words_as_they_are_written() {
        assert_eq!(
            words("a  'b c' \"d e\"\\ f $X ${Y:-z}", true, true).unwrap(),
            ["a", "'b c'", "\"d e\"\\ f", "$X", "${Y:-z}"]
        );
        assert_eq!(words("cat << EOF > f", true, true).unwrap(), ["cat", "<< EOF", ">", "f"]);
        assert_eq!(words("'a b'", false, false).unwrap(), ["a b"]);
    }

    proptest! {
        #[test]
        fn never_panics(text in "[a$<{}:?+#%/'\"\\\\ *-]{0,16}") {
            let _ = expand(&text, '\\', &variables());
            let _ = words(&text, true, true);
        }

        #[test]
        fn what_has_nothing_special_stays(text in "[a-z0-9./:@_-]{0,20}") {
            prop_assert_eq!(expand(&text, '\\', &variables()), Ok(text));
        }
    }
}

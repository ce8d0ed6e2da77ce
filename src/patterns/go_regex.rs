//! Regular expressions of Go, rewritten in the syntax of the `regex` crate.

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// A Go regular expression in the syntax of the `regex` crate; `None` if Go refuses it.
///
/// Only what patterns are translated to is known here. The two differ in classes (nested ones and set operations exist
/// only in the crate) and in escapes.
pub(super) fn rewrite(go: &str) -> Option<String> {
    let mut regex = String::with_capacity(go.len() + 8);
    let mut chars = go.chars().peekable();
    let mut repeated = false;
    while let Some(c) = chars.next() {
        let mut repeats = matches!(c, '*' | '?');
        match c {
            '[' => class_from_go(&mut chars, &mut regex)?,
            ']' | '}' => push_char(&mut regex, c),
            '{' => match repetition(&mut chars) {
                Some(repetition) => {
                    // Go's limit.
                    if repetition
                        .split(|c: char| !c.is_ascii_digit())
                        .any(|count| count.parse().is_ok_and(|count: u32| count > 1000))
                    {
                        return None;
                    }
                    repeats = true;
                    regex.push_str(&repetition);
                }
                None => push_char(&mut regex, c),
            },
            '\\' => match escape_from_go(&mut chars)? {
                Escape::Char(c) => push_char(&mut regex, c),
                Escape::Set(set) => regex.push_str(set),
                Escape::Assertion(assertion) => regex.push_str(assertion),
            },
            c => regex.push(c),
        }
        if repeats && repeated {
            // Go does not stack repetitions.
            return None;
        }
        repeated = repeats;
    }
    Some(regex)
}

/// The rest of `{2}`, `{2,}` or `{2,3}` after its brace, taken from `chars` if that is what comes next.
fn repetition(chars: &mut Chars<'_>) -> Option<String> {
    let mut ahead = chars.clone();
    let body: String = ahead.by_ref().take_while(|c| *c != '}').collect();
    let (least, most) = body.split_once(',').unwrap_or((&body, &body));
    let closed = chars.clone().any(|c| c == '}');
    if !closed || !is_count(least) || !(is_count(most) || most.is_empty()) {
        return None;
    }
    *chars = ahead;
    Some(format!("{{{body}}}"))
}

/// A number without leading zeros.
fn is_count(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()) && (text == "0" || !text.starts_with('0'))
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
    use super::rewrite;

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
            ("^a|b{2}c{x}$", Some("^a|b{2}c\\{x\\}$")),
            ("^a{1001}$", None),
            ("^a{2}{2}$", None),
        ] {
            assert_eq!(rewrite(go).as_deref(), expected, "{go}");
        }
    }
}

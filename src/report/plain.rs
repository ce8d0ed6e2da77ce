//! Text from outside made safe to print: no control characters, no terminal sequences, no line ends, a bounded length.

/// Joins a text to one line: control characters and terminal sequences go, runs of white space become one space.
pub(super) fn one_line(text: &str) -> String {
    let visible = sequences(text, |_| None);
    let mut line = String::with_capacity(visible.len());
    for word in visible.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word.chars().filter(|c| !is_hidden(*c)));
    }
    line
}

/// Cleans the lines of a log: terminal sequences and control characters go, indentation stays, a tab is four spaces.
///
/// A progress bar overwrites its line with carriage returns; what it showed last is kept.
pub(super) fn log_lines(text: &str) -> Vec<String> {
    cleaned_lines(&sequences(text, |_| None))
}

/// As [`log_lines`], but colours stay (`ESC [ … m`), and end where their line ends.
pub(super) fn coloured_log_lines(text: &str) -> Vec<String> {
    // A character that no text uses stands in for the escape while the other control characters are removed.
    let marked = sequences(&text.replace(COLOUR, ""), |colour| Some(format!("{COLOUR}[{colour}m")));
    let close = |line: String| if line.contains('\u{1b}') { line + "\u{1b}[0m" } else { line };
    cleaned_lines(&marked).into_iter().map(|line| close(line.replace(COLOUR, "\u{1b}"))).collect()
}

/// A noncharacter (Unicode 23.7): for use inside a program, never in a text.
const COLOUR: char = '\u{fdd0}';

fn cleaned_lines(text: &str) -> Vec<String> {
    let lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    lines
        .map(|line| line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default())
        .map(|line| {
            let spaced = line.replace('\t', "    ");
            spaced.chars().filter(|c| !c.is_control() && !is_hidden(*c)).collect::<String>().trim_end().to_owned()
        })
        .collect()
}

/// The text if it has at most `limit` characters, else its beginning with an ellipsis, `limit` characters in all.
pub(super) fn shorten(text: &str, limit: usize) -> String {
    if text.chars().nth(limit).is_none() {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(limit.saturating_sub(1)).collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

/// Characters that change how others are shown: direction overrides can make a name read as another one
/// (CVE-2021-42574), line separators are line ends to some readers.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Removes what ECMA-48 calls control sequences (`ESC [ … m`) and control strings (`ESC ] … BEL`); `colour` may put
/// something in the place of a sequence that selects a colour, given its parameters.
fn sequences(text: &str, colour: impl Fn(&str) -> Option<String>) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('[') => {
                // Parameters and intermediates, then one final byte; a line end means that the sequence is broken.
                let parameters: String =
                    std::iter::from_fn(|| chars.next_if(|c| matches!(c, '\u{20}'..='\u{3f}'))).collect();
                let last = chars.next_if(|c| matches!(c, '\u{40}'..='\u{7e}'));
                if last == Some('m') {
                    plain.extend(colour(&parameters));
                }
            }
            Some(']') => {
                while chars.next_if(|c| !matches!(c, '\u{7}' | '\u{1b}' | '\n')).is_some() {}
                chars.next_if_eq(&'\u{7}');
            }
            // `ESC \` and other two-byte sequences; a line end is never part of one.
            Some('\n') => plain.push('\n'),
            Some(_) | None => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{log_lines, one_line, shorten};

    #[test]
    fn joins_lines_and_drops_sequences() {
        for (text, expected) in [
            ("RUN <<EOF\n  make\n\tmake install\nEOF", "RUN <<EOF make make install EOF"),
            ("\u{1b}[1;31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}after", "after"),
            ("bell\u{7}", "bell"),
            ("gnp\u{202e}.exe", "gnp.exe"),
            ("a\u{1b}", "a"),
            ("a\u{1b}[12", "a"),
            ("", ""),
        ] {
            assert_eq!(one_line(text), expected, "{text:?}");
        }
    }

    #[test]
    fn keeps_what_a_progress_bar_showed_last() {
        assert_eq!(log_lines("10%\r50%\r100%\r\n\tnext  "), ["100%", "    next"]);
        assert_eq!(log_lines("\u{1b}[32mok\u{1b}[0m\n\nend"), ["ok", "", "end"]);
        assert_eq!(log_lines(""), [""]);
    }

    #[test]
    fn shortens_on_characters() {
        assert_eq!(shorten("äöü", 3), "äöü");
        assert_eq!(shorten("äöüß", 3), "äö…");
        assert_eq!(shorten("a bc", 3), "a…");
    }

    proptest! {
        #[test]
        fn nothing_that_a_terminal_obeys_is_left(text in any::<String>()) {
            prop_assert!(!one_line(&text).chars().any(char::is_control));
            prop_assert!(log_lines(&text).iter().all(|line| !line.chars().any(char::is_control)));
        }

        #[test]
        fn shortened_text_has_at_most_that_many_characters(text in any::<String>(), limit in 1_usize..50) {
            prop_assert!(shorten(&text, limit).chars().count() <= limit);
        }
    }
}

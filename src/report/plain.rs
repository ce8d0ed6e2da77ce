//! Text from outside made safe to print: no control characters, no terminal sequences, no line ends, a bounded length.

/// Joins a text to one line: control characters and terminal sequences go, runs of white space become one space.
pub fn one_line(text: &str) -> String {
    let visible = without_sequences(text);
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
pub fn log_lines(text: &str) -> Vec<String> {
    let visible = without_sequences(text);
    let lines = visible.strip_suffix('\n').unwrap_or(&visible);
    lines
        .split('\n')
        .map(|line| line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default())
        .map(|line| {
            let spaced = line.replace('\t', "    ");
            spaced.chars().filter(|c| !c.is_control() && !is_hidden(*c)).collect::<String>().trim_end().to_owned()
        })
        .collect()
}

/// The text if it has at most `limit` characters, else its beginning with an ellipsis, `limit` characters in all.
pub fn shorten(text: &str, limit: usize) -> String {
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

/// Removes what ECMA-48 calls control sequences (`ESC [ … m`) and control strings (`ESC ] … BEL`).
fn without_sequences(text: &str) -> String {
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
                while chars.next_if(|c| matches!(c, '\u{20}'..='\u{3f}')).is_some() {}
                chars.next_if(|c| matches!(c, '\u{40}'..='\u{7e}'));
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

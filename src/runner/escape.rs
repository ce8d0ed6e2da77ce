//! Escaping for workflow commands, and telling text that would be taken for one.
//!
//! The rules are those of actions/runner `src/Runner.Common/ActionCommand.cs`.

/// Escapes the data of a command (what stands behind the second `::`).
pub(super) fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of a command (`title=…`).
pub(super) fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Whether the runner might take a line of this text for a command: `::` at a line's beginning, `##[` anywhere.
///
/// The runner ends a line at a lone carriage return as well.
pub(super) fn may_be_command(text: &str) -> bool {
    text.contains("##[") || text.split(['\n', '\r']).any(|line| line.trim_start().starts_with("::"))
}

/// Text for a terminal: escape sequences and control characters could rewrite what stands there.
///
/// Tabs and line feeds stay; of a line that a program overwrote with carriage returns, the last version stays.
pub(super) fn for_terminal(text: &str) -> String {
    let lines = text.split('\n').map(|line| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let line = line.rsplit('\r').next().unwrap_or_default();
        without_escape_sequences(line)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Drops CSI sequences (`ESC [ … final byte`, ECMA-48 section 5.4) and every other control character but the tab.
fn without_escape_sequences(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' if chars.next_if_eq(&'[').is_some() => {
                while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
            '\t' => text.push(c),
            c if c.is_control() => {}
            c => text.push(c),
        }
    }
    text
}

/// At most `limit` UTF-16 code units of the text, the unit that the runner counts in; an ellipsis says where it was cut.
pub(super) fn cut(text: &str, limit: usize) -> String {
    if text.encode_utf16().count() <= limit {
        return text.to_owned();
    }
    let mut units = 1;
    let mut short: String = text
        .chars()
        .take_while(|c| {
            units += c.len_utf16();
            units <= limit
        })
        .collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{cut, data, for_terminal, may_be_command, property};

    /// The runner's own way back (`ActionCommand.UnescapeData`, `UnescapeProperty`): `%25` comes last.
    fn unescape_data(text: &str) -> String {
        text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
    }

    fn unescape_property(text: &str) -> String {
        let text = text.replace("%0D", "\r").replace("%0A", "\n");
        text.replace("%3A", ":").replace("%2C", ",").replace("%25", "%")
    }

    proptest! {
        #[test]
        fn escapes_round_trip(text in "([%:,\r\n0-9A-F]|.){0,40}") {
            prop_assert_eq!(unescape_data(&data(&text)), text.as_str());
            prop_assert_eq!(unescape_property(&property(&text)), text.as_str());
            prop_assert!(!data(&text).contains(['\r', '\n']));
            prop_assert!(!property(&text).contains(['\r', '\n', ':', ',']));
        }

        #[test]
        fn cut_keeps_the_limit(text in ".{0,40}", limit in 1_usize..30) {
            let short = cut(&text, limit);
            prop_assert!(short.encode_utf16().count() <= limit);
            prop_assert!(short == text || text.starts_with(short.strip_suffix('…').unwrap()));
        }

        #[test]
        fn nothing_that_moves_the_cursor_reaches_a_terminal(text in "([\u{1b}\\[\r\n\u{7}A-Z0-9;]|.){0,40}") {
            prop_assert!(for_terminal(&text).chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
        }
    }

    #[test]
    fn knows_what_looks_like_a_command() {
        for (text, expected) in [
            ("::error::x", true),
            (" \t::error::x", true),
            ("a\r::error::x", true),
            ("a\n  ::add-mask::x", true),
            ("done ##[group]x", true),
            ("std::fs::read", false),
            ("#[test] a::b", false),
        ] {
            assert_eq!(may_be_command(text), expected, "{text:?}");
        }
    }

    #[test]
    fn terminal_text_is_the_last_version_of_a_line() {
        assert_eq!(for_terminal("\u{1b}[32mok\u{1b}[0m\r\n10%\r50%\rdone\tx\u{7}"), "ok\ndone\tx");
    }
}

//! The only way for a text from outside into Markdown: as text, as code, or as a fenced block.
//!
//! A Dockerfile can hold Markdown, HTML, table separators, mentions and fences; a reader sees them as they were written
//! and nothing obeys them. Written for GitHub Flavored Markdown (<https://github.github.com/gfm/>).

use crate::report::plain;

/// Text for a paragraph, a list item, an alert or a table's cell: one line on which no character has a meaning.
///
/// Specials become character references, which cannot stand for structure (GFM 6.2). Mentions and references to issues
/// are found by GitHub after that, in the rendered text, so an invisible space parts them from their sign.
pub(super) fn text(raw: &str) -> String {
    let line = plain::one_line(raw);
    let mut escaped = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    let mut start = starts_list(&line);
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        match c {
            _ if start => push_reference(&mut escaped, c),
            '@' if next.is_some_and(char::is_alphanumeric) => escaped.push_str("&#64;&#8203;"),
            '#' if next.is_some_and(|c| c.is_ascii_digit()) => escaped.push_str("&#35;&#8203;"),
            // The colon keeps URLs and `:emoji:` from being made into what they name.
            ':' if next.is_some_and(|c| !c.is_whitespace() && !c.is_ascii_digit()) => push_reference(&mut escaped, c),
            '&' | '<' | '>' | '\\' | '`' | '*' | '_' | '~' | '[' | ']' | '|' | '$' | '@' => {
                push_reference(&mut escaped, c);
            }
            _ => escaped.push(c),
        }
        start = false;
    }
    // GFM makes a link of this even without a scheme.
    escaped.replace("www.", "www&#46;")
}

/// Text of at most `limit` characters as inline code, as it would stand in a terminal; a dash if it is empty.
pub(super) fn code(raw: &str, limit: usize) -> String {
    let line = plain::shorten(&plain::one_line(raw), limit);
    if line.is_empty() {
        return "–".to_owned();
    }
    if line.contains('|') {
        // A separator inside a code span still ends the table's cell (GFM 4.10), and no escape of it survives a
        // backslash before it in every renderer.
        return format!("<code>{}</code>", all_references(&line));
    }
    let fence = "`".repeat(longest_run(&line) + 1);
    // One space at both ends is not shown, and parts the fence from a backtick of the text.
    let pad = if line.starts_with('`') || line.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{line}{pad}{fence}")
}

/// Lines as a fenced block that nothing inside can end. Each line keeps at most `width` characters.
pub(super) fn fence(lines: &[String], width: usize) -> Vec<String> {
    let lines: Vec<String> =
        lines.iter().flat_map(|line| plain::log_lines(line)).map(|line| plain::shorten(&line, width)).collect();
    let longest = lines.iter().map(|line| longest_run(line)).max().unwrap_or_default();
    let mark = "`".repeat((longest + 1).max(3));
    let mut block = vec![format!("{mark}text")];
    block.extend(lines);
    block.push(mark);
    block
}

/// Text of at most `limit` characters as a label of a mermaid chart.
///
/// Mermaid has no escape that every version of it reads, so a sign with a meaning is replaced by one that looks like it:
/// `:` ends a label, `;` and `#` begin comments and entities, `,` parts fields, `%%` opens a comment or a directive. A
/// label never begins with a letter but with an invisible joiner: mermaid would take a first word like `click` for a command.
pub(super) fn chart(raw: &str, limit: usize) -> String {
    let line = plain::shorten(&plain::one_line(raw), limit);
    let line = if line.is_empty() { "–".to_owned() } else { line };
    let mut label: String = line.chars().map(harmless).collect();
    while label.contains("%%") {
        label = label.replace("%%", "% %");
    }
    if label.starts_with('[') { label } else { format!("{JOINER}{label}") }
}

/// U+2060, which has no width, is no white space and parts no line.
const JOINER: char = '\u{2060}';

fn harmless(c: char) -> char {
    match c {
        ':' => '∶',
        ',' => '‚',
        ';' => '·',
        '#' => '♯',
        '"' => '”',
        '\'' | '`' => '’',
        '<' => '‹',
        '>' => '›',
        '{' => '(',
        '}' => ')',
        '\\' => '∖',
        _ => c,
    }
}

/// A URL for the target of a link, or nothing if it is not plainly an `https` or `http` address.
pub(super) fn url(raw: &str) -> Option<&str> {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#@!$&'*+,;=%".contains(c);
    let known = raw.starts_with("https://") || raw.starts_with("http://");
    (known && raw.chars().all(safe)).then_some(raw)
}

/// Whether a line would open a list, a heading or a rule: `- a`, `+ a`, `1. a`, `# a`, `===`.
fn starts_list(line: &str) -> bool {
    let after_digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_number = after_digits.len() < line.len()
        && after_digits.strip_prefix(['.', ')']).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
    is_number || line.starts_with(['-', '+', '=', '#'])
}

fn all_references(line: &str) -> String {
    let mut escaped = String::with_capacity(line.len());
    for c in line.chars() {
        if c.is_ascii_punctuation() && !matches!(c, '-' | '.' | ',' | '/' | '=' | '(' | ')' | '%') {
            push_reference(&mut escaped, c);
        } else {
            escaped.push(c);
        }
    }
    escaped
}

fn push_reference(escaped: &mut String, c: char) {
    match c {
        '&' => escaped.push_str("&amp;"),
        '<' => escaped.push_str("&lt;"),
        '>' => escaped.push_str("&gt;"),
        _ => escaped.push_str(&format!("&#{};", u32::from(c))),
    }
}

fn longest_run(line: &str) -> usize {
    line.split(|c| c != '`').map(str::len).max().unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::{chart, code, fence, text, url};

    /// Replaces character references, as a Markdown reader does last.
    fn decode(escaped: &str) -> String {
        let mut decoded = String::new();
        let mut rest = escaped;
        while let Some((before, after)) = rest.split_once('&') {
            let (name, tail) = after.split_once(';').unwrap_or_else(|| panic!("a bare ampersand in {escaped:?}"));
            decoded.push_str(before);
            decoded.push(match name {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                _ => char::from_u32(name.trim_start_matches('#').parse().unwrap()).unwrap(),
            });
            rest = tail;
        }
        decoded + rest
    }

    /// A text without its character references: what has a meaning to a Markdown reader.
    fn structure(escaped: &str) -> String {
        let mut left = String::new();
        let mut rest = escaped;
        while let Some((before, after)) = rest.split_once('&') {
            left.push_str(before);
            rest = after.split_once(';').map_or("", |(_, tail)| tail);
        }
        left + rest
    }

    #[test]
    fn text_has_no_meaning() {
        for (raw, escaped) in [
            ("app-1.2", "app-1.2"),
            ("a|b", "a&#124;b"),
            ("**x** `y` <b>", "&#42;&#42;x&#42;&#42; &#96;y&#96; &lt;b&gt;"),
            ("cc @octocat", "cc &#64;&#8203;octocat"),
            ("fixes #12", "fixes &#35;&#8203;12"),
            ("- item", "&#45; item"),
            ("1. item", "&#49;. item"),
            ("10) item", "&#49;0) item"),
            ("1.2.3", "1.2.3"),
            ("# head", "&#35; head"),
            ("https://x.y", "https&#58;//x.y"),
            ("www.x.y", "www&#46;x.y"),
            (":tada:", "&#58;tada:"),
            ("a\n\n| b", "a &#124; b"),
            ("[x](y)", "&#91;x&#93;(y)"),
            ("&lt;", "&amp;lt;"),
            ("app:1.2 at 12:30", "app:1.2 at 12:30"),
        ] {
            assert_eq!(text(raw), escaped, "{raw:?}");
        }
    }

    #[test]
    fn code_is_shown_as_written() {
        for (raw, escaped) in [
            ("RUN make", "`RUN make`"),
            ("echo `date`", "`` echo `date` ``"),
            ("a ``` b", "````a ``` b````"),
            ("a | b", "<code>a &#124; b</code>"),
            (r"a \| <b>", "<code>a &#92;&#124; &lt;b&gt;</code>"),
            ("RUN <<EOF\nmake\nEOF", "`RUN <<EOF make EOF`"),
            ("", "–"),
            ("\n", "–"),
        ] {
            assert_eq!(code(raw, 80), escaped, "{raw:?}");
        }
        assert_eq!(code("RUN make install", 10), "`RUN make…`");
    }

    #[test]
    fn a_fence_cannot_be_left() {
        let lines = ["ok".to_owned(), "````".to_owned(), "</details>\n```".to_owned()];
        assert_eq!(fence(&lines, 80), ["`````text", "ok", "````", "</details>", "```", "`````"]);
    }

    #[test]
    fn a_label_means_nothing_to_mermaid() {
        for (raw, label) in [
            ("[build 7/8] RUN npm run build", "[build 7/8] RUN npm run build"),
            ("section x", "\u{2060}section x"),
            ("a: crit, 00:01 %% b;c#d", "\u{2060}a∶ crit‚ 00∶01 % % b·c♯d"),
            ("<b>\n```", "\u{2060}‹b› ’’’"),
            ("", "\u{2060}–"),
        ] {
            assert_eq!(chart(raw, 60), label, "{raw:?}");
        }
    }

    #[test]
    fn only_web_addresses_become_links() {
        assert_eq!(url("https://github.com/o/r/actions/runs/1"), Some("https://github.com/o/r/actions/runs/1"));
        for raw in ["javascript:alert(1)", "https://x/)[y", "https://x y", "https://x/<b>", "/relative", "https://x|y"]
        {
            assert_eq!(url(raw), None, "{raw}");
        }
    }

    /// Any text, and texts made of what means something to Markdown, HTML, mermaid, a terminal or a runner.
    pub(in crate::report::summary) fn nasty() -> impl Strategy<Value = String> {
        let pieces = [
            "|",
            "`",
            "```",
            "~~~",
            "<",
            ">",
            "&",
            "\\",
            "*",
            "_",
            "[",
            "](",
            "@",
            "#1",
            "\n",
            "\r",
            "-",
            "1.",
            "<details>",
            "</summary>",
            "<!--",
            "$",
            "a",
            " ",
            "é",
            "\u{1b}[31m",
            "\u{202e}",
            "www.",
            "://",
            ":x:",
            "::error::x",
            "\u{2028}",
            "\u{85}",
            "> ",
            "%%{init: {}}%%",
            "section ",
            "click a href",
            ";",
            ",",
            "\"",
        ];
        prop_oneof![
            any::<String>(),
            prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..12).prop_map(|pieces| pieces.concat()),
        ]
    }

    proptest! {
        #[test]
        fn text_keeps_no_special_and_loses_no_character(raw in nasty()) {
            let escaped = text(&raw);
            let structure = structure(&escaped);
            prop_assert!(!structure.contains(['|', '`', '<', '>', '\\', '*', '_', '~', '[', ']', '$', '@', '\n', '\r']), "{}", escaped);
            prop_assert!(!structure.contains("www.") && !structure.contains("://"), "{}", escaped);
            prop_assert_eq!(decode(&escaped).replace('\u{200b}', ""), crate::report::plain::one_line(&raw));
        }

        #[test]
        fn code_is_one_cell_and_one_span(raw in nasty()) {
            let escaped = code(&raw, 60);
            prop_assert!(!escaped.contains(['|', '\n', '\r']), "{}", escaped);
            if let Some(inner) = escaped.strip_prefix("<code>").and_then(|rest| rest.strip_suffix("</code>")) {
                if !raw.contains("<code>") {
                    prop_assert!(!structure(inner).contains(['<', '>', '`', '\\', '*', '_', '[', ']', '@', '#']), "{}", escaped);
                }
            } else if escaped != "–" {
                // A span ends at the first run as long as the one that opened it: that must be the last one.
                let width = escaped.chars().take_while(|c| *c == '`').count();
                let runs: Vec<usize> = escaped.split(|c| c != '`').map(str::len).filter(|len| *len > 0).collect();
                prop_assert!(width > 0);
                prop_assert_eq!(runs.iter().filter(|run| **run == width).count(), 2, "{}", escaped);
                prop_assert!(escaped.ends_with(&"`".repeat(width)));
            }
        }

        #[test]
        fn a_label_is_one_field_of_one_line_and_no_command(raw in nasty()) {
            let label = chart(&raw, 40);
            prop_assert!(!label.contains([':', ';', ',', '#', '"', '\'', '`', '<', '>', '{', '}', '\\']), "{}", label);
            prop_assert!(!label.contains("%%"), "{}", label);
            prop_assert!(!label.chars().any(char::is_control) && label.chars().count() <= 80, "{}", label);
            prop_assert!(label.starts_with(['[', '\u{2060}']), "{}", label);
        }

        #[test]
        fn a_fence_ends_where_it_should(lines in prop::collection::vec(nasty(), 0..6)) {
            let block = fence(&lines, 100);
            let mark = block.last().unwrap().clone();
            prop_assert!(mark.len() >= 3);
            prop_assert!(block[1..block.len() - 1].iter().all(|line| !line.contains(&mark) && !line.contains('\n')));
        }
    }
}

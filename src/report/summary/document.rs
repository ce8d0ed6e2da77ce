//! A Markdown text that never grows over its limit and never ends inside a fence, a table's row or a `<details>`.

/// What stands at the end of a text that was cut.
const CUT_NOTE: &str = "\n*This report was cut to fit GitHub's limit; the log has everything.*\n";

/// A Markdown text under construction.
///
/// Blocks are appended whole or not at all, long ones (tables, fences) line by line. What is appended first survives.
#[derive(Debug)]
pub(super) struct Document {
    text: String,
    limit: usize,
    /// Bytes kept free for what closes the open elements.
    reserved: usize,
    cut: bool,
}

impl Document {
    /// An empty text of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { text: String::new(), limit, reserved: CUT_NOTE.len(), cut: false }
    }

    /// Appends a block of its own (a heading, a paragraph), parted from what stands before it.
    pub(super) fn block(&mut self, block: &str) {
        let gap = if self.text.is_empty() { "" } else { "\n" };
        self.push_whole(&format!("{gap}{block}\n"));
    }

    /// Appends an alert of GitHub's: `NOTE`, `TIP`, `IMPORTANT`, `WARNING` or `CAUTION`. A line is a paragraph.
    pub(super) fn alert(&mut self, kind: &str, lines: &[String]) {
        self.block(&format!("> [!{kind}]\n> {}", lines.join("\n>\n> ")));
    }

    /// Appends a table, as many rows of it as there is room for. `head` has the names and the alignments.
    pub(super) fn table(&mut self, head: &[(&str, Align)], rows: impl IntoIterator<Item = Vec<String>>) {
        let names: Vec<String> = head.iter().map(|(name, _)| (*name).to_owned()).collect();
        let aligns: Vec<&str> = head.iter().map(|(_, align)| align.rule()).collect();
        let mut rows = rows.into_iter().map(|row| table_row(&row));
        // A table without a row is not drawn as a table.
        let Some(first) = rows.next() else { return };
        if !self.push_whole(&format!("\n{}\n|{}|\n{first}\n", table_row(&names), aligns.join("|"))) {
            return;
        }
        for row in rows {
            if !self.push_whole(&format!("{row}\n")) {
                return;
            }
        }
    }

    /// Appends list items, as many as there is room for.
    pub(super) fn list(&mut self, items: &[String]) {
        self.block("");
        for item in items {
            if !self.push_whole(&format!("{item}\n")) {
                return;
            }
        }
    }

    /// Appends a fenced block whose first and last line are its fences; inner lines are left out if there is no room.
    pub(super) fn fenced(&mut self, lines: &[String]) {
        let [open, inner @ .., close] = lines else { return };
        self.enclosed(&format!("\n{open}\n"), &format!("{close}\n"), |document| {
            for line in inner {
                if !document.push_whole(&format!("{line}\n")) {
                    return;
                }
            }
        });
    }

    /// Appends a folded part. `summary` is HTML.
    pub(super) fn details(&mut self, summary: &str, fill: impl FnOnce(&mut Self)) {
        self.enclosed(&format!("\n<details><summary>{summary}</summary>\n"), "\n</details>\n", fill);
    }

    /// The text, with a note at its end if something was left out.
    pub(super) fn finish(mut self) -> String {
        if self.cut {
            self.text.push_str(CUT_NOTE);
        }
        self.text
    }

    fn enclosed(&mut self, open: &str, close: &str, fill: impl FnOnce(&mut Self)) {
        self.reserved += close.len();
        let opened = self.push_whole(open);
        if opened {
            fill(self);
        }
        self.reserved -= close.len();
        if opened {
            self.text.push_str(close);
        }
    }

    /// Appends if it fits, and says whether it did.
    fn push_whole(&mut self, part: &str) -> bool {
        let fits = self.text.len() + part.len() + self.reserved <= self.limit;
        if fits {
            self.text.push_str(part);
        }
        self.cut |= !fits;
        fits
    }
}

/// How a column is aligned.
#[derive(Debug, Clone, Copy)]
pub(super) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

impl Align {
    fn rule(self) -> &'static str {
        match self {
            Self::Left => ":--",
            Self::Right => "--:",
        }
    }
}

fn table_row(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::{Align, CUT_NOTE, Document};

    fn sample(limit: usize) -> String {
        let mut document = Document::new(limit);
        document.block("# head");
        document.details("more", |document| {
            document.table(&[("n", Align::Right)], (0..40).map(|n| vec![n.to_string()]));
            document.fenced(&["```text".into(), "one".into(), "two".into(), "```".into()]);
        });
        document.finish()
    }

    #[test]
    fn is_whole_where_there_is_room() {
        let text = sample(10_000);
        assert!(text.starts_with("# head\n\n<details><summary>more</summary>\n\n| n |\n|--:|\n| 0 |\n| 1 |\n"));
        assert!(text.ends_with("| 39 |\n\n```text\none\ntwo\n```\n\n</details>\n"));
    }

    #[test]
    fn closes_what_it_opened_whatever_the_limit() {
        let whole = sample(10_000).len();
        for limit in CUT_NOTE.len()..=whole + CUT_NOTE.len() {
            let text = sample(limit);
            assert!(text.len() <= limit, "{limit}");
            assert_eq!(text.matches("<details>").count(), text.matches("</details>").count(), "{limit}: {text}");
            assert_eq!(text.lines().filter(|line| line.starts_with("```")).count() % 2, 0, "{limit}: {text}");
            assert!(text.lines().filter(|line| line.starts_with('|')).all(|line| line.ends_with('|')), "{limit}");
            let is_whole = text.contains("| 39 |") && text.contains("two");
            assert_eq!(text.ends_with(CUT_NOTE), !is_whole, "{limit}: {text}");
        }
    }
}

//! Lines out of the chunks in which a process's output arrives.

/// A line longer than this is cut; nothing that a person reads is. The collector cuts again, and much shorter, once
/// everything that must not be shown is replaced: a cut through a secret would show its beginning.
const LONGEST: usize = 128 << 10;

/// The unfinished line of one vertex.
#[derive(Debug, Default)]
pub(super) struct LineBuffer {
    pending: Vec<u8>,
    cut: bool,
}

impl LineBuffer {
    /// Takes a chunk and gives the lines that it completes.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            let (text, complete) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let room = LONGEST.saturating_sub(self.pending.len());
            self.cut |= text.len() > room;
            self.pending.extend(text.iter().take(room));
            if complete {
                lines.extend(self.finish());
            }
        }
        lines
    }

    /// The unfinished line, if there is one.
    pub(super) fn finish(&mut self) -> Option<String> {
        let bytes = std::mem::take(&mut self.pending);
        let cut = std::mem::take(&mut self.cut);
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end_matches('\r');
        // A progress bar redraws itself with carriage returns: what it last showed is what a person would see.
        let shown = text.rsplit('\r').next().unwrap_or_default();
        if cut { Some(format!("{shown} […]")) } else { Some(shown.to_owned()) }
    }

    /// Whether a line is unfinished.
    pub(super) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, LineBuffer};

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let mut buffer = LineBuffer::default();
        assert_eq!(buffer.push(b"one\ntw"), ["one"]);
        assert_eq!(buffer.push(b"o\r\n\n"), ["two", ""]);
        assert_eq!(buffer.push(b" 10%\r 50%\r100%\n"), ["100%"]);
        assert!(buffer.push(b"end").is_empty() && buffer.is_pending());
        assert_eq!(buffer.finish().as_deref(), Some("end"));
        assert!(!buffer.is_pending());
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut buffer = LineBuffer::default();
        for _ in 0..40 {
            buffer.push(&[b'x'; 4096]);
        }
        let line = buffer.push(b"y\nnext\n");
        assert_eq!(line[0].len(), LONGEST + " […]".len());
        assert_eq!(line[1], "next");
    }
}

//! What only somebody who debugs wants to read: the program's own trace, as `::debug::` lines.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::runner::Console;

/// Lets the trace be seen where the runner debugs (`RUNNER_DEBUG`). Everywhere else it costs nothing.
pub fn trace_to(console: &Console, wanted: bool) {
    if !wanted {
        return;
    }
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("watchparty_cache=debug"))
        .with_ansi(false)
        .without_time()
        .with_writer(Lines(console.clone()))
        .finish();
    // A second run in the same process keeps the first one's.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

struct Lines(Console);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { console: self.0.clone(), text: Vec::new() }
    }
}

/// One event; printed when it is complete.
struct Line {
    console: Console,
    text: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.text);
        if !text.trim().is_empty() {
            self.console.debug(text.trim_end());
        }
    }
}

//! Entries with options: `what;option;option=value`.

/// The part before the first `;`, and the options after it, trimmed; empty ones are left out.
pub(super) fn split(text: &str) -> (&str, impl Iterator<Item = (&str, Option<&str>)>) {
    let mut parts = text.split(';').map(str::trim);
    let head = parts.next().unwrap_or_default();
    let options = parts.filter(|part| !part.is_empty()).map(|part| match part.split_once('=') {
        Some((option, value)) => (option.trim(), Some(value.trim())),
        None => (part, None),
    });
    (head, options)
}

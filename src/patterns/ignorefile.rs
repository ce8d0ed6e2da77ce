//! `.dockerignore` files (`github.com/moby/patternmatcher/ignorefile`).

use super::slash_path::clean;

/// The patterns of an ignore file, in its order.
///
/// A byte order mark, comments and blank lines are dropped; paths are cleaned and a leading `/` is dropped, so that
/// `/some/path` and `some/path` are the same. A `#` is a comment at the first column only.
///
/// Bytes that are not UTF-8 are replaced: a pattern with one of them matches nothing that can be sent.
pub fn read(content: &[u8]) -> Vec<String> {
    let content = content.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(content);
    String::from_utf8_lossy(content).lines().filter_map(read_line).collect()
}

fn read_line(line: &str) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let line = line.trim();
    if line.is_empty() {
        return None;
    }
    Some(match line.strip_prefix('!') {
        Some(exception) => format!("!{}", normalise(exception.trim())),
        None => normalise(line),
    })
}

fn normalise(pattern: &str) -> String {
    if pattern.is_empty() {
        return String::new();
    }
    let cleaned = clean(pattern);
    match cleaned.strip_prefix('/') {
        Some(relative) if !relative.is_empty() => relative.to_owned(),
        _ => cleaned,
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn reads_every_kind_of_line() {
        let content = b"\xEF\xBB\xBF# comment\r\n\
            \n   \n  spaces around \n\
            /rooted\n./dotted/../x\na//b/\n\
            !kept\n! /also/kept \n!\n/\n #not-a-comment\n\
            **/deep\n../above";
        assert_eq!(
            read(content),
            [
                "spaces around",
                "rooted",
                "x",
                "a/b",
                "!kept",
                "!also/kept",
                "!",
                "/",
                "#not-a-comment",
                "**/deep",
                "../above"
            ]
        );
    }

    #[test]
    fn an_empty_file_has_no_patterns() {
        assert!(read(b"").is_empty());
        assert!(read(b"\xEF\xBB\xBF").is_empty());
    }

    #[test]
    fn a_mark_is_dropped_before_a_comment() {
        assert!(read(b"\xEF\xBB\xBF#comment").is_empty());
    }
}

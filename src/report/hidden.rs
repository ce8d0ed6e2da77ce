//! What a report holds for later runs and shows nobody: HTML comments.

use sha2::{Digest, Sha256};

use crate::outcome::record::{Record, SCHEMA};

const OPEN: &str = "<!-- watchparty-cache build record\n";
const CLOSE: &str = "\n-->\n";
/// Bytes of the largest record that is written: the rest of a check run's text is for people.
const MAX_RECORD: usize = 32 * 1024;

/// A build record as a comment; empty if it is too large, or a time in it is none.
pub fn record(record: &Record) -> String {
    let json = serde_json::to_string(record).unwrap_or_default();
    // Both stand in strings only, where they can be written otherwise; without them nothing ends the comment.
    let json = json.replace("--", "-\\u002d").replace('<', "\\u003c").replace('>', "\\u003e");
    if json.is_empty() || json.len() > MAX_RECORD { String::new() } else { format!("{OPEN}{json}{CLOSE}") }
}

/// The build record that a text begins with, if this program can read it.
pub fn read_record(text: &str) -> Option<Record> {
    // GitHub keeps line ends as they were written, and some of what edits texts does not.
    let text = text.replace("\r\n", "\n");
    let (json, _) = text.strip_prefix(OPEN)?.split_once(CLOSE.trim_end())?;
    let record: Record = serde_json::from_str(json).ok()?;
    (record.schema == SCHEMA).then_some(record)
}

/// What finds the comment of one subject (a workflow, a project, …) among those of a pull request.
pub fn marker(subject: &[&str]) -> String {
    format!("<!-- watchparty-cache comment {} -->", digest(subject, 8))
}

/// A digest of so many bytes over words that cannot run into each other: none has a zero byte.
pub(super) fn digest(words: &[&str], bytes: usize) -> String {
    let digest = Sha256::digest(words.join("\0"));
    digest.iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{marker, read_record, record};
    use crate::outcome::record::Record;
    use crate::report::fixtures;

    #[test]
    fn a_record_comes_back() {
        let written = Record { branch: Some("main".into()), ..Record::of(&fixtures::warm(), "linux") };
        let text = record(&written) + "\nmore text -->";
        assert_eq!(read_record(&text), Some(written.clone()));
        assert_eq!(read_record(&text.replace('\n', "\r\n")), Some(written.clone()));
        insta::assert_snapshot!(record(&written));
        for other in [
            text.replace("\"schema\":1", "\"schema\":2"),
            format!("x{text}"),
            text.replace("\n-->", ""),
            text.replace("\"kind\"", "\"sort\""),
            String::new(),
        ] {
            assert_eq!(read_record(&other), None, "{other}");
        }
    }

    #[test]
    fn a_record_that_is_too_large_is_left_out() {
        assert_eq!(record(&Record::of(&fixtures::huge(), &"x".repeat(40_000))), "");
    }

    #[test]
    fn markers_are_of_a_workflow_and_a_project() {
        assert_eq!(marker(&["CI", "app"]), marker(&["CI", "app"]));
        let all =
            [&["CI", "app"][..], &["CI", "web"], &["nightly", "app"], &["C", "Iapp"], &["CI", "app", "x"]].map(marker);
        assert!(all.iter().enumerate().all(|(index, one)| !all[..index].contains(one)));
    }

    proptest! {
        #[test]
        fn nothing_in_a_record_ends_its_comment(name in "(-|>|<|!|\\PC|\n){0,20}") {
            let mut written = Record::of(&fixtures::one_image(), "linux");
            written.images[0].name = name;
            let text = record(&written);
            prop_assert_eq!(text.matches("--").count(), 2, "{}", text);
            prop_assert_eq!(text.matches('>').count(), 1, "{}", text);
            prop_assert_eq!(read_record(&text), Some(written));
        }
    }
}

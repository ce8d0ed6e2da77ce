//! What reports say of reasons, advice and baselines: one wording for the log, the summary, the check run and the comment.
//!
//! Each function takes a `name` that writes what comes from a build for the place where the words go: as code, escaped,
//! or as it is. Nothing else of a build gets into a sentence.

pub(crate) mod advice;
pub(crate) mod baseline;
pub(crate) mod push;
pub(crate) mod reason;
pub(crate) mod step;

/// `a`, `a and b`, `a, b and c`, `a, b and 7 more`: at most `shown` of them by name.
pub(crate) fn list(items: &[String], shown: usize, name: impl Fn(&str) -> String) -> String {
    let (named, more) = match items.len().checked_sub(shown) {
        None | Some(0) => (items.len(), 0),
        // There is no point in a count of one: its name is as short.
        Some(1) => (shown + 1, 0),
        Some(more) => (shown, more),
    };
    let mut words: Vec<String> = items.iter().take(named).map(|item| name(item)).collect();
    words.extend((more > 0).then(|| format!("{more} more")));
    join(words)
}

/// `a, b and c`.
pub(super) fn join(mut words: Vec<String>) -> String {
    match (words.pop(), words.is_empty()) {
        (None, _) => String::new(),
        (Some(last), true) => last,
        (Some(last), false) => format!("{} and {last}", words.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::list;

    #[test]
    fn lists_read_as_sentences_do() {
        let items: Vec<String> = ["a", "b", "c", "d", "e"].map(String::from).to_vec();
        let of = |count: usize| list(&items[..count], 3, |item| format!("'{item}'"));
        assert_eq!(
            [0, 1, 2, 3, 4, 5].map(of),
            ["", "'a'", "'a' and 'b'", "'a', 'b' and 'c'", "'a', 'b', 'c' and 'd'", "'a', 'b', 'c' and 2 more"]
        );
    }
}

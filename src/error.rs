//! Errors as a person reads them.

use std::error::Error;

/// An error and everything behind it, as one line: `open a session: connect to …: refused`.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        // A cause that its effect has quoted already says nothing new.
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #[derive(Debug, thiserror::Error)]
    #[error("open the file")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_are_appended_once() {
        let error = |cause: &str| Outer(std::io::Error::other(cause.to_owned()));
        assert_eq!(super::chain(&error("no such file")), "open the file: no such file");
        assert_eq!(super::chain(&error("the file")), "open the file");
    }
}

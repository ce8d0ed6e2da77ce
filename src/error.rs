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
    use std::io;

    use crate::buildkit::BuildKitError;

    #[test]
    fn causes_are_appended_once() {
        let source = io::Error::other("no such file");
        let error = BuildKitError::Connect { address: "unix:///x".to_owned(), source };
        assert_eq!(super::chain(&error), "connect to BuildKit at unix:///x: no such file");
    }
}

//! Paths of the API, with every value in them encoded.

use std::fmt::{self, Write};

/// A path below the API's base, and its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    path: String,
    query: String,
}

impl Route {
    /// A path of these segments. A slash inside of one is part of its name: `app/cache` is one package.
    pub fn new<S: AsRef<str>>(segments: impl IntoIterator<Item = S>) -> Self {
        let mut path = String::new();
        for segment in segments {
            path.push('/');
            encode(segment.as_ref(), &mut path);
        }
        Self { path, query: String::new() }
    }

    /// The same with one more value in its query.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.query.push(if self.query.is_empty() { '?' } else { '&' });
        encode(name, &mut self.query);
        self.query.push('=');
        encode(value, &mut self.query);
        self
    }

    /// The page of a list after this one, by its number.
    pub(super) fn next_page(&self) -> Self {
        let page = self.number("page").unwrap_or(1).saturating_add(1);
        let pairs = self.pairs().filter(|(name, _)| *name != "page");
        let others: Vec<String> = pairs.map(|(name, value)| format!("{name}={value}")).collect();
        let query = others.into_iter().chain([format!("page={page}")]).collect::<Vec<_>>().join("&");
        Self { path: self.path.clone(), query: format!("?{query}") }
    }

    /// How many entries a full page has, if that is asked for.
    pub(super) fn page_size(&self) -> Option<usize> {
        self.number("per_page")
    }

    fn number(&self, name: &str) -> Option<usize> {
        self.pairs().find(|(known, _)| *known == name)?.1.parse().ok()
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.query.trim_start_matches('?').split('&').filter_map(|pair| pair.split_once('='))
    }

    /// A page of a list, as its answer named it.
    pub(super) fn of_link(path_and_query: &str) -> Self {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let query = if query.is_empty() { String::new() } else { format!("?{query}") };
        Self { path: path.to_owned(), query }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.path, self.query)
    }
}

/// Percent-encodes all but the unreserved characters (RFC 3986, section 2.3).
fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            into.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Route;

    #[test]
    fn every_value_is_encoded() {
        let route = Route::new(["repos", "octo", "commits", "heads/a b", "check-runs"]);
        assert_eq!(route.to_string(), "/repos/octo/commits/heads%2Fa%20b/check-runs");
        let route = Route::new(["x"]).with("check_name", "a & b?").with("per_page", "100");
        assert_eq!(route.to_string(), "/x?check_name=a%20%26%20b%3F&per_page=100");
        assert_eq!(Route::of_link("/x?page=2&a=b").to_string(), "/x?page=2&a=b");
        assert_eq!(Route::of_link("/x").to_string(), "/x");
    }

    #[test]
    fn pages_are_counted() {
        let first = Route::new(["x"]).with("per_page", "100").with("sha", "a=b");
        assert_eq!(first.next_page().to_string(), "/x?per_page=100&sha=a%3Db&page=2");
        assert_eq!(first.next_page().next_page().to_string(), "/x?per_page=100&sha=a%3Db&page=3");
        assert_eq!(Route::new(["x"]).next_page().to_string(), "/x?page=2");
        assert_eq!((first.page_size(), Route::new(["x"]).page_size()), (Some(100), None));
    }
}

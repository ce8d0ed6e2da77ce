//! The process environment as a value, so that everything that reads it can be tested.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

/// A snapshot of environment variables. `Debug` shows their names only: values can be secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The environment of this process. Bytes that are not UTF-8 are replaced, as nothing here can use them.
    pub fn of_process() -> Self {
        Self::from_os(std::env::vars_os())
    }

    fn from_os(variables: impl Iterator<Item = (OsString, OsString)>) -> Self {
        Self(
            variables
                .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
                .collect(),
        )
    }

    /// The value of a variable, the empty string included.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of a variable; the runner sets what it does not know to the empty string, so that counts as unset.
    pub fn non_empty(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// All variables, for who interpolates with them.
    pub const fn variables(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// All variables, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    use super::Environment;

    #[test]
    fn never_shows_values() {
        let environment = Environment::from_iter([("TOKEN", "hunter2"), ("EMPTY", "")]);
        assert_eq!(format!("{environment:?}"), r#"{"EMPTY", "TOKEN"}"#);
        assert_eq!((environment.get("EMPTY"), environment.non_empty("EMPTY")), (Some(""), None));
    }

    #[test]
    fn survives_bytes_that_are_not_text() {
        let environment =
            Environment::from_os([(OsString::from("A"), OsString::from_vec(vec![b'x', 0xff]))].into_iter());
        assert_eq!(environment.get("A"), Some("x\u{fffd}"));
    }
}

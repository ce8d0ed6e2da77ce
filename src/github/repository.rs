//! The name of a repository.

use std::fmt;
use std::str::FromStr;

/// `owner/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// A person or an organisation.
    pub owner: String,
    /// Its name.
    pub name: String,
}

/// A text is not `owner/name`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a repository")]
pub struct RepositoryError(String);

impl FromStr for Repository {
    type Err = RepositoryError;

    fn from_str(text: &str) -> Result<Self, RepositoryError> {
        match text.split_once('/') {
            Some((owner, name)) if !owner.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
            }
            _ => Err(RepositoryError(text.to_owned())),
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::Repository;

    #[test]
    fn is_an_owner_and_a_name() {
        assert_eq!("octo/app".parse::<Repository>().map(|parsed| parsed.to_string()), Ok("octo/app".to_owned()));
        for text in ["", "octo", "octo/", "/app", "octo/app/x"] {
            assert!(text.parse::<Repository>().is_err(), "{text}");
        }
    }
}

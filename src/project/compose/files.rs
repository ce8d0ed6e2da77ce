//! Reading the files that a project names.

use std::io::ErrorKind;
use std::path::Path;

use super::errors::Problem;

/// A file's text. `role` is what messages call it.
pub(super) fn read(role: &'static str, path: &Path) -> Result<String, Problem> {
    std::fs::read_to_string(path).map_err(|source| match source.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Problem::MissingFile { role, path: path.to_owned() },
        _ => Problem::ReadFile { role, path: path.to_owned(), source },
    })
}

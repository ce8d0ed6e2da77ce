//! What must not be shown: secrets that only the project names, and the contents of secret files.
//!
//! Secrets of the inputs are masked before anything is said (`runner::mask`); these are known later, and in time: nothing
//! of a build has been said yet.

use crate::buildkit::mask::Masks;
use crate::buildkit::session::MAX_SECRET;
use crate::project::target::{SecretSource, Target};
use crate::runner::Console;
use crate::secret::Secret;

/// The runner masks whatever it is told, also `{` or `true`: shorter lines of a file are not told, only replaced.
const SHORTEST_LINE: usize = 8;

/// Masks a target's secrets on the runner, and gives what hides them, and the values of arguments, in the build's texts.
pub(super) fn mask(console: &Console, target: &Target) -> Masks {
    let mut secrets = Vec::new();
    for secret in &target.secrets {
        match &secret.source {
            SecretSource::Value(value) => {
                console.mask(value);
                secrets.push(value.clone());
            }
            SecretSource::File(path) => {
                let Some(text) = std::fs::read(path).ok().filter(|bytes| bytes.len() <= MAX_SECRET) else { continue };
                // What is not text is not printed as it is either.
                let Ok(text) = String::from_utf8(text) else { continue };
                let lines = text.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE);
                lines.for_each(|line| console.mask(&Secret::new(line)));
                secrets.push(Secret::new(text.trim_end()));
            }
        }
    }
    Masks::new(&target.build_args, &secrets)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::mask;
    use crate::project::target::{BuildSecret, Context, Dockerfile, SecretSource, Target};
    use crate::runner::{Console, Mode};
    use crate::secret::Secret;

    #[test]
    fn contents_of_files_are_hidden_as_values_are() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        std::fs::write(&file, "{\n  first-line-of-it\n}\n").unwrap();
        let secret = |id: &str, source| BuildSecret { id: id.to_owned(), source };
        let context = Context::Local(PathBuf::from("/w"));
        let target = Target {
            secrets: vec![
                secret("file", SecretSource::File(file)),
                secret("gone", SecretSource::File(directory.path().join("gone"))),
                secret("value", SecretSource::Value(Secret::new("hunter22"))),
            ],
            ..Target::new("app", context, Dockerfile::InContext("Dockerfile".to_owned()))
        };
        let masks = mask(&Console::new(Mode::Plain, false, std::io::sink()), &target);
        assert_eq!(masks.apply("a first-line-of-it {} hunter22"), "a *** {} ***");
    }
}

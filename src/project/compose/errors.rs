//! What can be wrong with a Compose project, where, and the way out.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::dotenv::DotenvError;
use super::interpolation::InterpolationError;
use crate::image::ReferenceError;

/// A position in a Compose file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, absolute.
    pub file: Arc<PathBuf>,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// One problem of a Compose project, with its place and the key it concerns.
#[derive(Debug, thiserror::Error)]
#[error("{}{}{problem}", place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default(), prefix(key))]
pub struct ComposeError {
    /// Where it is; absent for what no file says (a wanted service, the environment).
    pub place: Option<Place>,
    /// The path of the key, as `services.web.build.args`; empty at the top of a file.
    pub key: String,
    /// What it is.
    #[source]
    pub problem: Problem,
}

fn prefix(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!("{key}: ") }
}

impl ComposeError {
    /// What to do about it, in one sentence.
    pub fn help(&self) -> String {
        self.problem.help()
    }
}

/// Everything that is wrong with a Compose project; never empty.
#[derive(Debug)]
pub struct ComposeErrors(pub(super) Vec<ComposeError>);

impl ComposeErrors {
    /// The problems in the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, ComposeError> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a ComposeErrors {
    type Item = &'a ComposeError;
    type IntoIter = std::slice::Iter<'a, ComposeError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One line per problem, each followed by its way out.
impl fmt::Display for ComposeErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}\n  help: {}", error.help())?;
        }
        Ok(())
    }
}

impl std::error::Error for ComposeErrors {}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// No Compose file was named.
    #[error("no Compose file was named")]
    NoFile,
    /// A file that is named does not exist.
    #[error("the {role} '{}' does not exist", path.display())]
    MissingFile {
        /// `Compose file`, `env file`, …
        role: &'static str,
        /// Its absolute path.
        path: PathBuf,
    },
    /// A file that is named cannot be read.
    #[error("cannot read the {role} '{}'", path.display())]
    ReadFile {
        /// `Compose file`, `env file`, …
        role: &'static str,
        /// Its absolute path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The text is not YAML.
    #[error("invalid YAML: {message}")]
    Syntax {
        /// The parser's own words.
        message: String,
    },
    /// A mapping's key is a number, a list, …
    #[error("a key must be a string")]
    NonStringKey,
    /// All files together say nothing.
    #[error("empty Compose file")]
    Empty,
    /// A value of another type than the key takes.
    #[error("expected {expected}, found {found}")]
    Type {
        /// What the key takes.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A key that Compose does not know at this place.
    #[error("unknown key '{key}'")]
    UnknownKey {
        /// The key as written.
        key: String,
        /// The known key that it resembles.
        nearest: Option<&'static str>,
    },
    /// A value that the key does not take.
    #[error("invalid value '{value}': expected {expected}")]
    Value {
        /// The value as it is after interpolation.
        value: String,
        /// What the key takes.
        expected: &'static str,
    },
    /// A name that is not an image reference.
    #[error("invalid image name '{name}': {source}")]
    ImageName {
        /// The name.
        name: String,
        /// Why not.
        #[source]
        source: ReferenceError,
    },
    /// A name in the namespace that this program keeps for itself.
    #[error("image name '{name}' lies in the reserved namespace '{}/'", crate::image::RESERVED_NAMESPACE)]
    ReservedImage {
        /// The name.
        name: String,
    },
    /// A key or a value that Compose knows and a build on a Linux engine cannot serve.
    #[error("{what} cannot be served")]
    Unsupported {
        /// What cannot.
        what: String,
        /// The way out.
        help: &'static str,
    },
    /// Two keys that exclude each other.
    #[error("'{first}' and '{second}' are mutually exclusive")]
    Exclusive {
        /// One of them.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// A key that must be there is not.
    #[error("'{key}' is missing")]
    MissingKey {
        /// The key, or the keys of which one must be set.
        key: &'static str,
    },
    /// A reference to something that the project does not define.
    #[error("{kind} '{name}' is not defined{}", file.as_ref().map(|file| format!(" in '{}'", file.display())).unwrap_or_default())]
    Undefined {
        /// `service` or `secret`.
        kind: &'static str,
        /// The name that is used.
        name: String,
        /// Where it was looked for, if not in the whole project.
        file: Option<PathBuf>,
        /// The names that exist.
        existing: Vec<String>,
    },
    /// `service:x` where `x` has no `build:`.
    #[error("service '{name}' has no build section")]
    NotBuildable {
        /// The service named.
        name: String,
    },
    /// A service that says neither what to run nor what to build.
    #[error("neither an image nor a build context is specified")]
    NeitherImageNorBuild,
    /// `platform` is not one of `build.platforms`.
    #[error("platform '{platform}', set by {origin}, is not in build.platforms")]
    Platform {
        /// The platform.
        platform: String,
        /// `platform` or `DOCKER_DEFAULT_PLATFORM`.
        origin: &'static str,
    },
    /// A variable cannot be substituted.
    #[error(transparent)]
    Interpolation(#[from] InterpolationError),
    /// An env file cannot be understood.
    #[error("{}:{source}", path.display())]
    EnvFile {
        /// The env file.
        path: PathBuf,
        /// Its line and what is wrong there.
        #[source]
        source: DotenvError,
    },
    /// Two files give one key values that cannot be merged.
    #[error("cannot merge {over} into {base}")]
    Merge {
        /// What the earlier file has.
        base: &'static str,
        /// What the later file has.
        over: &'static str,
    },
    /// `extends` or `include` leads back to itself, or `service:` contexts do.
    #[error("{what} cycle: {}", chain.join(" -> "))]
    Cycle {
        /// `extends`, `include` or `additional_contexts`.
        what: &'static str,
        /// The way from the start to the start.
        chain: Vec<String>,
    },
    /// The project has no usable name.
    #[error("invalid project name '{name}'")]
    ProjectName {
        /// The name found.
        name: String,
    },
}

impl Problem {
    fn help(&self) -> String {
        match self {
            Self::NoFile => "name at least one file in 'compose-file'".to_owned(),
            Self::MissingFile { role: "env file", .. } => {
                "create it, commit it, or remove the reference to it".to_owned()
            }
            Self::MissingFile { .. } => {
                "check the path, and that the repository was checked out before this step".to_owned()
            }
            Self::ReadFile { .. } => "make it a readable file of UTF-8 text".to_owned(),
            Self::Syntax { message } => syntax_help(message).to_owned(),
            Self::NonStringKey => "put the key in quotes".to_owned(),
            Self::Empty => "add a 'services:' section".to_owned(),
            Self::Type { expected, .. } if *expected == "a string" => "put the value in quotes".to_owned(),
            Self::Type { expected, .. } => format!("write {expected} here"),
            Self::UnknownKey { nearest: Some(nearest), .. } => format!("did you mean '{nearest}'?"),
            Self::UnknownKey { nearest: None, .. } => {
                "remove it, or start its name with 'x-' if it is an extension".to_owned()
            }
            Self::Value { expected, .. } => format!("write {expected}, and check the variables used here"),
            Self::ImageName { .. } => {
                "use lower case letters, digits and '.', '_', '-', '/'; set 'image:' if the name is Compose's default".to_owned()
            }
            Self::ReservedImage { .. } => "choose another name".to_owned(),
            Self::Unsupported { help, .. } => (*help).to_owned(),
            Self::Exclusive { first, second } => format!("remove '{first}' or '{second}'"),
            Self::MissingKey { key } => format!("add {key}"),
            Self::Undefined { kind, existing, .. } if existing.is_empty() => {
                format!("define it under '{kind}s:'; there is no {kind} yet")
            }
            Self::Undefined { kind, existing, .. } => format!("existing {kind}s: {}", existing.join(", ")),
            Self::NotBuildable { name } => format!("give '{name}' a 'build:' section, or use 'docker-image://' instead"),
            Self::NeitherImageNorBuild => "add 'image:' or 'build:' to the service".to_owned(),
            Self::Platform { platform, .. } => format!("add '{platform}' to build.platforms"),
            Self::Interpolation(error) => error.help(),
            Self::EnvFile { source, .. } => source.help().to_owned(),
            Self::Merge { .. } => {
                "use the same form in both files, or tag the later one with '!override'".to_owned()
            }
            Self::Cycle { what, .. } => format!("remove one '{what}' of the cycle"),
            Self::ProjectName { .. } => {
                "set COMPOSE_PROJECT_NAME or 'name:' to lower case letters, digits, '-' and '_', starting with a letter or digit".to_owned()
            }
        }
    }
}

fn syntax_help(message: &str) -> &'static str {
    if message.contains("tab") {
        "expected spaces: YAML does not allow tabs for indentation"
    } else if message.contains("duplicated key") {
        "expected each key once: merge the two or remove one"
    } else if message.contains(':') || message.contains("mapping values") {
        "expected one 'key: value' per line: check the indentation, and quote values that contain ': '"
    } else if message.contains("quoted") {
        "expected a closing quote"
    } else {
        "expected valid YAML: check the indentation, brackets and quotes near this place"
    }
}

/// Collects what a load finds, so that all of it can be told at once.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) errors: Vec<ComposeError>,
    pub(super) warnings: Vec<String>,
}

impl Report {
    pub(super) fn error(&mut self, place: &Place, key: impl Into<String>, problem: Problem) {
        self.errors.push(ComposeError { place: Some(place.clone()), key: key.into(), problem });
    }

    /// An error that no file is to blame for.
    pub(super) fn error_without_place(&mut self, key: impl Into<String>, problem: Problem) {
        self.errors.push(ComposeError { place: None, key: key.into(), problem });
    }

    /// Adds a warning once.
    pub(super) fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

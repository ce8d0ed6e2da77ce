//! The parts of a Dockerfile that a build has to know beforehand: its arguments, its stages, and what they copy from.
//!
//! Whatever is not needed is not checked: BuildKit itself reports syntax errors, in its own words.

mod expand;
mod lines;
mod locate;
mod stages;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use expand::expand;
pub use lines::{Instruction, Lines};
pub use stages::IntermediateStage;

/// A Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    text: String,
    syntax: Option<String>,
    escape: char,
    global_args: Vec<Arg>,
    stages: Vec<Stage>,
}

/// An `ARG`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arg {
    /// Its name.
    pub name: String,
    /// Its default as written, with quotes and variables.
    pub default: Option<String>,
    /// Where it stands.
    pub line: u32,
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    name: Option<String>,
    base: String,
    lines: Lines,
    args: Vec<Arg>,
    instructions: Vec<Instruction>,
}

impl Stage {
    /// The name after `AS`, in lower case.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What it is `FROM`, as written.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Its own arguments. A global one without a declaration here is not visible in the stage.
    pub fn args(&self) -> &[Arg] {
        &self.args
    }

    /// What follows its `FROM`.
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }
}

/// Why a text is not a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DockerfileError {
    /// `# escape=` with anything but a backslash or a backtick.
    #[error("line {line}: invalid escape character '{value}'")]
    InvalidEscape {
        /// What it says.
        value: String,
        /// Where.
        line: u32,
    },
    /// The file ends before its heredoc does.
    #[error("line {line}: unterminated heredoc '{name}'")]
    UnterminatedHeredoc {
        /// The word that would end it.
        name: String,
        /// Where its instruction begins.
        line: u32,
    },
    /// A `FROM` that is not `FROM image` or `FROM image AS name`.
    #[error("line {line}: FROM requires either one or three arguments")]
    InvalidFrom {
        /// Where.
        line: u32,
    },
    /// An instruction but `ARG` before the first `FROM`.
    #[error("line {line}: no build stage in current context: {keyword} comes before the first FROM")]
    NoStageYet {
        /// The instruction.
        keyword: String,
        /// Where.
        line: u32,
    },
    /// No `FROM` at all.
    #[error("file with no instructions: there is no FROM")]
    NoStage,
}

impl DockerfileError {
    /// The line, where there is one.
    pub fn line(&self) -> Option<u32> {
        match self {
            Self::InvalidEscape { line, .. }
            | Self::UnterminatedHeredoc { line, .. }
            | Self::InvalidFrom { line }
            | Self::NoStageYet { line, .. } => Some(*line),
            Self::NoStage => None,
        }
    }

    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::InvalidEscape { .. } => "Write '# escape=\\' or '# escape=`'.",
            Self::UnterminatedHeredoc { .. } => "Write the heredoc's word alone on a line after its last one.",
            Self::InvalidFrom { .. } => "Write 'FROM image' or 'FROM image AS name'.",
            Self::NoStageYet { .. } => "Move it below a FROM; only ARG may stand above the first.",
            Self::NoStage => "Check that this is the Dockerfile that is meant.",
        }
    }
}

/// The frontend image that a `# syntax=` directive names.
///
/// A file for another frontend than Docker's own need not be a Dockerfile at all: ask this first, and do not take an
/// error of [`Dockerfile::parse`] as final then.
pub fn syntax(text: &str) -> Option<&str> {
    lines::syntax(text)
}

impl Dockerfile {
    /// Reads a Dockerfile.
    ///
    /// # Errors
    /// What leaves no doubt that BuildKit refuses the file too.
    pub fn parse(text: &str) -> Result<Self, DockerfileError> {
        let split = lines::split(text)?;
        let mut dockerfile = Self {
            text: text.to_owned(),
            syntax: syntax(text).map(str::to_owned),
            escape: split.escape,
            global_args: Vec::new(),
            stages: Vec::new(),
        };
        for instruction in split.instructions {
            dockerfile.add(instruction)?;
        }
        if dockerfile.stages.is_empty() { Err(DockerfileError::NoStage) } else { Ok(dockerfile) }
    }

    fn add(&mut self, instruction: Instruction) -> Result<(), DockerfileError> {
        match (instruction.keyword.as_str(), self.stages.last_mut()) {
            ("FROM", _) => self.stages.push(stage(&instruction)?),
            ("ARG", None) => self.global_args.extend(args(&instruction)),
            (_, None) => {
                let line = instruction.lines.first;
                return Err(DockerfileError::NoStageYet { keyword: instruction.keyword, line });
            }
            (keyword, Some(stage)) => {
                if keyword == "ARG" {
                    stage.args.extend(args(&instruction));
                }
                stage.instructions.push(instruction);
            }
        }
        Ok(())
    }

    /// What it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The frontend image of its `# syntax=` directive.
    pub fn syntax(&self) -> Option<&str> {
        self.syntax.as_deref()
    }

    /// The arguments above the first `FROM`.
    pub fn global_args(&self) -> &[Arg] {
        &self.global_args
    }

    /// The stages, in their order.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// Whether a build argument of this name is declared anywhere.
    pub fn declares_arg(&self, name: &str) -> bool {
        let declared = |args: &[Arg]| args.iter().any(|arg| arg.name == name);
        declared(&self.global_args) || self.stages.iter().any(|stage| declared(&stage.args))
    }

    /// A stage by its name, in any case, or by its place from 0.
    pub fn find_stage(&self, name: &str) -> Option<&Stage> {
        let index = self.stage_index(name, self.stages.len()).or_else(|| name.parse().ok())?;
        self.stages.get(index)
    }

    /// What a stage is `FROM`, with build arguments and defaults filled in; `None` if that is not possible.
    pub fn base_of(&self, stage: &Stage, build_args: &BTreeMap<String, String>) -> Option<String> {
        expand(&stage.base, self.escape, &self.global_scope(build_args)).ok()
    }

    /// The images that are not built here, in their order: of the stages that the target needs, the last one if absent.
    ///
    /// They are what `FROM`, `COPY --from` and `RUN --mount=from=` name. A named context of such a name takes the
    /// image's place. `build_args` may hold the predefined platform arguments too (`TARGETARCH`, …). What cannot be
    /// expanded is left out: BuildKit reports it.
    pub fn image_references(&self, target: Option<&str>, build_args: &BTreeMap<String, String>) -> Vec<String> {
        let needed = self.needed_stages(target, build_args);
        let mut images = Vec::new();
        for (index, stage) in self.stages.iter().enumerate().filter(|(index, _)| needed.contains(index)) {
            images.extend(self.base_of(stage, build_args).filter(|base| self.is_image(base, index)));
            let sources = stage.instructions.iter().flat_map(sources).filter(|source| source.parse::<i64>().is_err());
            images.extend(sources.filter(|source| self.is_image(source, self.stages.len())));
        }
        images
    }

    /// The stages that a target needs, itself among them: all if it is not known.
    fn needed_stages(&self, target: Option<&str>, build_args: &BTreeMap<String, String>) -> BTreeSet<usize> {
        let Some(start) = self.target_index(target) else { return (0..self.stages.len()).collect() };
        let mut needed = BTreeSet::new();
        let mut open = vec![start];
        while let Some(index) = open.pop() {
            let Some(stage) = self.stages.get(index).filter(|_| needed.insert(index)) else { continue };
            open.extend(self.base_of(stage, build_args).and_then(|base| self.stage_index(&base, index)));
            let sources = stage.instructions.iter().flat_map(sources);
            let numbered = |source: &String| source.parse().ok().filter(|number: &usize| *number < index);
            open.extend(
                sources.filter_map(|source| self.stage_index(&source, self.stages.len()).or_else(|| numbered(&source))),
            );
        }
        needed
    }

    /// The stage to build, by its name or place; the last one if absent.
    fn target_index(&self, target: Option<&str>) -> Option<usize> {
        let last = self.stages.len().checked_sub(1)?;
        target.map_or(Some(last), |name| {
            self.stage_index(name, self.stages.len()).or_else(|| name.parse().ok().filter(|index| *index <= last))
        })
    }

    /// Whether a name is not one of the first `stages` stages: only one above can be a base.
    fn is_image(&self, name: &str, stages: usize) -> bool {
        !name.is_empty() && name != "scratch" && self.stage_index(name, stages).is_none()
    }

    /// The last stage of a name among the first `limit` ones.
    fn stage_index(&self, name: &str, limit: usize) -> Option<usize> {
        let name = name.to_lowercase();
        self.stages.iter().take(limit).rposition(|stage| stage.name.as_deref() == Some(name.as_str()))
    }

    /// The variables that `FROM` lines see (`buildMetaArgs` upstream).
    fn global_scope(&self, build_args: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        // The platform arguments are there without a declaration.
        let predefined = |name: &str| name.starts_with("TARGET") || name.starts_with("BUILD");
        let mut scope: BTreeMap<String, String> = build_args
            .iter()
            .filter(|(name, _)| predefined(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        for arg in &self.global_args {
            let default = arg.default.as_ref().and_then(|default| expand(default, self.escape, &scope).ok());
            if let Some(value) = build_args.get(&arg.name).cloned().or(default) {
                scope.insert(arg.name.clone(), value);
            }
        }
        scope
    }
}

fn stage(instruction: &Instruction) -> Result<Stage, DockerfileError> {
    let words: Vec<&str> = instruction.arguments.split_whitespace().collect();
    let (base, name) = match words.as_slice() {
        [base] => (base, None),
        [base, keyword, name] if keyword.eq_ignore_ascii_case("as") => (base, Some(name.to_lowercase())),
        _ => return Err(DockerfileError::InvalidFrom { line: instruction.lines.first }),
    };
    Ok(Stage { name, base: (*base).to_owned(), lines: instruction.lines, args: Vec::new(), instructions: Vec::new() })
}

/// `ARG name[=default] …`.
fn args(instruction: &Instruction) -> Vec<Arg> {
    let words = expand::words(&instruction.arguments, true, true).unwrap_or_default();
    let arg = |word: &String| {
        let (name, default) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        Arg { name: name.to_owned(), default: default.map(str::to_owned), line: instruction.lines.first }
    };
    words.iter().map(arg).collect()
}

/// What an instruction takes files from, stages by their number left out; neither place knows variables.
fn sources(instruction: &Instruction) -> Vec<String> {
    let sources: Vec<&str> = match instruction.keyword.as_str() {
        "COPY" => instruction.flag("from").collect(),
        "RUN" => instruction.flag("mount").flat_map(|mount| mount.split(',')).filter_map(mount_source).collect(),
        _ => Vec::new(),
    };
    sources.into_iter().filter(|source| !source.contains('$')).map(str::to_owned).collect()
}

/// The value of `from=`, in a field that CSV may have quoted.
fn mount_source(field: &str) -> Option<&str> {
    let (key, value) = field.trim_matches('"').split_once('=')?;
    key.eq_ignore_ascii_case("from").then_some(value)
}

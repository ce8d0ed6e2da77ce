//! What a build must make and may reuse, computed without a builder.
//!
//! A step's key is what BuildKit's own is made of: the operation (with the environment of a `RUN`), the key of what it
//! is applied to, and the content of what a `COPY` copies. A step whose key the last generation had can be reused; one
//! whose key no generation had cannot.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::inputs::Inputs;
use super::recipe::{From, Instruction, Recipe, Stage};
use super::tree::{Config, Entry, Image, Kind, Tree};

/// The image of one stage, and how it comes to be.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) tree: Tree,
    pub(super) config: Config,
    /// The steps of this stage, in order.
    pub(super) steps: Vec<Step>,
    /// Keys of the steps above the base image, those of the stages below included: one layer each.
    pub(super) layers: Vec<u64>,
    key: u64,
    definition: u64,
    arguments: Vec<String>,
}

/// An instruction that makes a layer.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) text: String,
    pub(super) key: u64,
    /// The same, made of how its sources were made instead of what is in them: all that BuildKit knows of a step before it
    /// has looked into a stage that something is copied from.
    pub(super) definition: u64,
}

/// An operation by what it takes, and by where that comes from.
struct Operation {
    key: u64,
    definition: u64,
}

impl std::convert::From<u64> for Operation {
    fn from(key: u64) -> Self {
        Self { key, definition: key }
    }
}

/// Every stage of the recipe by name.
pub(super) fn make(recipe: &Recipe, inputs: &Inputs, base: &Image) -> BTreeMap<&'static str, Made> {
    let mut made = BTreeMap::new();
    for stage in &recipe.stages {
        let stage_made = make_stage(stage, inputs, base, &made);
        made.insert(stage.name, stage_made);
    }
    made
}

fn make_stage(stage: &Stage, inputs: &Inputs, base: &Image, made: &BTreeMap<&'static str, Made>) -> Made {
    let mut state = match stage.from {
        From::Stage(name) => Made { steps: Vec::new(), ..made[name].clone() },
        From::BaseImage => Made {
            tree: base.tree.clone(),
            config: base.config.clone(),
            steps: Vec::new(),
            layers: Vec::new(),
            key: hash(&base.layers),
            definition: hash(&base.layers),
            arguments: Vec::new(),
        },
    };
    for instruction in &stage.instructions {
        let text = instruction.text(inputs);
        if let Some(operation) = state.apply(instruction, inputs, made) {
            state.key = hash(&(operation.key, state.key));
            state.definition = hash(&(operation.definition, state.definition));
            state.layers.push(state.key);
            state.steps.push(Step { text, key: state.key, definition: state.definition });
        }
    }
    state
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Made {
    /// Applies the instruction; gives the operation if it is one, and not a setting.
    fn apply(
        &mut self,
        instruction: &Instruction,
        inputs: &Inputs,
        made: &BTreeMap<&'static str, Self>,
    ) -> Option<Operation> {
        match instruction {
            Instruction::Copy { path, to, owner } => {
                Some(self.copy(inputs.context(path), &format!("context {path}"), to, *owner).into())
            }
            Instruction::CopyFrom { stage, path, to } => {
                let key = self.copy(below(&made[stage].tree, path), path, to, 0);
                Some(Operation { key, definition: hash(&("COPY", path, to, made[stage].definition)) })
            }
            Instruction::Workdir(path) => {
                self.workdir_is(path);
                Some(hash(&("WORKDIR", path)).into())
            }
            Instruction::Append { .. }
            | Instruction::Edited { .. }
            | Instruction::Echo { .. }
            | Instruction::Mode { .. }
            | Instruction::Link { .. }
            | Instruction::Remove(_) => {
                let Config { env, workdir, user, .. } = &self.config;
                let operation = hash(&(instruction.text(inputs), env, workdir, user, &self.arguments));
                self.run(instruction, inputs);
                Some(operation.into())
            }
            setting => {
                self.set(setting, inputs);
                None
            }
        }
    }

    /// `COPY`: only the sources' content is in its key, not where they come from.
    fn copy(&mut self, entries: Vec<(String, Entry)>, path: &str, to: &str, owner: u64) -> u64 {
        let operation = hash(&("COPY", path, to, owner, &entries));
        for (relative, mut entry) in entries {
            entry.owner = (owner, owner);
            self.put(format!("{to}/{relative}").trim_end_matches('/'), entry, owner);
        }
        operation
    }

    fn run(&mut self, instruction: &Instruction, inputs: &Inputs) {
        match instruction {
            Instruction::Append { from, to } => {
                let added: Vec<u8> = from.iter().flat_map(|path| self.content(path).to_vec()).collect();
                self.append(to, &added);
            }
            Instruction::Edited { to } => self.append(to, format!("instruction {}\n", inputs.instruction).as_bytes()),
            Instruction::Echo { argument, to } => {
                self.append(to, format!("{}\n", argument.value(inputs)).as_bytes());
            }
            Instruction::Mode { path, mode } => self.tree.get_mut(*path).unwrap().mode = *mode,
            Instruction::Link { target, path } => {
                self.put(path, Entry::new(Kind::Link((*target).to_owned()), 0o777), 0);
            }
            Instruction::Remove(path) => {
                self.tree.remove(*path).unwrap();
            }
            other => panic!("not a RUN: {other:?}"),
        }
    }

    fn set(&mut self, setting: &Instruction, inputs: &Inputs) {
        let config = &mut self.config;
        match setting {
            Instruction::Arg(argument) => {
                self.arguments.push(format!("{}={}", argument.name(), argument.value(inputs)));
            }
            Instruction::Env(name, value) => config.env.push(format!("{name}={value}")),
            Instruction::Label(name, value) => {
                config.labels.insert((*name).to_owned(), (*value).to_owned());
            }
            Instruction::User(name) => (*name).clone_into(&mut config.user),
            Instruction::Expose(port) => {
                config.ports.insert((*port).to_owned());
            }
            Instruction::Entrypoint(program) => config.entrypoint = vec![(*program).to_owned()],
            Instruction::Cmd(argument) => config.cmd = vec![(*argument).to_owned()],
            other => panic!("not a setting: {other:?}"),
        }
    }

    fn workdir_is(&mut self, path: &str) {
        path.clone_into(&mut self.config.workdir);
        self.put(path, Entry::new(Kind::Directory, 0o755), 0);
    }

    fn put(&mut self, path: &str, entry: Entry, owner: u64) {
        if let Some((parent, _)) = path.rsplit_once('/').filter(|(parent, _)| !parent.is_empty())
            && !self.tree.contains_key(parent)
        {
            let directory = Entry { owner: (owner, owner), ..Entry::new(Kind::Directory, 0o755) };
            self.put(parent, directory, owner);
        }
        self.tree.insert(path.to_owned(), entry);
    }

    fn append(&mut self, path: &str, added: &[u8]) {
        let entry = self.tree.entry(path.to_owned());
        let entry = entry.or_insert_with(|| Entry::new(Kind::File(Arc::new([])), 0o644));
        let Kind::File(content) = &entry.kind else { panic!("{path} is no file: {entry:?}") };
        entry.kind = Kind::File([content, added].concat().into());
    }

    fn content(&self, path: &str) -> Arc<[u8]> {
        match self.tree.get(path).map(|entry| &entry.kind) {
            Some(Kind::File(content)) => Arc::clone(content),
            other => panic!("the recipe reads {path}, which is no file: {}", other.is_some()),
        }
    }
}

/// The path and what lies below it, relative to it; of a directory only what lies below.
fn below(tree: &Tree, path: &str) -> Vec<(String, Entry)> {
    let whole = tree.get(path).filter(|entry| entry.kind != Kind::Directory);
    let inside = tree
        .iter()
        .filter_map(|(found, entry)| Some((found.strip_prefix(path)?.strip_prefix('/')?.to_owned(), entry.clone())));
    whole.map(|entry| (String::new(), entry.clone())).into_iter().chain(inside).collect()
}

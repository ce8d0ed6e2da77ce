//! A Dockerfile with several stages, grown from a seed so that the wrong layer would be seen in the image.
//!
//! Every step reads what came before it and writes it on, so that everything flows into the images. Stages come in
//! pairs with the same instructions on different files, and instructions are repeated within a stage: their records
//! have the same digests, and whoever takes one for the other builds a wrong image.

use super::inputs::Inputs;
use super::random::Random;

pub(super) struct Recipe {
    pub(super) stages: Vec<Stage>,
    /// The name of the base image.
    pub(super) base: String,
}

pub(super) struct Stage {
    pub(super) name: &'static str,
    pub(super) from: From,
    pub(super) instructions: Vec<Instruction>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum From {
    BaseImage,
    Stage(&'static str),
}

#[derive(Debug, Clone)]
pub(super) enum Instruction {
    /// `COPY` from the context; `owner` is user and group.
    Copy {
        path: &'static str,
        to: &'static str,
        owner: u64,
    },
    CopyFrom {
        stage: &'static str,
        path: &'static str,
        to: &'static str,
    },
    /// `RUN cat … >> …`.
    Append {
        from: Vec<&'static str>,
        to: &'static str,
    },
    /// The `RUN` that edits of an instruction change.
    Edited {
        to: &'static str,
    },
    Arg(Argument),
    /// Writes the argument's value down.
    Echo {
        argument: Argument,
        to: &'static str,
    },
    Mode {
        path: &'static str,
        mode: u32,
    },
    Link {
        target: &'static str,
        path: &'static str,
    },
    Remove(&'static str),
    Workdir(&'static str),
    Env(&'static str, &'static str),
    Label(&'static str, &'static str),
    User(&'static str),
    Expose(&'static str),
    Entrypoint(&'static str),
    Cmd(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Argument {
    Flavor,
    Commit,
}

impl Argument {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Flavor => "FLAVOR",
            Self::Commit => "GIT_COMMIT_HASH",
        }
    }

    pub(super) fn value(self, inputs: &Inputs) -> String {
        match self {
            Self::Flavor => inputs.flavor(),
            Self::Commit => inputs.commit(),
        }
    }
}

impl Recipe {
    /// The stages that images are made of, one for each service.
    pub(super) const TARGETS: [&str; 2] = ["app", "tool"];

    pub(super) fn grow(base: &str, random: &mut Random) -> Self {
        let mut stages = twins(random);
        stages.extend(branches(random));
        stages.push(build(random));
        stages.push(app(random));
        stages.push(tool(random));
        Self { stages, base: base.to_owned() }
    }

    pub(super) fn stage(&self, name: &str) -> &Stage {
        self.stages.iter().find(|stage| stage.name == name).unwrap()
    }

    /// The stages that the target is made of, itself included, in the order of the Dockerfile.
    pub(super) fn needed_by(&self, target: &str) -> Vec<&Stage> {
        let mut names = vec![target];
        let mut next = 0;
        while let Some(name) = names.get(next).copied() {
            let stage = self.stage(name);
            let sources = stage.instructions.iter().filter_map(|instruction| match instruction {
                Instruction::CopyFrom { stage, .. } => Some(*stage),
                _ => None,
            });
            let from = match stage.from {
                From::Stage(name) => Some(name),
                From::BaseImage => None,
            };
            for needed in sources.chain(from) {
                if !names.contains(&needed) {
                    names.push(needed);
                }
            }
            next += 1;
        }
        self.stages.iter().filter(|stage| names.contains(&stage.name)).collect()
    }

    pub(super) fn dockerfile(&self, inputs: &Inputs) -> String {
        let mut lines = Vec::new();
        for stage in &self.stages {
            let from = match stage.from {
                From::BaseImage => &self.base,
                From::Stage(name) => name,
            };
            lines.push(format!("FROM {from} AS {}", stage.name));
            lines.extend(stage.instructions.iter().map(|instruction| instruction.text(inputs)));
        }
        lines.join("\n") + "\n"
    }
}

impl Instruction {
    pub(super) fn text(&self, inputs: &Inputs) -> String {
        match self {
            Self::Copy { path, to, owner: 0 } => format!("COPY {path} {to}"),
            Self::Copy { path, to, owner } => format!("COPY --chown={owner}:{owner} {path} {to}"),
            Self::CopyFrom { stage, path, to } => format!("COPY --from={stage} {path} {to}"),
            Self::Append { from, to } => format!("RUN cat {} >> {to}", from.join(" ")),
            Self::Edited { to } => format!("RUN echo instruction {} >> {to}", inputs.instruction),
            Self::Arg(argument) => format!("ARG {}", argument.name()),
            Self::Echo { argument, to } => format!("RUN echo \"${}\" >> {to}", argument.name()),
            Self::Mode { path, mode } => format!("RUN chmod {mode:o} {path}"),
            Self::Link { target, path } => format!("RUN ln -s {target} {path}"),
            Self::Remove(path) => format!("RUN rm {path}"),
            Self::Workdir(path) => format!("WORKDIR {path}"),
            Self::Env(name, value) => format!("ENV {name}={value}"),
            Self::Label(name, value) => format!("LABEL {name}={value}"),
            Self::User(name) => format!("USER {name}"),
            Self::Expose(port) => format!("EXPOSE {port}"),
            Self::Entrypoint(program) => format!("ENTRYPOINT [\"{program}\"]"),
            Self::Cmd(argument) => format!("CMD [\"{argument}\"]"),
        }
    }
}

fn append(from: &[&'static str], to: &'static str) -> Instruction {
    Instruction::Append { from: from.to_vec(), to }
}

fn copy_from(stage: &'static str, path: &'static str, to: &'static str) -> Instruction {
    Instruction::CopyFrom { stage, path, to }
}

/// `alpha` and `beta`: the same instructions, each on a file of its own at the same place.
fn twins(random: &mut Random) -> Vec<Stage> {
    let mut shared = vec![append(&["/in", "/base"], "/out")];
    for _ in 0..random.below(2) {
        shared.push(append(&["/in"], "/out"));
    }
    if random.once_in(2) {
        shared.push(Instruction::Mode { path: "/out", mode: 0o640 });
    }
    let twin = |name, path| {
        let copy = Instruction::Copy { path, to: "/in", owner: 0 };
        let instructions = [vec![copy], shared.clone()].concat();
        Stage { name, from: From::BaseImage, instructions }
    };
    vec![twin("alpha", "alpha.txt"), twin("beta", "beta.txt")]
}

/// `left` and `right`: the same instructions on the twins' results.
fn branches(random: &mut Random) -> Vec<Stage> {
    let on_top = random.once_in(2);
    let mut shared = vec![append(&["/in", "/other"], "/trail")];
    for _ in 0..random.below(2) {
        // The twins' own instruction: its record has two more places to be taken from.
        shared.push(random.pick(&[append_in_to_out, append_out_to_trail])(on_top));
    }
    if random.once_in(2) {
        shared.push(Instruction::Link { target: "/trail", path: "/link" });
        shared.push(Instruction::Remove("/other"));
    }
    let branch = |name, own, other| {
        let mut instructions = vec![copy_from(other, "/out", "/other")];
        if !on_top {
            instructions.push(copy_from(own, "/out", "/in"));
        }
        instructions.extend(shared.iter().cloned());
        let from = if on_top { From::Stage(own) } else { From::BaseImage };
        Stage { name, from, instructions }
    };
    vec![branch("left", "alpha", "beta"), branch("right", "beta", "alpha")]
}

fn append_in_to_out(_: bool) -> Instruction {
    append(&["/in"], "/out")
}

fn append_out_to_trail(on_top: bool) -> Instruction {
    append(&[if on_top { "/out" } else { "/in" }], "/trail")
}

/// `build`: what both branches made, and the sources.
fn build(random: &mut Random) -> Stage {
    let mut instructions = vec![
        copy_from("left", "/trail", "/left"),
        copy_from("right", "/trail", "/right"),
        append(&["/left", "/right"], "/trail"),
    ];
    let source = Instruction::Copy { path: "source", to: "/source", owner: 0 };
    let argument = Instruction::Arg(Argument::Flavor);
    // An argument below the sources, or above them.
    instructions.extend(if random.once_in(2) { [source, argument] } else { [argument, source] });
    instructions.push(Instruction::Echo { argument: Argument::Flavor, to: "/trail" });
    let edited = Instruction::Edited { to: "/trail" };
    instructions.insert(2 + random.below(4), edited);
    for _ in 0..=random.below(2) {
        instructions.push(append(&["/source/main.txt", "/source/lib/extra.txt"], "/trail"));
    }
    Stage { name: "build", from: From::BaseImage, instructions }
}

fn app(random: &mut Random) -> Stage {
    let mut instructions = vec![
        Instruction::Workdir("/srv"),
        Instruction::Env("APP", "watch"),
        copy_from("alpha", "/out", "/srv/alpha"),
        copy_from("build", "/trail", "/srv/trail"),
        Instruction::Copy { path: "source", to: "/srv/source", owner: if random.once_in(2) { 0 } else { 7 } },
        append(&["/srv/alpha", "/srv/trail"], "/srv/all"),
        Instruction::Arg(Argument::Commit),
        Instruction::Echo { argument: Argument::Commit, to: "/srv/commit" },
        append(&["/srv/commit"], "/srv/all"),
    ];
    if random.once_in(2) {
        instructions.push(Instruction::Remove("/srv/alpha"));
    }
    instructions.extend([
        Instruction::Label("app.kind", "server"),
        Instruction::Expose("8080/tcp"),
        Instruction::User("nobody"),
        Instruction::Entrypoint("cat"),
        Instruction::Cmd("/srv/all"),
    ]);
    Stage { name: "app", from: From::BaseImage, instructions }
}

fn tool(random: &mut Random) -> Stage {
    let from = if random.once_in(2) { From::Stage("build") } else { From::BaseImage };
    let instructions = vec![
        copy_from("right", "/trail", "/tool"),
        copy_from("build", "/source", "/tools/source"),
        append(&["/tool", "/tools/source/main.txt"], "/tools/all"),
        Instruction::Label("app.kind", "tool"),
        Instruction::Cmd("/tools/all"),
    ];
    Stage { name: "tool", from, instructions }
}

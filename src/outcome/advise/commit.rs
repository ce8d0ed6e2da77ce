//! The commit is declared above steps that it makes run again and that do not need it.

use super::command::{Command, Tool, commands};
use super::manifest::{runs_scripts, within};
use super::stage::{Placed, cause, copies, mentions, placed};
use super::{Subject, saved};
use crate::outcome::advice::{Advice, AdviceKind};
use crate::outcome::reason::MissReason;
use crate::outcome::why::layout::Layout;
use crate::patterns::slash_path::clean;
use crate::project::dockerfile::{Dockerfile, Instruction, Stage};

const PACKAGE: &str = "package.json";

/// Advice for every stage that declares the commit too early.
///
/// An argument is in the environment of every `RUN` below it. Only steps count that are known not to read it
/// ([`commands`]), that stand right below the declaration, nothing between that uses it, and that ran in this build
/// because the commit is another one. `ENV`, `ARG` and `LABEL` lines that take the commit go along with it.
pub(super) fn advice(subject: &Subject<'_>) -> Vec<Advice> {
    let Some(layout) = subject.layout() else { return Vec::new() };
    let stages = layout.dockerfile.stages().iter().enumerate();
    stages.filter_map(|(index, stage)| of_stage(subject, &layout, index, stage)).collect()
}

fn of_stage(subject: &Subject<'_>, layout: &Layout<'_>, stage_index: usize, stage: &Stage) -> Option<Advice> {
    let argument = subject.commit_argument;
    let declares = |instruction: &Instruction| declares_only(instruction, argument);
    let at = stage.instructions().iter().position(declares)?;
    // A stage has the arguments of those that it is built on: its steps would run again all the same.
    let mut below = layout.lineage(stage_index).skip(1).filter_map(|index| layout.stage(index));
    if below.any(|stage| stage.args().iter().any(|arg| arg.name == argument)) {
        return None;
    }
    let spared = at + 1..end_of_what_need_not_run(subject, layout, stage, at);
    let is_spared = |placed: &Placed<'_>| {
        let because = cause(subject.image, placed.step).map(|(_, reason)| reason);
        let is_commit = matches!(because, Some(MissReason::ArgumentChanged { name }) if name == argument);
        placed.stage == stage_index && spared.contains(&placed.index) && is_commit && !placed.step.cached
    };
    let placed = placed(layout, subject.image);
    let steps: Vec<_> = placed.into_iter().filter(is_spared).map(|placed| placed.step).collect();
    let lines = stage.instructions().get(at)?.lines;
    let advice = Advice {
        image: subject.image.name.clone(),
        location: subject.location(lines),
        saves: saved(steps.iter().copied()),
        kind: AdviceKind::CommitAboveSteps {
            argument: argument.to_owned(),
            steps: steps.iter().map(|step| step.name.clone()).collect(),
        },
    };
    (!steps.is_empty()).then_some(advice)
}

/// The `package.json` files that a `COPY` above an installation may bring: their scripts run when it installs.
pub(super) fn wanted(dockerfile: &Dockerfile) -> Vec<String> {
    let instructions = dockerfile.stages().iter().flat_map(Stage::instructions);
    let sources = instructions.filter_map(copies).flat_map(|(sources, _)| sources);
    let package = |source: String| {
        let source = clean(&format!("/{source}"));
        let (directory, name) = source.rsplit_once('/')?;
        let directory = if name.starts_with("package") { directory } else { source.as_str() };
        Some(within(directory.trim_start_matches('/'), PACKAGE))
    };
    sources.filter_map(package).collect()
}

/// Whether every command is known, and no installation runs a script that may read anything.
fn is_known(subject: &Subject<'_>, instruction: &Instruction) -> bool {
    let runs_scripts = || subject.files.iter().any(|(path, content)| path.ends_with(PACKAGE) && runs_scripts(content));
    commands(instruction).is_some_and(|commands| {
        commands.iter().all(|command| match command {
            Command::Install(install) if matches!(install.tool, Tool::Npm | Tool::Yarn | Tool::Pnpm) => {
                install.has("--ignore-scripts") || !runs_scripts()
            }
            Command::Install(_) | Command::Files | Command::Plain => true,
        })
    })
}

/// `ARG GIT_COMMIT_HASH`, with or without a default, and no other name in the same line.
fn declares_only(instruction: &Instruction, argument: &str) -> bool {
    let words = instruction.arguments.split_whitespace().collect::<Vec<_>>();
    let name = |word: &str| word.split_once('=').map_or(word, |(name, _)| name) == argument;
    instruction.keyword == "ARG" && matches!(words.as_slice(), [word] if name(word))
}

/// The place of the first instruction below `at` that has to stay below the declaration.
fn end_of_what_need_not_run(subject: &Subject<'_>, layout: &Layout<'_>, stage: &Stage, at: usize) -> usize {
    let mut names = vec![subject.commit_argument.to_owned()];
    let below = stage.instructions().iter().enumerate().skip(at + 1);
    for (index, instruction) in below {
        let uses = mentions(&layout.text(instruction), &names);
        let goes_on = match instruction.keyword.as_str() {
            "LABEL" => true,
            "ENV" | "ARG" if uses => match other_name(instruction, &names) {
                Some(name) => {
                    names.push(name);
                    true
                }
                None => false,
            },
            "RUN" => !uses && is_known(subject, instruction),
            "ONBUILD" => false,
            _ => !uses,
        };
        if !goes_on {
            return index;
        }
    }
    stage.instructions().len()
}

/// The name that an `ENV` or `ARG` gives one of `names`, if it does nothing else: `ENV COMMIT=$GIT_COMMIT_HASH`.
///
/// It may go along. One that makes something of it (`PATH=/opt/$GIT_COMMIT_HASH:$PATH`), or sets more, may be needed above.
fn other_name(instruction: &Instruction, names: &[String]) -> Option<String> {
    let text = instruction.arguments.trim();
    let (name, value) = text.split_once('=').or_else(|| text.split_once(' '))?;
    let value = value.trim().trim_matches(['"', '\'']);
    let inner = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).or_else(|| value.strip_prefix('$'))?;
    names.iter().any(|known| known == inner).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use crate::outcome::advice::AdviceKind;
    use crate::outcome::advise::tests::{Scene, argument, earlier, files};
    use crate::outcome::reason::MissReason;
    use crate::project::dockerfile::Dockerfile;

    use super::wanted;

    /// The steps that the advice names, and the line that it is about.
    fn advised(dockerfile: &str, steps: &[(&str, f64, MissReason)]) -> Option<(Vec<String>, u32, u64)> {
        let advice = Scene::new(dockerfile, steps).advice();
        let [advice] = advice.as_slice() else { return None };
        let AdviceKind::CommitAboveSteps { argument, steps } = &advice.kind else { panic!("{advice:?}") };
        assert_eq!(argument, "GIT_COMMIT_HASH");
        let steps = steps.iter().map(|name| name.split_once("] ").unwrap().1.to_owned()).collect();
        Some((steps, advice.location.as_ref().unwrap().line, advice.saves.as_secs()))
    }

    #[test]
    fn installations_below_the_commit_are_named() {
        let found = advised(
            "FROM node\nARG GIT_COMMIT_HASH\nENV COMMIT=$GIT_COMMIT_HASH\nENV TAG \"${COMMIT}\"\nLABEL c=$TAG\nCOPY package.json ./\nRUN npm ci\nCOPY . .\n\
             RUN make VERSION=$COMMIT\n",
            &[
                ("COPY package.json ./", 0.1, MissReason::Unknown),
                ("RUN npm ci", 30.0, argument()),
                ("COPY . .", 1.0, files(&["a.js"])),
                ("RUN make VERSION=$COMMIT", 40.0, argument()),
            ],
        );
        assert_eq!(found, Some((vec!["RUN npm ci".to_owned()], 2, 30)));
    }

    #[test]
    fn what_may_read_the_commit_stays_below_it() {
        let npm = ("RUN npm ci", 30.0, argument());
        for (between, last) in [
            // Whatever it does, it has the commit in its environment.
            ("RUN ./configure\n", "RUN npm ci"),
            ("RUN echo ${GIT_COMMIT_HASH}\n", "RUN npm ci"),
            ("COPY $GIT_COMMIT_HASH /x\n", "RUN npm ci"),
            ("ENV A=1 B=$GIT_COMMIT_HASH\n", "RUN npm ci"),
            ("ENV PATH=/opt/$GIT_COMMIT_HASH:$PATH\n", "RUN npm ci"),
            ("ONBUILD RUN x\n", "RUN npm ci"),
            ("", "RUN npm ci --cache=/$GIT_COMMIT_HASH"),
            ("ENV V=$GIT_COMMIT_HASH\n", "RUN npm ci --cache=/$V"),
            ("", "RUN npm ci && npm run build"),
        ] {
            let text = format!("FROM node\nARG GIT_COMMIT_HASH\n{between}{last}\n");
            let mut steps: Vec<_> = text.lines().skip(2).filter(|line| line.starts_with(['R', 'C'])).collect();
            steps.pop();
            let mut steps: Vec<_> = steps.into_iter().map(|line| (line, 9.0, argument())).collect();
            steps.push((last, npm.1, npm.2.clone()));
            assert_eq!(advised(&text, &steps), None, "{text}");
        }
    }

    #[test]
    fn only_what_ran_because_of_the_commit_counts() {
        let text = "FROM node\nARG GIT_COMMIT_HASH\nCOPY package.json ./\nRUN npm ci\n";
        let copy = |reason| ("COPY package.json ./", 0.1, reason);
        for reason in [MissReason::FirstBuild, MissReason::Cleared, MissReason::Unknown, MissReason::InstructionChanged]
        {
            let steps = [copy(reason.clone()), ("RUN npm ci", 30.0, reason)];
            assert_eq!(advised(text, &steps), None);
        }
        let lock = [copy(files(&["package.json"])), ("RUN npm ci", 30.0, earlier("[2/3] COPY package.json ./"))];
        assert_eq!(advised(text, &lock), None);
    }

    #[test]
    fn scripts_of_the_package_may_read_the_commit() {
        let text = "FROM node\nARG GIT_COMMIT_HASH\nCOPY package.json ./\nRUN npm ci\n";
        let steps = [("COPY package.json ./", 0.1, MissReason::Unknown), ("RUN npm ci", 30.0, argument())];
        assert_eq!(wanted(&Dockerfile::parse(text).unwrap()), ["package.json"]);
        for (package, expected) in
            [("{}", 1), (r#"{"scripts": {"build": "x"}}"#, 1), (r#"{"scripts": {"postinstall": "x"}}"#, 0)]
        {
            let advice = Scene::new(text, &steps).with_files(&[("package.json", package)]).advice();
            assert_eq!(advice.len(), expected, "{package}");
        }
    }

    #[test]
    fn a_stage_on_one_that_declares_it_has_it_anyway() {
        let text = "FROM node AS a\nARG GIT_COMMIT_HASH\nRUN make\nFROM a\nARG GIT_COMMIT_HASH\nRUN npm ci\n";
        assert_eq!(advised(text, &[("RUN npm ci", 30.0, argument())]), None);
    }

    #[test]
    fn a_declaration_below_everything_is_right() {
        let text = "FROM node\nCOPY package.json ./\nRUN npm ci\nARG GIT_COMMIT_HASH\nRUN make\n";
        let steps = [("COPY package.json ./", 0.1, MissReason::Unknown), ("RUN npm ci", 30.0, MissReason::Unknown)];
        assert_eq!(advised(text, &[&steps[..], &[("RUN make", 9.0, argument())]].concat()), None);
    }
}

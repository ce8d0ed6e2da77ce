//! All sources are copied before the dependencies are installed.

use super::command::{Command, Install, Tool, commands};
use super::manifest::{Files, names, needs, within};
use super::stage::{cause, copies, placed};
use super::{Subject, saved};
use crate::outcome::advice::{Advice, AdviceKind};
use crate::outcome::build::StepOutcome;
use crate::outcome::reason::MissReason;
use crate::outcome::why::layout::Layout;
use crate::patterns::slash_path::clean;
use crate::project::dockerfile::{Dockerfile, Instruction, Lines, Stage};

/// A directory of the context that is copied, and an installation below that reads its manifests there.
struct Candidate {
    stage: usize,
    copy: usize,
    copy_lines: Lines,
    install: usize,
    installs: Vec<Install>,
    /// Relative to the context; empty for all of it.
    directory: String,
}

/// Advice for installations that ran in this build because of sources that they do not need.
pub(super) fn advice(subject: &Subject<'_>) -> Vec<Advice> {
    let Some(layout) = subject.layout() else { return Vec::new() };
    let candidates = candidates(layout.dockerfile);
    candidates.iter().filter_map(|candidate| of_candidate(subject, &layout, candidate)).collect()
}

/// The files that have to be looked at.
pub(super) fn wanted(dockerfile: &Dockerfile) -> Vec<String> {
    let of = |candidate: &Candidate| -> Vec<String> {
        let names = candidate.installs.iter().flat_map(names);
        names.map(|name| within(&candidate.directory, &name)).collect()
    };
    candidates(dockerfile).iter().flat_map(of).collect()
}

fn of_candidate(subject: &Subject<'_>, layout: &Layout<'_>, candidate: &Candidate) -> Option<Advice> {
    let placed = placed(layout, subject.image);
    let step = |index: usize| -> Option<&StepOutcome> {
        placed.iter().find(|placed| placed.stage == candidate.stage && placed.index == index).map(|placed| placed.step)
    };
    let (copy, install) = (step(candidate.copy)?, step(candidate.install)?);
    let needs = needed(candidate, subject.files)?;
    let (first, reason) = cause(subject.image, install)?;
    let MissReason::FilesChanged(changed) = reason else { return None };
    if first.name != copy.name || install.cached || changed.names.iter().any(|name| needs.contains(name)) {
        return None;
    }
    let stage = layout.stage(candidate.stage)?;
    if is_copied_before(stage, candidate, &needs) {
        return None;
    }
    Some(Advice {
        image: subject.image.name.clone(),
        location: subject.location(candidate.copy_lines),
        saves: saved([install]),
        kind: AdviceKind::CopyAboveInstall { copy: copy.name.clone(), install: install.name.clone(), needs },
    })
}

/// The files that all installations of a candidate need, each once.
fn needed(candidate: &Candidate, files: &Files) -> Option<Vec<String>> {
    let mut all: Vec<String> = Vec::new();
    for install in &candidate.installs {
        let needs = needs(install, &candidate.directory, files)?;
        all.extend(needs);
    }
    all.dedup();
    Some(all).filter(|all| !all.is_empty())
}

/// Whether somebody has thought of it: the manifests are copied above, or the same tool installs there.
fn is_copied_before(stage: &Stage, candidate: &Candidate, needs: &[String]) -> bool {
    let above = stage.instructions().iter().take(candidate.copy);
    let takes = |source: &str| {
        let source = clean(&format!("/{source}"));
        // `package*.json`
        let start = source.split('*').next().unwrap_or_default().trim_start_matches('/');
        needs.iter().any(|need| need == start || (source.contains('*') && need.starts_with(start)))
    };
    let tools: Vec<Tool> = candidate.installs.iter().map(|install| install.tool).collect();
    let installs = |instruction: &Instruction| {
        let commands = commands(instruction).unwrap_or_default().into_iter();
        installs_of(commands).iter().any(|install| tools.contains(&install.tool))
    };
    above.into_iter().any(|instruction| match instruction.keyword.as_str() {
        "RUN" => installs(instruction),
        _ => copies(instruction).is_some_and(|(sources, _)| sources.iter().any(|source| takes(source))),
    })
}

fn installs_of(commands: impl Iterator<Item = Command>) -> Vec<Install> {
    let install = |command| match command {
        Command::Install(install) => Some(install),
        Command::Files | Command::Plain => None,
    };
    commands.filter_map(install).collect()
}

fn candidates(dockerfile: &Dockerfile) -> Vec<Candidate> {
    let stages = dockerfile.stages().iter().enumerate();
    stages.flat_map(|(index, stage)| of_stage(index, stage)).collect()
}

fn of_stage(stage_index: usize, stage: &Stage) -> Vec<Candidate> {
    let mut found = Vec::new();
    // What the base image says is not known; all that counts is whether two places are the same.
    let mut place = ".".to_owned();
    for (index, instruction) in stage.instructions().iter().enumerate() {
        if instruction.keyword == "WORKDIR" {
            place = join(&place, instruction.arguments.trim());
        }
        let Some((sources, to)) = copies(instruction) else { continue };
        let [source] = sources.as_slice() else { continue };
        if source.contains(['$', '*', '?', '[', ':']) {
            continue;
        }
        let directory = clean(&format!("/{source}")).trim_start_matches('/').to_owned();
        let below = stage.instructions().iter().enumerate().skip(index + 1);
        for (install, installs) in installations(below, &place, &join(&place, &to)) {
            let (stage, copy_lines, directory) = (stage_index, instruction.lines, directory.clone());
            found.push(Candidate { stage, copy: index, copy_lines, install, installs, directory });
        }
    }
    found
}

/// The installations in the directory `copied` that would work without anything but their manifests, as long as nothing
/// comes that they may need as well.
fn installations<'a>(
    below: impl Iterator<Item = (usize, &'a Instruction)>,
    place: &str,
    copied: &str,
) -> Vec<(usize, Vec<Install>)> {
    let mut place = place.to_owned();
    let mut found = Vec::new();
    for (index, instruction) in below {
        match instruction.keyword.as_str() {
            "WORKDIR" => place = join(&place, instruction.arguments.trim()),
            "RUN" => {
                let Some(commands) = commands(instruction).filter(|commands| !commands.contains(&Command::Files))
                else {
                    break;
                };
                let mut installs = installs_of(commands.into_iter());
                installs.retain(|install| install.tool != Tool::System);
                if place == copied && !installs.is_empty() {
                    found.push((index, installs));
                }
            }
            "ARG" | "ENV" | "LABEL" | "EXPOSE" | "CMD" | "ENTRYPOINT" | "STOPSIGNAL" | "HEALTHCHECK" => {}
            _ => break,
        }
    }
    found
}

/// A directory as seen from another; one that a variable begins is taken for absolute.
fn join(place: &str, path: &str) -> String {
    if path.starts_with(['/', '$']) { clean(path) } else { clean(&format!("{place}/{path}")) }
}

#[cfg(test)]
mod tests {
    use crate::outcome::advice::AdviceKind;
    use crate::outcome::advise::tests::{Scene, earlier, files};
    use crate::outcome::reason::MissReason;

    const NPM: [(&str, &str); 2] = [("package.json", "{}"), ("package-lock.json", "{}")];

    fn advised(dockerfile: &str, steps: &[(&str, f64, MissReason)], context: &[(&str, &str)]) -> Option<Vec<String>> {
        let advice = Scene::new(dockerfile, steps).with_files(context).advice();
        let [advice] = advice.as_slice() else { return None };
        let AdviceKind::CopyAboveInstall { copy, install, needs } = &advice.kind else { panic!("{advice:?}") };
        let line = advice.location.as_ref().unwrap().line;
        let first = [line.to_string(), copy.clone(), install.clone(), advice.saves.as_secs().to_string()];
        Some(first.into_iter().chain(needs.iter().cloned()).collect())
    }

    #[test]
    fn sources_above_an_installation_are_named() {
        let found = advised(
            "FROM node\nWORKDIR /app\nCOPY . .\nENV X=y\nRUN npm ci --no-audit\nRUN npm run build\n",
            &[
                ("WORKDIR /app", 0.0, MissReason::Unknown),
                ("COPY . .", 1.0, files(&["src/a.js"])),
                ("RUN npm ci --no-audit", 30.0, earlier("[3/5] COPY . .")),
                ("RUN npm run build", 10.0, earlier("[3/5] COPY . .")),
            ],
            &NPM,
        );
        let expected =
            ["3", "[3/5] COPY . .", "[4/5] RUN npm ci --no-audit", "30", "package.json", "package-lock.json"];
        assert_eq!(found, Some(expected.map(str::to_owned).to_vec()));
    }

    #[test]
    fn a_directory_of_the_context_counts_as_well() {
        let steps = [
            ("COPY web/ /app/", 1.0, files(&["web/a"])),
            ("WORKDIR /app", 0.0, earlier("[2/4] COPY web/ /app/")),
            ("RUN npm ci", 9.0, earlier("[2/4] COPY web/ /app/")),
        ];
        let found =
            advised("FROM node\nCOPY web/ /app/\nWORKDIR /app\nRUN npm ci\n", &steps, &[("web/package.json", "{}")]);
        assert_eq!(found.unwrap().last().map(String::as_str), Some("web/package.json"));
    }

    #[test]
    fn what_is_not_sure_is_not_said() {
        for (dockerfile, changed, context) in [
            // The manifest itself is another one.
            ("COPY . .\nRUN npm ci", "package-lock.json", &NPM[..]),
            // It installs above already.
            ("COPY package*.json ./\nRUN npm ci\nCOPY . .\nRUN npm ci", "a.js", &NPM),
            ("COPY package.json package-lock.json ./\nCOPY . .\nRUN npm ci", "a.js", &NPM),
            // It installs in another directory, or there may be more to it.
            ("COPY . /app\nRUN npm ci", "a.js", &NPM),
            ("COPY . .\nRUN cd web && npm ci", "a.js", &NPM),
            ("COPY . .\nRUN ./configure\nRUN npm ci", "a.js", &NPM),
            ("COPY . .\nUSER node\nRUN npm ci", "a.js", &NPM),
            ("COPY . .\nCOPY --from=node /x /x\nRUN npm ci", "a.js", &NPM),
            ("COPY . .\nRUN npm ci && npm run build", "a.js", &NPM),
            ("COPY --from=node . .\nRUN npm ci", "a.js", &NPM),
            ("COPY $DIR .\nRUN npm ci", "a.js", &NPM),
            // Nothing of it is in the context.
            ("COPY . .\nRUN npm ci", "a.js", &[]),
        ] {
            let text = format!("FROM node\n{dockerfile}\n");
            let lines: Vec<&str> = dockerfile.lines().filter(|line| !line.starts_with("USER")).collect();
            let copy = lines.iter().rposition(|line| line.starts_with("COPY") && !line.contains("/x /x")).unwrap();
            let cause = format!("[{}/{}] {}", copy + 2, lines.len() + 1, lines[copy]);
            let step = |(index, line): (usize, &&'static str)| {
                let reason = if index == copy { files(&[changed]) } else { earlier(&cause) };
                (*line, 30.0, reason)
            };
            let steps: Vec<_> = lines.iter().enumerate().map(step).collect();
            assert_eq!(advised(&text, &steps, context), None, "{text}");
        }
    }

    #[test]
    fn only_a_build_in_which_files_changed_shows_it() {
        let copied = "[2/3] COPY . .";
        for reason in [MissReason::FirstBuild, MissReason::Cleared, MissReason::Unknown] {
            let steps = [("COPY . .", 1.0, reason), ("RUN npm ci", 30.0, earlier(copied))];
            assert_eq!(advised("FROM node\nCOPY . .\nRUN npm ci\n", &steps, &NPM), None);
        }
    }
}

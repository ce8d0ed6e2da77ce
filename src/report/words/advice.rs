//! What would make the next build faster, in words: what to change, why, and what that saves.

use super::{join, list, step};
use crate::outcome::advice::{Advice, AdviceKind, KeptCache};
use crate::report::{annotation, units};

/// So many steps or files are named.
const NAMED: usize = 2;

/// What to change, as a sentence without its full stop.
pub(crate) fn change(advice: &Advice, name: impl Fn(&str) -> String) -> String {
    match &advice.kind {
        AdviceKind::CommitAboveSteps { argument, steps } => {
            let instructions: Vec<String> = steps.iter().map(|name| step::instruction(name)).collect();
            let steps = list(&instructions, NAMED, &name);
            format!("Move {} below {steps}", name(&format!("ARG {argument}")))
        }
        AdviceKind::CopyAboveInstall { install, needs, .. } => {
            let files = if needs.is_empty() { "what it needs".to_owned() } else { list(needs, NAMED, &name) };
            format!("Copy only {files} above {}, and everything else below it", name(&step::instruction(install)))
        }
        AdviceKind::CacheCostsMore { without, .. } => {
            let settings = without.iter().map(|kept| match kept {
                KeptCache::Stages => format!("set {}", name("cache-stages: false")),
                KeptCache::Registry => format!("leave {} out", name("cache-to")),
            });
            format!("Keep less of a cache: {}", join(settings.collect()))
        }
        AdviceKind::ContextUnused { largest, .. } => {
            let ignored = name(".dockerignore");
            let sized: Vec<String> =
                largest.iter().map(|(path, bytes)| format!("{} ({})", name(path), units::size(*bytes))).collect();
            match sized.as_slice() {
                [] => format!("Name in {ignored} what no step uses"),
                sized => format!("Add {} to {ignored}", list(sized, NAMED + 1, str::to_owned)),
            }
        }
    }
}

/// Why, as a sentence without its full stop.
pub(crate) fn why(advice: &Advice, name: impl Fn(&str) -> String) -> String {
    match &advice.kind {
        AdviceKind::CommitAboveSteps { steps, .. } => {
            let (run, do_not) = if steps.len() == 1 { ("it runs", "it does not") } else { ("they run", "they do not") };
            format!("{run} again at every commit, which {do_not} use")
        }
        AdviceKind::CopyAboveInstall { copy, .. } => {
            format!("{} stands above it, so any changed file installs everything again", name(&step::instruction(copy)))
        }
        AdviceKind::CacheCostsMore { costs, spares, builds, .. } => format!(
            "in the last {} the cache took {} and spared {} of steps",
            units::count(usize::try_from(*builds).unwrap_or(usize::MAX), "build"),
            units::duration(*costs),
            units::duration(*spares),
        ),
        AdviceKind::ContextUnused { sent, used, .. } => {
            format!("{} of context was sent, {} of it is of use", units::size(*sent), units::size(*used))
        }
    }
}

/// `saves about 31.8 s a build`, if it is known.
pub(crate) fn saving(advice: &Advice) -> Option<String> {
    (!advice.saves.is_zero()).then(|| format!("saves about {} a build", units::duration(advice.saves)))
}

/// All in one line: `Move … below …: every commit … (backend/Dockerfile:4, saves about 31.8 s a build)`.
pub(crate) fn sentence(advice: &Advice, name: impl Fn(&str) -> String) -> String {
    let place = advice.location.as_ref().map(|location| name(&annotation::place(location)));
    let more: Vec<String> = [place, saving(advice)].into_iter().flatten().collect();
    let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join(", ")) };
    format!("{}: {}{more}", change(advice, &name), why(advice, &name))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::sentence;
    use crate::outcome::advice::{Advice, AdviceKind};
    use crate::report::fixtures;

    #[test]
    fn every_kind_has_its_words() {
        let words: Vec<String> =
            fixtures::advice().iter().map(|advice| sentence(advice, |raw| format!("`{raw}`"))).collect();
        insta::assert_snapshot!(words.join("\n"), @r"
        Move `ARG GIT_COMMIT_HASH` below `RUN apt-get install -y libpq5`: it runs again at every commit, which it does not use (`backend/Dockerfile:4`, saves about 45.6 s a build)
        Copy only `package.json` and `package-lock.json` above `RUN npm ci --no-audit --no-fund`, and everything else below it: `COPY . .` stands above it, so any changed file installs everything again (`frontend/Dockerfile:6`, saves about 41.6 s a build)
        Keep less of a cache: set `cache-stages: false` and leave `cache-to` out: in the last 10 builds the cache took 1 min 36 s and spared 34.0 s of steps (saves about 6.2 s a build)
        Add `target` (371.0 MB) and `.venv` (28.6 MB) to `.dockerignore`: 412.0 MB of context was sent, 12.4 MB of it is of use (saves about 3.9 s a build)
        ");
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        let kind = AdviceKind::ContextUnused { sent: 9, used: 1, largest: vec![] };
        let advice = Advice { image: "app".into(), location: None, saves: Duration::ZERO, kind };
        let words = sentence(&advice, str::to_owned);
        assert_eq!(words, "Name in .dockerignore what no step uses: 9 B of context was sent, 1 B of it is of use");
    }
}

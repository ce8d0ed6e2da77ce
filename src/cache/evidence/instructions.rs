//! The instructions of a Dockerfile.

use serde::{Deserialize, Serialize};

use super::keyed::{Keyed, Of, Salt};
use crate::project::dockerfile::{Dockerfile, Instruction, Stage};

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageEvidence {
    /// Its name, `stage-N` if it has none: what BuildKit calls it where there are several.
    pub name: String,
    /// Its `FROM` line, without the name that it gives the stage.
    pub from: Keyed,
    /// What follows, in the order of [`Stage::instructions`].
    pub instructions: Vec<Keyed>,
}

/// Digests of every instruction, as BuildKit's splitter reads it: comments, and the case of a keyword, are no change.
///
/// `text` is what `dockerfile` was parsed from: heredoc bodies are taken from it.
pub fn instructions(salt: &Salt, dockerfile: &Dockerfile, text: &str) -> Vec<StageEvidence> {
    let text = Text { lines: text.lines().collect(), salt };
    let stages = dockerfile.stages().iter().enumerate();
    stages.map(|(index, stage)| text.stage(dockerfile, index, stage)).collect()
}

struct Text<'a> {
    lines: Vec<&'a str>,
    salt: &'a Salt,
}

impl Text<'_> {
    fn stage(&self, dockerfile: &Dockerfile, index: usize, stage: &Stage) -> StageEvidence {
        let name = stage.name().map_or_else(|| format!("stage-{index}"), str::to_owned);
        let (first, last) = dockerfile.locate_step(Some(&name), 1, 1, "FROM").unwrap_or_default();
        let line = self.between(first, last).join(" ");
        // `FROM --platform=… base AS name`: a stage's name is in no cache key.
        let flags = line.split_whitespace().filter(|word| word.starts_with("--")).collect::<Vec<_>>().join(" ");
        StageEvidence {
            name,
            from: self.salt.keyed(Of::Instruction, &[b"FROM", flags.as_bytes(), stage.base().as_bytes()]),
            instructions: stage.instructions().iter().map(|instruction| self.instruction(instruction)).collect(),
        }
    }

    fn instruction(&self, instruction: &Instruction) -> Keyed {
        let Instruction { keyword, flags, arguments, lines } = instruction;
        let mut hasher = self.salt.hasher(Of::Instruction);
        hasher.part(keyword.as_bytes());
        hasher.part(&(flags.len() as u64).to_le_bytes());
        for part in flags.iter().chain([arguments]) {
            hasher.part(part.as_bytes());
        }
        if arguments.contains("<<") {
            for line in self.between(lines.first, lines.last) {
                hasher.part(line.as_bytes());
            }
        }
        hasher.finish()
    }

    /// Lines from `first` to `last`, both from 1 and included.
    fn between(&self, first: u32, last: u32) -> &[&str] {
        let place = |line: u32| usize::try_from(line).unwrap_or(usize::MAX);
        self.lines.get(place(first).saturating_sub(1)..place(last)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{StageEvidence, instructions};
    use crate::project::dockerfile::Dockerfile;

    fn of(text: &str) -> Vec<StageEvidence> {
        instructions(&"00".repeat(16).parse().unwrap(), &Dockerfile::parse(text).unwrap(), text)
    }

    #[test]
    fn what_is_no_change_gives_the_same_digests() {
        let before = of("FROM a AS b\nRUN x \\\n  y\nCOPY --link a b\nFROM b\n");
        assert_eq!(before, of("# c\nfrom a as B\n\nrun x \\\n# c\n  y\ncopy --link a b\nFROM b\n"));
        assert_eq!(before.iter().map(|stage| stage.name.as_str()).collect::<Vec<_>>(), ["b", "stage-1"]);
        assert_eq!(before[0].from, of("FROM a AS other\n")[0].from);
    }

    #[test]
    fn every_part_counts() {
        let base = "FROM --platform=linux/amd64 a\nRUN --network=none x <<E\nbody\nE\nRUN z\n";
        for (from, to, place) in [
            ("amd64", "arm64", None),
            (" a\n", " b\n", None),
            ("none", "host", Some(0)),
            ("x <<", "y <<", Some(0)),
            ("body", "other body", Some(0)),
            ("RUN z", "RUN z ", None),
            ("RUN z", "CMD z", Some(1)),
        ] {
            let (before, now) = (&of(base)[0], &of(&base.replacen(from, to, 1))[0]);
            let differ: Vec<_> =
                (0..2).filter(|place| before.instructions[*place] != now.instructions[*place]).collect();
            assert_eq!(differ, Vec::from_iter(place), "{from}");
            assert_eq!(before.from != now.from, place.is_none() && from != "RUN z", "{from}");
        }
    }
}

//! Instructions and the steps that came of them.

use crate::outcome::build::{ImageOutcome, StepOutcome};
use crate::outcome::reason::MissReason;
use crate::outcome::why::layout::Layout;
use crate::project::dockerfile::Instruction;

/// A step and the instruction that it is, by its stage's place in the Dockerfile and its own place in the stage.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed<'a> {
    pub(super) stage: usize,
    pub(super) index: usize,
    pub(super) step: &'a StepOutcome,
}

/// The steps of an image whose instruction is known.
pub(super) fn placed<'a>(layout: &Layout<'_>, image: &'a ImageOutcome) -> Vec<Placed<'a>> {
    let places = layout.places(&image.steps).into_iter();
    let placed = places.zip(&image.steps).filter_map(|(place, step)| {
        let place = place?;
        Some(Placed { stage: place.stage, index: place.instruction?, step })
    });
    placed.collect()
}

/// The step with which it began that a step ran, and why that one did.
pub(super) fn cause<'a>(image: &'a ImageOutcome, step: &'a StepOutcome) -> Option<(&'a StepOutcome, &'a MissReason)> {
    match step.reason.as_ref()? {
        MissReason::EarlierStep { step: name } => {
            let earlier = image.steps.iter().find(|earlier| earlier.name == *name)?;
            let reason = earlier.reason.as_ref()?;
            (!matches!(reason, MissReason::EarlierStep { .. })).then_some((earlier, reason))
        }
        reason => Some((step, reason)),
    }
}

/// Whether a text has one of these names in it, as a word: `$NAME`, `${NAME:-x}`, `printenv NAME`.
pub(super) fn mentions(text: &str, names: &[String]) -> bool {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.into_iter().any(|word| names.iter().any(|name| name == word))
}

/// What a `COPY` or `ADD` takes from the main context, and where to: as written, quotes taken away. `None` for one that
/// takes from elsewhere.
pub(super) fn copies(instruction: &Instruction) -> Option<(Vec<String>, String)> {
    let is_copy = matches!(instruction.keyword.as_str(), "COPY" | "ADD");
    if !is_copy || instruction.flags.iter().any(|flag| flag.starts_with("--from=")) {
        return None;
    }
    let mut words: Vec<String> = match serde_json::from_str(&instruction.arguments) {
        Ok(words) => words,
        Err(_) => {
            instruction.arguments.split_whitespace().map(|word| word.trim_matches(['"', '\'']).to_owned()).collect()
        }
    };
    let to = words.pop()?;
    Some((words, to))
}

#[cfg(test)]
mod tests {
    use super::mentions;

    #[test]
    fn a_name_is_found_as_a_word_only() {
        let names = ["COMMIT".to_owned()];
        for (text, found) in [
            ("RUN echo $COMMIT", true),
            ("RUN echo ${COMMIT:-none}", true),
            ("RUN printenv COMMIT", true),
            ("LABEL x=\"$COMMIT\"", true),
            ("RUN echo $COMMITTER $GIT_COMMIT", false),
            ("", false),
        ] {
            assert_eq!(mentions(text, &names), found, "{text}");
        }
    }
}

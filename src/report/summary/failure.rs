//! What failed: the step, its exit status, its place in the Dockerfile, its last lines, and what to do.

use crate::outcome::build::{BuildOutcome, Failure, ImageOutcome, ImageResult};
use crate::outcome::push::{PushProblem, Pushes};
use crate::report::summary::document::Document;
use crate::report::summary::{escape, name, sentence};
use crate::report::{annotation, units, words};

/// So many failures are shown; the others fold.
const SHOWN: usize = 2;
/// So many of the step's last lines are shown.
const TAIL: usize = 25;
/// So many tags are named in a list.
const NAMED: usize = 10;
/// Longest line of a log, in characters.
const LINE: usize = 300;

/// Appends every failure of a build.
pub(super) fn failures(document: &mut Document, outcome: &BuildOutcome) {
    let failed: Vec<(&ImageOutcome, &Failure)> = outcome
        .images
        .iter()
        .filter_map(|image| match &image.result {
            ImageResult::Failed(failure) => Some((image, failure)),
            ImageResult::Built { .. } | ImageResult::Cancelled | ImageResult::Skipped { .. } => None,
        })
        .collect();
    for (image, failure) in failed.iter().take(SHOWN) {
        one(document, image, failure);
    }
    if failed.len() > SHOWN {
        let title = format!("❌ {}", units::count(failed.len() - SHOWN, "more failure"));
        document.details(&title, |document| {
            for (image, failure) in failed.iter().skip(SHOWN) {
                one(document, image, failure);
            }
        });
    }
}

/// Appends what became of the pushes.
pub(super) fn pushes(document: &mut Document, pushes: &Pushes) {
    let problems: Vec<(&str, &PushProblem)> = pushes.problems().collect();
    for (tag, problem) in problems.iter().take(SHOWN) {
        let mut lines = vec![words::push::problem(tag, problem, name, sentence)];
        lines.extend(problem.help.as_deref().map(|help| format!("**What to do:** {}", sentence(help))));
        document.alert("CAUTION", &lines);
    }
    if problems.len() > SHOWN {
        let tags: Vec<String> = problems.iter().skip(SHOWN).map(|(tag, _)| (*tag).to_owned()).collect();
        document.block(&format!("Not pushed either: {}.", words::list(&tags, NAMED, name)));
    }
    words::push::untried(pushes, name).iter().for_each(|said| document.block(said));
    let said = words::push::withheld(pushes, name).or_else(|| words::push::done(pushes, name));
    said.iter().for_each(|said| document.block(said));
}

fn one(document: &mut Document, image: &ImageOutcome, failure: &Failure) {
    let step = failure.step.as_deref().map(|step| format!(" at {}", name(step))).unwrap_or_default();
    let code = failure.exit_code.map(|code| format!(" with exit code {code}")).unwrap_or_default();
    let place = failure.location.as_ref().map(|place| format!(" ({})", name(&annotation::place(place))));
    let mut lines = vec![format!("**{} failed**{step}{code}{}", name(&image.name), place.unwrap_or_default())];
    if annotation::message_adds(failure) {
        lines.push(sentence(&failure.message));
    }
    lines.extend(failure.help.as_deref().map(|help| format!("**What to do:** {}", sentence(help))));
    document.alert("CAUTION", &lines);
    let tail = annotation::tail(failure, TAIL);
    if !tail.is_empty() {
        document.fenced(&escape::fence(&tail, LINE));
    }
}

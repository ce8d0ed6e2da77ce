//! The check run of a build, and the comment: the summary's facts, where a reviewer sees them.

use crate::github::checks::{CheckOutput, Conclusion, MAX_TEXT};
use crate::github::comments::MAX_BODY;
use crate::outcome::baseline::{Gate, is_good};
use crate::outcome::build::{BuildOutcome, ImageResult};
use crate::outcome::record::Record;
use crate::report::{headline, hidden, plain, summary};

/// Characters of the longest title ("Create a check run").
const MAX_TITLE: usize = 255;
/// Characters of the longest name that is shown of a workflow or a project.
const NAME: usize = 80;

/// What a report on GitHub is about: one workflow's build of one project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The workflow's name; empty if it is not known.
    pub workflow: String,
    /// The Compose project, or the repository of the image's first name.
    pub project: String,
}

impl Subject {
    /// The name of the check run: what later builds find it by, and what tells it from another workflow's, because GitHub
    /// shows one of each name.
    pub fn check_name(&self) -> String {
        let short = |text: &str| plain::shorten(&plain::one_line(text), NAME);
        let workflow = short(&self.workflow);
        let of = if workflow.is_empty() { String::new() } else { format!(" ({workflow})") };
        format!("watchparty-cache / {}{of}", short(&self.project))
    }

    /// What finds the comment again.
    pub fn marker(&self) -> String {
        hidden::marker(&self.workflow, &self.project)
    }
}

/// How the check ends: as the program does.
pub fn conclusion(outcome: &BuildOutcome) -> Conclusion {
    let failed = outcome.images.iter().any(|image| matches!(image.result, ImageResult::Failed(_)));
    if failed || outcome.stale || matches!(outcome.gate, Some(Gate::Missed { .. })) {
        Conclusion::Failure
    } else if is_good(outcome) {
        Conclusion::Success
    } else {
        Conclusion::Neutral
    }
}

/// What the check shows. The record is in its text, which nobody sees.
pub fn output(outcome: &BuildOutcome, record: &Record) -> CheckOutput {
    let title = headline::of_build(outcome, plain::one_line);
    let text = hidden::record(record);
    CheckOutput {
        title: plain::shorten(&title, MAX_TITLE),
        // Bytes are never fewer than characters.
        summary: summary::for_check(outcome, MAX_TEXT),
        text: (!text.is_empty()).then_some(text),
    }
}

/// The comment of a pull request.
pub fn comment(outcome: &BuildOutcome, marker: &str) -> String {
    let room = MAX_BODY.saturating_sub(marker.len() + 1);
    format!("{marker}\n{}", summary::for_check(outcome, room))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{MAX_TITLE, Subject, comment, conclusion, output};
    use crate::github::checks::{Conclusion, MAX_TEXT};
    use crate::github::comments::MAX_BODY;
    use crate::outcome::baseline::Gate;
    use crate::outcome::build::BuildOutcome;
    use crate::outcome::record::Record;
    use crate::report::{fixtures, hidden};

    fn subject(workflow: &str, project: &str) -> Subject {
        Subject { workflow: workflow.into(), project: project.into() }
    }

    #[test]
    fn a_check_is_of_a_workflow_and_a_project() {
        assert_eq!(subject("CI", "app").check_name(), "watchparty-cache / app (CI)");
        assert_eq!(subject("", "ghcr.io/org/app").check_name(), "watchparty-cache / ghcr.io/org/app");
        assert!(subject(&"w\n".repeat(900), &"p".repeat(900)).check_name().chars().count() < 200);
    }

    #[test]
    fn the_conclusion_is_that_of_the_program() {
        let missed = Some(Gate::Missed { percent: 30, by: Duration::from_secs(40) });
        for (outcome, expected) in [
            (fixtures::warm(), Conclusion::Success),
            (BuildOutcome { gate: Some(Gate::NoBaseline), ..fixtures::warm() }, Conclusion::Success),
            (BuildOutcome { gate: missed, ..fixtures::warm() }, Conclusion::Failure),
            (fixtures::failed(), Conclusion::Failure),
            (fixtures::cancelled(), Conclusion::Neutral),
            (BuildOutcome { images: vec![], ..fixtures::warm() }, Conclusion::Neutral),
        ] {
            assert_eq!(conclusion(&outcome), expected);
        }
    }

    #[test]
    fn no_limit_of_githubs_is_passed() {
        for outcome in [fixtures::warm(), fixtures::huge(), fixtures::hostile()] {
            let record = Record::of(&outcome, "linux");
            let output = output(&outcome, &record);
            assert!(output.title.chars().count() <= MAX_TITLE && !output.title.contains('\n'), "{}", output.title);
            assert!(output.summary.chars().count() <= MAX_TEXT);
            assert!(output.text.as_ref().is_none_or(|text| text.chars().count() <= MAX_TEXT));
            let comment = comment(&outcome, &subject("CI", "app").marker());
            assert!(comment.chars().count() <= MAX_BODY);
            assert!(comment.starts_with(&subject("CI", "app").marker()));
        }
        let warm = fixtures::warm();
        assert!(output(&warm, &Record::of(&warm, "linux")).title.starts_with("Built 2 images in 12.4 s, "));
        let text = output(&warm, &Record::of(&warm, "linux")).text.unwrap();
        assert_eq!(hidden::read_record(&text), Some(Record::of(&warm, "linux")));
    }
}

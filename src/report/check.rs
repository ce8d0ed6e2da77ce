//! The check run of a build, and the comment: the summary's facts, where a reviewer sees them.

use crate::github::checks::{CheckOutput, Conclusion, MAX_TEXT};
use crate::github::comments::MAX_BODY;
use crate::outcome::baseline::{Gate, is_good};
use crate::outcome::build::{BuildOutcome, ImageResult};
use crate::outcome::record::Record;
use crate::report::{headline, hidden, plain, summary};

/// Characters of the longest title ("Create a check run").
const MAX_TITLE: usize = 255;
/// Characters of the longest name that is shown of a workflow, a project or a variant.
const NAME: usize = 64;

/// What a report on GitHub is about: one workflow's build of one project, or of a variant of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// The workflow's name; empty if it is not known.
    pub workflow: String,
    /// The Compose project, or the repository of the image's first name.
    pub project: String,
    /// What inputs say that makes it another build than the project's own: the services, the target, the platforms, the
    /// cache key. Legs of a matrix differ in these, and none of them is set in most workflows.
    pub variant: Option<String>,
}

impl Subject {
    /// The name of the check run: what later builds find it by, and what tells it from another one's, because GitHub shows
    /// one of each name.
    pub fn check_name(&self) -> String {
        let details: Vec<String> =
            [Some(&self.workflow), self.variant.as_ref()].into_iter().flatten().map(|text| distinct(text)).collect();
        let details = details.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ");
        let of = if details.is_empty() { String::new() } else { format!(" ({details})") };
        format!("watchparty-cache / {}{of}", distinct(&self.project))
    }

    /// What finds the comment again.
    pub fn marker(&self) -> String {
        let words = [Some(self.workflow.as_str()), Some(&self.project), self.variant.as_deref()];
        hidden::marker(&words.into_iter().flatten().collect::<Vec<_>>())
    }
}

/// A name that is short enough, and that no other name becomes by being shortened.
fn distinct(text: &str) -> String {
    let line = plain::one_line(text);
    let short = plain::shorten(&line, NAME);
    if short == line { short } else { format!("{short} {}", hidden::digest(&[text], 3)) }
}

/// How the check ends: as the program does.
pub fn conclusion(outcome: &BuildOutcome) -> Conclusion {
    let failed = outcome.images.iter().any(|image| matches!(image.result, ImageResult::Failed(_)));
    if failed || outcome.stale || outcome.pushes.failed() || matches!(outcome.gate, Some(Gate::Missed { .. })) {
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
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::{MAX_TITLE, Subject, comment, conclusion, output};
    use crate::github::checks::{Conclusion, MAX_TEXT};
    use crate::github::comments::MAX_BODY;
    use crate::outcome::baseline::Gate;
    use crate::outcome::build::BuildOutcome;
    use crate::outcome::record::Record;
    use crate::report::{fixtures, hidden};

    fn subject(workflow: &str, project: &str) -> Subject {
        Subject { workflow: workflow.into(), project: project.into(), variant: None }
    }

    #[test]
    fn legs_of_a_matrix_have_checks_and_comments_of_their_own() {
        let leg = |variant: &str| Subject { variant: Some(variant.into()), ..subject("CI", "app") };
        assert_eq!(leg("target api, linux/arm64").check_name(), "watchparty-cache / app (CI, target api, linux/arm64)");
        let long = |last: &str| leg(&format!("{}{last}", "service-".repeat(40)));
        let legs = [subject("CI", "app"), leg("target api"), leg("target worker"), long("a"), long("b")];
        for of in [Subject::check_name, Subject::marker] {
            let names: BTreeSet<String> = legs.iter().map(of).collect();
            assert_eq!(names.len(), legs.len(), "{names:?}");
        }
    }

    #[test]
    fn a_check_is_of_a_workflow_and_a_project() {
        assert_eq!(subject("CI", "app").check_name(), "watchparty-cache / app (CI)");
        assert_eq!(subject("", "ghcr.io/org/app").check_name(), "watchparty-cache / ghcr.io/org/app");
        assert!(subject(&"w\n".repeat(900), &"p".repeat(900)).check_name().chars().count() < 200);
        assert_eq!(
            Subject { workflow: String::new(), variant: Some("key x".into()), ..subject("CI", "app") }.check_name(),
            "watchparty-cache / app (key x)"
        );
    }

    #[test]
    fn the_conclusion_is_that_of_the_program() {
        let missed = Some(Gate::Missed { percent: 30, by: Duration::from_secs(40) });
        for (outcome, expected) in [
            (fixtures::warm(), Conclusion::Success),
            (BuildOutcome { gate: Some(Gate::NoBaseline), ..fixtures::warm() }, Conclusion::Success),
            (BuildOutcome { gate: missed, ..fixtures::warm() }, Conclusion::Failure),
            (fixtures::failed(), Conclusion::Failure),
            (fixtures::fresh_but_cached(), Conclusion::Success),
            (fixtures::stale(), Conclusion::Failure),
            (fixtures::pushed_in_part(), Conclusion::Failure),
            (fixtures::cancelled(), Conclusion::Neutral),
            (BuildOutcome { images: vec![], ..fixtures::warm() }, Conclusion::Neutral),
        ] {
            assert_eq!(conclusion(&outcome), expected);
        }
    }

    /// What GitHub is sent, as a person would see it; what nobody sees stands there too.
    #[test]
    fn have_the_facts_of_the_summary() {
        let check = |outcome: &BuildOutcome| {
            let output = output(outcome, &Record::of(outcome, "self-hosted Linux X64, 4 processors"));
            let head = format!("{:?}: {}", conclusion(outcome), output.title);
            format!("{head}\n\n{}\n{}", output.summary, output.text.unwrap_or_default())
        };
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("check_slower", check(&fixtures::slower()));
            insta::assert_snapshot!("check_failed", check(&fixtures::failed()));
            insta::assert_snapshot!("comment", comment(&fixtures::unbased(), &subject("CI", "watchparty").marker()));
        });
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

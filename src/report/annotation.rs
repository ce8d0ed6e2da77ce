//! Annotations: what GitHub shows at a line of a file, as plain data.

use crate::outcome::advice::Advice;
use crate::outcome::build::{BuildOutcome, Failure, ImageOutcome, ImageResult, SourceLocation};
use crate::report::{plain, words};
use crate::runner::{Annotation, Level};

/// The runner cuts a message after so many characters (`ExecutionContext.cs` in actions/runner).
pub const MESSAGE_LIMIT: usize = 4096;
/// So many annotations of a level a step may have; the runner drops the others (`ExecutionContext.cs`).
pub const PER_LEVEL: usize = 10;
/// So many of a failed step's last lines go into its annotation.
const TAIL: usize = 15;

/// One error for each failed image, at the step's place in its Dockerfile; at most [`PER_LEVEL`].
pub fn failures(outcome: &BuildOutcome) -> Vec<Annotation> {
    let failed = outcome.images.iter().filter_map(|image| match &image.result {
        ImageResult::Failed(failure) => Some(of_failure(image, failure)),
        ImageResult::Built { .. } | ImageResult::Cancelled | ImageResult::Skipped { .. } => None,
    });
    failed.take(PER_LEVEL).collect()
}

/// One notice for each piece of advice, at the line that could be better; at most [`PER_LEVEL`].
pub fn advice(outcome: &BuildOutcome) -> Vec<Annotation> {
    outcome.advice.iter().take(PER_LEVEL).map(of_advice).collect()
}

fn of_advice(advice: &Advice) -> Annotation {
    let name = |text: &str| plain::shorten(&plain::one_line(text), 200);
    let saving = words::advice::saving(advice).map(|saving| format!("\n{saving}")).unwrap_or_default();
    let text = format!("{}: {}{saving}", words::advice::change(advice, name), words::advice::why(advice, name));
    let annotation = Annotation::new(Level::Notice, text).title(format!("{} could be faster", name(&advice.image)));
    match &advice.location {
        Some(place) => annotation.at(&place.file, place.line, place.end_line),
        None => annotation,
    }
}

fn of_failure(image: &ImageOutcome, failure: &Failure) -> Annotation {
    let name = plain::one_line(&image.name);
    let code = failure.exit_code.map(|code| format!(" (exit code {code})")).unwrap_or_default();
    let mut head: Vec<String> = failure.step.iter().map(|step| plain::shorten(&plain::one_line(step), 200)).collect();
    if message_adds(failure) || head.is_empty() {
        head.push(plain::shorten(&plain::one_line(&failure.message), 1000));
    }
    head.extend(failure.help.as_deref().map(|help| plain::shorten(&plain::one_line(help), 500)));
    let title = plain::shorten(&format!("{name} failed{code}"), 200);
    let annotation = Annotation::new(Level::Error, message(&head, &tail(failure, TAIL))).title(title);
    match &failure.location {
        Some(place) => annotation.at(&place.file, place.line, place.end_line),
        None => annotation,
    }
}

/// The head and as many of the last lines as there is room for, the very last ones first of all.
fn message(head: &[String], tail: &[String]) -> String {
    let head = head.iter().filter(|line| !line.is_empty()).cloned().collect::<Vec<_>>().join("\n");
    let mut room = MESSAGE_LIMIT.saturating_sub(head.chars().count() + 1);
    let mut kept: Vec<&str> = vec![];
    for line in tail.iter().rev() {
        let Some(left) = room.checked_sub(line.chars().count() + 1) else { break };
        room = left;
        kept.push(line);
    }
    kept.reverse();
    let parts: Vec<String> = [head, kept.join("\n")].into_iter().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "the build failed".to_owned() } else { parts.join("\n\n") }
}

/// Whether the builder's message says more than that a process ended with the exit status that is told anyway.
pub(super) fn message_adds(failure: &Failure) -> bool {
    let repeats = failure.exit_code.is_some() && failure.message.contains("did not complete successfully: exit code:");
    !repeats && !plain::one_line(&failure.message).is_empty()
}

/// The last lines that a step printed, cleaned, without blank ones at either end.
pub(super) fn tail(failure: &Failure, count: usize) -> Vec<String> {
    let lines: Vec<String> = failure.log_tail.iter().flat_map(|line| plain::log_lines(line)).collect();
    let end = lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
    let skip = end.saturating_sub(count);
    lines.into_iter().take(end).skip(skip).skip_while(String::is_empty).collect()
}

/// `backend/Dockerfile:12`, `backend/Dockerfile:12-14`.
pub(super) fn place(location: &SourceLocation) -> String {
    if location.end_line > location.line {
        format!("{}:{}-{}", location.file, location.line, location.end_line)
    } else {
        format!("{}:{}", location.file, location.line)
    }
}

#[cfg(test)]
mod tests {
    use super::{MESSAGE_LIMIT, PER_LEVEL, failures, message};
    use crate::outcome::build::BuildOutcome;
    use crate::report::fixtures;
    use crate::runner::Level;

    #[test]
    fn a_failed_step_stands_at_its_line() {
        let annotations = failures(&fixtures::failed());
        let [annotation] = annotations.as_slice() else { panic!("{annotations:?}") };
        assert_eq!(
            (annotation.level, annotation.title.as_deref()),
            (Level::Error, Some("frontend failed (exit code 2)"))
        );
        assert_eq!((annotation.file.as_deref(), annotation.lines), (Some("frontend/Dockerfile"), Some((12, 12))));
        insta::assert_snapshot!(annotation.message, @r#"
        [build 4/5] RUN npm run build

        > frontend@1.0.0 build
        > tsc -b && vite build

        src/App.tsx:14:7 - error TS2322: Type 'string' is not assignable to type 'number'.

        14   const [viewers, setViewers] = useState<number>("0");
                   ~~~~~~~

        Found 1 error.
        "#);
    }

    #[test]
    fn a_build_without_a_failure_has_none() {
        assert_eq!(failures(&fixtures::warm()), []);
        assert_eq!(failures(&fixtures::cancelled()), []);
    }

    #[test]
    fn the_last_lines_survive_the_limit() {
        let tail: Vec<String> = (0..10).map(|n| format!("{n}{}", "x".repeat(1000))).collect();
        let text = message(&["head".into()], &tail);
        assert!(text.chars().count() <= MESSAGE_LIMIT);
        assert!(text.starts_with("head\n\n6x") && text.contains("\n9x"), "{text}");
    }

    #[test]
    fn a_message_is_never_blank_or_too_long() {
        assert_eq!(message(&[String::new()], &[]), "the build failed");
        for annotation in failures(&fixtures::huge()) {
            assert!(
                annotation.message.chars().count() <= MESSAGE_LIMIT
                    && annotation.title.as_deref().is_some_and(|title| title.chars().count() <= 200)
            );
        }
    }

    #[test]
    fn advice_stands_at_its_line() {
        let outcome = BuildOutcome { advice: fixtures::advice(), ..fixtures::warm() };
        let annotations = super::advice(&outcome);
        assert!(annotations.iter().all(|one| one.level == Level::Notice));
        let [first, ..] = annotations.as_slice() else { panic!("{annotations:?}") };
        assert_eq!((first.file.as_deref(), first.lines), (Some("backend/Dockerfile"), Some((4, 4))));
        assert_eq!(first.title.as_deref(), Some("backend could be faster"));
        let texts: Vec<&str> = annotations.iter().map(|one| one.message.as_str()).collect();
        insta::assert_snapshot!(texts.join("\n"));
        let many = BuildOutcome { advice: vec![outcome.advice[0].clone(); 30], ..outcome };
        assert_eq!(super::advice(&many).len(), PER_LEVEL);
    }

    #[test]
    fn there_are_no_more_than_the_runner_shows() {
        let image = fixtures::failed().images[1].clone();
        let outcome = BuildOutcome { images: vec![image; 30], ..fixtures::failed() };
        assert_eq!(failures(&outcome).len(), PER_LEVEL);
    }
}

//! Where the time went: the slowest steps on the page, every step in the fold.

use std::cmp::Reverse;
use std::time::Duration;

use crate::outcome::build::{
    BuildOutcome, ImageOutcome, ImageResult, Interval, OperationKind, OperationOutcome, StepOutcome, StepStatus,
    time_of,
};
use crate::report::summary::document::{Align, Document};
use crate::report::summary::{NAME_IN_TABLE, escape, name};
use crate::report::tally::Tally;
use crate::report::units::{self, SecondsColumn};
use crate::report::words;

/// So many rows are on the page; a build of so few steps shows them all.
const SHOWN: usize = 8;
/// What takes less than this part of the whole is no answer to where the time went.
const NOTICEABLE: u32 = 50;
/// So does what is not a step of the Dockerfile; it is there in every build.
const NOTICEABLE_OTHER: u32 = 25;
/// Width of the longest bar, in characters.
const BAR: u128 = 8;
/// Marks what is on the critical path.
const CRITICAL: &str = "🔺";

/// A line of the table: a Dockerfile step, or something else that took time.
struct Row<'a> {
    image: &'a ImageOutcome,
    name: &'a str,
    time: Duration,
    how: How<'a>,
}

#[derive(Clone, Copy)]
enum How<'a> {
    Step(&'a StepOutcome),
    Operation(&'a OperationOutcome),
}

/// Appends the table of what took longest, of all images together.
pub(super) fn slowest(document: &mut Document, outcome: &BuildOutcome) {
    let rows = rows(outcome.images.iter());
    let few = Tally::of_build(outcome).total <= SHOWN;
    let shown: Vec<&Row> = rows.iter().filter(|row| row.is_news(few, outcome.duration)).take(SHOWN).collect();
    if shown.is_empty() {
        return;
    }
    document.block("**Where the time went, and why**");
    table(document, &shown, outcome.duration, outcome.images.len() > 1);
    if !outcome.cancelled && shown.iter().any(|row| row.is_critical()) {
        document.block(&critical_path(outcome));
    }
}

/// What the sign means, and how much there is to win.
fn critical_path(outcome: &BuildOutcome) -> String {
    let steps = outcome.images.iter().flat_map(|image| &image.steps);
    let operations = outcome.images.iter().flat_map(|image| &image.other);
    let on_it = steps.filter(|step| step.critical).map(|step| &step.intervals);
    let on_it = on_it.chain(operations.filter(|operation| operation.critical).map(|operation| &operation.intervals));
    let intervals: Vec<Interval> = on_it.flatten().copied().collect();
    let (path, whole) = (units::duration(time_of(&intervals)), units::duration(outcome.duration));
    format!(
        "{CRITICAL} is on the critical path ({path} of {whole}): the build gets faster only if one of these steps does."
    )
}

/// Appends the fold with every image's names and steps.
pub(super) fn all_steps(document: &mut Document, outcome: &BuildOutcome) {
    if outcome.images.is_empty() {
        return;
    }
    let steps = units::count(Tally::of_build(outcome).total, "step");
    let title = format!("All {steps}, with tags and digests");
    document.details(title.replace("All 1 step", "The step").as_str(), |document| {
        for image in &outcome.images {
            document.block(&identity(image));
            let rows = rows(std::iter::once(image));
            let all: Vec<&Row> = rows.iter().filter(|row| row.is_news(true, image.duration)).collect();
            table(document, &all, outcome.duration, false);
        }
    });
}

fn rows<'a>(images: impl Iterator<Item = &'a ImageOutcome>) -> Vec<Row<'a>> {
    let mut rows: Vec<Row> = images
        .flat_map(|image| {
            let steps = image.steps.iter().map(move |step| Row {
                image,
                name: &step.name,
                time: step.duration(),
                how: How::Step(step),
            });
            let operations = image.other.iter().map(move |operation| Row {
                image,
                name: &operation.name,
                time: time_of(&operation.intervals),
                how: How::Operation(operation),
            });
            steps.chain(operations)
        })
        .collect();
    // The sort is stable: what took equally long stays in the order of the Dockerfile.
    rows.sort_by_key(|row| Reverse(row.time));
    rows
}

impl Row<'_> {
    /// Whether the row tells something: a step that failed or took its time, with `every_step` any step;
    /// other things only if they took a good part of the `whole`.
    fn is_news(&self, every_step: bool, whole: Duration) -> bool {
        match self.how {
            How::Step(_) if every_step => true,
            How::Step(step) if step.status == StepStatus::Failed => true,
            How::Step(_) => !self.time.is_zero() && self.time >= whole / NOTICEABLE,
            How::Operation(_) => !self.time.is_zero() && self.time >= whole / NOTICEABLE_OTHER,
        }
    }

    /// Why it took time: for a step that ran, why it was not cached.
    fn why(&self) -> String {
        match self.how {
            How::Step(step) if step.cached => format!("⚡&nbsp;cached&nbsp;({})", step.source.as_str()),
            How::Step(step) => {
                let reason = step.reason.as_ref().map(|reason| words::reason::in_image(reason, self.image, name));
                let status = match step.status {
                    StepStatus::Done => None,
                    StepStatus::Failed => Some("❌&nbsp;failed"),
                    StepStatus::Cancelled => Some("🚫&nbsp;cut&nbsp;short"),
                    StepStatus::NotRun => return "not&nbsp;begun".to_owned(),
                };
                match (status, reason) {
                    (None, None) => "ran".to_owned(),
                    (None, Some(reason)) => reason,
                    (Some(status), None) => status.to_owned(),
                    (Some(status), Some(reason)) => format!("{status}; {reason}"),
                }
            }
            How::Operation(operation) => {
                let kind = match operation.kind {
                    OperationKind::Internal => "preparation",
                    OperationKind::Base => "base image",
                    OperationKind::CacheImport => "cache import",
                    OperationKind::Export => "export",
                    OperationKind::Other => "other",
                };
                if operation.error.is_some() { format!("{kind}, failed") } else { kind.to_owned() }
            }
        }
    }

    fn is_critical(&self) -> bool {
        match self.how {
            How::Step(step) => step.critical,
            How::Operation(operation) => operation.critical,
        }
    }

    /// Whether the builder spent time on it: not on a step that it never began, nor on most of the cached ones.
    fn took_time(&self) -> bool {
        !matches!(self.how, How::Step(step) if step.intervals.is_empty())
    }
}

fn table(document: &mut Document, rows: &[&Row], whole: Duration, with_image: bool) {
    let column = SecondsColumn::of(rows.iter().map(|row| row.time));
    let longest = rows.iter().map(|row| row.time).max().unwrap_or_default();
    let mut head = vec![
        ("Step", Align::Left),
        ("Seconds", Align::Right),
        ("Share", Align::Right),
        ("", Align::Left),
        ("Why", Align::Left),
    ];
    if with_image {
        head.insert(0, ("Image", Align::Left));
    }
    document.table(
        &head,
        rows.iter().map(|row| {
            let nothing = || "–".to_owned();
            let sign = if row.is_critical() { format!("{CRITICAL}&nbsp;") } else { String::new() };
            let step = escape::code(&words::step::short(row.name), NAME_IN_TABLE);
            let seconds = if row.took_time() { column.show(row.time) } else { nothing() };
            let share = if row.took_time() { share(row.time, whole) } else { nothing() };
            let mut cells = vec![format!("{sign}{step}"), seconds, share, bar(row.time, longest), row.why()];
            if with_image {
                cells.insert(0, name(&row.image.name));
            }
            cells
        }),
    );
}

/// `66&nbsp;%` of the whole build's time. Images that are built at once have more than a hundred together.
fn share(time: Duration, whole: Duration) -> String {
    let percent = (time.as_millis() * 100 + whole.as_millis() / 2) / whole.as_millis().max(1);
    format!("{percent}&nbsp;%")
}

/// A bar in halves of a character; whatever took time has at least half of one.
pub(super) fn bar(time: Duration, longest: Duration) -> String {
    let halves = (time.as_millis() * BAR * 2).div_ceil(longest.as_millis().max(1));
    let full = "━".repeat(usize::try_from(halves / 2).unwrap_or_default());
    if halves % 2 == 1 { full + "╸" } else { full }
}

/// An image's names and ids in full, for whoever wants to copy them.
fn identity(image: &ImageOutcome) -> String {
    let tags: Vec<String> = image.tags.iter().take(SHOWN).map(|tag| name(tag)).collect();
    let more = image.tags.len().saturating_sub(SHOWN);
    let tags = if more > 0 { format!("{} and {more} more", tags.join(", ")) } else { tags.join(", ") };
    let mut lines = vec![format!("**{}**", name(&image.name))];
    lines.extend((!tags.is_empty()).then(|| format!("tags {tags}")));
    if let ImageResult::Built { image_id, digest } = &image.result {
        lines.push(format!("image id {}", name(image_id)));
        lines.extend(digest.as_deref().map(|digest| format!("digest {}", name(digest))));
    }
    lines.join("<br>\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::bar;

    #[test]
    fn bars_are_in_proportion() {
        let bar_of = |millis| bar(Duration::from_millis(millis), Duration::from_millis(960));
        assert_eq!([960, 480, 10, 0].map(bar_of), ["━━━━━━━━", "━━━━", "╸", ""]);
        assert_eq!(bar(Duration::ZERO, Duration::ZERO), "");
    }
}

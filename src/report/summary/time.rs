//! Where the time went: the slowest steps on the page, every step in the fold.

use std::cmp::Reverse;
use std::time::Duration;

use crate::outcome::build::{
    BuildOutcome, ImageOutcome, ImageResult, Interval, OperationKind, OperationOutcome, StepOutcome, StepStatus,
};
use crate::report::summary::document::{Align, Document};
use crate::report::summary::name;
use crate::report::tally::Tally;
use crate::report::units::{self, SecondsColumn};

/// So many rows are on the page; a build of so few steps shows them all.
const SHOWN: usize = 8;
/// What takes less than this part of the whole is no answer to where the time went.
const NOTICEABLE: u32 = 50;
/// Width of the longest bar, in characters.
const BAR: u128 = 12;

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
    let floor = outcome.duration / NOTICEABLE;
    let shown: Vec<&Row> = rows.iter().filter(|row| row.is_news(few, floor)).take(SHOWN).collect();
    if shown.is_empty() {
        return;
    }
    document.block("**Where the time went**, slowest first");
    table(document, &shown, outcome.images.len() > 1);
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
            let all: Vec<&Row> = rows.iter().filter(|row| row.is_news(true, image.duration / NOTICEABLE)).collect();
            table(document, &all, false);
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
                time: operation.intervals.iter().map(Interval::length).sum(),
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
    /// other things only if they took at least `floor`.
    fn is_news(&self, every_step: bool, floor: Duration) -> bool {
        match self.how {
            How::Step(_) if every_step => true,
            How::Step(step) if step.status == StepStatus::Failed => true,
            How::Step(_) | How::Operation(_) => !self.time.is_zero() && self.time >= floor,
        }
    }

    fn how(&self) -> String {
        match self.how {
            How::Step(step) if step.cached => format!("⚡&nbsp;cached&nbsp;({})", step.source.as_str()),
            How::Step(step) => match step.status {
                StepStatus::Done => "ran".to_owned(),
                StepStatus::Failed => "❌&nbsp;failed".to_owned(),
                StepStatus::Cancelled => "🚫&nbsp;cut&nbsp;short".to_owned(),
                StepStatus::NotRun => "not&nbsp;begun".to_owned(),
            },
            How::Operation(operation) => {
                let kind = match operation.kind {
                    OperationKind::Internal => "preparation",
                    OperationKind::Base => "base&nbsp;image",
                    OperationKind::CacheImport => "cache&nbsp;import",
                    OperationKind::Export => "export",
                    OperationKind::Other => "other",
                };
                if operation.error.is_some() { format!("{kind}, failed") } else { kind.to_owned() }
            }
        }
    }

    /// Whether the builder spent time on it: not on a step that it never began, nor on most of the cached ones.
    fn took_time(&self) -> bool {
        !matches!(self.how, How::Step(step) if step.intervals.is_empty())
    }
}

fn table(document: &mut Document, rows: &[&Row], with_image: bool) {
    let column = SecondsColumn::of(rows.iter().map(|row| row.time));
    let longest = rows.iter().map(|row| row.time).max().unwrap_or_default();
    let mut head = vec![("Step", Align::Left), ("How", Align::Left), ("Seconds", Align::Right), ("", Align::Left)];
    if with_image {
        head.insert(1, ("Image", Align::Left));
    }
    document.table(
        &head,
        rows.iter().map(|row| {
            let seconds = if row.took_time() { column.show(row.time) } else { "–".to_owned() };
            let mut cells = vec![name(row.name), row.how(), seconds, bar(row.time, longest)];
            if with_image {
                cells.insert(1, name(&row.image.name));
            }
            cells
        }),
    );
}

/// A bar in halves of a character; whatever took time has at least half of one.
fn bar(time: Duration, longest: Duration) -> String {
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
        assert_eq!([960, 480, 10, 0].map(bar_of), ["━━━━━━━━━━━━", "━━━━━━", "╸", ""]);
        assert_eq!(bar(Duration::ZERO, Duration::ZERO), "");
    }
}

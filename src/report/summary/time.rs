//! Where the time went: the slowest steps on the page, every step in the fold.

use std::cmp::Reverse;
use std::time::Duration;

use crate::outcome::build::{
    BuildOutcome, ImageOutcome, ImageResult, Interval, OperationKind, OperationOutcome, StepOutcome, StepStatus,
    time_of,
};
use crate::outcome::reason::MissReason;
use crate::report::summary::document::{Align, Document};
use crate::report::summary::{NAME_IN_TABLE, escape, name};
use crate::report::tally::Tally;
use crate::report::units::{self, SecondsColumn};
use crate::report::words;
use crate::report::words::reason::Telling;

/// So many rows are on the page; a build of so few steps shows them all.
const SHOWN: usize = 8;
/// What takes less than this part of the whole is no answer to where the time went.
const NOTICEABLE: u32 = 50;
/// So does what is not a step of the Dockerfile; it is there in every build.
const NOTICEABLE_OTHER: u32 = 25;
/// Nor does anything that is there in every build, or that came from a cache, where it took less than this.
const NOTICED: Duration = Duration::from_millis(500);
/// Nobody waits for a build that takes less: there is no word about how it could be faster.
pub(super) const BRIEF: Duration = Duration::from_secs(2);
/// What is not among the rows is told where it is more than this part of the whole, all of it together.
const REST: u32 = 10;
/// A reason that so many rows have in common is said once.
const OFTEN: usize = 3;
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
    table(document, &shown, outcome, outcome.images.len() > 1);
    let notes = [rest(&rows, &shown, outcome.duration), Path::of(&shown, outcome).words(shown.len(), outcome)];
    notes.into_iter().flatten().for_each(|note| document.block(&note));
}

/// What of the steps that ran is not among the rows, where that took its time.
fn rest(rows: &[Row], shown: &[&Row], whole: Duration) -> Option<String> {
    let ran = |row: &&Row| matches!(row.how, How::Step(step) if !step.cached) && !row.time.is_zero();
    let is_shown = |row: &&Row| shown.iter().any(|shown| std::ptr::eq(*shown, *row));
    let rest: Vec<&Row> = rows.iter().filter(|row| ran(row) && !is_shown(row)).collect();
    let time: Duration = rest.iter().map(|row| row.time).sum();
    let steps = units::count(rest.len(), "more step");
    (!rest.is_empty() && time >= whole / REST).then(|| format!("{steps} ran, {}.", units::duration(time)))
}

/// How it is told which rows of a table would have to be faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    /// Not at all.
    Unsaid,
    /// Each of them has a sign.
    Signs,
    /// All of them would: a sign at each says nothing.
    All,
}

impl Path {
    fn of(rows: &[&Row], outcome: &BuildOutcome) -> Self {
        let critical = rows.iter().filter(|row| row.is_critical()).count();
        match critical {
            _ if outcome.cancelled || outcome.duration < BRIEF => Self::Unsaid,
            0 => Self::Unsaid,
            all if all == rows.len() => Self::All,
            _ => Self::Signs,
        }
    }

    /// The line below the table.
    fn words(self, rows: usize, outcome: &BuildOutcome) -> Option<String> {
        let (subject, consequence) = match (self, rows) {
            (Self::Unsaid, _) => return None,
            (Self::Signs, _) => (format!("{CRITICAL} is"), "only if something on it does"),
            (Self::All, 1) => ("It is".to_owned(), "with it"),
            (Self::All, _) => ("All of these are".to_owned(), "with any of them"),
        };
        let path = critical_path(outcome);
        Some(format!("{subject} on the critical path ({path}): the build gets faster {consequence}."))
    }
}

/// How long the critical path is: `10.4 s of 12.4 s`.
fn critical_path(outcome: &BuildOutcome) -> String {
    let steps = outcome.images.iter().flat_map(|image| &image.steps);
    let operations = outcome.images.iter().flat_map(|image| &image.other);
    let on_it = steps.filter(|step| step.critical).map(|step| &step.intervals);
    let on_it = on_it.chain(operations.filter(|operation| operation.critical).map(|operation| &operation.intervals));
    let intervals: Vec<Interval> = on_it.flatten().copied().collect();
    let (path, whole) = (units::duration(time_of(&intervals)), units::duration(outcome.duration));
    format!("{path} of {whole}")
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
            let all: Vec<&Row> = rows.iter().filter(|row| row.is_of_record(image.duration)).collect();
            table(document, &all, outcome, false);
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
    /// Whether the row tells something: a step that failed, or that ran and took its time, of `few` steps any that ran;
    /// other things only if somebody waited for them.
    fn is_news(&self, few: bool, whole: Duration) -> bool {
        match self.how {
            How::Step(step) if step.status == StepStatus::Failed => true,
            How::Step(step) if step.status == StepStatus::NotRun => false,
            How::Step(step) if step.cached => self.time >= (whole / NOTICEABLE).max(NOTICED),
            How::Step(_) => few || (!self.time.is_zero() && self.time >= whole / NOTICEABLE),
            How::Operation(_) => self.time >= (whole / NOTICEABLE_OTHER).max(NOTICED),
        }
    }

    /// Whether the row stands in the fold: every step, and whatever took a part of the `whole`.
    fn is_of_record(&self, whole: Duration) -> bool {
        match self.how {
            How::Step(_) => true,
            How::Operation(_) => !self.time.is_zero() && self.time >= whole / NOTICEABLE_OTHER,
        }
    }

    /// Why it took time: for a step that ran, why it was not cached, unless that is `told` of all of them.
    fn why(&self, telling: &mut Telling, told: bool) -> String {
        match self.how {
            How::Step(step) if step.cached => format!("⚡&nbsp;cached&nbsp;({})", step.source.as_str()),
            How::Step(step) => {
                let reason = if told { None } else { telling.reason(step, self.image, name) };
                let status = match step.status {
                    StepStatus::Done => None,
                    StepStatus::Failed => Some("❌&nbsp;failed"),
                    StepStatus::Cancelled => Some("🚫&nbsp;cut&nbsp;short"),
                    StepStatus::NotRun => return "not&nbsp;begun".to_owned(),
                };
                match (status, reason) {
                    (None, None) if told => String::new(),
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

/// The reason that all of the steps have that ran, in full: it is said once, and not in every row.
fn common_reason(rows: &[&Row]) -> Option<String> {
    let ran = rows.iter().filter_map(|row| match row.how {
        How::Step(step) => Some((row.image, step, step.reason.as_ref()?)),
        How::Operation(_) => None,
    });
    let ran: Vec<_> = ran.collect();
    let (image, step, reason) = *ran.first()?;
    // A step of that name in another image is another one.
    let of_one_image = ran.iter().all(|(other, ..)| std::ptr::eq(*other, image));
    let is_common = ran.iter().all(|(.., other)| *other == reason);
    let is_general = of_one_image || !matches!(reason, MissReason::EarlierStep { .. });
    if ran.len() < OFTEN || !is_common || !is_general {
        return None;
    }
    Telling::default().reason(step, image, name)
}

/// Appends a table of rows, and below it the reason that all of them have.
fn table(document: &mut Document, rows: &[&Row], outcome: &BuildOutcome, with_image: bool) {
    let whole = outcome.duration;
    let common = common_reason(rows);
    let marks = Path::of(rows, outcome) == Path::Signs;
    let mut telling = Telling::default();
    let column = SecondsColumn::of(rows.iter().map(|row| row.time));
    let longest = rows.iter().map(|row| row.time).max().unwrap_or_default();
    let mut head = vec![("Step", Align::Left), ("Seconds", Align::Right), ("Share", Align::Right), ("", Align::Left)];
    let why: Vec<String> = rows.iter().map(|row| row.why(&mut telling, common.is_some())).collect();
    let with_why = why.iter().any(|why| !why.is_empty());
    head.extend(with_why.then_some(("Why", Align::Left)));
    if with_image {
        head.insert(0, ("Image", Align::Left));
    }
    document.table(
        &head,
        rows.iter().zip(why).map(|(row, why)| {
            let nothing = || "–".to_owned();
            let sign = if marks && row.is_critical() { format!("{CRITICAL}&nbsp;") } else { String::new() };
            let step = escape::code(&words::step::short(row.name), NAME_IN_TABLE);
            let seconds = if row.took_time() { column.show(row.time) } else { nothing() };
            let share = if row.took_time() { share(row.time, whole) } else { nothing() };
            let mut cells = vec![format!("{sign}{step}"), seconds, share, bar(row.time, longest)];
            cells.extend(with_why.then_some(why));
            if with_image {
                cells.insert(0, name(&row.image.name));
            }
            cells
        }),
    );
    if let Some(common) = common {
        document.block(&format!("Why each of these steps ran: {common}."));
    }
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

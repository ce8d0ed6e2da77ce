//! The builds before this one: their median, and their table in a fold.

use std::cmp::Reverse;
use std::time::Duration;

use crate::cache::ledger::BuildRecord;
use crate::outcome::baseline::Kind;
use crate::outcome::build::{BuildOutcome, ImageOutcome, ImageResult};
use crate::report::summary::document::{Align, Document};
use crate::report::summary::name;
use crate::report::summary::time::bar;
use crate::report::tally::Tally;
use crate::report::units::{self, SecondsColumn};

/// A median is of so many builds: those of the same kind before this one.
const COMPARED: usize = 5;
/// So many builds of an image are in the fold, if there is room.
const LISTED: usize = 10;
/// So many lines the fold has for all images together: more than that nobody reads.
const LINES: usize = 48;
/// So many builds of an image have to be there for it to say anything, this one among them.
const FEWEST: usize = 3;

/// The median of the builds of this one's kind before it, and that kind; nothing where there was none, or where this one
/// was not built.
pub(super) fn median(image: &ImageOutcome) -> Option<(Duration, Kind)> {
    if !matches!(image.result, ImageResult::Built { .. }) {
        return None;
    }
    let kind = kind(image);
    let before = image.history.iter().rev().filter(|build| Kind::of_image(build) == kind);
    let mut times: Vec<Duration> = before.take(COMPARED).map(time).collect();
    times.sort_unstable();
    let middle = times.len() / 2;
    let upper = *times.get(middle)?;
    let lower = if times.len().is_multiple_of(2) { *times.get(middle.checked_sub(1)?)? } else { upper };
    Some(((lower + upper) / 2, kind))
}

fn time(build: &BuildRecord) -> Duration {
    Duration::try_from_secs_f64(build.seconds).unwrap_or_default()
}

fn kind(image: &ImageOutcome) -> Kind {
    let tally = Tally::of_image(image);
    Kind::of(tally.cached, tally.total)
}

/// Appends the fold with the last builds of every image, this one first.
pub(super) fn builds(document: &mut Document, outcome: &BuildOutcome) {
    let (images, left_out) = slowest(outcome);
    let each = LINES.checked_div(images.len()).unwrap_or_default().saturating_sub(1).clamp(FEWEST - 1, LISTED);
    let rows: Vec<Row> = images.iter().flat_map(|image| rows(image, outcome, each)).collect();
    if rows.is_empty() {
        return;
    }
    document.details("The last builds on this engine", |document| {
        table(document, &rows, outcome.images.len() > 1);
        if left_out > 0 {
            document.block(&format!("{} that took less time left out.", units::count(left_out, "image")));
        }
        document.block(
            "A warm build took steps from a cache, a cold one took none. Builds that took every step from a cache change \
             nothing, and ledgers do not keep them.",
        );
    });
}

/// The images that there is room for, in their order: those that took longest. And how many others there are.
fn slowest(outcome: &BuildOutcome) -> (Vec<&ImageOutcome>, usize) {
    let mut images: Vec<(usize, &ImageOutcome)> =
        outcome.images.iter().enumerate().filter(|(_, image)| !image.history.is_empty()).collect();
    images.sort_by_key(|(_, image)| Reverse(image.duration));
    let left_out = images.len().saturating_sub(LINES / FEWEST);
    images.truncate(LINES / FEWEST);
    images.sort_by_key(|(index, _)| *index);
    (images.into_iter().map(|(_, image)| image).collect(), left_out)
}

/// One build.
struct Row {
    image: String,
    when: String,
    commit: String,
    kind: Kind,
    time: Duration,
    cached: String,
    size: Option<u64>,
}

fn rows(image: &ImageOutcome, outcome: &BuildOutcome, each: usize) -> Vec<Row> {
    let tally = Tally::of_image(image);
    let built = matches!(image.result, ImageResult::Built { .. });
    let this = built.then(|| Row {
        image: name(&image.name),
        when: "this build".to_owned(),
        commit: commit(outcome.commit.as_deref()),
        kind: kind(image),
        time: image.duration,
        cached: tally.ratio().unwrap_or_else(|| "–".to_owned()),
        size: image.size,
    });
    let before = image.history.iter().rev().take(each).map(|build| before(image, build, outcome));
    this.into_iter().chain(before).collect()
}

/// As many digits as Git shows.
fn commit(commit: Option<&str>) -> String {
    commit.map_or_else(|| "–".to_owned(), |commit| name(&commit.chars().take(7).collect::<String>()))
}

fn before(image: &ImageOutcome, build: &BuildRecord, outcome: &BuildOutcome) -> Row {
    // A year is noise where it is this one.
    let this_year = build.at.format("%Y").to_string() == outcome.started_at.format("%Y").to_string();
    let form = if this_year { "%d %b %H:%M" } else { "%d %b %Y %H:%M" };
    Row {
        image: name(&image.name),
        when: build.at.format(form).to_string(),
        commit: commit(build.commit.as_deref()),
        kind: Kind::of_image(build),
        time: time(build),
        cached: format!("{}/{}", build.cached, build.total),
        size: build.image_bytes,
    }
}

fn table(document: &mut Document, rows: &[Row], with_image: bool) {
    let seconds = SecondsColumn::of(rows.iter().map(|row| row.time));
    let longest = rows.iter().map(|row| row.time).max().unwrap_or_default();
    let with_size = rows.iter().any(|row| row.size.is_some());
    let mut head = vec![("Ended (UTC)", Align::Left), ("Commit", Align::Left), ("Kind", Align::Left)];
    head.extend([("Seconds", Align::Right), ("", Align::Left), ("Steps cached", Align::Right)]);
    head.extend(with_size.then_some(("Size", Align::Right)));
    if with_image {
        head.insert(0, ("Image", Align::Left));
    }
    document.table(
        &head,
        rows.iter().map(|row| {
            let mut cells = vec![row.when.clone(), row.commit.clone(), row.kind.as_str().to_owned()];
            cells.extend([seconds.show(row.time), bar(row.time, longest), row.cached.clone()]);
            cells.extend(with_size.then(|| row.size.map_or_else(|| "–".to_owned(), units::size)));
            if with_image {
                cells.insert(0, row.image.clone());
            }
            cells
        }),
    );
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::median;
    use crate::outcome::baseline::Kind;
    use crate::outcome::build::{ImageOutcome, ImageResult};
    use crate::report::fixtures;

    #[test]
    fn a_median_is_of_the_last_five_builds_of_one_kind() {
        let frontend = fixtures::warm().images[1].clone();
        let millis = |image: &ImageOutcome| median(image).map(|(time, _)| time.as_millis());
        assert_eq!(millis(&frontend), Some(19_100));
        let of_two = ImageOutcome { history: frontend.history[6..].to_vec(), ..frontend.clone() };
        assert_eq!(millis(&of_two), Some(19_600));
        let only_cold = ImageOutcome { history: frontend.history[..1].to_vec(), ..frontend.clone() };
        assert_eq!(millis(&only_cold), None);
        assert_eq!(millis(&ImageOutcome { result: ImageResult::Cancelled, ..frontend.clone() }), None);
        let mut senseless = frontend;
        senseless.history.iter_mut().for_each(|build| build.seconds = f64::NAN);
        assert_eq!(median(&senseless), Some((Duration::ZERO, Kind::Warm)));
    }
}

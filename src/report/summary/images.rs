//! The table of the images: a line for each, whatever became of it.

use crate::outcome::baseline::Kind;
use crate::outcome::build::{BuildOutcome, CacheSource, EngineFacts, ImageOutcome, ImageResult};
use crate::report::summary::build::short_id;
use crate::report::summary::document::{Align, Document};
use crate::report::summary::{name, trend};
use crate::report::tally::Tally;
use crate::report::units::{self, SecondsColumn, SizeUnit};

const NOTHING: &str = "–";

/// A column: its name, its alignment, and what it has to say of an image.
struct Column<'a> {
    name: String,
    align: Align,
    cell: Box<dyn Fn(&'a ImageOutcome) -> String + 'a>,
}

fn column<'a>(name: &str, align: Align, cell: impl Fn(&'a ImageOutcome) -> String + 'a) -> Column<'a> {
    Column { name: name.to_owned(), align, cell: Box::new(cell) }
}

/// Appends the table. A column that has nothing to say of any image is left out.
pub(super) fn images(document: &mut Document, outcome: &BuildOutcome) {
    let seconds = SecondsColumn::of(outcome.images.iter().map(|image| image.duration));
    let largest = outcome.images.iter().filter_map(|image| image.size).max();
    let unit = SizeUnit::of(largest.unwrap_or_default());
    let all_built = outcome.images.iter().all(|image| matches!(image.result, ImageResult::Built { .. }));
    let or_nothing = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_owned());

    let mut columns = vec![column("Image", Align::Left, |image| name(&image.name))];
    if !all_built {
        columns.push(column("Result", Align::Left, result));
    }
    let show_seconds = move |image: &ImageOutcome| was_begun(image).then(|| seconds.show(image.duration));
    columns.push(column("Seconds", Align::Right, move |image| or_nothing(show_seconds(image))));
    let mut kinds: Vec<Kind> = outcome.images.iter().filter_map(|image| Some(trend::median(image)?.1)).collect();
    kinds.dedup();
    if let Some(first) = kinds.first() {
        let several = kinds.len() > 1;
        let head = if several { "Median".to_owned() } else { format!("Median ({})", first.as_str()) };
        let median = move |image: &ImageOutcome| {
            let (time, kind) = trend::median(image)?;
            let of = if several { format!("&nbsp;{}", kind.as_str()) } else { String::new() };
            Some(format!("{}{of}", seconds.show(time)))
        };
        columns.push(column(&head, Align::Right, move |image| or_nothing(median(image))));
    }
    columns.push(column("Steps cached", Align::Right, move |image| or_nothing(Tally::of_image(image).ratio())));
    columns.push(column("From", Align::Left, |image| source(Tally::of_image(image).source)));
    if largest.is_some() {
        let size = move |image: &ImageOutcome| image.size.map(|bytes| unit.show(bytes));
        let head = format!("{} ({})", measure(&outcome.engine), unit.symbol);
        columns.push(column(&head, Align::Right, move |image| or_nothing(size(image))));
    }
    if outcome.images.iter().any(|image| change(image).is_some()) {
        columns.push(column("Change", Align::Right, move |image| or_nothing(change(image))));
    }
    if outcome.images.iter().any(|image| image_id(image).is_some()) {
        columns.push(column("Image id", Align::Left, move |image| or_nothing(image_id(image).map(short_id))));
    }
    if outcome.images.iter().any(|image| digest(image).is_some()) {
        columns.push(column("Digest", Align::Left, move |image| or_nothing(digest(image).map(short_id))));
    }
    let head: Vec<(&str, Align)> = columns.iter().map(|column| (column.name.as_str(), column.align)).collect();
    let rows = outcome.images.iter().map(|image| columns.iter().map(|column| (column.cell)(image)).collect());
    document.table(&head, rows);
}

/// What the engine's size of an image measures, in Docker's own words. The containerd image store tells the bytes of the
/// image's content, as they would be pushed, and counts the unpacked layers as disk usage besides.
const fn measure(engine: &EngineFacts) -> &'static str {
    if engine.containerd_store { "Content size" } else { "Size" }
}

fn result(image: &ImageOutcome) -> String {
    match &image.result {
        ImageResult::Built { .. } => "✅ built".to_owned(),
        ImageResult::Failed(_) => "❌ failed".to_owned(),
        ImageResult::Cancelled if was_begun(image) => "🚫 cancelled".to_owned(),
        ImageResult::Cancelled => "🚫 not begun".to_owned(),
        ImageResult::Skipped { because } => format!("⏭️ not begun: needs {}", name(because)),
    }
}

fn was_begun(image: &ImageOutcome) -> bool {
    !image.duration.is_zero()
}

fn source(source: CacheSource) -> String {
    if source == CacheSource::None { NOTHING.to_owned() } else { source.as_str().to_owned() }
}

/// `+1.2&nbsp;MB`, if both sizes are known.
fn change(image: &ImageOutcome) -> Option<String> {
    let (now, before) = (image.size?, image.size_before?);
    let sign = match now.cmp(&before) {
        std::cmp::Ordering::Less => "−",
        std::cmp::Ordering::Equal => return Some("none".to_owned()),
        std::cmp::Ordering::Greater => "+",
    };
    Some(format!("{sign}{}", units::size(now.abs_diff(before))).replace(' ', "&nbsp;"))
}

fn image_id(image: &ImageOutcome) -> Option<&str> {
    match &image.result {
        ImageResult::Built { image_id, .. } => Some(image_id),
        ImageResult::Failed(_) | ImageResult::Cancelled | ImageResult::Skipped { .. } => None,
    }
}

fn digest(image: &ImageOutcome) -> Option<&str> {
    match &image.result {
        ImageResult::Built { digest, .. } => digest.as_deref(),
        ImageResult::Failed(_) | ImageResult::Cancelled | ImageResult::Skipped { .. } => None,
    }
}

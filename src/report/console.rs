//! The closing text of a run in the log and at the terminal: what went wrong, a compact table, and one sentence.
//!
//! The sentence stands last: it is what is still on the screen when the prompt returns.

use std::time::Duration;

use crate::outcome::advice;
use crate::outcome::baseline::Gate;
use crate::outcome::build::{BuildOutcome, CacheSource, ClearMark, Failure, ImageOutcome, ImageResult, StepOutcome};
use crate::outcome::clear::{ClearOutcome, Fate, ItemOutcome, Place};
use crate::report::tally::Tally;
use crate::report::units::{self, SecondsColumn, SizeUnit};
use crate::report::{annotation, headline, plain, words};

/// So many of a failed step's last lines are repeated.
const TAIL: usize = 10;
/// So many steps of an image are named that took longest.
const SLOWEST: usize = 3;
/// What takes less than this part of the whole is no answer to where the time went.
const NOTICEABLE: u32 = 50;
/// Nor is what takes less than this.
const SHORT: Duration = Duration::from_millis(100);
/// Longest name in a table, in characters.
const NAME: usize = 60;
/// Longest line, in characters.
const LINE: usize = 300;

/// The closing lines of a build.
pub fn build(outcome: &BuildOutcome) -> Vec<String> {
    let mut lines = image_table(outcome);
    for image in &outcome.images {
        if let ImageResult::Failed(failure) = &image.result {
            lines.push(String::new());
            lines.extend(failed(image, failure));
        }
    }
    let slow: Vec<String> = outcome.images.iter().flat_map(|image| slowest(image, outcome.duration)).collect();
    if !slow.is_empty() {
        lines.push(String::new());
        lines.extend(slow);
    }
    let mut notes: Vec<String> = outcome.images.iter().flat_map(unused_sources).collect();
    notes.extend(outcome.warnings.iter().map(|warning| format!("warning: {}", line(warning))));
    notes.extend(outcome.images.iter().filter_map(|image| Some(freshness(image, image.fresh_after.as_ref()?))));
    notes.extend(outcome.advice.iter().take(advice::MOST).map(|advice| {
        let sentence = words::advice::sentence(advice, name);
        format!("advice: {}: {sentence}", name(&advice.image))
    }));
    notes.extend(outcome.gate.as_ref().and_then(|gate| gate_line(gate, outcome)));
    notes.extend(words::push::withheld(&outcome.pushes, name));
    notes.extend(words::push::done(&outcome.pushes, name));
    notes.extend(words::push::untried(&outcome.pushes, name));
    if !notes.is_empty() {
        lines.push(String::new());
        lines.extend(notes);
    }
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines.push(headline::of_build(outcome, name));
    lines
}

/// The closing lines of a clear or its dry run.
pub fn clear(outcome: &ClearOutcome) -> Vec<String> {
    let unit = SizeUnit::of(outcome.items.iter().map(|item| item.bytes).max().unwrap_or_default());
    let size = format!("SIZE ({})", unit.symbol);
    let bytes = |item: &ItemOutcome| {
        if item.place.has_sizes() { unit.show(item.bytes) } else { "-".to_owned() }
    };
    let rows = outcome.items.iter().map(|item| vec![label(item), bytes(item), fate(&item.fate)]);
    let mut lines = table(&[("WHAT", Side::Left), (&size, Side::Right), ("RESULT", Side::Left)], rows.collect());
    lines.extend(outcome.warnings.iter().map(|warning| format!("warning: {}", line(warning))));
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines.push(headline::of_clear(outcome));
    lines
}

fn image_table(outcome: &BuildOutcome) -> Vec<String> {
    let column = SecondsColumn::of(outcome.images.iter().map(|image| image.duration));
    let rows = outcome.images.iter().map(|image| {
        let tally = Tally::of_image(image);
        let dash = || "-".to_owned();
        vec![
            name(&image.name),
            result(&image.result),
            if image.duration.is_zero() { dash() } else { column.show(image.duration) },
            tally.ratio().unwrap_or_else(dash),
            if tally.source == CacheSource::None { dash() } else { tally.source.as_str().to_owned() },
        ]
    });
    let head = [
        ("IMAGE", Side::Left),
        ("RESULT", Side::Left),
        ("SECONDS", Side::Right),
        ("CACHED", Side::Right),
        ("FROM", Side::Left),
    ];
    table(&head, rows.collect())
}

fn result(result: &ImageResult) -> String {
    match result {
        ImageResult::Built { .. } => "built".to_owned(),
        ImageResult::Failed(_) => "failed".to_owned(),
        ImageResult::Cancelled => "cancelled".to_owned(),
        ImageResult::Skipped { because } => format!("not begun: needs {}", name(because)),
    }
}

fn failed(image: &ImageOutcome, failure: &Failure) -> Vec<String> {
    let step = failure.step.as_deref().map(|step| format!(" at {}", name(step))).unwrap_or_default();
    let code = failure.exit_code.map(|code| format!(" (exit code {code})")).unwrap_or_default();
    let place = failure.location.as_ref().map(|place| format!(", {}", line(&annotation::place(place))));
    let mut lines = vec![format!("error: {} failed{step}{code}{}", name(&image.name), place.unwrap_or_default())];
    if annotation::message_adds(failure) {
        lines.push(format!("  {}", line(&failure.message)));
    }
    let tail = annotation::tail(failure, TAIL);
    lines.extend(tail.iter().map(|text| format!("  | {}", plain::shorten(text, LINE)).trim_end().to_owned()));
    lines.extend(failure.help.as_deref().map(|help| format!("  help: {}", line(help))));
    lines
}

/// The steps of an image that ran and took longest, with the reason that they ran: `frontend: 8.1 s RUN npm run build
/// (builds on COPY . ., which ran: src/App.tsx changed)`. What is too short to matter to the whole build is left out.
fn slowest(image: &ImageOutcome, whole: Duration) -> Vec<String> {
    let worth = |step: &&StepOutcome| !step.cached && step.duration() >= (whole / NOTICEABLE).max(SHORT);
    let mut steps: Vec<&StepOutcome> = image.steps.iter().filter(worth).collect();
    steps.sort_by_cached_key(|step| std::cmp::Reverse(step.duration()));
    let mut telling = words::reason::Telling::default();
    let line = |step: &&StepOutcome| {
        let (time, what) = (units::duration(step.duration()), name(&words::step::short(&step.name)));
        let reason = telling.reason(step, image, name).map(|reason| format!(" ({reason})"));
        format!("{}: {time} {what}{}", name(&image.name), reason.unwrap_or_default())
    };
    steps.iter().take(SLOWEST).map(line).collect()
}

fn gate_line(gate: &Gate, outcome: &BuildOutcome) -> Option<String> {
    let level = match gate {
        Gate::Missed { .. } => "error",
        Gate::NoBaseline => "note",
        Gate::Met => return None,
    };
    let words = words::baseline::gate(gate, outcome.duration, outcome.baseline.as_ref(), name);
    Some(format!("{level}: {words}"))
}

fn unused_sources(image: &ImageOutcome) -> impl Iterator<Item = String> {
    image.unused_sources.iter().map(|unused| {
        // Whole: somebody may have to look for it.
        let (image, source, reason) = (name(&image.name), line(&unused.source), line(&unused.reason));
        format!("note: {image}: the cache source {source} could not be used: {reason}")
    })
}

fn freshness(image: &ImageOutcome, mark: &ClearMark) -> String {
    let image_name = name(&image.name);
    let when = headline::when(mark);
    let by = mark.run_url.as_deref().map(|url| format!(" by {}", line(url))).unwrap_or_default();
    let tally = Tally::of_image(image);
    let cached = headline::cached(tally);
    match tally.cached {
        0 => format!("note: {image_name} is a fresh build: cleared {when}{by}"),
        _ if image.is_stale() => {
            format!("warning: {image_name} is not a fresh build, although it was cleared {when}{by}: {cached}")
        }
        _ => format!("note: {image_name} is a fresh build: cleared {when}{by}; {cached}, which built them after that"),
    }
}

fn label(item: &ItemOutcome) -> String {
    match item.place {
        Place::Images => name(&item.name),
        Place::Stages | Place::Ledgers => of(&name(&item.name), item),
        Place::Builder => counted(&name(&item.name), item),
        Place::Builders => counted(&format!("builder {}", name(&item.name)), item),
        Place::Volumes => of(&format!("volume {}", name(&item.name)), item),
        Place::Registry => of(&format!("tag {}", name(&item.name)), item),
        Place::Packages => of(&format!("package {}", name(&item.name)), item),
        Place::ActionsCache => of(&format!("Actions cache {}", name(&item.name)), item),
    }
}

fn of(what: &str, item: &ItemOutcome) -> String {
    let of = item.of.as_deref().map(|of| format!(" ({})", name(of))).unwrap_or_default();
    format!("{what}{of}")
}

fn counted(what: &str, item: &ItemOutcome) -> String {
    match usize::try_from(item.count).unwrap_or(usize::MAX) {
        // Nobody knows how many, or it does not matter.
        0 => what.to_owned(),
        count => format!("{what} ({})", units::count(count, "record")),
    }
}

fn fate(fate: &Fate) -> String {
    match fate {
        Fate::Removed => "removed".to_owned(),
        Fate::WouldRemove => "would be removed".to_owned(),
        Fate::Kept { why } => format!("kept: {}", line(why)),
        Fate::Failed { why } => format!("failed: {}", line(why)),
    }
}

/// On which side of its column a text stands.
#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

/// Columns as wide as their widest text, two spaces apart. Nothing if there are no rows.
fn table(head: &[(&str, Side)], rows: Vec<Vec<String>>) -> Vec<String> {
    if rows.is_empty() {
        return vec![];
    }
    let names = head.iter().map(|(name, _)| (*name).to_owned()).collect();
    let all: Vec<Vec<String>> = std::iter::once(names).chain(rows).collect();
    let width = |column: usize| all.iter().filter_map(|row| row.get(column)).map(|text| text.chars().count()).max();
    let widths: Vec<usize> = (0..head.len()).map(|column| width(column).unwrap_or_default()).collect();
    let row = |row: &Vec<String>| {
        let cells = row.iter().zip(head.iter().zip(&widths)).map(|(text, ((_, side), width))| match side {
            Side::Left => format!("{text:<width$}"),
            Side::Right => format!("{text:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().map(row).collect()
}

fn name(raw: &str) -> String {
    plain::shorten(&plain::one_line(raw), NAME)
}

fn line(raw: &str) -> String {
    plain::shorten(&plain::one_line(raw), LINE)
}

#[cfg(test)]
mod tests {
    use super::{build, clear};
    use crate::outcome::build::BuildOutcome;
    use crate::outcome::clear::ClearOutcome;
    use crate::report::fixtures;

    #[test]
    fn of_a_warm_build() {
        insta::assert_snapshot!(build(&fixtures::warm()).join("\n"), @r"
        IMAGE     RESULT  SECONDS  CACHED  FROM
        backend   built       3.0     5/6  image
        frontend  built      11.3     3/7  builder

        backend: 0.30 s [7/7] RUN echo $GIT_COMMIT_HASH > /app/version (the build argument GIT_COMMIT_HASH has another value)
        frontend: 8.1 s [build 7/7] RUN npm run build (builds on COPY . ., which ran: src/App.tsx changed)

        Built 2 images in 12.4 s, 35 % faster than the median of 5 warm builds of main, 8 of 13 steps cached (from several caches)
        ");
    }

    #[test]
    fn of_a_failed_build() {
        insta::assert_snapshot!(build(&fixtures::failed()).join("\n"), @r#"
        IMAGE     RESULT                     SECONDS  CACHED  FROM
        backend   built                          2.7     6/6  image
        frontend  failed                        17.3     1/5  builder
        proxy     not begun: needs frontend        -     0/1  -

        error: frontend failed at [build 4/5] RUN npm run build (exit code 2), frontend/Dockerfile:12
          | > frontend@1.0.0 build
          | > tsc -b && vite build
          |
          | src/App.tsx:14:7 - error TS2322: Type 'string' is not assignable to type 'number'.
          |
          | 14   const [viewers, setViewers] = useState<number>("0");
          |            ~~~~~~~
          |
          | Found 1 error.

        frontend: 12.9 s [build 3/5] RUN npm ci --no-audit --no-fund (package-lock.json changed)
        frontend: 3.3 s [build 4/5] RUN npm run build (builds on RUN npm ci --no-audit --no-fund, which ran)

        Failed after 18.9 s: frontend at [build 4/5] RUN npm run build (exit code 2)
        "#);
    }

    #[test]
    fn of_a_build_that_is_pushed_in_part() {
        let lines = build(&fixtures::pushed_in_part());
        let end = lines.iter().skip_while(|line| !line.starts_with("Pushed ")).map(String::as_str).collect::<Vec<_>>();
        assert_eq!(
            end,
            [
                "Pushed ghcr.io/example/backend:1.4 and ghcr.io/example/backend:latest in 2.1 s.",
                "Not pushed either: ghcr.io/example/frontend:latest.",
                "",
                "Built 2 images in 12.4 s, 35 % faster than the median of 5 warm builds of main, 8 of 13 steps cached (from several \
                 caches), 2 of 4 tags not pushed",
            ]
        );
    }

    #[test]
    fn of_fresh_builds() {
        let notes = |outcome: &BuildOutcome| {
            let lines = build(outcome).into_iter();
            lines.filter(|line| line.starts_with("note") || line.starts_with("warning")).collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(notes(&fixtures::fresh()), @r"
        note: backend is a fresh build: cleared at 2026-03-14 11:18 UTC by https://github.com/example/watchparty/actions/runs/4711
        note: frontend is a fresh build: cleared at 2026-03-14 11:18 UTC by https://github.com/example/watchparty/actions/runs/4711
        ");
        insta::assert_snapshot!(notes(&fixtures::fresh_but_cached()), @"warning: backend is not a fresh build, although it was cleared at 2026-03-14 11:18 UTC by https://github.com/example/watchparty/actions/runs/4711: 5 of 6 steps cached (from the builder)");
        insta::assert_snapshot!(notes(&fixtures::fresh_again()), @r"
        note: backend is a fresh build: cleared at 2026-03-14 11:18 UTC by https://github.com/example/watchparty/actions/runs/4711; 5 of 6 steps cached (from the builder), which built them after that
        note: frontend is a fresh build: cleared at 2026-03-14 11:18 UTC by https://github.com/example/watchparty/actions/runs/4711; 3 of 7 steps cached (from the builder), which built them after that
        ");
        insta::assert_snapshot!(notes(&fixtures::cold()), @r"
        note: backend: the cache source ghcr.io/example/watchparty-backend:latest could not be used: failed to configure registry cache importer: not found
        note: frontend: the cache source ghcr.io/example/watchparty-frontend:latest could not be used: failed to configure registry cache importer: not found
        ");
    }

    #[test]
    fn of_a_clear() {
        insta::assert_snapshot!(clear(&fixtures::cleared_in_part()).join("\n"), @r"
        WHAT                                                                         SIZE (MB)  RESULT
        watchparty-backend:latest                                                        201.4  removed
        watchparty-frontend:latest                                                        52.8  removed
        watchparty-cache/stage:5f1d (build of watchparty-frontend, refs/heads/main)      389.0  failed: conflict: unable to delete 5d1f (must be forced) - image is referenced in multiple repositories
        watchparty-db:latest                                                             448.0  kept: keep: watchparty-db
        builder cache (46 records)                                                       158.0  removed
        builder cache (2 records)                                                        502.0  failed: the builder did not remove them
        warning: not cleared: stage image watchparty-cache/stage:5f1d is still there
        warning: not cleared: 2 records still there

        Cleared in part: 1 stage image and 2 builder records could not be removed
        ");
    }

    #[test]
    fn nothing_to_tell_is_one_line() {
        let built = build(&BuildOutcome { images: vec![], ..fixtures::warm() });
        assert_eq!(built, ["Built nothing in 12.4 s: there was no image to build"]);
        let cleared = clear(&ClearOutcome { items: vec![], freed_bytes: 0, ..fixtures::cleared() });
        assert_eq!(cleared, ["Nothing to clear: verified, nothing was there"]);
    }

    #[test]
    fn every_line_is_one_line() {
        for line in build(&fixtures::hostile()).into_iter().chain(build(&fixtures::huge())) {
            assert!(!line.chars().any(char::is_control), "{line}");
            assert!(line.chars().count() < 1000, "{line}");
        }
    }
}

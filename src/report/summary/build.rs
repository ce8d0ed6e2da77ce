//! The summary of a build.

use std::collections::BTreeSet;

use crate::outcome::baseline::Gate;
use crate::outcome::build::{BuildOutcome, ClearMark, EngineFacts, ImageOutcome};
use crate::report::summary::document::Document;
use crate::report::summary::{LIMIT, escape, failure, hints, images, name, sentence, time, timeline, trend};
use crate::report::tally::{Results, Tally};
use crate::report::{headline, units, words};

/// So many warnings or unused cache sources are shown; where there are more, they fold.
const SHOWN: usize = 4;

/// The job summary of a build, as GitHub Flavored Markdown of at most [`LIMIT`] bytes.
pub fn build(outcome: &BuildOutcome) -> String {
    within(outcome, LIMIT)
}

/// The same for a check run or a comment, of at most `limit` bytes: [`CHECK_LIMIT`](super::CHECK_LIMIT) fits either.
pub fn for_check(outcome: &BuildOutcome, limit: usize) -> String {
    within(outcome, limit)
}

/// What matters most comes first, so that it survives where there is little room.
fn within(outcome: &BuildOutcome, limit: usize) -> String {
    let mut document = Document::new(limit);
    document.block(&format!("### {} {}", sign(outcome), headline::of_build(outcome, name)));
    hints::gate(&mut document, outcome);
    freshness(&mut document, outcome);
    failure::failures(&mut document, outcome);
    failure::pushes(&mut document, &outcome.pushes);
    images::images(&mut document, outcome);
    time::slowest(&mut document, outcome);
    hints::advice(&mut document, outcome);
    unused_sources(&mut document, outcome);
    warnings(&mut document, &outcome.warnings);
    timeline::timeline(&mut document, outcome);
    trend::builds(&mut document, outcome);
    time::all_steps(&mut document, outcome);
    document.block(&footer(&outcome.engine, more(outcome)));
    document.finish()
}

/// What is worth a word, and no more.
fn more(outcome: &BuildOutcome) -> Option<String> {
    let sent: u64 = outcome.images.iter().map(|image| image.context_bytes).sum();
    let context = (sent > 0).then(|| format!("{} of build context sent", units::size(sent)));
    let met = outcome.gate.as_ref().filter(|gate| **gate == Gate::Met);
    let gate = met.map(|gate| words::baseline::gate(gate, outcome.duration, outcome.baseline.as_ref(), name));
    let parts: Vec<String> = [context, gate].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" · "))
}

fn sign(outcome: &BuildOutcome) -> &'static str {
    let results = Results::of(outcome);
    if outcome.cancelled {
        "🚫"
    } else if results.failed > 0
        || outcome.pushes.failed()
        || outcome.stale
        || matches!(outcome.gate, Some(Gate::Missed { .. }))
    {
        "❌"
    } else if results.cancelled > 0 {
        "🚫"
    } else if outcome.images.iter().any(ImageOutcome::is_stale) {
        "⚠️"
    } else {
        "✅"
    }
}

/// Says that images were built for the first time after a clear, and warns if a cache served them all the same.
fn freshness(document: &mut Document, outcome: &BuildOutcome) {
    let marks: BTreeSet<_> = outcome.images.iter().filter_map(|image| image.fresh_after.as_ref()).map(order).collect();
    for mark in marks {
        let images: Vec<&ImageOutcome> =
            outcome.images.iter().filter(|image| image.fresh_after.as_ref().map(order) == Some(mark)).collect();
        let Some(mark) = images.first().and_then(|image| image.fresh_after.as_ref()) else { continue };
        let stale: Vec<&ImageOutcome> = images.iter().copied().filter(|image| image.is_stale()).collect();
        if stale.is_empty() {
            let all = images.len() == outcome.images.len();
            let of = if all { String::new() } else { format!(" of {}", names(&images)) };
            let since: usize = images.iter().map(|image| Tally::of_image(image).cached).sum();
            let more = match since {
                // They were built by a run that did not come to its end, and left the mark.
                1.. => format!(" {} taken from the builder, which built them after that clear.", were(since)),
                0 if mark.builder_cleared => String::new(),
                0 => " The builder's own cache was not part of that clear.".to_owned(),
            };
            document.block(&format!("🧹 **Fresh build**{of}: {}.{more}", cleared(mark)));
        } else {
            let kind = if outcome.stale { "CAUTION" } else { "WARNING" };
            document.alert(kind, &not_fresh(&stale, mark, outcome.stale));
        }
    }
}

/// `7 steps were`, `1 step was`.
fn were(steps: usize) -> String {
    format!("{} {}", units::count(steps, "step"), if steps == 1 { "was" } else { "were" })
}

/// What makes two marks the same clear.
fn order(mark: &ClearMark) -> (Option<chrono::DateTime<chrono::Utc>>, Option<&str>, bool) {
    (mark.cleared_at, mark.run_url.as_deref(), mark.builder_cleared)
}

fn not_fresh(stale: &[&ImageOutcome], mark: &ClearMark, gated: bool) -> Vec<String> {
    let mut lines = vec![format!("**Not a fresh build**, although the caches were {}.", cleared(mark))];
    lines.extend(
        stale
            .iter()
            .take(SHOWN)
            .map(|image| format!("{}: {}.", name(&image.name), headline::cached(Tally::of_image(image)))),
    );
    if stale.len() > SHOWN {
        lines.push(format!("The same goes for {}.", units::count(stale.len() - SHOWN, "more image")));
    }
    lines.push(if mark.builder_cleared {
        "The builder kept something, or was filled again from an older cache. `no-cache: true` builds every step."
            .to_owned()
    } else {
        "That clear left the builder's cache alone: give it `scope: images, builder`.".to_owned()
    });
    lines.extend(gated.then(|| {
        "`fail-if-stale` is set: this build fails (status 5), and so does each one after it until one is fresh."
            .to_owned()
    }));
    lines
}

/// `cleared at 2026-03-14 11:18 UTC by [this run](…)`.
fn cleared(mark: &ClearMark) -> String {
    let by = mark.run_url.as_deref().and_then(escape::url).map(|url| format!(" by [this run]({url})"));
    format!("cleared {}{}", headline::when(mark), by.unwrap_or_default())
}

fn names(images: &[&ImageOutcome]) -> String {
    let shown: Vec<String> = images.iter().take(SHOWN).map(|image| name(&image.name)).collect();
    let more = images.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(", ") + &rest
}

/// The twelve digits that `docker images` shows.
pub(super) fn short_id(id: &str) -> String {
    let digits: String = id.strip_prefix("sha256:").unwrap_or(id).chars().take(12).collect();
    name(&digits)
}

fn unused_sources(document: &mut Document, outcome: &BuildOutcome) {
    let several = outcome.images.len() > 1;
    let all = outcome.images.iter().flat_map(|image| image.unused_sources.iter().map(move |unused| (image, unused)));
    let lines: Vec<String> = all
        .map(|(image, unused)| {
            let of = if several { format!(" (for {})", name(&image.name)) } else { String::new() };
            format!("- {}{of}: {}", name(&unused.source), sentence(&unused.reason))
        })
        .collect();
    listed(document, "ℹ️", &units::count(lines.len(), "cache source"), "could not be used", &lines);
}

/// Lists what the run warned about.
pub(super) fn warnings(document: &mut Document, warnings: &[String]) {
    let lines: Vec<String> = warnings.iter().map(|warning| format!("- {}", sentence(warning))).collect();
    listed(document, "⚠️", &units::count(lines.len(), "warning"), "", &lines);
}

/// A short list under its title, or folded behind it.
fn listed(document: &mut Document, sign: &str, what: &str, verb: &str, lines: &[String]) {
    let title = format!("{what} {verb}").trim_end().to_owned();
    match lines {
        [] => {}
        [line] => {
            let what = if verb.is_empty() { String::new() } else { format!("{title}: ") };
            document.block(&format!("{sign} {what}{}", line.strip_prefix("- ").unwrap_or(line)));
        }
        _ if lines.len() <= SHOWN => document.block(&format!("{sign} **{title}**\n\n{}", lines.join("\n"))),
        _ => document.details(&format!("{sign} {title}"), |document| document.list(lines)),
    }
}

/// The line that says what built, or what was cleared.
pub(super) fn footer(engine: &EngineFacts, more: Option<String>) -> String {
    let version = if engine.version.is_empty() { None } else { Some(format!("Docker {}", sentence(&engine.version))) };
    let store = if engine.containerd_store { "containerd image store" } else { "graph driver" };
    let builder = match engine.builder.as_str() {
        "buildkit" => "BuildKit".to_owned(),
        "classic" => "classic builder".to_owned(),
        other => sentence(other),
    };
    // An address of a BuildKit daemon has no engine, and so no image store either.
    let store = version.is_some().then(|| store.to_owned());
    let parts: Vec<String> = [version, store, Some(builder), more].into_iter().flatten().collect();
    format!("<sub>{}</sub>", parts.join(" · "))
}

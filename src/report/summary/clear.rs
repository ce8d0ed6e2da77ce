//! The summary of a clear: what went, what stayed and why, what it freed, and whether that was verified.

use crate::outcome::clear::{ClearOutcome, Fate, ItemOutcome, Place};
use crate::report::clear_tally::ClearTally;
use crate::report::headline;
use crate::report::summary::build::{footer, short_id, warnings};
use crate::report::summary::document::{Align, Document};
use crate::report::summary::{LIMIT, name, sentence};
use crate::report::units::{self, SizeUnit};

/// So many items are on the page; where there are more, the table folds.
const SHOWN: usize = 15;
/// So many failures are named in the alert.
const NAMED: usize = 8;

/// The job summary of a clear or of its dry run, as GitHub Flavored Markdown of at most [`LIMIT`] bytes.
pub fn clear(outcome: &ClearOutcome) -> String {
    let tally = ClearTally::of(outcome);
    let mut document = Document::new(LIMIT);
    document.block(&format!("### {} {}", sign(outcome, &tally), headline::of_clear(outcome)));
    if !tally.failed.is_empty() {
        document.alert("CAUTION", &left(outcome));
    }
    document.block(&proof(outcome, &tally));
    let mut items: Vec<&ItemOutcome> = outcome.items.iter().collect();
    items.sort_by_key(|item| rank(&item.fate));
    let table = |document: &mut Document, items: &[&ItemOutcome]| table(document, items, all_named(outcome));
    if items.len() <= SHOWN {
        table(&mut document, &items);
    } else {
        let (news, rest): (Vec<&ItemOutcome>, Vec<&ItemOutcome>) =
            items.iter().partition(|item| is_news(item.place) || rank(&item.fate) < 2);
        table(&mut document, news.get(..SHOWN).unwrap_or(&news));
        let rest: Vec<&ItemOutcome> = news.into_iter().skip(SHOWN).chain(rest).collect();
        document.details(&units::count(rest.len(), "more item"), |document| table(document, &rest));
    }
    if outcome.items.iter().any(takes_from_others) {
        document.block(
            "The builder cache is the engine's, not this project's: builds of other projects on this engine start \
             without it as well.",
        );
    }
    let news: Vec<String> = outcome.warnings.iter().filter(|warning| !repeats(warning, outcome)).cloned().collect();
    warnings(&mut document, &news);
    document.block(&footer(&outcome.engine, Some(format!("took {}", units::duration(outcome.duration)))));
    document.finish()
}

fn sign(outcome: &ClearOutcome, tally: &ClearTally) -> &'static str {
    if outcome.dry_run {
        "🔎"
    } else if outcome.cancelled {
        "🚫"
    } else if outcome.verified == Some(false) || !tally.failed.is_empty() {
        "⚠️"
    } else {
        "🧹"
    }
}

/// What the second survey says, and what comes next.
fn proof(outcome: &ClearOutcome, tally: &ClearTally) -> String {
    if outcome.dry_run {
        return "Nothing was removed. Run it without `dry-run` to remove what is marked here.".to_owned();
    }
    let kept = tally.kept.words().map(|what| format!(" {what} stayed.")).unwrap_or_default();
    let proof = match outcome.verified {
        Some(true) if outcome.scope.images && outcome.scope.builder => {
            "A second survey found nothing left: the next build starts fresh."
        }
        Some(true) => "A second survey found nothing left of what was to be cleared.",
        // An image serves nobody by itself: what it was found by, a ledger and the builder's records, is named if it is left.
        Some(false) if outcome.scope.images && outcome.scope.builder && outcome.items.iter().any(is_in_use) => {
            "A second survey found something left. An image that a container uses is no cache any more; from anything else \
             that is left the next build may take steps."
        }
        Some(false) => "A second survey found something left: the next build may take steps from a cache.",
        None => "It was not verified: the next build may take steps from a cache.",
    };
    let removed = match tally.removed.words() {
        // A headline that names what is left has no room for what went.
        Some(what) if outcome.verified == Some(false) || !tally.failed.is_empty() => {
            format!("Removed {what}, {} freed. ", units::size(outcome.freed_bytes))
        }
        Some(_) | None => String::new(),
    };
    format!("{removed}{proof}{kept}")
}

/// Whether a container holds the image (`KeepReason::UsedBy` of the plan, in its words).
fn is_in_use(item: &ItemOutcome) -> bool {
    item.place == Place::Images && matches!(&item.fate, Fate::Kept { why } if why.starts_with("used by container "))
}

/// Whether every failure is in the alert, with its reason.
fn all_named(outcome: &ClearOutcome) -> bool {
    outcome.items.iter().filter(|item| matches!(item.fate, Fate::Failed { .. })).count() <= NAMED
}

/// Whether a warning of the second survey says no more than what stands in the table already.
fn repeats(warning: &str, outcome: &ClearOutcome) -> bool {
    let stays = |item: &&ItemOutcome| matches!(item.fate, Fate::Failed { .. } | Fate::Kept { .. });
    let mut stays = outcome.items.iter().filter(stays);
    let Some(left) = warning.strip_prefix("not cleared: ") else { return false };
    stays.any(|item| match item.place {
        Place::Builder => left.contains("record"),
        Place::Images
        | Place::Stages
        | Place::Ledgers
        | Place::Builders
        | Place::Volumes
        | Place::Registry
        | Place::Packages
        | Place::ActionsCache => left.contains(&item.name),
    })
}

fn left(outcome: &ClearOutcome) -> Vec<String> {
    let failed: Vec<String> = outcome
        .items
        .iter()
        .filter_map(|item| match &item.fate {
            Fate::Failed { why } => Some(format!("{} could not be removed: {}", label(item), sentence(why))),
            Fate::Removed | Fate::WouldRemove | Fate::Kept { .. } => None,
        })
        .collect();
    let more = failed.len().saturating_sub(NAMED);
    let mut lines: Vec<String> = failed.into_iter().take(NAMED).collect();
    lines.extend((more > 0).then(|| format!("{more} more: see the table.")));
    lines
}

/// What needs a look comes first.
fn rank(fate: &Fate) -> u8 {
    match fate {
        Fate::Failed { .. } => 0,
        Fate::Kept { .. } => 1,
        Fate::Removed | Fate::WouldRemove => 2,
    }
}

/// Lines that stand for much, and are few.
fn is_news(place: Place) -> bool {
    match place {
        Place::Builder | Place::Builders | Place::Volumes => true,
        Place::Images | Place::Stages | Place::Ledgers | Place::Registry | Place::Packages | Place::ActionsCache => {
            false
        }
    }
}

/// Whether builds of other projects lose what went.
fn takes_from_others(item: &ItemOutcome) -> bool {
    is_news(item.place) && matches!(item.fate, Fate::Removed | Fate::WouldRemove)
}

fn table(document: &mut Document, items: &[&ItemOutcome], all_named: bool) {
    let unit = SizeUnit::of(items.iter().map(|item| item.bytes).max().unwrap_or_default());
    let size = format!("Size&nbsp;({})", unit.symbol);
    let head = [("What", Align::Left), ("Id", Align::Left), (size.as_str(), Align::Right), ("Result", Align::Left)];
    document.table(
        &head,
        items.iter().map(|item| {
            let id = item.id.as_deref().map_or_else(|| "–".to_owned(), short_id);
            let size = if item.place.has_sizes() { unit.show(item.bytes) } else { "–".to_owned() };
            vec![label(item), id, size, fate(&item.fate, all_named)]
        }),
    );
}

fn label(item: &ItemOutcome) -> String {
    match item.place {
        Place::Images => name(&item.name),
        Place::Stages => named("stage image", item),
        Place::Ledgers => named("ledger", item),
        Place::Builder => counted(&sentence(&item.name), item),
        Place::Builders => counted(&format!("builder {}", name(&item.name)), item),
        Place::Volumes => named("volume", item),
        Place::Registry => named("registry tag", item),
        Place::Packages => named("package", item),
        Place::ActionsCache => named("Actions cache", item),
    }
}

fn counted(what: &str, item: &ItemOutcome) -> String {
    match usize::try_from(item.count).unwrap_or(usize::MAX) {
        // Nobody knows how many, or it does not matter.
        0 => what.to_owned(),
        count => format!("{what} ({})", units::count(count, "record")),
    }
}

fn named(what: &str, item: &ItemOutcome) -> String {
    let of = item.of.as_deref().map(|of| format!(" ({})", sentence(of))).unwrap_or_default();
    format!("{what} {}{of}", name(&item.name))
}

/// What became of it; why it failed only where that is not `named` above.
fn fate(fate: &Fate, named: bool) -> String {
    match fate {
        Fate::Removed => "🧹 removed".to_owned(),
        Fate::WouldRemove => "🔎 would be removed".to_owned(),
        Fate::Kept { why } => format!("🔒 kept: {}", sentence(why)),
        Fate::Failed { .. } if named => "❌ failed".to_owned(),
        Fate::Failed { why } => format!("❌ failed: {}", sentence(why)),
    }
}

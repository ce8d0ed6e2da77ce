//! What a person should do something about: advice, and a build that is slower than it may be.

use crate::outcome::baseline::Gate;
use crate::outcome::build::BuildOutcome;
use crate::report::annotation;
use crate::report::summary::document::Document;
use crate::report::summary::name;
use crate::report::words;

/// Appends the alert of a build that is slower than `fail-if-slower` allows, or the note that there was nothing to compare
/// with. A gate that was met is told in the footer.
pub(super) fn gate(document: &mut Document, outcome: &BuildOutcome) {
    let Some(gate) = &outcome.gate else { return };
    let words = words::baseline::gate(gate, outcome.duration, outcome.baseline.as_ref(), name);
    match gate {
        Gate::Missed { .. } => document.alert("CAUTION", &[format!("**Too slow.** {words}.")]),
        Gate::NoBaseline => document.block(&format!("ℹ️ {words}.")),
        Gate::Met => {}
    }
}

/// Appends the advice, each with its place and what it saves.
pub(super) fn advice(document: &mut Document, outcome: &BuildOutcome) {
    let lines: Vec<String> = outcome
        .advice
        .iter()
        .take(crate::outcome::advice::MOST)
        .map(|advice| {
            let of = if outcome.images.len() > 1 { format!("{}: ", name(&advice.image)) } else { String::new() };
            let place = advice.location.as_ref().map(|location| format!(" ({})", name(&annotation::place(location))));
            let saving = words::advice::saving(advice).map(|saving| format!(", **{saving}**")).unwrap_or_default();
            let (change, why) = (words::advice::change(advice, name), words::advice::why(advice, name));
            format!("{of}{change}{}{saving}: {why}.", place.unwrap_or_default())
        })
        .collect();
    if !lines.is_empty() {
        document.alert("TIP", &lines);
    }
}

//! How a build's time compares with the builds before it, in words.

use std::time::Duration;

use crate::outcome::baseline::{Baseline, BaselineSource, Gate, Kind};
use crate::report::units;

/// Below so many percent, two builds took equally long: no machine repeats a build more exactly.
const EQUAL: u128 = 3;
/// So do they below so many milliseconds: an engine that looks after itself for a moment takes longer.
const UNNOTICED: u128 = 500;

/// `35 % faster than the median of 5 warm builds of main`.
pub(crate) fn compared(time: Duration, baseline: &Baseline, name: impl Fn(&str) -> String) -> String {
    let (now, before) = (time.as_millis(), baseline.median.as_millis().max(1));
    let percent = (now.abs_diff(before) * 100 + before / 2) / before;
    let that = builds(baseline, name);
    match percent {
        0..EQUAL => format!("as fast as {that}"),
        _ if now.abs_diff(before) < UNNOTICED => format!("as fast as {that}"),
        _ if now < before => format!("{percent} % faster than {that}"),
        EQUAL..=100 => format!("{percent} % slower than {that}"),
        _ => {
            let tenths = (now * 10 + before / 2) / before;
            format!("{}.{} times as long as {that}", tenths / 10, tenths % 10)
        }
    }
}

/// What is compared with: `the median of 5 cold builds of main`, `the last warm build`.
pub(crate) fn builds(baseline: &Baseline, name: impl Fn(&str) -> String) -> String {
    let kind = kind(baseline.kind);
    let of = match &baseline.source {
        BaselineSource::Branch(branch) => format!("of {}", name(branch)),
        BaselineSource::Ledger => "on this engine".to_owned(),
    };
    match (baseline.builds, &baseline.source) {
        (0 | 1, _) => format!("the last {kind} build {of}"),
        (builds, BaselineSource::Branch(_)) => format!("the median of {builds} {kind} builds {of}"),
        (builds, BaselineSource::Ledger) => format!("the median of the last {builds} {kind} builds {of}"),
    }
}

/// The word for a kind of build.
pub(crate) const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Warm => "warm",
        Kind::Cold => "cold",
        Kind::Cached => "fully cached",
    }
}

/// What became of `fail-if-slower`, as a sentence without its full stop.
pub(crate) fn gate(gate: &Gate, time: Duration, baseline: Option<&Baseline>, name: impl Fn(&str) -> String) -> String {
    let setting = name("fail-if-slower");
    let median = baseline.map(|baseline| (units::duration(baseline.median), builds(baseline, &name)));
    match (gate, median) {
        (Gate::Missed { percent, by }, Some((median, that))) => format!(
            "Slower than {setting} allows: {} is {} ({percent} %) more than {that}, which is {median}",
            units::duration(time),
            units::duration(*by),
        ),
        (Gate::Missed { percent, by }, None) => {
            format!("Slower than {setting} allows: by {} ({percent} %)", units::duration(*by))
        }
        (Gate::Met, Some((median, that))) => format!("{setting} is met: {that} is {median}"),
        (Gate::Met, None) => format!("{setting} is met"),
        (Gate::NoBaseline, _) => {
            format!("{setting} was not applied: no build of this kind is known that this one could be compared with")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{builds, compared, gate};
    use crate::outcome::baseline::{Baseline, BaselineSource, Gate, Kind};

    fn baseline(median: u64, builds: u32) -> Baseline {
        Baseline {
            median: Duration::from_millis(median),
            builds,
            kind: Kind::Warm,
            source: BaselineSource::Branch("main".into()),
        }
    }

    #[test]
    fn compares_in_percent_and_then_in_times() {
        let of = |millis, median| {
            let words = compared(Duration::from_millis(millis), &baseline(median, 5), |raw| format!("`{raw}`"));
            words.replace("the median of 5 warm builds of `main`", "…")
        };
        for (millis, median, words) in [
            (12_400, 19_100, "35 % faster than …"),
            (10_000, 10_000, "as fast as …"),
            (10_240, 10_000, "as fast as …"),
            (9_760, 10_000, "as fast as …"),
            (10_250, 10_000, "as fast as …"),
            (20_500, 20_000, "3 % slower than …"),
            (20_000, 10_000, "100 % slower than …"),
            (24_000, 10_000, "2.4 times as long as …"),
            (0, 10_000, "100 % faster than …"),
            (700, 201, "as fast as …"),
            (701, 201, "3.5 times as long as …"),
            (505, 0, "505.0 times as long as …"),
        ] {
            assert_eq!(of(millis, median), words, "{millis} to {median}");
        }
    }

    #[test]
    fn says_what_it_compares_with() {
        let cold = Baseline { kind: Kind::Cold, ..baseline(1, 4) };
        let ledger = |builds| Baseline { source: BaselineSource::Ledger, ..baseline(1, builds) };
        for (baseline, words) in [
            (baseline(1, 1), "the last warm build of main"),
            (cold, "the median of 4 cold builds of main"),
            (Baseline { kind: Kind::Cached, ..baseline(1, 2) }, "the median of 2 fully cached builds of main"),
            (ledger(1), "the last warm build on this engine"),
            (ledger(5), "the median of the last 5 warm builds on this engine"),
        ] {
            assert_eq!(builds(&baseline, str::to_owned), words);
        }
    }

    #[test]
    fn every_end_of_the_gate_has_its_words() {
        let baseline = baseline(12_200, 5);
        let missed = Gate::Missed { percent: 55, by: Duration::from_millis(6_700) };
        let time = Duration::from_millis(18_900);
        let words = [
            gate(&missed, time, Some(&baseline), str::to_owned),
            gate(&missed, time, None, str::to_owned),
            gate(&Gate::Met, time, Some(&baseline), str::to_owned),
            gate(&Gate::Met, time, None, str::to_owned),
            gate(&Gate::NoBaseline, time, None, str::to_owned),
        ];
        insta::assert_snapshot!(words.join("\n"), @r"
        Slower than fail-if-slower allows: 18.9 s is 6.7 s (55 %) more than the median of 5 warm builds of main, which is 12.2 s
        Slower than fail-if-slower allows: by 6.7 s (55 %)
        fail-if-slower is met: the median of 5 warm builds of main is 12.2 s
        fail-if-slower is met
        fail-if-slower was not applied: no build of this kind is known that this one could be compared with
        ");
    }
}

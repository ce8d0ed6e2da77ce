//! What the build was compared with, and what became of its gate.

use serde::Serialize;

use super::{NAME, seconds, short};
use crate::outcome::baseline::{self, BaselineSource};

/// The builds that the build was compared with: of the same images and of the same kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Baseline {
    /// The median of their wall times.
    pub median_seconds: f64,
    /// How many there were.
    pub builds: u32,
    /// `cold`: no step came from a cache; `warm`: some did; `cached`: every step did.
    pub kind: &'static str,
    /// Where they are known from: `branch`, by its check runs, or `ledger`, the images' own history.
    pub source: &'static str,
    /// The branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

/// What became of `fail-if-slower`: a `result`, with the fields that it has.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Gate {
    /// The build is not slower than it may be.
    Met,
    /// It is.
    Missed {
        /// How much slower, in percent of the median.
        percent: u64,
        /// How much slower.
        by_seconds: f64,
    },
    /// There was nothing to compare with.
    NoBaseline,
}

impl Baseline {
    pub(super) fn of(baseline: &baseline::Baseline) -> Self {
        let (source, branch) = match &baseline.source {
            BaselineSource::Branch(branch) => ("branch", Some(short(branch, NAME))),
            BaselineSource::Ledger => ("ledger", None),
        };
        Self {
            median_seconds: seconds(baseline.median),
            builds: baseline.builds,
            kind: baseline.kind.as_str(),
            source,
            branch,
        }
    }
}

impl Gate {
    pub(super) fn of(gate: &baseline::Gate) -> Self {
        match gate {
            baseline::Gate::Met => Self::Met,
            baseline::Gate::Missed { percent, by } => Self::Missed { percent: *percent, by_seconds: seconds(*by) },
            baseline::Gate::NoBaseline => Self::NoBaseline,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{Baseline, Gate};
    use crate::outcome::baseline::{self, BaselineSource, Kind};

    #[test]
    fn have_a_shape_that_others_can_rely_on() {
        let of = |gate| serde_json::to_value(Gate::of(&gate)).unwrap();
        let by = Duration::from_micros(6_700_400);
        assert_eq!(
            of(baseline::Gate::Missed { percent: 55, by }),
            json!({"result": "missed", "percent": 55, "by_seconds": 6.7})
        );
        assert_eq!(of(baseline::Gate::Met), json!({"result": "met"}));
        assert_eq!(of(baseline::Gate::NoBaseline), json!({"result": "no-baseline"}));
        let of = |source| {
            let baseline = baseline::Baseline { median: by, builds: 3, kind: Kind::Cached, source };
            serde_json::to_value(Baseline::of(&baseline)).unwrap()
        };
        assert_eq!(
            of(BaselineSource::Branch("main".to_owned())),
            json!({"median_seconds": 6.7, "builds": 3, "kind": "cached", "source": "branch", "branch": "main"})
        );
        assert_eq!(
            of(BaselineSource::Ledger),
            json!({"median_seconds": 6.7, "builds": 3, "kind": "cached", "source": "ledger"})
        );
    }
}

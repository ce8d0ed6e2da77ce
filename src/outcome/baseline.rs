//! What a build is compared with.

use std::time::Duration;

use crate::cache::ledger::BuildKind;

/// The builds that this one is compared with: of the same images and of the same kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    /// The median of their wall times.
    pub median: Duration,
    /// How many there were.
    pub builds: u32,
    /// Which kind they were of.
    pub kind: BuildKind,
    /// Where they are known from.
    pub source: BaselineSource,
}

/// Where a baseline comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaselineSource {
    /// Check runs of this branch: the base branch of a pull request, else the branch itself.
    Branch(String),
    /// The history that the images' own ledgers keep.
    Ledger,
}

/// What became of `fail-if-slower`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// The build is not slower than it may be.
    Met,
    /// It is: by more than both limits.
    Missed {
        /// How much slower it is, in percent of the baseline.
        percent: u64,
        /// How much slower it is.
        by: Duration,
    },
    /// There is nothing to compare with.
    NoBaseline,
}

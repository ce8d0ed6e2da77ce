//! What is known of a build besides what the builder told: the build before it, and what went into both.

use std::collections::BTreeSet;

use crate::cache::evidence::Evidence;
use crate::cache::ledger::{Ledger, Salt};
use crate::project::dockerfile::Dockerfile;
use crate::project::target::Target;

/// What is known of the build of one image, before and after it.
#[derive(Debug, Clone)]
pub struct Known<'a> {
    /// What was built.
    pub target: &'a Target,
    /// Its Dockerfile, where it is known.
    pub dockerfile: Option<&'a Dockerfile>,
    /// The ledger of the build before: of the run's own ref, or the nearest that it reads.
    pub previous: Option<&'a Ledger>,
    /// Images that the engine had before the build, by their ids: of those that this ledger names, and others.
    pub present: Option<&'a BTreeSet<String>>,
    /// What went into the build before, if its ledger says so.
    pub before: Option<Evidence>,
    /// What went into this build, under the salt of the ledger before; absent where nobody needs it: nothing ran that could
    /// be explained, and no ledger is written.
    pub now: Option<Evidence>,
    /// What the digests of both are salted with: the salt of the ledger before, or a new one.
    pub salt: Salt,
    /// Whether the image has a ledger that this run can write: without one, no build of it is ever known.
    pub remembered: bool,
    /// Whether the engine can put layers on each other by themselves (`COPY --link`): the containerd image store can.
    pub merges: bool,
}

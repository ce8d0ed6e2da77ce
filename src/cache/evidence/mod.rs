//! Evidence: what went into a build, as digests, so that the next one can say what changed.

//! The parts of a Dockerfile that a build has to know beforehand: its arguments, its stages, and what they copy from.

//! Compose files: reading, interpolating, merging, and the images that they build.

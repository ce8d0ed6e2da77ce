//! What exists now: images, containers and builder records, read and not changed.

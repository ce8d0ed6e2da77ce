//! The Docker Engine API; the only importer of bollard.

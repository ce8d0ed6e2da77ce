//! What a person and a machine read afterwards: summary, outputs, annotations, progress.

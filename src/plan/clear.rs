//! The plan of a clear: what goes, what stays and why.

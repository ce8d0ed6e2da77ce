//! Carries out the plan of a clear and surveys again.

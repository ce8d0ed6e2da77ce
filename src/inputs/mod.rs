//! The action's inputs: raw strings become one typed value here, and end here.

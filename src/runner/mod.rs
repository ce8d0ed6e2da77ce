//! The GitHub runner's protocol: context and event, workflow commands, file commands, signals.

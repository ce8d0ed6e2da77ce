//! moby's ignore and include patterns (`github.com/moby/patternmatcher`).

//! What of a tree is seen: include and exclude patterns, decided from the top down (fsutil's filter.go).

use super::matcher::{MatchInfo, PatternMatcher};
use super::pattern::Pattern;
use super::{PatternError, slash_path};

/// Include patterns (none: everything) and exclude patterns.
#[derive(Debug, Clone)]
pub struct Filter {
    include: Option<PatternMatcher>,
    exclude: Option<PatternMatcher>,
    /// No include pattern has a wildcard but at its end: directories that cannot lead to one are not opened.
    prefix_includes: bool,
    /// The same of the exceptions to the exclude patterns.
    prefix_exceptions: bool,
    only: Option<Vec<String>>,
}

/// What a directory hands down to the paths in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Above {
    include: Option<MatchInfo>,
    exclude: Option<MatchInfo>,
}

#[derive(Debug)]
pub(super) enum Decision {
    Keep,
    /// Not seen itself; a directory may still hold something that is.
    Skip,
    /// Not seen, and nothing in it is: never opened.
    Prune,
}

impl Filter {
    /// A filter from patterns; no include pattern means that everything is included.
    ///
    /// # Errors
    /// The first broken pattern.
    pub fn new<S: AsRef<str>>(include: &[S], exclude: &[S]) -> Result<Self, PatternError> {
        let compile = |patterns: &[S]| (!patterns.is_empty()).then(|| PatternMatcher::new(patterns)).transpose();
        let (include, exclude) = (compile(include)?, compile(exclude)?);
        let prefix_includes = only_prefixes(include.as_ref(), false);
        let prefix_exceptions = only_prefixes(exclude.as_ref(), true);
        Ok(Self { include, exclude, prefix_includes, prefix_exceptions, only: None })
    }

    /// Lets nothing be seen but these paths, what lies in them, and the directories that lead to them.
    ///
    /// The paths are clean, relative and meant literally.
    #[must_use]
    pub fn only(mut self, paths: Vec<String>) -> Self {
        self.only = Some(paths);
        self
    }

    /// Whether a file at the top is seen.
    ///
    /// # Errors
    /// A pattern that cannot be compared with anything.
    pub fn shows_file(&self, name: &str) -> Result<bool, PatternError> {
        let (decision, _) = self.decide(name, false, &Above::default())?;
        Ok(matches!(decision, Decision::Keep))
    }

    pub(super) fn decide(
        &self,
        path: &str,
        is_directory: bool,
        above: &Above,
    ) -> Result<(Decision, Above), PatternError> {
        let mut below = Above::default();
        if !self.permits(path) {
            return Ok((Decision::Prune, below));
        }
        let mut decision = Decision::Keep;
        if let Some(include) = &self.include {
            let (matched, info) = matches(include, path, is_directory, above.include.as_ref())?;
            below.include = info;
            if !matched {
                if is_directory && self.prefix_includes && !leads_to(include, false, path) {
                    return Ok((Decision::Prune, below));
                }
                decision = Decision::Skip;
            }
        }
        if let Some(exclude) = &self.exclude {
            let (matched, info) = matches(exclude, path, is_directory, above.exclude.as_ref())?;
            below.exclude = info;
            if matched {
                if is_directory && self.prefix_exceptions && !leads_to(exclude, true, path) {
                    return Ok((Decision::Prune, below));
                }
                decision = Decision::Skip;
            }
        }
        Ok((decision, below))
    }

    fn permits(&self, path: &str) -> bool {
        let Some(only) = &self.only else { return true };
        only.iter()
            .any(|allowed| slash_path::is_at_or_below(path, allowed) || slash_path::is_at_or_below(allowed, path))
    }
}

fn matches(
    matcher: &PatternMatcher,
    path: &str,
    is_directory: bool,
    above: Option<&MatchInfo>,
) -> Result<(bool, Option<MatchInfo>), PatternError> {
    if is_directory {
        matcher.matches_directory(path, above).map(|(matched, info)| (matched, Some(info)))
    } else {
        matcher.matches_in(path, above).map(|matched| (matched, None))
    }
}

/// Whether no pattern of one kind has a wildcard but a trailing `/*` or `/**`.
fn only_prefixes(matcher: Option<&PatternMatcher>, exceptions: bool) -> bool {
    let patterns = matcher.map(PatternMatcher::patterns).unwrap_or_default();
    of_kind(patterns, exceptions)
        .all(|pattern| !pattern.without_trailing_glob().contains(['*', '[', ']', '?', '^', '\\']))
}

/// Whether a pattern of one kind begins with a directory.
fn leads_to(matcher: &PatternMatcher, exceptions: bool, directory: &str) -> bool {
    of_kind(matcher.patterns(), exceptions)
        .any(|pattern| slash_path::is_at_or_below(pattern.without_trailing_glob(), directory))
}

fn of_kind(patterns: &[Pattern], exceptions: bool) -> impl Iterator<Item = &Pattern> {
    patterns.iter().filter(move |pattern| pattern.is_exception() == exceptions)
}

#[cfg(test)]
mod tests {
    use super::{Above, Decision, Filter};

    fn decide(include: &[&str], exclude: &[&str], path: &str) -> &'static str {
        let filter = Filter::new(include, exclude).unwrap();
        let mut above = Above::default();
        for (at, _) in path.trim_end_matches('/').match_indices('/') {
            let (decision, below) = filter.decide(path.split_at(at).0, true, &above).unwrap();
            if matches!(decision, Decision::Prune) {
                return "pruned above";
            }
            above = below;
        }
        match filter.decide(path.trim_end_matches('/'), path.ends_with('/'), &above).unwrap().0 {
            Decision::Keep => "keep",
            Decision::Skip => "skip",
            Decision::Prune => "prune",
        }
    }

    #[test]
    fn prunes_what_cannot_hold_anything() {
        for (include, exclude, path, expected) in [
            (&[][..], &[][..], "a/b", "keep"),
            (&[], &["big"], "big/", "prune"),
            (&[], &["big"], "big/file", "pruned above"),
            (&[], &["big", "!big/keep/me"], "big/", "skip"),
            (&[], &["big", "!big/keep/me"], "big/keep/", "skip"),
            (&[], &["big", "!big/keep/me"], "big/keep/me", "keep"),
            (&[], &["big", "!big/keep/me"], "big/other/", "prune"),
            (&[], &["*", "!src/**"], "src/", "skip"),
            (&[], &["*", "!src/**"], "node_modules/", "prune"),
            (&[], &["*", "!**/x"], "node_modules/", "skip"),
            (&["src"], &[], "src/", "keep"),
            (&["src"], &[], "src/a/b", "keep"),
            (&["src/a"], &[], "src/", "skip"),
            (&["src/a"], &[], "srcs/", "prune"),
            (&["*/a"], &[], "any/", "skip"),
            (&["src"], &["src/tmp"], "src/tmp/", "prune"),
            (&["src"], &["**/*.log"], "src/x.log", "skip"),
            (&["a*"], &[], "b", "skip"),
        ] {
            assert_eq!(decide(include, exclude, path), expected, "{include:?} {exclude:?} {path}");
        }
    }

    #[test]
    fn shows_only_the_paths_that_it_is_limited_to() {
        let filter = Filter::new::<&str>(&[], &[]).unwrap().only(vec!["docker/Dockerfile".to_owned()]);
        for (path, seen) in [
            ("docker", true),
            ("docker/Dockerfile", true),
            ("docker/secret", false),
            ("dock", false),
            ("docker2", false),
        ] {
            let (decision, _) = filter.decide(path, false, &Above::default()).unwrap();
            assert_eq!(matches!(decision, Decision::Keep), seen, "{path}");
        }
    }
}

//! A list of patterns: the last one that matches a path, or a directory above it, decides.

use super::PatternError;
use super::pattern::Pattern;
use super::slash_path::parent;

/// Patterns in order, `!` marking exceptions to those before them.
#[derive(Debug, Clone)]
pub struct PatternMatcher {
    patterns: Vec<Pattern>,
    has_exceptions: bool,
}

/// Which patterns matched a directory or one above it: what is needed to match the paths in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchInfo(Box<[bool]>);

impl PatternMatcher {
    /// Compiles patterns; blank ones are dropped.
    ///
    /// # Errors
    /// The first pattern with an unfinished class or escape, or with nothing after its `!`.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, PatternError> {
        let patterns: Vec<Pattern> = patterns
            .iter()
            .filter_map(|pattern| Pattern::parse(pattern.as_ref()).transpose())
            .collect::<Result<_, _>>()?;
        let has_exceptions = patterns.iter().any(Pattern::is_exception);
        Ok(Self { patterns, has_exceptions })
    }

    /// Whether any pattern is an exception (`!`).
    pub fn has_exceptions(&self) -> bool {
        self.has_exceptions
    }

    /// Whether there is no pattern at all.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    pub(super) fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Whether a path, or a directory above it, matches (`MatchesOrParentMatches` upstream).
    ///
    /// `path` is clean, relative and slash-separated.
    ///
    /// # Errors
    /// A pattern that cannot be compared with anything (an escape that means nothing).
    pub fn matches(&self, path: &str) -> Result<bool, PatternError> {
        self.run(path, None, |_, _| {})
    }

    /// [`Self::matches`] where the directory's own result is known (`MatchesUsingParentResults` upstream).
    ///
    /// `above` is `None` for a path at the top.
    ///
    /// # Errors
    /// As [`Self::matches`].
    pub fn matches_in(&self, path: &str, above: Option<&MatchInfo>) -> Result<bool, PatternError> {
        self.run(path, above, |_, _| {})
    }

    /// [`Self::matches_in`] for a directory, with what the paths in it will need.
    ///
    /// # Errors
    /// As [`Self::matches`].
    pub fn matches_directory(&self, path: &str, above: Option<&MatchInfo>) -> Result<(bool, MatchInfo), PatternError> {
        let mut info = vec![false; self.patterns.len()].into_boxed_slice();
        let matched = self.run(path, above, |index, matched| {
            if let Some(slot) = info.get_mut(index) {
                *slot = matched;
            }
        })?;
        Ok((matched, MatchInfo(info)))
    }

    fn run(
        &self,
        path: &str,
        above: Option<&MatchInfo>,
        mut record: impl FnMut(usize, bool),
    ) -> Result<bool, PatternError> {
        let mut matched = false;
        for (index, pattern) in self.patterns.iter().enumerate() {
            let inherited = above.and_then(|above| above.0.get(index)).copied().unwrap_or(false);
            if !inherited && pattern.is_exception() != matched {
                // It could not change the result.
                continue;
            }
            let hit = inherited || pattern.matches(path)? || (above.is_none() && any_parent(pattern, path));
            record(index, hit);
            if hit {
                matched = !pattern.is_exception();
            }
        }
        Ok(matched)
    }
}

fn any_parent(pattern: &Pattern, path: &str) -> bool {
    std::iter::successors(Some(parent(path)), |path| Some(parent(path)))
        .take_while(|path| *path != ".")
        .any(|parent| pattern.matches(parent).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::PatternMatcher;
    use crate::patterns::PatternError;
    use proptest::prelude::*;

    fn matcher(patterns: &[&str]) -> PatternMatcher {
        PatternMatcher::new(patterns).unwrap()
    }

    #[test]
    fn matches_paths_and_what_lies_in_them() {
        for (patterns, path, expected) in [
            (&["a"][..], "a", true),
            (&["a"], "a/b/c", true),
            (&["a"], "b/a", false),
            (&["a/"], "a", true),
            (&["./a/../b"], "b", true),
            (&["*"], "a", true),
            (&["*"], "a/b", true),
            (&["*.go"], "x.go", true),
            (&["*.go"], "d/x.go", false),
            (&["*/*.go"], "d/x.go", true),
            (&["**/*.go"], "x.go", true),
            (&["**/*.go"], "d/e/x.go", true),
            (&["**"], ".hidden", true),
            (&["**/.git"], ".git", true),
            (&["**/.git"], "sub/.git/config", true),
            (&["a/**"], "a", false),
            (&["a/**"], "a/b/c", true),
            (&["a/**/z"], "a/z", true),
            (&["a/**/z"], "a/b/c/z", true),
            (&["a/**/z"], "a/b/cz", false),
            (&["a?c"], "abc", true),
            (&["a?c"], "a/c", false),
            (&["a.c"], "abc", false),
            (&["[a-c]x"], "bx", true),
            (&["[^a-c]x"], "bx", false),
            (&["[^a-c]x"], "dx", true),
            (&["a\\?"], "a?", true),
            (&["a\\?"], "ab", false),
            (&["a(b)+|{c}$"], "a(b)+|{c}$", true),
            (&["größe*"], "größe-xl", true),
            (&[], "a", false),
            (&["", "  "], "a", false),
            (&["."], "a", false),
        ] {
            assert_eq!(matcher(patterns).matches(path), Ok(expected), "{patterns:?} {path}");
        }
    }

    #[test]
    fn the_last_match_wins() {
        for (patterns, path, expected) in [
            (&["*.md", "!README.md"][..], "README.md", false),
            (&["*.md", "!README.md"], "x.md", true),
            (&["*.md", "!README*.md", "README-secret.md"], "README-secret.md", true),
            (&["!README.md", "*.md"], "README.md", true),
            (&["docs", "!docs/keep"], "docs/keep/x", false),
            (&["docs", "!docs/keep"], "docs/x", true),
            (&["*", "!src"], "src/a/b", false),
            (&["*", "!src/a"], "src", true),
            (&["*", "!src/a"], "src/a", false),
            (&["!a", "a", "!a/b", "a/b/c"], "a/b/c", true),
            (&["**", "!**/*.go"], "x/y.go", false),
            (&["!a"], "b", false),
        ] {
            assert_eq!(matcher(patterns).matches(path), Ok(expected), "{patterns:?} {path}");
        }
    }

    #[test]
    fn refuses_broken_patterns() {
        assert_eq!(PatternMatcher::new(&["!"]).unwrap_err(), PatternError::EmptyException);
        for text in ["[", "a[b", "a\\", "[]a]", "![-]"] {
            assert!(matches!(PatternMatcher::new(&[text]), Err(PatternError::Syntax { .. })), "{text}");
        }
        let broken = matcher(&["build\\out"]);
        assert_eq!(broken.matches("x"), Err(PatternError::Syntax { pattern: "build\\out".to_owned() }));
    }

    const PATTERN: &str = "!?(\\*\\*/|[ab]/|\\*/){0,3}([ab*?.]{1,3}|\\*\\*|\\[\\^?[ab]-[yz]\\]|\\\\[*?])(/\\*\\*)?";
    const PATH: &str = "[aby]{1,2}(/[ab.]?[ab*]{1,2}){0,3}";

    proptest! {
        #[test]
        fn never_panics(patterns in proptest::collection::vec(".{0,12}", 0..4), path in ".{0,12}") {
            if let Ok(matcher) = PatternMatcher::new(&patterns) {
                let _ = matcher.matches(&path);
            }
        }

        #[test]
        fn a_literal_matches_itself_alone(path in "[a-z.+()|{}$^&~#-]{1,6}(/[a-z]{1,4}){0,2}") {
            prop_assume!(!path.split('/').any(|part| part == "." || part == ".."));
            let matcher = PatternMatcher::new(&[&path]).unwrap();
            prop_assert_eq!(matcher.matches(&path), Ok(true));
            prop_assert_eq!(matcher.matches(&format!("{path}x")), Ok(false));
        }

        #[test]
        fn an_exception_at_the_end_wins(patterns in proptest::collection::vec(PATTERN, 0..4), path in PATH) {
            let mut patterns = patterns;
            patterns.push(format!("!{}", path.replace('*', "\\*")));
            if let Ok(matcher) = PatternMatcher::new(&patterns) {
                prop_assert_eq!(matcher.matches(&path), Ok(false));
            }
        }

        #[test]
        fn walking_down_gives_the_same_answer(patterns in proptest::collection::vec(PATTERN, 0..5), path in PATH) {
            let Ok(matcher) = PatternMatcher::new(&patterns) else { return Ok(()) };
            let mut above = None;
            for (at, _) in path.match_indices('/') {
                above = Some(matcher.matches_directory(path.split_at(at).0, above.as_ref()).unwrap().1);
            }
            // Upstream's two functions agree where no exception stands before the pattern that it excepts from.
            prop_assume!(!patterns.iter().any(|pattern| pattern.starts_with('!')));
            prop_assert_eq!(matcher.matches_in(&path, above.as_ref()), matcher.matches(&path));
        }
    }
}

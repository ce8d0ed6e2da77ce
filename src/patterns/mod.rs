//! moby's ignore and include patterns (`github.com/moby/patternmatcher`), and the walk of a tree that they filter.
//!
//! A `.dockerignore` file is read by [`ignorefile`], its lines become a [`PatternMatcher`], and a [`Filter`] of
//! matchers decides for [`Walk`] what of a tree is seen, in the order and with the shortcuts of
//! `github.com/tonistiigi/fsutil`.

mod filter;
pub(crate) mod glob;
mod go_regex;
pub mod ignorefile;
mod matcher;
mod pattern;
pub(crate) mod slash_path;
mod walk;

pub use filter::Filter;
pub use matcher::{MatchInfo, PatternMatcher};
pub use walk::{Entry, Walk, WalkError};

/// Why patterns cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A lone `!`.
    #[error("read pattern '!': there is nothing after the exclamation mark")]
    EmptyException,
    /// An unfinished class or escape, or an escape that means nothing.
    #[error("read pattern '{pattern}': its syntax is wrong")]
    Syntax {
        /// The pattern, cleaned.
        pattern: String,
    },
}

impl PatternError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::EmptyException => "Write the path that is to be kept after the '!', or remove the line.",
            Self::Syntax { .. } => {
                "Close every '[' with a ']' and write '/' between directories, a '\\' escapes the character after it."
            }
        }
    }
}

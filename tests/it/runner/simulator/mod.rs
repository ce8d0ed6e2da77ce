//! The GitHub runner, as a container action sees it: how it starts the image, what it reads of it, how it cancels it.
//!
//! Written after actions/runner v2.336.0, `src/Runner.Worker`; each module names the file that it follows. It takes jobs
//! from nobody: `scripts/run-action` and the tests say what the step is. Where it differs from the real one:
//!
//! - expressions: `${{ github.token }}` in the defaults of `action.yml` is all that is evaluated;
//! - problem matchers are not run; annotations of a step are kept as a list and uploaded nowhere;
//! - `ACTIONS_RUNTIME_URL` and its kin are set only where a test sets them: there is no service behind them.

mod annotation;
mod command;
mod directories;
mod ending;
mod environment;
mod files;
mod log;
mod manifest;
mod step;

pub(crate) use annotation::Level;
pub(crate) use directories::Directories;
pub(crate) use ending::Ended;
pub(crate) use files::Summary;
pub(crate) use manifest::Manifest;
pub(crate) use step::{Finished, Socket, Step};

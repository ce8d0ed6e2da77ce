//! A solve that finds everything in the cache: one that would run a step is stopped, for what it made would be something else.

use std::cell::Cell;
use std::collections::HashMap;

use super::Execution;
use super::buildkit::while_served;
use crate::buildkit::Connection;
use crate::buildkit::session::{ContentStore, Missing, Session};
use crate::buildkit::solve::{SolveError, SolveRequest, solve};
use crate::buildkit::trace::Event;

/// Why it gave nothing.
pub(super) enum NotSolved {
    /// The run is cancelled.
    Cancelled,
    /// A step is not in the cache, or a step of another run that is building the same looks like one of this solve.
    NotCached,
    /// The builder asked for a layer that nobody serves.
    NotServed(Missing),
    /// The builder says that it failed.
    Failed(SolveError),
}

/// What a solve is done with, besides its request.
pub(super) struct Cached<'a> {
    /// The build that it belongs to.
    pub(super) index: usize,
    pub(super) connection: &'a Connection,
    pub(super) session: &'a Session,
    /// The records that it may find its steps by, if any are offered.
    pub(super) offered: Option<&'a ContentStore>,
    pub(super) with: &'a Execution<'a>,
}

impl Cached<'_> {
    /// Solves, and gives the exporter's answer; `on_event` hears of everything but a step that would run.
    pub(super) async fn solve(
        &self,
        request: SolveRequest,
        mut on_event: impl FnMut(Event),
    ) -> Result<HashMap<String, String>, NotSolved> {
        let run = self.with.cancelled;
        // A child: what ends this one must not end the run.
        let token = run.child_token();
        // A short step may have run, and the solve have ended, before it was stopped.
        let ran = Cell::new(false);
        let hear = |event| match event {
            Event::Started { executes: true, name, .. } => {
                tracing::debug!(name, "the builder would run this step again");
                ran.set(true);
                token.cancel();
            }
            event => on_event(event),
        };
        let solving = solve(self.connection, self.session, request, self.with.masks(self.index), &token, hear);
        let (solved, missing) = while_served(self.offered, &token, solving).await;
        verdict(solved.result, missing, ran.get(), run.is_cancelled())
    }
}

fn verdict<T>(
    result: Result<T, SolveError>,
    missing: Option<Missing>,
    ran: bool,
    cancelled: bool,
) -> Result<T, NotSolved> {
    match (result, missing) {
        (Ok(_), _) if ran => Err(NotSolved::NotCached),
        (Ok(answer), _) => Ok(answer),
        (Err(_), _) if cancelled => Err(NotSolved::Cancelled),
        (Err(_), Some(layer)) => Err(NotSolved::NotServed(layer)),
        (Err(SolveError::Cancelled), None) => Err(NotSolved::NotCached),
        (Err(error), None) => Err(NotSolved::Failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Missing, NotSolved, SolveError, verdict};

    #[test]
    fn what_a_step_ran_for_is_not_taken_however_the_solve_ended() {
        let failed = || SolveError::Failed { message: "no".to_owned() };
        let layer = || Some(Missing { digest: "sha256:a".to_owned(), registry: None });
        assert!(matches!(verdict(Ok(1), None, false, false), Ok(1)));
        assert!(matches!(verdict(Ok(1), None, false, true), Ok(1)), "the signal came too late to change it");
        for cancelled in [false, true] {
            assert!(matches!(verdict(Ok(1), None, true, cancelled), Err(NotSolved::NotCached)));
        }
        let of = |result, missing, cancelled| verdict::<()>(Err(result), missing, false, cancelled);
        assert!(matches!(of(SolveError::Cancelled, None, false), Err(NotSolved::NotCached)));
        assert!(matches!(of(SolveError::Cancelled, layer(), false), Err(NotSolved::NotServed(_))));
        assert!(matches!(of(failed(), None, false), Err(NotSolved::Failed(_))));
        for (result, missing) in [(SolveError::Cancelled, None), (failed(), None), (failed(), layer())] {
            assert!(matches!(of(result, missing, true), Err(NotSolved::Cancelled)));
        }
    }
}

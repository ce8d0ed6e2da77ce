//! A solve that finds everything in the cache: one that would run a step is stopped, for what it made would be something else.

use std::collections::HashMap;

use super::Execution;
use super::buildkit::while_served;
use crate::buildkit::Connection;
use crate::buildkit::session::{ContentStore, Session};
use crate::buildkit::solve::{SolveError, SolveRequest, solve};
use crate::buildkit::trace::Event;

/// Why it gave nothing.
pub(super) enum NotSolved {
    /// The run is cancelled.
    Cancelled,
    /// A step is not in the cache, or a step of another run that is building the same looks like one of this solve.
    NotCached,
    /// The builder asked for a layer that nobody serves: its digest.
    NotServed(String),
    /// The builder says that it failed.
    Failed(SolveError),
}

/// What a solve is done with, besides its request.
#[derive(Clone, Copy)]
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
        let hear = |event| match event {
            Event::Started { executes: true, name, .. } => {
                tracing::debug!(name, "the builder would run this step again");
                token.cancel();
            }
            event => on_event(event),
        };
        let solving = solve(self.connection, self.session, request, self.with.masks(self.index), &token, hear);
        let (solved, missing) = while_served(self.offered, &token, solving).await;
        solved.result.map_err(|error| match (error, missing) {
            _ if run.is_cancelled() => NotSolved::Cancelled,
            (_, Some(layer)) => NotSolved::NotServed(layer.digest),
            (SolveError::Cancelled, None) => NotSolved::NotCached,
            (error, None) => NotSolved::Failed(error),
        })
    }
}

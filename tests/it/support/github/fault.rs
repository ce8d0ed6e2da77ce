//! What can go wrong at GitHub, on request.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use tokio::sync::Barrier;

/// Something that goes wrong with some requests.
pub(crate) struct Fault {
    method: Method,
    path: &'static str,
    /// So many are let through first.
    skipped: usize,
    times: usize,
    pub(super) effect: Effect,
}

/// What goes wrong.
#[derive(Clone)]
pub(super) enum Effect {
    /// Nothing is done, and this is answered.
    Refused { status: u16, headers: Vec<(&'static str, String)>, message: &'static str },
    /// It is done, later.
    Late(Duration),
    /// It is done, and the answer is an error of something on the way.
    DoneThen(u16),
    /// It is done, and the connection breaks.
    DoneThenBroken,
    /// It is done when so many such requests have come.
    Together(Arc<Barrier>),
}

impl Fault {
    fn new(method: &str, path: &'static str, effect: Effect) -> Self {
        Self { method: method.parse().unwrap(), path, skipped: 0, times: usize::MAX, effect }
    }

    /// Requests with this method whose path has this part are refused.
    pub(crate) fn refused(method: &str, path: &'static str, status: u16, message: &'static str) -> Self {
        Self::new(method, path, Effect::Refused { status, headers: Vec::new(), message })
    }

    pub(crate) fn late(method: &str, path: &'static str, by: Duration) -> Self {
        Self::new(method, path, Effect::Late(by))
    }

    pub(crate) fn done_then(method: &str, path: &'static str, status: u16) -> Self {
        Self::new(method, path, Effect::DoneThen(status))
    }

    pub(crate) fn done_then_broken(method: &str, path: &'static str) -> Self {
        Self::new(method, path, Effect::DoneThenBroken)
    }

    /// So many of them are held until all are there, and then done: a race, every time.
    pub(crate) fn together(method: &str, path: &'static str, requests: usize) -> Self {
        Self::new(method, path, Effect::Together(Arc::new(Barrier::new(requests)))).times(requests)
    }

    pub(crate) fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// Only from the one after so many on.
    pub(crate) fn after(self, skipped: usize) -> Self {
        Self { skipped, ..self }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Effect::Refused { headers, .. } = &mut self.effect {
            headers.push((name, value.to_owned()));
        }
        self
    }

    /// Whether it applies to this request; then it applies once less.
    pub(super) fn take(&mut self, method: &Method, path: &str) -> bool {
        let mut applies = self.times > 0 && self.method == *method && path.contains(self.path);
        if applies && self.skipped > 0 {
            self.skipped -= 1;
            applies = false;
        }
        self.times -= usize::from(applies);
        applies
    }
}

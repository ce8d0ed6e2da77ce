//! Removals at GitHub, one after another: as fast as it allows, and no longer than it makes sense.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::chain;
use crate::github::{Github, GithubError};

/// GitHub takes 900 points a minute, and a write is five ("Rate limits for the REST API"): 150 leave some for reads.
const WRITES: usize = 150;
const WINDOW: Duration = Duration::from_secs(60);
/// So long one place waits for rate limits in all.
const PATIENCE: Duration = Duration::from_secs(180);
/// So long one call may take with its repeats.
const CALL: Duration = Duration::from_secs(45);
/// How often a list is read until it has no more of what is gone, and the pause between.
pub(super) const LOOKS: usize = 3;
pub(super) const LOOK_PAUSE: Duration = Duration::from_secs(1);
pub(super) const CANCELLED: &str = "cancelled before it was done";

/// The same client, for one call that begins now.
pub(super) fn call(github: &Github) -> Github {
    github.within(CALL)
}

/// Sends removals.
#[derive(Debug)]
pub(super) struct Remover<'a> {
    cancel: &'a CancellationToken,
    pace: Pace,
    patience: Duration,
    /// Why nothing more is sent.
    stopped: Option<String>,
}

/// Why a removal was not done.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It was not sent, or it is not known what became of it.
    NotDone(String),
    /// GitHub's answer.
    Answer(GithubError),
}

impl<'a> Remover<'a> {
    pub(super) fn new(cancel: &'a CancellationToken) -> Self {
        Self { cancel, pace: Pace::default(), patience: PATIENCE, stopped: None }
    }

    /// Sends one removal when GitHub takes it.
    pub(super) async fn send(&mut self, removal: impl AsyncFn() -> Result<(), GithubError>) -> Result<(), Refusal> {
        if self.stopped.is_none() {
            let pause = self.pace.next(Instant::now());
            self.pause(pause).await?;
        }
        self.ask(removal).await
    }

    /// Makes a call. What GitHub does not forgive is not tried on the next item either: a limit that lasts too long, a token
    /// that may not do it.
    pub(super) async fn ask<T>(&mut self, call: impl AsyncFn() -> Result<T, GithubError>) -> Result<T, Refusal> {
        loop {
            if let Some(why) = &self.stopped {
                return Err(Refusal::NotDone(why.clone()));
            }
            let error = match self.cancel.run_until_cancelled(call()).await {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(error)) => error,
                None => return Err(Refusal::NotDone(CANCELLED.to_owned())),
            };
            match &error {
                GithubError::RateLimited { until, .. } => {
                    if let Some(wait) = wait(*until, Utc::now(), self.patience) {
                        self.patience = self.patience.saturating_sub(wait);
                        self.pause(wait).await?;
                        continue;
                    }
                    self.stopped = Some(reason(&error));
                }
                GithubError::Unauthorized { .. } | GithubError::Forbidden { .. } => self.stopped = Some(reason(&error)),
                _ => {}
            }
            return Err(Refusal::Answer(error));
        }
    }

    async fn pause(&self, time: Duration) -> Result<(), Refusal> {
        let waited = self.cancel.run_until_cancelled(tokio::time::sleep(time)).await;
        waited.ok_or_else(|| Refusal::NotDone(CANCELLED.to_owned()))
    }
}

/// How long to wait for a limit to be lifted, if there is so much patience.
fn wait(until: DateTime<Utc>, now: DateTime<Utc>, patience: Duration) -> Option<Duration> {
    let wait = (until - now).to_std().unwrap_or_default().saturating_add(Duration::from_secs(1));
    (wait <= patience).then_some(wait)
}

/// When writes were sent.
#[derive(Debug, Default)]
struct Pace {
    sent: VecDeque<Instant>,
}

impl Pace {
    /// How long to wait before the next write, which is noted.
    fn next(&mut self, now: Instant) -> Duration {
        let free = match self.sent.len().checked_sub(WRITES).and_then(|first| self.sent.get(first)) {
            Some(first) => (*first + WINDOW).max(now),
            None => now,
        };
        self.sent.push_back(free);
        if self.sent.len() > WRITES {
            self.sent.pop_front();
        }
        free.saturating_duration_since(now)
    }
}

/// GitHub's reason, without what the call was for: the item says that.
pub(super) fn reason(error: &GithubError) -> String {
    match error {
        GithubError::Unauthorized { message, .. } => format!("GitHub does not know the token ({message})"),
        GithubError::Forbidden { message, .. } => format!("GitHub refused it ({message})"),
        GithubError::NotFound { .. } => "GitHub does not find it".to_owned(),
        GithubError::RateLimited { until, .. } => format!("rate limited until {}", until.format("%H:%M:%S UTC")),
        GithubError::Rejected { status, message, .. } => format!("GitHub answered {status} ({message})"),
        GithubError::Server { status, .. } => format!("GitHub failed with status {status}"),
        GithubError::TimedOut { .. } => "GitHub did not answer in time".to_owned(),
        GithubError::NoToken
        | GithubError::NoRepository
        | GithubError::Setup { .. }
        | GithubError::Unreachable { .. }
        | GithubError::Unreadable { .. } => chain(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::{TimeDelta, Utc};
    use tokio::time::Instant;

    use super::{PATIENCE, Pace, WINDOW, WRITES, wait};

    #[test]
    fn many_writes_are_spread_and_few_are_not() {
        let (mut pace, begun) = (Pace::default(), Instant::now());
        for _ in 0..WRITES {
            assert_eq!(pace.next(begun), Duration::ZERO);
        }
        assert_eq!(pace.next(begun), WINDOW);
        let later = begun + WINDOW + Duration::from_secs(1);
        assert_eq!(pace.next(later), Duration::ZERO, "the first of them is long ago");
        // However long it goes on, no window has more.
        let (mut pace, mut now, mut sent) = (Pace::default(), begun, Vec::new());
        for _ in 0..WRITES * 4 {
            now += pace.next(now) + Duration::from_millis(20);
            sent.push(now);
        }
        assert!(sent.windows(WRITES + 1).all(|window| window[WRITES] - window[0] >= WINDOW));
    }

    #[test]
    fn no_limit_is_waited_for_that_lasts_longer_than_patience() {
        let now = Utc::now();
        assert_eq!(wait(now + TimeDelta::seconds(60), now, PATIENCE), Some(Duration::from_secs(61)));
        assert_eq!(wait(now - TimeDelta::seconds(60), now, PATIENCE), Some(Duration::from_secs(1)));
        assert_eq!(wait(now + TimeDelta::minutes(30), now, PATIENCE), None);
    }
}

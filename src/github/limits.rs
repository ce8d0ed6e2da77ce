//! What an answer means for the next attempt: rate limits, failures that pass.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hyper::header::{HeaderMap, RETRY_AFTER};
use hyper::{Method, StatusCode};

/// So often a request is repeated at most.
pub(super) const MOST_REPEATS: u32 = 2;
/// So long a call waits for rate limits in all, however late its deadline is.
pub(super) const MOST_WAIT: Duration = Duration::from_secs(30);
/// The first pause after a failure that may pass; the second is twice as long.
const PAUSE: Duration = Duration::from_millis(300);
/// What GitHub asks to wait after a secondary limit that does not say for how long ("Rate limits for the REST API").
const UNSAID: TimeDelta = TimeDelta::seconds(60);

/// How an attempt ended, as far as the next one depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// There is an answer, and it will not change.
    Final,
    /// GitHub did nothing, and will do nothing before this time.
    Limited(DateTime<Utc>),
    /// The server failed, or the connection did: perhaps after it did what was asked.
    Failed,
}

impl Ending {
    /// Reads an answer. `message` is GitHub's own text.
    pub(super) fn of(status: StatusCode, headers: &HeaderMap, message: &str, now: DateTime<Utc>) -> Self {
        if status.is_server_error() {
            return Self::Failed;
        }
        if !matches!(status, StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS) {
            return Self::Final;
        }
        let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
        let after = number(RETRY_AFTER.as_str()).and_then(TimeDelta::try_seconds);
        let reset = (number("x-ratelimit-remaining") == Some(0))
            .then(|| DateTime::from_timestamp(number("x-ratelimit-reset")?, 0))
            .flatten();
        let said = status == StatusCode::TOO_MANY_REQUESTS || message.to_ascii_lowercase().contains("rate limit");
        match (after, reset) {
            (Some(after), _) => Self::Limited(now.checked_add_signed(after).unwrap_or(now)),
            (None, Some(reset)) => Self::Limited(reset),
            (None, None) if said => Self::Limited(now.checked_add_signed(UNSAID).unwrap_or(now)),
            (None, None) => Self::Final,
        }
    }

    /// How long to wait before the request is sent once more; `None` if it is not.
    ///
    /// A write is repeated only if it surely did nothing. `room` is how long the call may still wait.
    pub(super) fn pause(self, method: &Method, repeats: u32, room: Duration, now: DateTime<Utc>) -> Option<Duration> {
        if repeats >= MOST_REPEATS {
            return None;
        }
        let pause = match self {
            Self::Limited(until) => (until - now).to_std().unwrap_or_default().max(PAUSE),
            Self::Failed if *method == Method::GET => PAUSE * (repeats + 1),
            Self::Final | Self::Failed => return None,
        };
        (pause < room).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::{DateTime, TimeDelta, Utc};
    use hyper::header::{HeaderMap, HeaderName, HeaderValue};
    use hyper::{Method, StatusCode};

    use super::{Ending, MOST_REPEATS, PAUSE};

    /// A status, headers, GitHub's words, and what they mean.
    type Case<'a> = (u16, &'a [(&'static str, &'static str)], &'a str, Ending);

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000, 0).unwrap()
    }

    fn in_seconds(seconds: i64) -> Ending {
        Ending::Limited(now() + TimeDelta::seconds(seconds))
    }

    #[test]
    fn answers_are_told_apart() {
        let cases: [Case<'_>; 10] = [
            (200, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1000009")], "", Ending::Final),
            (404, &[], "Not Found", Ending::Final),
            (403, &[], "Resource not accessible by integration", Ending::Final),
            (403, &[("x-ratelimit-remaining", "59")], "Resource not accessible by integration", Ending::Final),
            (403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1000009")], "", in_seconds(9)),
            (403, &[("retry-after", "7")], "", in_seconds(7)),
            (
                429,
                &[("retry-after", "7"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1")],
                "",
                in_seconds(7),
            ),
            (429, &[("retry-after", "soon")], "", in_seconds(60)),
            (403, &[], "You have exceeded a secondary rate limit.", in_seconds(60)),
            (502, &[("retry-after", "7")], "", Ending::Failed),
        ];
        for (status, headers, message, expected) in cases {
            let headers: HeaderMap = headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            let ending = Ending::of(StatusCode::from_u16(status).unwrap(), &headers, message, now());
            assert_eq!(ending, expected, "{status} {headers:?}");
        }
    }

    #[test]
    fn a_write_is_repeated_only_if_it_did_nothing() {
        let room = Duration::from_secs(10);
        let pause = |ending: Ending, method: &Method, repeats| ending.pause(method, repeats, room, now());
        assert_eq!(pause(Ending::Failed, &Method::GET, 0), Some(PAUSE));
        for method in [Method::POST, Method::PATCH, Method::DELETE] {
            assert_eq!(pause(Ending::Failed, &method, 0), None);
            assert_eq!(pause(in_seconds(3), &method, 0), Some(Duration::from_secs(3)));
        }
        assert_eq!(pause(Ending::Final, &Method::GET, 0), None);
        assert_eq!(pause(Ending::Failed, &Method::GET, MOST_REPEATS), None);
    }

    #[test]
    fn no_wait_is_longer_than_there_is_room() {
        assert_eq!(in_seconds(11).pause(&Method::GET, 0, Duration::from_secs(10), now()), None);
        // A clock that differs from GitHub's is no reason to ask at once and again.
        assert_eq!(in_seconds(-11).pause(&Method::GET, 0, Duration::from_secs(10), now()), Some(PAUSE));
    }
}

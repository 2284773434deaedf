//! When an answer stops being worth anything; handed down to every call a request makes.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::{Instant, timeout_at};

use crate::problem::{Problem, Reason};

/// The caller's patience in whole milliseconds, from the moment the request arrives. Relative, so
/// that the two clocks need not agree.
pub(crate) const HEADER: &str = "x-request-timeout-ms";

/// The instant by which a request must be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// The caller's own deadline if its header has one, otherwise `default` from `now`.
    pub(crate) fn of(
        headers: &HeaderMap,
        default: Duration,
        now: Instant,
    ) -> Result<Self, Problem> {
        let Some(value) = headers.get(HEADER) else {
            return Ok(Self(now + default));
        };
        // A day is more patience than any caller has, and keeps the sum from overflowing.
        let patience = value.to_str().ok().and_then(|text| text.parse().ok());
        match patience {
            Some(ms) if ms <= 86_400_000 => Ok(Self(now + Duration::from_millis(ms))),
            _ => Err(Problem::new(
                Reason::Invalid,
                format!("{HEADER}: {value:?} is not a number of milliseconds from 0 to 86400000"),
            )),
        }
    }

    /// `patience` from `now`.
    pub(crate) fn after(patience: Duration, now: Instant) -> Self {
        Self(now + patience)
    }

    /// What is left of it; zero when it has passed.
    pub(crate) fn left(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }

    /// Waits for `work` until the deadline, then drops it.
    pub(crate) async fn within<T>(self, work: impl Future<Output = T>) -> Result<T, Problem> {
        timeout_at(self.0, work).await.map_err(|_elapsed| {
            Problem::new(Reason::Deadline, "the deadline passed before the work was done")
        })
    }
}

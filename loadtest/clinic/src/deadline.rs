//! When an answer stops being worth anything; handed down to every call a request makes.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tokio::time::{Instant, timeout_at};

use crate::problem::{Problem, Reason};

/// The caller's patience in whole milliseconds, from the moment the request has arrived with the
/// body its route reads: our word for it and Envoy's, which proxies write. Relative, so that the
/// two clocks need not agree.
pub(crate) const HEADERS: [&str; 2] = ["x-request-timeout-ms", "x-envoy-expected-rq-timeout-ms"];

/// The instant by which a request must be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// The caller's own deadline if a header has one (the nearer of two), otherwise `default` from
    /// `now`. A caller that has no time left is answered at once.
    pub(crate) fn of(
        headers: &HeaderMap,
        default: Duration,
        now: Instant,
    ) -> Result<Self, Problem> {
        let callers = HEADERS.into_iter().filter_map(|name| Some((name, headers.get(name)?)));
        let patience = callers.map(|(name, value)| patience(name, value)).reduce(|one, other| {
            let (one, other) = (one?, other?);
            Ok(one.min(other))
        });
        let patience = patience.transpose()?.unwrap_or(default);
        if patience.is_zero() {
            let detail = "the deadline had passed when the request arrived";
            return Err(Problem::new(Reason::Deadline, detail));
        }
        Ok(Self(now + patience))
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

fn patience(name: &str, value: &HeaderValue) -> Result<Duration, Problem> {
    let ms = value.to_str().ok().and_then(|text| text.parse().ok());
    ms.filter(|ms| *ms <= MS_MAX).map(Duration::from_millis).ok_or_else(|| {
        let detail =
            format!("{name}: {value:?} is not a number of milliseconds from 0 to {MS_MAX}");
        Problem::new(Reason::Invalid, detail)
    })
}

/// A day: more patience than any caller has, and no sum overflows.
const MS_MAX: u64 = 86_400_000;

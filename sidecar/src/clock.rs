//! The only clock of the sidecar.
//!
//! Policies, the ledger and the deadlines all speak [`Time`]: nanoseconds since this process started.
//! It is monotonic, so a jump of the wall clock moves no limit, no breaker and no timeout.

use std::{
    pin::Pin,
    sync::OnceLock,
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until};
use weir_policy::Time;

static EPOCH: OnceLock<Instant> = OnceLock::new();

/// Now, on the monotonic clock.
#[allow(clippy::disallowed_methods, reason = "the one place where the clock is read")]
pub(crate) fn now() -> Time {
    let epoch = *EPOCH.get_or_init(Instant::now);
    // A process would have to run for 584 years to overflow.
    Time::from_nanos(epoch.elapsed().as_nanos() as u64)
}

/// The instant at which a timer for `time` fires.
pub(crate) fn instant(time: Time) -> tokio::time::Instant {
    let epoch = *EPOCH.get_or_init(first_instant);
    tokio::time::Instant::from_std(epoch + Duration::from_nanos(time.as_nanos()))
}

/// Waits for `future` until `time`; `None` when it took longer.
///
/// Most waits on a request's way are over at once, so a timer is made only for those that are not.
pub(crate) fn by<F: Future>(time: Time, future: F) -> By<F> {
    By { future, time, timer: None }
}

pin_project! {
    /// See [`by`].
    pub(crate) struct By<F> {
        #[pin]
        future: F,
        time: Time,
        #[pin]
        timer: Option<Sleep>,
    }
}

impl<F: Future> Future for By<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Some(output));
        }
        if this.timer.is_none() {
            this.timer.set(Some(sleep_until(instant(*this.time))));
        }
        match this.timer.as_pin_mut() {
            Some(timer) => timer.poll(cx).map(|()| None),
            None => Poll::Pending,
        }
    }
}

/// Seconds since 1970 on the wall clock; for people only.
pub(crate) fn unix_seconds() -> f64 {
    wall().as_secs_f64()
}

/// The time since 1970 on the wall clock, which may jump: for people, and for callers who say a deadline so.
#[allow(clippy::disallowed_methods, reason = "the one place where the clock is read")]
pub(crate) fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[allow(clippy::disallowed_methods, reason = "the one place where the clock is read")]
fn first_instant() -> Instant {
    Instant::now()
}

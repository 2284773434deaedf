//! The only clock of the load kit.
//!
//! Time is a [`Duration`] since a run began, on the monotonic clock.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The beginning of a run, and how long ago it was.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
}

impl Clock {
    /// A run that begins now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where the clock is read")]
    pub fn start() -> Self {
        Self { began: Instant::now() }
    }

    /// Now, since the run began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// When a timer of the runtime must fire for `time`.
    pub(crate) fn instant(&self, time: Duration) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.began + time)
    }
}

/// CPU time that this process has used so far, over all its threads.
#[must_use]
pub fn cpu() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    // The kernel counts upwards from zero, and nanoseconds stay below a second.
    Duration::new(used.tv_sec.unsigned_abs(), used.tv_nsec as u32)
}

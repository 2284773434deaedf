//! Additive increase, multiplicative decrease: what TCP Reno does with its window.
//!
//! It hears only failures and answers beyond a threshold (Netflix `concurrency-limits`, `AIMDLimit`:
//! 5 s, a tenth less); a service that grows slow without failing is pushed up to that threshold.

use std::time::Duration;

use super::windowed::{Algorithm, Window};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aimd {
    /// An average answer beyond this counts as a failure.
    pub(crate) timeout: Duration,
    /// What a failure leaves of the limit.
    pub(crate) backoff: f64,
}

impl Default for Aimd {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), backoff: 0.9 }
    }
}

impl Algorithm for Aimd {
    fn next(&mut self, window: &Window, limit: f64) -> f64 {
        if window.dropped > 0 || window.latency > self.timeout.as_secs_f64() {
            limit * self.backoff
        } else if 2.0 * f64::from(window.in_flight_max) >= limit {
            limit + 1.0
        } else {
            limit
        }
    }
}

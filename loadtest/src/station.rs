//! A service whose capacity is known.
//!
//! So many slots serve one request each, for a time drawn from a seeded distribution; who finds none
//! free waits in a queue without bound, first come, first served. Nothing is computed, so the service
//! takes no CPU time from what is measured, and its capacity is arithmetic: slots over mean service
//! time. Like most services it does not look whether a caller is still there: it serves those who have
//! left, which is how a queue without bound turns an overload into an outage.

mod series;
mod serve;
pub mod service_time;
pub mod slots;

use std::time::Duration;

use http::StatusCode;

pub use serve::serve;
use service_time::ServiceTime;

/// What kind of service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Station {
    /// How many requests it serves at once.
    pub slots: usize,
    /// How long it serves one.
    pub time: ServiceTime,
    /// Of the service times.
    pub seed: u64,
    /// When it slows for good, if it does.
    pub slows: Option<Slows>,
    /// What it answers.
    pub status: StatusCode,
}

impl Station {
    /// How many requests it can serve in a second before it slows; infinite if they take no time.
    #[must_use]
    pub fn capacity(&self) -> f64 {
        self.slots as f64 / self.time.mean().as_secs_f64()
    }
}

/// A service that becomes slower, for good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slows {
    /// How long after the first request.
    pub after: Duration,
    /// How many times as long every request takes from then on.
    pub factor: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_is_slots_over_the_mean_time() {
        let time = "lognormal:20ms:1".parse().unwrap();
        let station = Station { slots: 16, time, seed: 1, slows: None, status: StatusCode::OK };
        assert!((station.capacity() - 800.0).abs() < 1e-9);
    }
}

//! Whether the generator kept up.
//!
//! A result says something about a service only if the load was there: sent, on time, by a program that
//! had CPU time to spare. The marks are those at which the error stays small against what is measured.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::recorder::{micros, micros_histogram};

/// How the generator did.
#[derive(Clone, Debug)]
pub struct Health {
    lag: Histogram<u32>,
    unsent: u64,
}

impl Default for Health {
    fn default() -> Self {
        Self { lag: micros_histogram(), unsent: 0 }
    }
}

impl Health {
    /// A request was sent so long after it was due.
    pub fn sent(&mut self, lag: Duration) {
        self.lag.saturating_record(micros(lag));
    }

    /// A request could not be sent.
    pub fn unsent(&mut self) {
        self.unsent += 1;
    }

    /// What can be said at the end of a run that took `wall` and used `cpu`.
    #[must_use]
    pub fn checked(&self, cpu: Duration, wall: Duration) -> Checked {
        let cores = if wall.is_zero() { 0.0 } else { cpu.as_secs_f64() / wall.as_secs_f64() };
        let mut checked = Checked {
            due: self.lag.len() + self.unsent,
            unsent: self.unsent,
            lag_p99: Duration::from_micros(self.lag.value_at_quantile(0.99)),
            lag_max: Duration::from_micros(self.lag.max()),
            cores,
            limited: Vec::new(),
        };
        checked.limited = checked.reasons();
        checked
    }
}

/// The generator's own account of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// Requests that were due.
    pub due: u64,
    /// Those that were not sent, because too many were on their way.
    pub unsent: u64,
    /// How late requests were sent, at the 99th percentile.
    pub lag_p99: Duration,
    /// How late at most.
    pub lag_max: Duration,
    /// How many cores it kept busy.
    pub cores: f64,
    /// Why the run says less about the service than about the generator; empty if it kept up.
    pub limited: Vec<String>,
}

impl Checked {
    fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.unsent as f64 > UNSENT_SHARE * self.due as f64 {
            reasons.push(format!("{} of {} requests were not sent", self.unsent, self.due));
        }
        if self.lag_p99 > LAG_P99 {
            reasons.push(format!(
                "requests were sent up to {:?} late (99th percentile)",
                self.lag_p99
            ));
        }
        if self.cores > CORES {
            reasons.push(format!("it used {:.2} of a core", self.cores));
        }
        reasons
    }
}

/// Of those due, how many may stay unsent.
const UNSENT_SHARE: f64 = 0.001;

/// How late requests may be sent.
const LAG_P99: Duration = Duration::from_millis(1);

/// The generator runs on one thread; near a whole core it queues what it measures.
const CORES: f64 = 0.7;

#[cfg(test)]
mod tests {
    use super::*;

    fn health(lag_us: u64, unsent: u64) -> Health {
        let mut health = Health::default();
        for _ in 0..1_000 {
            health.sent(Duration::from_micros(lag_us));
        }
        for _ in 0..unsent {
            health.unsent();
        }
        health
    }

    #[test]
    fn a_generator_that_fell_behind_says_so() {
        let second = Duration::from_secs(1);
        for (health, cpu_ms, reasons) in [
            (health(80, 0), 300, 0),
            (health(80, 1), 300, 0),
            (health(80, 2), 300, 1),
            (health(1_100, 0), 300, 1),
            (health(80, 0), 710, 1),
            (health(1_100, 2), 710, 3),
            (Health::default(), 0, 0),
        ] {
            let checked = health.checked(Duration::from_millis(cpu_ms), second);
            assert_eq!(checked.limited.len(), reasons, "{checked:?}");
        }
        assert_eq!(Health::default().checked(second, Duration::ZERO).cores, 0.0);
    }
}

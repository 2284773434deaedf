//! A Vegas that asks whether more in flight still brings more throughput: failsafe-go's table.
//!
//! The queue that the latency tells of moves the limit as Vegas would; but where a full limit meets a
//! throughput that falls with what is in flight, or stands still while the latency rises with it, the
//! limit falls whatever the baseline says (`adaptivelimiter`, its thresholds).

use std::collections::VecDeque;

use super::windowed::{Algorithm, Window};

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Correlation {
    /// Seconds; zero before the first window.
    baseline: f64,
    recent: f64,
    /// In flight, throughput and latency of the latest windows.
    seen: VecDeque<[f64; 3]>,
}

impl Algorithm for Correlation {
    fn next(&mut self, window: &Window, limit: f64) -> f64 {
        let latency = window.latency;
        if self.baseline == 0.0 {
            (self.baseline, self.recent) = (latency, latency);
        }
        self.recent += (latency - self.recent) * 2.0 / (5.0 + 1.0);
        self.baseline += (self.recent - self.baseline) * 2.0 / (10.0 * 5.0 + 1.0);
        self.seen.push_back([window.in_flight, window.throughput(), latency]);
        if self.seen.len() > 50 {
            self.seen.pop_front();
        }
        let step = limit.log10().max(1.0);
        let queue = (limit * (1.0 - self.baseline / self.recent)).ceil();
        let full = window.is_full(limit);
        let (throughput, slower) = (self.correlation(1), self.correlation(2));
        let overloaded = queue > 6.0 * step
            || full && throughput < 0.0
            || full && throughput < 0.3 && slower > 0.5
            || full && self.variation(1) < 0.2 && slower > 0.5;
        if window.dropped > 0 || overloaded {
            limit - step
        } else if queue < 3.0 * step {
            // Never far beyond what is asked for.
            (limit + step).min(5.0 * f64::from(window.in_flight_max).max(1.0))
        } else {
            limit
        }
    }
}

impl Correlation {
    fn mean(&self, of: usize) -> f64 {
        self.seen.iter().map(|seen| seen[of]).sum::<f64>() / self.seen.len() as f64
    }

    fn covariance(&self, one: usize, other: usize) -> f64 {
        let (mean_one, mean_other) = (self.mean(one), self.mean(other));
        let products =
            self.seen.iter().map(|seen| (seen[one] - mean_one) * (seen[other] - mean_other));
        products.sum::<f64>() / self.seen.len() as f64
    }

    /// With what is in flight; zero where nothing varies.
    fn correlation(&self, of: usize) -> f64 {
        let spread = (self.covariance(0, 0) * self.covariance(of, of)).sqrt();
        if spread > 0.0 { self.covariance(0, of) / spread } else { 0.0 }
    }

    fn variation(&self, of: usize) -> f64 {
        self.covariance(of, of).sqrt() / self.mean(of)
    }
}

//! The ratio of the latency that is usual to the latency that is now: Netflix's second gradient.
//!
//! Constants as in `concurrency-limits`, `Gradient2Limit`. The usual latency is an average over some
//! hundred windows, so a service that has become slow for good becomes usual, and the limit rises.

use super::windowed::{Algorithm, Window};

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gradient2 {
    /// Seconds; zero before the first window.
    usual: f64,
    windows: u32,
}

impl Algorithm for Gradient2 {
    fn next(&mut self, window: &Window, limit: f64) -> f64 {
        let latency = window.latency;
        self.windows = self.windows.saturating_add(1);
        // An average of what there is until there is enough of it.
        let weight = if self.windows <= WARM_UP {
            1.0 / f64::from(self.windows)
        } else {
            2.0 / (LONG + 1.0)
        };
        self.usual += (latency - self.usual) * weight;
        if self.usual / latency > 2.0 {
            self.usual *= 0.95;
        }
        if window.in_flight < limit / 2.0 {
            return limit;
        }
        let gradient = (TOLERANCE * self.usual / latency).clamp(0.5, 1.0);
        limit * (1.0 - SMOOTHING) + (limit * gradient + QUEUE) * SMOOTHING
    }
}

const WARM_UP: u32 = 10;
const LONG: f64 = 600.0;
const TOLERANCE: f64 = 1.5;
const QUEUE: f64 = 4.0;
const SMOOTHING: f64 = 0.2;

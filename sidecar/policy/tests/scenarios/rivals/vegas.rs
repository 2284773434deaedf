//! The queue that the latency tells of, held between two bounds: TCP Vegas.
//!
//! With the least latency ever seen as that of an idle service, `limit * (1 - least / latency)` requests
//! wait inside it (Netflix `concurrency-limits`, `VegasLimit`, its constants). Services do not show
//! their least latency for good, so it is forgotten now and then; whatever the service does in that
//! moment becomes the new least.

use super::windowed::{Algorithm, Window};

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Vegas {
    /// Seconds; zero before the first window.
    least: f64,
    windows: u32,
}

impl Algorithm for Vegas {
    fn next(&mut self, window: &Window, limit: f64) -> f64 {
        let latency = window.latency;
        self.windows += 1;
        // 30 times the limit in requests; windows hold about fifty.
        if self.least == 0.0 || f64::from(self.windows) > (30.0 * limit / 50.0).max(10.0) {
            (self.least, self.windows) = (latency, 0);
            return limit;
        }
        self.least = self.least.min(latency);
        let step = limit.log10().max(1.0);
        if window.dropped > 0 {
            return limit - step;
        }
        if 2.0 * f64::from(window.in_flight_max) < limit {
            return limit;
        }
        let queue = (limit * (1.0 - self.least / latency)).ceil();
        match queue {
            queue if queue <= step => limit + 6.0 * step,
            queue if queue < 3.0 * step => limit + step,
            queue if queue > 6.0 * step => limit - step,
            _ => limit,
        }
    }
}

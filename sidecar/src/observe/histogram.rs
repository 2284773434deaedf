//! A latency histogram that a request can afford: fixed buckets, one relaxed add.
//!
//! The bounds are OpenTelemetry's advice for `http.server.request.duration`.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Upper bounds of the buckets, in milliseconds; a last bucket takes what is above.
const BOUNDS_MS: [u64; 14] =
    [5, 10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000];

/// Counts of durations by bucket, and their sum.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BOUNDS_MS.len() + 1],
    sum_nanos: AtomicU64,
}

/// A histogram at one instant; adding two is exact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HistogramSnapshot {
    counts: [u64; BOUNDS_MS.len() + 1],
    sum_nanos: u64,
}

impl Histogram {
    pub(crate) fn record(&self, duration: Duration) {
        let bucket = BOUNDS_MS.partition_point(|&bound| Duration::from_millis(bound) < duration);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_nanos.fetch_add(duration.as_nanos() as u64, Relaxed);
    }

    /// Adds what another one has recorded, which records no more.
    pub(crate) fn take_over(&self, other: &Self) {
        for (mine, theirs) in self.buckets.iter().zip(&other.buckets) {
            mine.fetch_add(theirs.load(Relaxed), Relaxed);
        }
        self.sum_nanos.fetch_add(other.sum_nanos.load(Relaxed), Relaxed);
    }

    pub(crate) fn snapshot(&self) -> HistogramSnapshot {
        HistogramSnapshot {
            counts: std::array::from_fn(|bucket| self.buckets[bucket].load(Relaxed)),
            sum_nanos: self.sum_nanos.load(Relaxed),
        }
    }
}

impl HistogramSnapshot {
    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
        self.sum_nanos += other.sum_nanos;
    }

    /// How many durations it holds.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All durations added up, in seconds.
    pub(crate) fn sum_seconds(&self) -> f64 {
        self.sum_nanos as f64 / 1e9
    }

    /// Upper bounds in seconds with the count of each bucket alone; the last bound is infinite.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = BOUNDS_MS.iter().map(|&bound| bound as f64 / 1e3).chain([f64::INFINITY]);
        bounds.zip(self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        let histogram = Histogram::default();
        for ms in [0, 5, 6, 10_000, 10_001] {
            histogram.record(Duration::from_millis(ms));
        }
        let snapshot = histogram.snapshot();
        let filled: Vec<_> = snapshot.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.005, 2), (0.01, 1), (10.0, 1), (f64::INFINITY, 1)]);
        assert_eq!(snapshot.count(), 5);
    }
}

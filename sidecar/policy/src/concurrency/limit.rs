//! How many requests may be in flight.

use std::{
    fmt::Debug,
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use crate::Time;

/// Computes the limit. One that adapts learns from samples; the fixed one does not listen.
pub trait Limit: Send + Sync + Debug {
    /// Requests that may be in flight at once; at least 1.
    fn current(&self) -> u32;

    /// Learns from a request that the upstream has answered.
    fn on_sample(&self, sample: Sample, now: Time);

    /// What it has learned, to be shown; nothing where it does not.
    fn learned(&self) -> Option<super::Learned> {
        None
    }

    /// Whether it can be configured so; otherwise another kind of limit has to take its place.
    fn suits(&self, _settings: &weir_config::Concurrency) -> bool {
        true
    }

    /// Is configured anew; one that only learns has nothing to set.
    fn reconfigure(&self, _settings: &weir_config::Concurrency) {}
}

/// What one request told about the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Until the response header.
    pub latency: Duration,
    /// Requests in flight when it was sent, itself included.
    pub in_flight: u32,
    /// The upstream turned it away, or let it run into a timeout.
    pub dropped: bool,
}

/// A limit that stays as it is configured.
#[derive(Debug)]
pub struct Fixed(AtomicU32);

impl Fixed {
    /// So many at once.
    pub fn new(limit: NonZeroU32) -> Self {
        Self(AtomicU32::new(limit.get()))
    }
}

impl Limit for Fixed {
    fn current(&self) -> u32 {
        self.0.load(Relaxed)
    }

    fn on_sample(&self, _: Sample, _: Time) {}

    fn suits(&self, settings: &weir_config::Concurrency) -> bool {
        matches!(settings.limit, weir_config::ConcurrencyLimit::Fixed(_))
    }

    fn reconfigure(&self, settings: &weir_config::Concurrency) {
        if let weir_config::ConcurrencyLimit::Fixed(limit) = settings.limit {
            self.0.store(limit.get(), Relaxed);
        }
    }
}

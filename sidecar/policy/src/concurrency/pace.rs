//! How long permits are held, and so how long one has to be waited for.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::time::nanos;

/// A running mean of the time that a permit is held.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Nanoseconds; zero until the first permit has ended.
    held: AtomicU64,
}

/// Permits that the mean remembers, as a power of two. It forecasts a wait rather than judges a
/// service: a few are enough, and old ones mislead.
const MEMORY_BITS: u32 = 5;

impl Pace {
    /// A permit ended that was held for so long. Of two threads at once one may not be heard.
    pub(super) fn held(&self, time: Duration) {
        let time = nanos(time);
        let mean = self.held.load(Relaxed);
        let next = match mean {
            0 => time,
            mean if time >= mean => mean + ((time - mean) >> MEMORY_BITS),
            mean => mean - ((mean - time) >> MEMORY_BITS),
        };
        self.held.store(next, Relaxed);
    }

    /// How long one is held in the mean; zero while that is not known.
    pub(super) fn mean(&self) -> Duration {
        Duration::from_nanos(self.held.load(Relaxed))
    }

    /// How long it takes until so many permits of `limit` have ended.
    pub(super) fn until_ended(&self, permits: usize, limit: u32) -> Duration {
        let nanos =
            u128::from(self.held.load(Relaxed)) * permits as u128 / u128::from(limit.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

//! Whether more arrive than can be served, by class.
//!
//! A queue that is long for a moment absorbs a burst; one that does not empty any more only makes
//! everybody late. What tells them apart are those who ask while there is no permit, and the permits
//! that are handed on: a running share of the former among both. As long as all who wait are served in
//! the end, one comes for one that goes, and the share stays at a half whatever the load. Beyond, it is
//! that of the excess: at twice the capacity, two thirds.
//!
//! The share is kept for each class with those above it, because these are served first: low requests
//! may be too many while the high ones are not.
//!
//! Time does not enter, so a service's speed makes no difference; only what was learned before a silence
//! is forgotten after it. Two threads that count at once may lose one event of many.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use weir_config::Priority;

use crate::Time;

/// The running shares, each of [`ONE`].
#[derive(Debug)]
pub(super) struct Pressure {
    shares: [AtomicU32; Priority::ALL.len()],
    /// When somebody last asked in vain, in nanoseconds.
    last: AtomicU64,
}

/// After so long without one who asked in vain, the next is the first of a burst.
const FORGOTTEN: Duration = Duration::from_secs(5);

const ONE: u32 = 1 << 30;
const HALF: u32 = ONE / 2;

/// From here on the excess is no chance: 13 % above what is served, for as long as is remembered. With
/// the memory below, a burst gets there when it is four times the limit above what is served.
const STANDING: u32 = ONE / 100 * 53;

/// Events that a share remembers for each permit. So it takes as many service times to change its mind
/// whether there is one permit or a thousand.
const MEMORY: u32 = 64;
const MEMORY_MAX: u32 = 1 << 20;

impl Pressure {
    pub(super) fn new() -> Self {
        Self { shares: std::array::from_fn(|_| AtomicU32::new(HALF)), last: AtomicU64::new(0) }
    }

    /// Somebody asked and there was no permit.
    pub(super) fn arrived(&self, priority: Priority, limit: u32, now: Time) {
        let memory = memory(limit);
        if now.since(Time::from_nanos(self.last.swap(now.as_nanos(), Relaxed))) > FORGOTTEN {
            self.shares.iter().for_each(|share| share.store(HALF, Relaxed));
        }
        for share in &self.shares[..=priority as usize] {
            let now = share.load(Relaxed);
            share.store(now + (ONE - now) / memory, Relaxed);
        }
    }

    /// A permit was handed on.
    pub(super) fn served(&self, limit: u32) {
        let memory = memory(limit);
        for share in &self.shares {
            let now = share.load(Relaxed);
            share.store(now - now / memory, Relaxed);
        }
    }

    /// Somebody asked and there was a permit: one comes, one goes, and what was learned wears off.
    pub(super) fn passed(&self, limit: u32) {
        // Nothing is written where there was no pressure. The lowest class has the highest share.
        if self.shares[0].load(Relaxed) <= HALF {
            return;
        }
        let memory = memory(limit) / 2;
        for share in &self.shares {
            let now = share.load(Relaxed);
            // Upwards too: a low share is no merit that would hide the next excess.
            let off = (now.abs_diff(HALF) / memory).max(1).min(now.abs_diff(HALF));
            share.store(if now > HALF { now - off } else { now + off }, Relaxed);
        }
    }

    /// Whether more of this class and those above arrive than can be served.
    pub(super) fn is_standing(&self, priority: Priority) -> bool {
        self.shares[priority as usize].load(Relaxed) > STANDING
    }
}

fn memory(limit: u32) -> u32 {
    limit.max(1).saturating_mul(MEMORY).min(MEMORY_MAX)
}

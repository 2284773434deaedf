//! How many may wait, and for how long: as written, or as the limit and the load have it.
//!
//! Nothing that is written fits all services: sixteen places are a blink before a thousand permits and
//! four service times before four. And a queue has two uses. While all who wait will be served it takes
//! up bursts, and may be long. Once more arrive than can be served it has to be no longer than keeps
//! the permits busy; every further place adds to the wait of all and to the answers of none. CoDel
//! reaches that by dropping from a queue what has waited in it; but who has waited would rather have
//! been told at once, so here the length follows, and what does not fit is refused on arrival.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use weir_config::Queue;

use crate::time::nanos;

/// What is written, with `AUTO` where nothing is.
#[derive(Debug)]
pub(super) struct Allowance {
    length: AtomicU32,
    timeout: AtomicU64,
}

const AUTO: u32 = u32::MAX;
const AUTO_TIMEOUT: u64 = u64::MAX;

/// Places for each permit while all are served: the last one waits six service times.
const BURST: u32 = 6;

/// Once more arrive, places for each permit's root: as the ends of independent requests scatter by that,
/// so many keep the permits busy (98 % of four at twice the load), and the last waits less than a
/// service time.
const STANDING: f64 = 1.25;

/// The least patience: what clients do not mind, and enough for a service that answers in milliseconds.
const PATIENCE: Duration = Duration::from_millis(100);

/// The same once more arrive than can be served, before a queue of a written length (CoDel's target,
/// RFC 8289): those who came last are in time, and the others should know soon.
const STANDING_PATIENCE: Duration = Duration::from_millis(5);

impl Allowance {
    pub(super) fn new(queue: &Queue) -> Self {
        let this = Self { length: AtomicU32::new(AUTO), timeout: AtomicU64::new(AUTO_TIMEOUT) };
        this.reconfigure(queue);
        this
    }

    pub(super) fn reconfigure(&self, queue: &Queue) {
        self.length.store(queue.length.unwrap_or(AUTO), Relaxed);
        self.timeout.store(queue.timeout.map_or(AUTO_TIMEOUT, nanos), Relaxed);
    }

    /// How many may wait before so many permits.
    pub(super) fn length(&self, limit: u32, standing: bool) -> u32 {
        match self.length.load(Relaxed) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "below the limit itself"
            )]
            AUTO if standing => (STANDING * f64::from(limit).sqrt()).round() as u32,
            AUTO => limit.saturating_mul(BURST),
            length => length,
        }
    }

    /// How long one may wait, where a permit is held for `held`.
    pub(super) fn patience(&self, held: Duration, standing: bool) -> Duration {
        match self.timeout.load(Relaxed) {
            AUTO_TIMEOUT if standing && self.has_length() => held.max(STANDING_PATIENCE),
            AUTO_TIMEOUT => held.max(PATIENCE),
            timeout => Duration::from_nanos(timeout),
        }
    }

    /// Whether the length is written, and so may be longer than what is served in time.
    pub(super) fn has_length(&self) -> bool {
        self.length.load(Relaxed) != AUTO
    }
}

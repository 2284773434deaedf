//! A limit that learns how much a service can work on at once.
//!
//! Each answer tells the latency with so many in flight. What workers see is counted without a lock
//! ([`Tally`]); whoever comes when a window is over hands it to the [`Search`], which remembers the
//! latency at each number in flight and moves the limit. `docs/concurrency.md` says why this one was
//! chosen among those in `tests/scenarios/rivals`.

mod bounds;
mod curve;
mod evidence;
mod grid;
mod knee;
mod learned;
mod search;
mod shape;
mod tally;

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use weir_config::{AdaptiveLimit, ConcurrencyLimit};

pub use self::learned::{Learned, Point, Stance};
use self::{
    bounds::Bounds,
    evidence::Evidence,
    grid::place_of,
    search::Search,
    tally::{Batch, Tally},
};
use super::limit::{Limit, Sample};
use crate::{Time, time::nanos};

/// See the module.
#[derive(Debug)]
pub struct Adaptive {
    limit: AtomicU32,
    /// When to look at what was counted.
    due: AtomicU64,
    /// The logarithm of the latency without a queue, as bits.
    base: AtomicU64,
    /// The longest latency since the limit moved, in nanoseconds.
    slowest: AtomicU64,
    tally: Tally,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    search: Search,
    phase: Phase,
    /// When the window began.
    since: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing was answered yet.
    New,
    /// What was answered so far was answered fast: the slow ones are still to come.
    Beginning,
    /// What is answered was still sent under another limit.
    Settling,
    Watching,
}

impl Adaptive {
    /// A limit that has learned nothing yet.
    pub fn new(settings: AdaptiveLimit) -> Self {
        let search = Search::new(settings.start.get(), Bounds::new(settings));
        Self {
            limit: AtomicU32::new(search.limit()),
            due: AtomicU64::new(0),
            base: AtomicU64::new(0),
            slowest: AtomicU64::new(0),
            tally: Tally::new(),
            state: Mutex::new(State { search, phase: Phase::New, since: Time::default() }),
        }
    }

    /// What it has learned.
    pub fn learned(&self) -> Learned {
        self.lock().search.learned()
    }

    #[cold]
    fn look(&self, now: Time) {
        // Whoever is second leaves it to the first.
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if now.as_nanos() >= self.due.load(Relaxed) {
            let due = now + self.end_window(&mut state, now);
            self.due.store(due.as_nanos(), Relaxed);
        }
    }

    /// Ends the window if there is enough in it. When to look again.
    fn end_window(&self, state: &mut State, now: Time) -> Duration {
        let is_short = now.since(state.since) < WINDOW_MAX && self.tally.count() < SAMPLES;
        match state.phase {
            Phase::New => {
                (state.phase, state.since) = (Phase::Beginning, now);
                return WINDOW;
            }
            Phase::Beginning | Phase::Watching if is_short => return WINDOW / 4,
            Phase::Beginning | Phase::Watching | Phase::Settling => {}
        }
        let window = self.tally.take();
        state.since = now;
        let has_moved = state.phase == Phase::Watching && {
            state.search.learn(&window, now);
            self.base.store(state.search.base().to_bits(), Relaxed);
            self.limit.swap(state.search.limit(), Relaxed) != state.search.limit()
        };
        if has_moved || state.phase == Phase::Beginning {
            state.phase = Phase::Settling;
            return self.settling(&window);
        }
        state.phase = Phase::Watching;
        WINDOW
    }

    /// How long it takes until those are answered that were sent under another limit, and those that take
    /// long as well, or only the fast ones would be seen.
    fn settling(&self, window: &[(usize, Batch)]) -> Duration {
        let mut all = Evidence::default();
        window.iter().for_each(|(_, batch)| all.add(*batch));
        let slowest = self.slowest.swap(0, Relaxed) as f64;
        let settling = slowest.clamp(SETTLES * all.mean(), SETTLES_MOST * all.mean());
        Duration::from_nanos(settling as u64).min(SETTLING_MAX)
    }

    /// The logarithm of the latency that a sample tells of; of nanoseconds.
    fn log(&self, sample: Sample) -> f64 {
        let log = (nanos(sample.latency).max(1) as f64).ln();
        if sample.dropped {
            log.max(f64::from_bits(self.base.load(Relaxed))) + DROPPED
        } else {
            log
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Limit for Adaptive {
    fn current(&self) -> u32 {
        self.limit.load(Relaxed)
    }

    fn on_sample(&self, sample: Sample, now: Time) {
        self.tally.add(place_of(sample.in_flight), self.log(sample));
        if nanos(sample.latency) > self.slowest.load(Relaxed) {
            self.slowest.fetch_max(nanos(sample.latency), Relaxed);
        }
        if now.as_nanos() >= self.due.load(Relaxed) {
            self.look(now);
        }
    }

    fn learned(&self) -> Option<Learned> {
        Some(Self::learned(self))
    }

    fn suits(&self, settings: &weir_config::Concurrency) -> bool {
        matches!(settings.limit, ConcurrencyLimit::Adaptive(_))
    }

    /// Keeps to other bounds from now on, and what it has learned.
    fn reconfigure(&self, settings: &weir_config::Concurrency) {
        if let ConcurrencyLimit::Adaptive(settings) = settings.limit {
            let mut state = self.lock();
            state.search.keep_to(Bounds::new(settings));
            self.limit.store(state.search.limit(), Relaxed);
        }
    }
}

/// A window is long enough for so many samples, within bounds.
const SAMPLES: u64 = 50;
const WINDOW: Duration = Duration::from_millis(100);
const WINDOW_MAX: Duration = Duration::from_secs(1);

/// After a change so many mean latencies are left out, at least and at most, and never more than that.
const SETTLES: f64 = 1.5;
const SETTLES_MOST: f64 = 10.0;
const SETTLING_MAX: Duration = Duration::from_secs(10);

/// The logarithm of 8. A request that the upstream turned away counts as one that took eight times as
/// long as usual: so a service that turns away a tenth has a knee like one that becomes a quarter slower,
/// and one that turns away as many with fewer in flight has none.
const DROPPED: f64 = 2.079;

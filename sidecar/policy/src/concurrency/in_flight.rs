//! Permits for requests in flight, and the queue of those that wait for one.
//!
//! The counts of both stand in one word. A request that finds room, and one that ends while nobody
//! waits, change it with one exchange and take no lock. Only where there is a queue is there a mutex
//! around it, and the number of waiters changes under that mutex alone. So "nobody waits" and "no
//! permit is free" are never judged apart: the last permit cannot come back unseen while somebody is
//! joining the queue. `tests/in_flight_loom.rs` walks the interleavings of that.
//!
//! A permit that is released goes straight to the waiter whose turn it is ([`Queue`]). It is never free
//! in between, so no newcomer overtakes, and a permit granted stays within the limit. How many may wait
//! is for [`Allowance`] to say, and follows whether more arrive than can be served ([`Pressure`]).

use std::{
    fmt::{self, Debug, Formatter},
    sync::PoisonError,
    time::Duration,
};

use weir_config::Priority;

use super::{
    allowance::Allowance,
    pace::Pace,
    pressure::Pressure,
    queue::{Claim, Left, Order, Place, Queue},
};
use crate::{
    Limit, Sample, Time,
    sync::{AtomicU64, Mutex, MutexGuard, Ordering},
};

/// Requests in flight under a limit. `W` is what wakes a waiter.
///
/// Whoever holds a permit ends it with one [`release`](Self::release).
pub struct InFlight<W> {
    limit: Box<dyn Limit>,
    allowance: Allowance,
    pressure: Pressure,
    pace: Pace,
    counts: AtomicU64,
    queue: Mutex<Queue<W>>,
    /// Nanoseconds that the last one to leave the queue with a permit had waited.
    last_wait: AtomicU64,
}

/// What became of a request that asked for a permit and was ready to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered<W> {
    /// It holds a permit.
    Granted,
    /// It waits; its waker will be handed to whoever releases a permit for it.
    Waiting {
        /// What it needs to give up.
        place: Place,
        /// How long it should wait before it does.
        patience: Duration,
        /// Whose place it has taken over: it must be woken, and told.
        pushed_out: Option<W>,
    },
    /// There is no room to wait.
    Full(Overloaded),
}

/// Why there was no permit, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overloaded {
    /// Requests in flight.
    pub in_flight: u32,
    /// Requests that may be in flight.
    pub limit: u32,
    /// Requests that wait.
    pub queued: u32,
    /// Requests that may wait, for one of its class.
    pub queue_length: u32,
}

impl<W> InFlight<W> {
    /// Nothing in flight, nobody waiting, under any limit.
    pub fn with_limit(limit: Box<dyn Limit>, queue: weir_config::Queue) -> Self {
        Self {
            limit,
            allowance: Allowance::new(&queue),
            pressure: Pressure::new(),
            pace: Pace::default(),
            counts: AtomicU64::new(0),
            queue: Mutex::new(Queue::new()),
            last_wait: AtomicU64::new(0),
        }
    }

    /// Whether it can be [reconfigured](Self::reconfigure) so, with all that it knows.
    pub fn suits(&self, settings: &weir_config::Concurrency) -> bool {
        self.limit.suits(settings)
    }

    /// Is configured anew. Permits in flight and places in the queue stay as they are, also above what is
    /// allowed now; see [`grant`](Self::grant) for those who wait when there is room for them.
    pub fn reconfigure(&self, settings: &weir_config::Concurrency) {
        self.limit.reconfigure(settings);
        self.allowance.reconfigure(&settings.queue);
    }

    /// Takes a permit if there is one and nobody waits for it.
    #[must_use = "a permit that was taken must be released"]
    pub fn try_acquire(&self) -> bool {
        let limit = self.limit.current();
        let acquired = self.update(|counts| counts.acquired(limit)).is_ok();
        if acquired {
            self.pressure.passed(limit);
        }
        acquired
    }

    /// Takes a permit whether or not there is one: for a policy that only counts what it would refuse.
    pub fn force_acquire(&self) {
        self.counts.fetch_add(Counts { in_flight: 1, queued: 0 }.pack(), Ordering::AcqRel);
    }

    /// Takes a permit, or a place in the queue. `make` makes the waker, only if it is needed.
    #[must_use = "a permit or a place that was taken must be given up, and who was pushed out be told"]
    pub fn enqueue(&self, claim: Claim, make: impl FnOnce() -> W, now: Time) -> Entered<W> {
        let limit = self.limit.current();
        let Err(seen) = self.update(|counts| counts.acquired(limit)) else {
            self.pressure.passed(limit);
            return Entered::Granted;
        };
        self.pressure.arrived(claim.priority, limit, now);
        let standing = self.pressure.is_standing(claim.priority);
        let length = self.allowance.length(limit, standing);
        let full = |Counts { in_flight, queued }| {
            Entered::Full(Overloaded { in_flight, limit, queued, queue_length: length })
        };
        if length == 0 {
            return full(seen);
        }
        let mut queue = self.lock();
        let pushed_out =
            match self.update(|counts| counts.acquired(limit).or(counts.joined(length))) {
                Ok(seen) if seen.has_room(limit) => return Entered::Granted,
                Ok(_) => None,
                // One comes and one goes: the number of those who wait is the same.
                Err(seen) => match queue.push_out(claim) {
                    Some(waiter) => Some(waiter.waker),
                    None => return full(seen),
                },
            };
        Entered::Waiting {
            place: queue.push(claim, make(), now),
            patience: self.allowance.patience(self.pace.mean(), standing),
            pushed_out,
        }
    }

    /// Ends a permit, by handing it to a waiter if there is one. The waker comes back: wake it, and if
    /// nobody is there any more, release again on its behalf.
    #[must_use = "the waiter holds the permit now and must be woken"]
    pub fn release(&self, now: Time) -> Option<W> {
        let limit = self.limit.current();
        loop {
            // Above the limit a permit is not handed on: shadow mode forced it, or the limit has fallen.
            let ended = self.update(|counts| {
                let ends = counts.queued == 0 || counts.in_flight > limit;
                ends.then(|| counts.released())
            });
            if ended.is_ok() {
                return None;
            }
            if let Some(waker) = self.pop(now, Counts::left) {
                return Some(waker);
            }
        }
    }

    /// Says how long a permit was held that ends now.
    pub fn on_held(&self, time: Duration) {
        self.pace.held(time);
    }

    /// Grants one more waiter a permit when the limit has risen since they came; call it until `None`.
    #[must_use = "the waiter holds the permit now and must be woken"]
    pub fn grant(&self, now: Time) -> Option<W> {
        let limit = self.limit.current();
        self.pop(now, |counts| {
            let next = counts.left()?;
            (next.in_flight < limit).then(|| Counts { in_flight: next.in_flight + 1, ..next })
        })
    }

    /// Grants one more waiter a permit, whether or not there is one: where nobody is to wait any more.
    #[must_use = "the waiter holds the permit now and must be woken"]
    pub fn let_go(&self, now: Time) -> Option<W> {
        self.pop(now, |counts| {
            let next = counts.left()?;
            Some(Counts { in_flight: next.in_flight + 1, ..next })
        })
    }

    /// A waiter gives up, or was pushed out. False when its permit was granted already: then it holds it
    /// and must release it.
    #[must_use = "a waiter that was granted a permit must release it"]
    pub fn leave(&self, place: Place) -> bool {
        let mut queue = self.lock();
        match queue.leave(place) {
            Left::Waiting => self.update(Counts::left).is_ok(),
            Left::PushedOut => true,
            Left::Granted => false,
        }
    }

    /// Tells the limit what the upstream did; see [`grant`](Self::grant) for when it rises.
    pub fn on_sample(&self, sample: Sample, now: Time) {
        self.limit.on_sample(sample, now);
    }

    /// The limit itself.
    pub fn rule(&self) -> &dyn Limit {
        &*self.limit
    }

    /// Permits held.
    pub fn in_flight(&self) -> u32 {
        self.counts().in_flight
    }

    /// Permits there are.
    pub fn limit(&self) -> u32 {
        self.limit.current()
    }

    /// Requests that wait.
    pub fn queued(&self) -> u32 {
        self.counts().queued
    }

    /// Requests that may wait, for one of the lowest class.
    pub fn queue_length(&self) -> u32 {
        self.allowance.length(self.limit.current(), self.is_standing())
    }

    /// Whether more arrive than can be served, so that the queue does not empty any more.
    pub fn is_standing(&self) -> bool {
        self.pressure.is_standing(Priority::Low)
    }

    /// How long a request of this class would wait if it asked now; zero when there is a permit.
    pub fn forecast(&self, priority: Priority) -> Duration {
        let limit = self.limit.current();
        let counts = self.counts();
        let ahead = match counts {
            counts if counts.has_room(limit) => return Duration::ZERO,
            Counts { queued: 0, .. } => 0,
            _ => self.lock().ahead_of(priority),
        };
        self.pace.until_ended(ahead + 1, limit)
    }

    /// How long the last one to leave the queue with a permit had waited; zero before the first.
    pub fn last_wait(&self) -> Duration {
        Duration::from_nanos(self.last_wait.load(Ordering::Relaxed))
    }

    /// Takes the next waiter out of the queue if `step` allows, which must count one less waiting.
    fn pop(&self, now: Time, step: impl Fn(Counts) -> Option<Counts>) -> Option<W> {
        let mut queue = self.lock();
        self.update(step).ok()?;
        self.pressure.served(self.limit.current());
        let waiter = queue.pop(|priority| self.order(priority))?;
        let waited = now.as_nanos().saturating_sub(waiter.since.as_nanos());
        self.last_wait.store(waited, Ordering::Relaxed);
        Some(waiter.waker)
    }

    /// A queue of our own length is short once it is standing; a longer one is served from its end.
    fn order(&self, priority: Priority) -> Order {
        match self.allowance.has_length() && self.pressure.is_standing(priority) {
            true => Order::NewestFirst,
            false => Order::OldestFirst,
        }
    }

    /// Replaces the counts by what `step` makes of them. Returns those it saw, as an error when it made
    /// nothing of them.
    fn update(&self, step: impl Fn(Counts) -> Option<Counts>) -> Result<Counts, Counts> {
        let step = |word| step(Counts::unpack(word)).map(Counts::pack);
        self.counts
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, step)
            .map(Counts::unpack)
            .map_err(Counts::unpack)
    }

    fn counts(&self) -> Counts {
        Counts::unpack(self.counts.load(Ordering::Acquire))
    }

    fn lock(&self) -> MutexGuard<'_, Queue<W>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Both counts, as one word holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    in_flight: u32,
    queued: u32,
}

impl Counts {
    /// A free permit that no waiter has a claim to.
    fn has_room(self, limit: u32) -> bool {
        self.queued == 0 && self.in_flight < limit
    }

    /// With one more permit held, if there is one to take.
    fn acquired(self, limit: u32) -> Option<Self> {
        self.has_room(limit).then(|| Self { in_flight: self.in_flight + 1, ..self })
    }

    /// With one more waiter, if the queue has room.
    fn joined(self, queue_length: u32) -> Option<Self> {
        (self.queued < queue_length).then(|| Self { queued: self.queued + 1, ..self })
    }

    /// With one waiter less, if there is one.
    fn left(self) -> Option<Self> {
        Some(Self { queued: self.queued.checked_sub(1)?, ..self })
    }

    /// With one permit less held.
    fn released(self) -> Self {
        debug_assert!(self.in_flight > 0, "a permit is released once");
        Self { in_flight: self.in_flight.saturating_sub(1), ..self }
    }

    fn pack(self) -> u64 {
        (u64::from(self.in_flight) << 32) | u64::from(self.queued)
    }

    fn unpack(word: u64) -> Self {
        Self { in_flight: (word >> 32) as u32, queued: word as u32 }
    }
}

impl<W> Debug for InFlight<W> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight")
            .field("counts", &self.counts())
            .field("limit", &self.limit)
            .field("allowance", &self.allowance)
            .finish_non_exhaustive()
    }
}

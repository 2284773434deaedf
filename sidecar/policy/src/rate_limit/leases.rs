//! The leases of a shared limit, by key.
//!
//! Who may pass is decided here where something is held; else the store is asked, once for all who
//! wait, and this says what to ask and whom to wake. Asking is the sidecar's business.
//!
//! Keys are hashes that are the same in every sidecar. The table is bounded: keys beyond share one
//! lease, and one bucket at the store, as in a limit that is not shared.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use smallvec::SmallVec;
use weir_config::Key;

use super::{
    Exceeded,
    lease::{Answer, Answered, Ask, Grant, HELD, Lease, Terms},
};
use crate::Time;

/// What a sidecar holds of one shared limit. `W` wakes a request that waits for the store.
#[derive(Debug)]
pub struct Leases<W> {
    terms: ArcSwap<Terms>,
    per: Vec<Key>,
    /// Keys that there is room for, and in each shard.
    keys: usize,
    room: usize,
    shards: Box<[Mutex<Shard<W>>]>,
    hasher: RandomState,
}

type Shard<W> = HashMap<u128, Lease<W>>;

/// A caller, by one key of the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseKey {
    /// The place of the key in the settings' `per`.
    pub index: usize,
    /// The hash that tells the value apart in this process, for [`Exceeded`].
    pub local: u64,
    /// The hash that tells it apart at the store.
    pub store: u128,
}

/// A request that passed by what was held.
#[derive(Clone, Debug)]
pub struct Leased {
    /// Whole requests left in the tightest bucket, as far as is known.
    pub remaining: u32,
    /// Until that bucket is full again.
    pub reset: Duration,
    keys: SmallVec<[u128; 2]>,
    at: Time,
}

/// The verdict on one request.
#[derive(Debug)]
pub enum Taken {
    /// It passes.
    Passes(Leased),
    /// It came too early. Nothing was taken.
    Exceeded(Exceeded),
    /// The store has to say; the request is woken when it has, and is to come again. Nothing was taken.
    Waits,
}

/// What is to be asked of the store now.
pub type Asks = SmallVec<[Ask; 1]>;

impl<W> Leases<W> {
    /// With nothing held.
    pub fn new(settings: &weir_config::RateLimit) -> Self {
        let keys = settings.keys.get();
        let shards = (keys / KEYS_PER_SHARD).clamp(1, SHARDS);
        Self {
            terms: ArcSwap::from_pointee(Terms::new(settings)),
            per: settings.per.clone(),
            keys,
            room: keys.div_ceil(shards),
            shards: (0..=shards).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Whether it can be configured so: keys are found by their places, in a table of a size.
    pub fn suits(&self, settings: &weir_config::RateLimit) -> bool {
        self.per == settings.per && self.keys == settings.keys.get()
    }

    /// Is configured anew, where it [`suits`](Self::suits). What is held stays.
    pub fn reconfigure(&self, settings: &weir_config::RateLimit) {
        self.terms.store(Terms::new(settings).into());
    }

    /// Lets a request pass by each of its keys or by none. Of those who wait for the same key the first
    /// one has the store asked; `waker` is called when the request has to wait.
    pub fn take(&self, keys: &[LeaseKey], now: Time, waker: impl FnOnce() -> W) -> (Taken, Asks) {
        let terms = **self.terms.load();
        let mut taking = Taking {
            asks: Asks::new(),
            passed: None,
            exceeded: None,
            waker: Some(waker),
            terms,
            now,
        };
        for key in keys {
            let always = matches!(self.per.get(key.index), Some(Key::Route));
            self.lease(key.store, always, now, |store, lease| taking.ask(key, store, lease));
        }
        let Taking { asks, passed, exceeded, waker, .. } = taking;
        let passed = passed.unwrap_or_else(|| Leased::nothing(now));
        if exceeded.is_none() && waker.is_some() {
            return (Taken::Passes(passed), asks);
        }
        for &key in &passed.keys {
            if let Some(lease) = locked(self.shard(key)).get_mut(&key) {
                lease.untake();
            }
        }
        (exceeded.map_or(Taken::Waits, Taken::Exceeded), asks)
    }

    /// Takes back what a request took that a later stage refused. Only for as long as a debit lets
    /// requests pass: then it stays spent, since the bucket may have been full in between.
    pub fn refund(&self, leased: &Leased, now: Time) {
        if now.since(leased.at) >= HELD {
            return;
        }
        for &key in &leased.keys {
            self.lease(key, false, now, |store, lease| {
                // Where there is no place for it any more, it is not given to others.
                if store == key {
                    lease.refund(leased.at, now);
                }
            });
        }
    }

    /// What the store has said to an ask, or `None` when it has said nothing.
    pub fn answered(&self, ask: &Ask, grant: Option<&Grant>, now: Time) -> Answered<W> {
        let terms = **self.terms.load();
        match locked(self.shard(ask.key)).get_mut(&ask.key) {
            Some(lease) => lease.answered(ask, grant, &terms, now),
            None => Answered { wake: Vec::new(), ask: None },
        }
    }

    /// Forgets keys that nobody comes with; what they held is to be handed back. Walks the whole table:
    /// for now and then, not for a request.
    pub fn sweep(&self, now: Time) -> Vec<Ask> {
        let mut back = Vec::new();
        for shard in &self.shards {
            locked(shard).retain(|key, lease| {
                back.extend(lease.hand_back(*key, now));
                !lease.is_forgettable(now)
            });
        }
        back
    }

    /// Keys of which something is known. Takes every lock: for a test or a scrape, not for a request.
    pub fn keys(&self) -> usize {
        self.shards.iter().map(|shard| locked(shard).len()).sum()
    }

    /// The lease of a key, or the one that keys without a place share.
    fn lease<R>(
        &self,
        key: u128,
        always: bool,
        now: Time,
        and: impl FnOnce(u128, &mut Lease<W>) -> R,
    ) -> R {
        let mut shard = locked(self.shard(key));
        if always || shard.len() < self.room || shard.contains_key(&key) {
            return and(key, shard.entry(key).or_insert_with(|| Lease::new(now)));
        }
        drop(shard);
        let mut shard = locked(self.shard(OVERFLOW));
        and(OVERFLOW, shard.entry(OVERFLOW).or_insert_with(|| Lease::new(now)))
    }

    /// The last shard holds the one lease of those who have no place.
    fn shard(&self, key: u128) -> &Mutex<Shard<W>> {
        let last = self.shards.len() - 1;
        match key {
            OVERFLOW => &self.shards[last],
            key => &self.shards[self.hasher.hash_one(key) as usize % last],
        }
    }
}

/// A request on its way through its keys.
struct Taking<F> {
    asks: Asks,
    passed: Option<Leased>,
    /// The key that refuses, and of several the one that does so for longest.
    exceeded: Option<Exceeded>,
    /// Until it is used, because the store has to say.
    waker: Option<F>,
    terms: Terms,
    now: Time,
}

impl<F> Taking<F> {
    fn ask<W>(&mut self, key: &LeaseKey, store: u128, lease: &mut Lease<W>)
    where
        F: FnOnce() -> W,
    {
        let now = self.now;
        if let Some(other) = self.exceeded {
            if let Answer::Refuses { retry_after, reset } = lease.standing(now)
                && retry_after > other.retry_after
            {
                self.exceeded = Some(key.exceeded(retry_after, reset, store));
            }
            return;
        }
        match lease.take(now) {
            Answer::Passes { remaining, reset } => {
                let passed = self.passed.get_or_insert_with(|| Leased::nothing(now));
                passed.keys.push(store);
                if remaining < passed.remaining {
                    (passed.remaining, passed.reset) = (remaining, reset);
                }
                if lease.runs_low(now) {
                    self.asks.extend(lease.ask(store, 0, &self.terms, now));
                }
            }
            Answer::Refuses { retry_after, reset } => {
                self.exceeded = Some(key.exceeded(retry_after, reset, store));
            }
            Answer::Lacks => {
                self.asks.extend(lease.ask(store, 1, &self.terms, now));
                // Woken by the first of its keys, it asks the others again.
                if let Some(waker) = self.waker.take() {
                    lease.wait(waker());
                }
            }
        }
    }
}

impl Leased {
    fn nothing(at: Time) -> Self {
        Self { remaining: u32::MAX, reset: Duration::ZERO, keys: SmallVec::new(), at }
    }
}

impl LeaseKey {
    fn exceeded(&self, retry_after: Duration, reset: Duration, store: u128) -> Exceeded {
        Exceeded {
            key_index: self.index,
            key_hash: self.local,
            retry_after,
            remaining: 0,
            reset,
            shared: store == OVERFLOW,
        }
    }
}

/// Nobody panics with one; what is inside is whole between any two statements.
fn locked<W>(shard: &Mutex<Shard<W>>) -> MutexGuard<'_, Shard<W>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whoever has no place of its own: no hash comes out so.
const OVERFLOW: u128 = u128::MAX;

/// Requests of different callers seldom meet in one.
const SHARDS: usize = 64;

/// Of a small table there are fewer.
const KEYS_PER_SHARD: usize = 1024;

//! Rate limits: how often, per which key.
//!
//! GCRA rather than counters per window: a fixed window lets twice the limit pass at its border, and a
//! token bucket needs two numbers and a refill. One number per key also says exactly when a refused
//! request would pass.
//!
//! A policy with several keys debits all of their buckets or none. It debits them in order and takes
//! back what it took when one refuses; for that instant another request may find a bucket emptier than
//! it will be. It may be refused for that, never admitted.

mod bucket;
mod gcra;
mod lease;
mod leases;
mod pace;
mod table;

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use smallvec::SmallVec;
use weir_config::Key;

use self::{
    bucket::{Bucket, Receipt},
    gcra::Quota,
    pace::Pace,
    table::{Answer, Table},
};
pub use self::{
    lease::{Answered, Ask, Grant, StoreReceipt},
    leases::{Asks, LeaseKey, Leased, Leases, Taken},
};
use crate::Time;

/// One rate limit with all its buckets.
#[derive(Debug)]
pub struct RateLimiter {
    terms: ArcSwap<Terms>,
    /// What its buckets belong to: another key, or another size of the table, is another limiter.
    per: Vec<Key>,
    keys: NonZeroUsize,
    /// One for each of the policy's keys, in their order.
    dimensions: Box<[Dimension]>,
    /// The buckets of all dimensions that have one for each value.
    table: Table,
}

/// What holds for every bucket, and may change while they are in use.
#[derive(Clone, Copy, Debug)]
struct Terms {
    pace: Pace,
    quota: Quota,
}

/// A request that passed: where its caller stands now, and what it takes to undo it.
#[derive(Clone, Debug, Default)]
pub struct Debit {
    /// Whole requests left in the tightest bucket.
    pub remaining: u32,
    /// Until that bucket is full again.
    pub reset: Duration,
    /// With the place of the key that each is for.
    receipts: SmallVec<[(usize, Receipt); 2]>,
}

/// A request that came too early. Nothing was debited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Which of the policy's keys refused it: of several, the one that refuses longest.
    pub key_index: usize,
    /// The hash that was given for the value that refused it.
    pub key_hash: u64,
    /// The first instant at which it passes, if nobody else comes in between, counted from now; never
    /// zero.
    pub retry_after: Duration,
    /// Whole requests left in that bucket: 0, in the place where [`Debit`] has it.
    pub remaining: u32,
    /// Until that bucket is full again.
    pub reset: Duration,
    /// The key had no bucket of its own: the table was full, and it shared one with others like it.
    pub shared: bool,
}

impl RateLimiter {
    /// A limiter with every bucket full.
    pub fn new(settings: &weir_config::RateLimit) -> Self {
        let pace = Pace::new(Quota::interval(settings.qps));
        let quota = Quota::new(pace.unit(), settings.burst);
        Self {
            terms: ArcSwap::from_pointee(Terms { pace, quota }),
            per: settings.per.clone(),
            keys: settings.keys,
            dimensions: settings.per.iter().map(Dimension::new).collect(),
            table: Table::new(settings.keys),
        }
    }

    /// Whether it can be configured so. It stays of the same keys and of the same size, because that is
    /// what its buckets are found by; and its rate rises at most 64-fold, counted from the first one.
    pub fn suits(&self, settings: &weir_config::RateLimit) -> bool {
        self.per == settings.per
            && self.keys == settings.keys
            && self.terms.load().pace.takes(Quota::interval(settings.qps))
    }

    /// Is configured anew, where it [`suits`](Self::suits). Every caller goes on owing as many requests
    /// as before: they are worth less time at a higher rate, more at a lower one, and more of them may be
    /// owed than a smaller burst allows. So over any time no more passes than its rates and its largest
    /// burst allow, however often it is changed.
    pub fn reconfigure(&self, settings: &weir_config::RateLimit, now: Time) {
        let Terms { pace, quota } = **self.terms.load();
        let interval = Quota::interval(settings.qps);
        let next = Quota::new(pace.unit(), settings.burst);
        if pace.is_for(interval) && next == quota {
            return;
        }
        let pace = pace.changed(interval, now.as_nanos());
        let quota = next;
        self.terms.store(Arc::new(Terms { pace, quota }));
    }

    /// Debits one request from the bucket of each key, or from none.
    ///
    /// `keys` are hashes under a secret of the process, one for each of the settings' `per` and in
    /// their order, spread over all 64 bits; what stands for [`Key::Route`] is not looked at.
    ///
    /// # Errors
    ///
    /// When one of the buckets is empty.
    pub fn check(&self, keys: &[u64], now: Time) -> Result<Debit, Exceeded> {
        debug_assert_eq!(keys.len(), self.dimensions.len(), "one hash for each key of the policy");
        self.check_values(keys.iter().copied().enumerate(), now)
    }

    /// As [`check`](Self::check), for requests that may have several values of one key: each value's
    /// hash comes with the place of its key in the settings' `per`, and each is debited.
    ///
    /// # Errors
    ///
    /// When one of the buckets is empty.
    ///
    /// # Panics
    ///
    /// When a place is beyond the end of `per`.
    pub fn check_values(
        &self,
        mut values: impl Iterator<Item = (usize, u64)>,
        now: Time,
    ) -> Result<Debit, Exceeded> {
        let terms = **self.terms.load();
        let now = terms.pace.at(now.as_nanos());
        let mut debit = Debit { remaining: u32::MAX, ..Debit::default() };
        while let Some((key_index, hash)) = values.next() {
            let answer = self.debit(key_index, hash, &terms.quota, now);
            let Some(receipt) = answer.receipt else {
                self.give_back(&debit, &terms.quota, now);
                return Err(self.exceeded((key_index, hash), answer, values, &terms, now));
            };
            debit.receipts.push((key_index, receipt));
            let remaining = terms.quota.remaining(answer.tat, now);
            if remaining < debit.remaining {
                debit.remaining = remaining;
                debit.reset = terms.until(answer.tat, now);
            }
        }
        Ok(debit)
    }

    /// Gives back the tokens of a request that a later stage refused.
    ///
    /// Exact, and never more: a token that would have run over a full bucket in the meantime stays
    /// spent, so no caller ever gets more than its rate and burst.
    pub fn refund(&self, debit: &Debit, now: Time) {
        let terms = **self.terms.load();
        self.give_back(debit, &terms.quota, terms.pace.at(now.as_nanos()));
    }

    /// Keys whose bucket is not full. Walks the whole table: for a scrape, not for a request.
    pub fn keys_in_use(&self, now: Time) -> usize {
        self.table.keys_in_use(self.terms.load().pace.at(now.as_nanos()))
    }

    /// Requests so far whose key found no bucket of its own.
    pub fn overflowed(&self) -> u64 {
        self.table.overflowed()
    }

    fn debit(&self, key_index: usize, hash: u64, quota: &Quota, now: u64) -> Answer {
        match &self.dimensions[key_index] {
            Dimension::Whole(bucket) => Answer::new(bucket.debit_unowned(quota, now), 0, false),
            Dimension::Each => self.table.debit(salted(hash, key_index), quota, now),
        }
    }

    fn give_back(&self, debit: &Debit, quota: &Quota, now: u64) {
        for &(key_index, receipt) in &debit.receipts {
            match &self.dimensions[key_index] {
                Dimension::Whole(bucket) => bucket.refund(receipt, quota, now),
                Dimension::Each => self.table.refund(receipt, quota, now),
            }
        }
    }

    /// The refusal by a value, or by a later one that would refuse for longer.
    fn exceeded(
        &self,
        mut value: (usize, u64),
        mut answer: Answer,
        later: impl Iterator<Item = (usize, u64)>,
        terms: &Terms,
        now: u64,
    ) -> Exceeded {
        let wait = |answer: &Answer| terms.quota.wait(answer.tat, now);
        for later in later {
            let standing = self.standing(later, now);
            if wait(&standing) > wait(&answer) {
                (value, answer) = (later, standing);
            }
        }
        Exceeded {
            key_index: value.0,
            key_hash: value.1,
            retry_after: Duration::from_nanos(terms.pace.nanos(wait(&answer))),
            remaining: 0,
            reset: terms.until(answer.tat, now),
            shared: answer.shared,
        }
    }

    /// How the bucket of a value stands, without touching it.
    fn standing(&self, (key_index, hash): (usize, u64), now: u64) -> Answer {
        match &self.dimensions[key_index] {
            Dimension::Whole(bucket) => Answer::refused(bucket.get().tat, false),
            Dimension::Each => self.table.standing(salted(hash, key_index), now),
        }
    }
}

impl Terms {
    /// Until a bucket is full, on the sidecar's clock.
    fn until(&self, tat: u64, now: u64) -> Duration {
        Duration::from_nanos(self.pace.nanos(tat.saturating_sub(now)))
    }
}

/// Where the buckets of one of a policy's keys are.
#[derive(Debug)]
enum Dimension {
    /// One bucket for the whole route.
    Whole(Bucket),
    /// One for each value, in the table.
    Each,
}

impl Dimension {
    fn new(key: &Key) -> Self {
        match key {
            Key::Route => Self::Whole(Bucket::default()),
            Key::Client { .. } | Key::Header(_) | Key::Cookie(_) | Key::Query(_) => Self::Each,
        }
    }
}

/// The same value under another key of the policy is another caller.
fn salted(key: u64, dimension: usize) -> u64 {
    key ^ (dimension as u64).wrapping_mul(GOLDEN_RATIO)
}

/// 2^64 over the golden ratio: its multiples differ in high and in low bits.
const GOLDEN_RATIO: u64 = 0x9E37_79B9_7F4A_7C15;

//! A sliding window of counts that threads share without a lock.
//!
//! Time is cut into slices; a ring holds one bucket a slice. A bucket carries the number of its slice
//! beside its counts in one word of 128 bits, so a stale bucket is seen to be stale and replaced in the
//! same exchange that counts: no sweep, and no count lost or kept at the border between two slices.

use std::time::Duration;

use portable_atomic::{AtomicU128, Ordering::Relaxed};

use crate::{Time, time::nanos};

/// Counts of three kinds of event, by slice of time.
#[derive(Debug)]
pub(super) struct Window {
    ring: Box<[AtomicU128]>,
    /// Nanoseconds a slice lasts, at least 1.
    slice: u64,
}

/// How often each kind of event happened; stops at 268 million a slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts(pub(super) [u32; 3]);

impl Window {
    /// The last `span` of time in `slices` slices. The oldest drops out as a whole, so what is seen
    /// reaches back between `span` less one slice and `span`.
    pub(super) fn new(span: Duration, slices: usize) -> Self {
        Self {
            ring: (0..slices).map(|_| AtomicU128::new(0)).collect(),
            slice: (nanos(span) / slices as u64).max(1),
        }
    }

    /// Counts one event of each kind that is set.
    pub(super) fn add(&self, event: Counts, now: Time) {
        let number = self.number(now);
        let bucket = &self.ring[self.index(number)];
        let mut word = bucket.load(Relaxed);
        loop {
            let (found, counts) = unpack(word);
            // A thread that comes late for its slice counts into the one that has replaced it.
            let kept = if found >= number { counts } else { Counts::default() };
            let new = pack(found.max(number), kept.plus(event));
            match bucket.compare_exchange_weak(word, new, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(other) => word = other,
            }
        }
    }

    /// The counts of each slice that is still in the window, oldest first.
    pub(super) fn slices(&self, now: Time) -> impl Iterator<Item = Counts> {
        let first = self.number(now) + 1 - self.ring.len() as u64;
        let (newer, older) = self.ring.split_at(self.index(first));
        older.iter().chain(newer).zip(first..).filter_map(|(bucket, number)| {
            let (found, counts) = unpack(bucket.load(Relaxed));
            (found == number).then_some(counts)
        })
    }

    /// The sum over the window.
    pub(super) fn counts(&self, now: Time) -> Counts {
        self.slices(now).fold(Counts::default(), Counts::plus)
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        for bucket in &self.ring {
            bucket.store(0, Relaxed);
        }
    }

    /// The number of the slice at `now`; the first is as large as the ring, so that none before it is 0,
    /// the number of a bucket that was never used.
    fn number(&self, now: Time) -> u64 {
        (now.as_nanos() / self.slice + self.ring.len() as u64) & NUMBER_MASK
    }

    fn index(&self, number: u64) -> usize {
        (number % self.ring.len() as u64) as usize
    }
}

impl Counts {
    fn plus(self, other: Self) -> Self {
        Self(std::array::from_fn(|kind| self.0[kind].saturating_add(other.0[kind])))
    }
}

fn pack(number: u64, counts: Counts) -> u128 {
    let counts = counts
        .0
        .iter()
        .fold(0, |word, &count| (word << COUNT_BITS) | u128::from(count.min(COUNT_MAX)));
    (u128::from(number) << (3 * COUNT_BITS)) | counts
}

fn unpack(word: u128) -> (u64, Counts) {
    let count = |place: u32| (word >> (place * COUNT_BITS)) as u32 & COUNT_MAX;
    ((word >> (3 * COUNT_BITS)) as u64, Counts([count(2), count(1), count(0)]))
}

/// A slice counts up to 268 million events of a kind.
const COUNT_BITS: u32 = 28;
const COUNT_MAX: u32 = (1 << COUNT_BITS) - 1;

/// 44 bits of slice numbers: 557 years of milliseconds.
const NUMBER_MASK: u64 = (1 << 44) - 1;

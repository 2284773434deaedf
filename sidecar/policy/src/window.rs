//! A sliding window of counts that threads share without a lock.
//!
//! Counters only grow, and an event is one addition to one of them. Time is cut into slices; what the
//! counters stood at when a slice began is its mark, so what a slice counted is the difference between
//! its mark and the next. Marks are set once a slice: whoever comes first in a slice sets all that are
//! missing, several at once may do so together, and only then is the slice published. From then on what
//! lies before it never changes, so what it amounts to is worked out once a slice ([`Memo`]), and a
//! decision adds the newest slice to it.
//!
//! The alternative, a ring of words that hold the counts of a slice beside its number, has to exchange
//! 128 bits for each event and to read forty such words for each decision, 110 ns of it. A standard build
//! for x86_64 leaves to run time what the processor offers for 128 bits, so portable-atomic calls each
//! access through a pointer: to read and exchange takes 6 ns, and 19 where two threads compete, but to
//! add to a word of 64 bits takes 2, and 4 where they do.
//!
//! Time never runs backwards here. A thread that comes late for its slice counts into the newest, as
//! though it had read the clock a moment later.

use std::{array, time::Duration};

use crate::{
    Time,
    memo::Memo,
    sync::{
        AtomicU64, AtomicU128,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
    time::nanos,
};

/// Counts of three kinds of event, by slice of time.
#[derive(Debug)]
pub(crate) struct Window {
    counters: Counters,
    /// The number of the newest slice: its mark and all before it are set.
    newest: AtomicU64,
    /// The newest slice's mark, where it is read fast.
    start: Memo<3>,
    /// The marks of the slices in the window, and one more: to begin a slice destroys none in use.
    marks: Box<[[Mark; 3]]>,
    /// Nanoseconds a slice lasts, at least 1.
    slice: u64,
    /// The number of the slice at the epoch; grows when the window is cleared.
    first: AtomicU64,
}

/// How often each kind of event happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts(pub(crate) [u32; 3]);

/// What all threads write, in a cache line of its own: the rest is only read until a slice begins.
#[derive(Debug)]
#[repr(align(64))]
struct Counters {
    kinds: [AtomicU64; 3],
    beside: AtomicU64,
}

impl Window {
    /// The last `span` of time in `slices` slices. The oldest drops out as a whole, so what is seen
    /// reaches back between `span` less one slice and `span`.
    pub(crate) fn new(span: Duration, slices: usize) -> Self {
        let first = slices as u64;
        Self {
            counters: Counters {
                kinds: array::from_fn(|_| AtomicU64::new(0)),
                beside: AtomicU64::new(0),
            },
            newest: AtomicU64::new(first),
            start: Memo::new(),
            marks: (0..=first).map(|number| array::from_fn(|_| Mark::new(number))).collect(),
            slice: (nanos(span) / slices as u64).max(1),
            first: AtomicU64::new(first),
        }
    }

    /// Counts one event of each kind that is set.
    pub(crate) fn add(&self, event: Counts, now: Time) {
        self.advance(now);
        for (counter, count) in self.counters.kinds.iter().zip(event.0) {
            if count > 0 {
                counter.fetch_add(u64::from(count), Relaxed);
            }
        }
    }

    /// What the newest slice has counted so far, while that `number` is the newest. Starts again from 0
    /// after 2^32 events of a kind in one slice: half a million a second for the longest slice, 2.4 hours.
    pub(crate) fn newest(&self, number: u64) -> Counts {
        // It is gone for a thread that slept for a window: then nothing is new to it.
        let mark = || self.mark(number).unwrap_or_else(|| self.totals()).map(|count| count as u32);
        let (start, totals) = (self.start.get(number, mark), self.totals());
        Counts(array::from_fn(|kind| (totals[kind] as u32).wrapping_sub(start[kind])))
    }

    /// The counts of each slice that is in the window while that `number` is the newest, oldest first,
    /// without the newest itself.
    pub(crate) fn closed(&self, number: u64) -> impl Iterator<Item = Counts> {
        let oldest = self.oldest(number);
        let mut began = self.mark(oldest);
        (oldest + 1..=number).filter_map(move |next| {
            let ended = self.mark(next);
            // A mark is gone when its slice has left the window since.
            let counts = began.zip(ended).map(|(from, to)| Counts::between(from, to));
            began = ended;
            counts
        })
    }

    /// Forgets everything: moves on by a whole window.
    pub(crate) fn clear(&self, now: Time) {
        let ahead = self.advance(now).saturating_sub(self.number(now));
        self.first.fetch_add(ahead + self.slices(), Relaxed);
        self.advance(now);
    }

    /// A word in the cache line of the counters, at first 0, for what the owner writes about as often.
    pub(crate) fn beside(&self) -> &AtomicU64 {
        &self.counters.beside
    }

    /// The number of the newest slice, which is that of `now` or a later one.
    pub(crate) fn advance(&self, now: Time) -> u64 {
        let (newest, number) = (self.newest.load(Acquire), self.number(now));
        if newest >= number { newest } else { self.begin(newest, number) }
    }

    /// Sets the marks that are missing up to that of `number`, in order, and publishes it. Slices in which
    /// nobody came get theirs too: else one who comes late for such a slice would set it afterwards.
    #[cold]
    fn begin(&self, newest: u64, number: u64) -> u64 {
        for number in self.oldest(number).max(newest + 1)..=number {
            let marks = &self.marks[self.place(number)];
            for (mark, counter) in marks.iter().zip(&self.counters.kinds) {
                mark.set(number, counter);
            }
        }
        self.newest.fetch_max(number, AcqRel).max(number)
    }

    fn mark(&self, number: u64) -> Option<[u64; 3]> {
        let marks = self.marks[self.place(number)].each_ref().map(Mark::get);
        let whole = marks.iter().all(|&(found, _)| found == number);
        whole.then(|| marks.map(|(_, count)| count))
    }

    fn totals(&self) -> [u64; 3] {
        self.counters.kinds.each_ref().map(|counter| counter.load(Relaxed))
    }

    fn number(&self, now: Time) -> u64 {
        now.as_nanos() / self.slice + self.first.load(Relaxed)
    }

    /// The first slice in the window while that `number` is the newest. The first of all is numbered so
    /// that none before it is below 1.
    fn oldest(&self, number: u64) -> u64 {
        number + 1 - self.slices()
    }

    fn slices(&self) -> u64 {
        self.marks.len() as u64 - 1
    }

    fn place(&self, number: u64) -> usize {
        (number % self.marks.len() as u64) as usize
    }
}

impl Counts {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self(array::from_fn(|kind| self.0[kind].saturating_add(other.0[kind])))
    }

    fn between(from: [u64; 3], to: [u64; 3]) -> Self {
        Self(array::from_fn(|kind| u32::try_from(to[kind] - from[kind]).unwrap_or(u32::MAX)))
    }
}

/// What a counter stood at when a slice began, and the number of the slice: 64 bits each, so that no
/// mark is ever taken for another slice's.
#[derive(Debug)]
struct Mark(AtomicU128);

impl Mark {
    fn new(number: u64) -> Self {
        Self(AtomicU128::new(pack(number, 0)))
    }

    /// The first to set it for a slice decides; a thread that comes late changes nothing.
    fn set(&self, number: u64, counter: &AtomicU64) {
        let found = self.0.load(Acquire);
        if unpack(found).0 < number {
            let word = pack(number, counter.load(Relaxed));
            let _lost = self.0.compare_exchange(found, word, AcqRel, Acquire);
        }
    }

    fn get(&self) -> (u64, u64) {
        unpack(self.0.load(Acquire))
    }
}

fn pack(number: u64, count: u64) -> u128 {
    (u128::from(number) << 64) | u128::from(count)
}

fn unpack(word: u128) -> (u64, u64) {
    ((word >> 64) as u64, word as u64)
}

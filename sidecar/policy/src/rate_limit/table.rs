//! Buckets by key, in a memory that does not grow with the number of callers.
//!
//! An attacker chooses how many keys there are, so the table has a fixed number of places. A place is
//! given to another key only once its bucket is full again, because a key that comes back would find a
//! full bucket anyway; to evict earlier is to hand out a fresh burst. A new key that finds no such
//! place within its reach shares one overflow bucket with all others in that position: strict for
//! them, and harmless for the known ones.
//!
//! Each key may be in either of two groups of places and goes to the emptier one. With two choices,
//! four fifths of the places fill before any key has to share, and at nine tenths it is one key in a
//! hundred; with one run of as many places it would be one in thirty (Azar et al., "Balanced
//! allocations").
//!
//! Places come in segments that are allocated when first touched, so a limit that sees a few callers
//! pays for a few of them.

use std::{
    hint,
    num::NonZeroUsize,
    ops::Range,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::{
    GOLDEN_RATIO,
    bucket::{Bucket, Contents, NOBODY, OWNER_SHIFT, Receipt},
    gcra::Quota,
};

/// Buckets of the same quota, one for each key.
#[derive(Debug)]
pub(super) struct Table {
    segments: Box<[OnceLock<Box<[Bucket]>>]>,
    /// Groups in a segment.
    groups: usize,
    /// Places in a group.
    group_len: usize,
    overflow: Bucket,
    overflowed: AtomicU64,
}

/// What a key's bucket answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// The bucket's TAT: after the debit, or as it is when there was none.
    pub(super) tat: u64,
    /// The debit; `None` when refused.
    pub(super) receipt: Option<Receipt>,
    /// It was the bucket that keys without a place share.
    pub(super) shared: bool,
}

impl Table {
    /// Places for at most `keys` keys.
    pub(super) fn new(keys: NonZeroUsize) -> Self {
        let keys = keys.get().min(OVERFLOW as usize);
        let segments = keys.div_ceil(SEGMENT);
        let segment_len = keys / segments;
        let group_len = segment_len.min(GROUP);
        Self {
            segments: (0..segments).map(|_| OnceLock::new()).collect(),
            groups: segment_len / group_len,
            group_len,
            overflow: Bucket::default(),
            overflowed: AtomicU64::new(0),
        }
    }

    /// Takes one request from the bucket of `key`.
    pub(super) fn debit(&self, key: u64, quota: &Quota, now: u64) -> Answer {
        let reach = Reach::new(self, key);
        for _ in 0..ATTEMPTS {
            let Some(place) = reach.find() else {
                if reach.claim(now, &self.overflow) {
                    continue;
                }
                break;
            };
            if let Some(answer) = reach.bucket(place).debit(reach.owner, quota, now) {
                return Answer::new(answer, reach.number(place), false);
            }
            hint::spin_loop();
        }
        self.overflowed.fetch_add(1, Relaxed);
        Answer::new(self.overflow.debit_unowned(quota, now), OVERFLOW, true)
    }

    /// How the bucket that `key` would use stands, without touching it.
    pub(super) fn standing(&self, key: u64, now: u64) -> Answer {
        let reach = Reach::new(self, key);
        match reach.find() {
            Some(place) => Answer::refused(reach.bucket(place).get().tat, false),
            None => Answer::refused(self.overflow.get().tat, !reach.has_room(now)),
        }
    }

    /// Gives a debit back.
    pub(super) fn refund(&self, receipt: Receipt, quota: &Quota, now: u64) {
        if receipt.place == OVERFLOW {
            return self.overflow.refund(receipt, quota, now);
        }
        let place = receipt.place as usize;
        if let Some(segment) = self.segments[place / self.segment_len()].get() {
            segment[place % self.segment_len()].refund(receipt, quota, now);
        }
    }

    /// Keys whose bucket is not full, by a walk over the whole table.
    pub(super) fn keys_in_use(&self, now: u64) -> usize {
        let buckets = self.segments.iter().filter_map(OnceLock::get).flatten();
        buckets.filter(|bucket| !bucket.get().is_free(now)).count()
    }

    /// Requests so far that used the overflow bucket.
    pub(super) fn overflowed(&self) -> u64 {
        self.overflowed.load(Relaxed)
    }

    fn segment_len(&self) -> usize {
        self.groups * self.group_len
    }
}

/// The places where one key may be.
struct Reach<'a> {
    buckets: &'a [Bucket],
    /// Number of the segment's first place in the table.
    base: usize,
    /// The first places of both groups; of a small table it may be the same group twice.
    groups: [usize; 2],
    group_len: usize,
    owner: u64,
}

impl<'a> Reach<'a> {
    /// The low bits of the key's hash choose the groups, the high bits tell owners apart.
    fn new(table: &'a Table, key: u64) -> Self {
        let low = key & (u64::from(OVERFLOW) - 1);
        let groups = table.segments.len() * table.groups;
        let first = ((low * groups as u64) >> OWNER_SHIFT) as usize;
        let again = low.wrapping_mul(GOLDEN_RATIO) >> 32;
        let second = ((again * table.groups as u64) >> 32) as usize;
        let (segment, first) = (first / table.groups, first % table.groups);
        let allocate = || (0..table.segment_len()).map(|_| Bucket::default()).collect();
        Self {
            buckets: table.segments[segment].get_or_init(allocate),
            base: segment * table.segment_len(),
            groups: [first * table.group_len, second * table.group_len],
            group_len: table.group_len,
            owner: (key >> OWNER_SHIFT).max(NOBODY + 1),
        }
    }

    fn places(&self) -> impl Iterator<Item = usize> {
        self.groups.into_iter().flat_map(|group| self.group(group))
    }

    fn group(&self, start: usize) -> Range<usize> {
        start..start + self.group_len
    }

    /// The places of both groups, those of the emptier one first.
    fn places_by_room(&self, now: u64) -> impl Iterator<Item = usize> {
        let room = |&group: &usize| {
            self.group(group).filter(|&place| self.bucket(place).get().is_free(now)).count()
        };
        let [first, second] = self.groups;
        let order = if room(&second) > room(&first) { [second, first] } else { [first, second] };
        order.into_iter().flat_map(|group| self.group(group))
    }

    fn bucket(&self, place: usize) -> &'a Bucket {
        &self.buckets[place]
    }

    fn number(&self, place: usize) -> u32 {
        (self.base + place) as u32
    }

    /// The key's place, if it has one.
    fn find(&self) -> Option<usize> {
        self.places().find(|&place| self.bucket(place).get().owner == self.owner)
    }

    fn has_room(&self, now: u64) -> bool {
        self.places().any(|place| self.bucket(place).get().is_free(now))
    }

    /// Takes a place for a key that has none; false when there is no room.
    ///
    /// Two threads that meet the same new key at once could each take a place, and the key would have
    /// two bursts. So a place is first taken as pending, then the others are looked at: of two threads
    /// the later one to write sees the earlier one's mark. Whoever sees one steps back.
    ///
    /// The key may have been served by the overflow bucket before, so it starts as empty as that one
    /// is: else it would get a burst from each.
    fn claim(&self, now: u64, overflow: &Bucket) -> bool {
        let taken = self.places_by_room(now).find_map(|place| {
            let seen = self.bucket(place).get();
            let mine = Contents { owner: self.owner, pending: true, tat: 0, ..seen.changed() };
            (seen.is_free(now) && self.bucket(place).exchange(seen, mine)).then_some((place, mine))
        });
        let Some((place, mine)) = taken else { return false };
        let is_twin = |other| other != place && self.bucket(other).get().owner == self.owner;
        let owner = if self.places().any(is_twin) { NOBODY } else { self.owner };
        self.bucket(place).set(Contents { owner, pending: false, tat: overflow.get().tat, ..mine });
        true
    }
}

impl Answer {
    /// The answer of bucket number `place`.
    pub(super) fn new(answer: Result<Contents, Contents>, place: u32, shared: bool) -> Self {
        match answer {
            Ok(Contents { tat, changes, .. }) => {
                Self { tat, receipt: Some(Receipt { after: tat, changes, place }), shared }
            }
            Err(Contents { tat, .. }) => Self::refused(tat, shared),
        }
    }

    /// No debit: the bucket is as it was.
    pub(super) fn refused(tat: u64, shared: bool) -> Self {
        Self { tat, receipt: None, shared }
    }
}

/// Places in a group: two cache lines.
const GROUP: usize = 8;

/// Places allocated together: 32 KiB.
const SEGMENT: usize = 2048;

/// How often a key is looked for when another thread is just taking its place: that is over after some
/// twenty loads. Should the other thread be suspended in between, this request uses the overflow
/// bucket.
const ATTEMPTS: usize = 64;

/// The number of the overflow bucket, above that of any place.
const OVERFLOW: u32 = 1 << OWNER_SHIFT;

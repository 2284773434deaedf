//! One bucket: a word that is read, decided on and exchanged as a whole.
//!
//! Who it belongs to, how full it is and how often a token came back must be seen together, or a
//! bucket could change hands between a look and a debit. 128 bits hold all three, and both x86-64 and
//! AArch64 exchange as much in one instruction, so threads never wait for each other.

use portable_atomic::{AtomicU128, Ordering::SeqCst};

use super::gcra::Quota;

/// A bucket and its owner.
#[derive(Debug, Default)]
pub(super) struct Bucket(AtomicU128);

/// What a bucket holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// The owner; [`NOBODY`] when the bucket has never been used or was handed back. 40 bits.
    pub(super) owner: u64,
    /// Its owner is still making sure that it has no other bucket; nobody else may touch it.
    pub(super) pending: bool,
    /// Refunds and changes of hands so far, counted round after 23 bits.
    pub(super) changes: u32,
    /// When it is full again, in nanoseconds.
    pub(super) tat: u64,
}

/// The owner of no bucket.
pub(super) const NOBODY: u64 = 0;

/// A debit as the bucket saw it: what is needed to give it back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Receipt {
    /// The TAT it left behind.
    pub(super) after: u64,
    /// The bucket's count of changes then.
    pub(super) changes: u32,
    /// Which bucket of its table it was.
    pub(super) place: u32,
}

impl Bucket {
    pub(super) fn get(&self) -> Contents {
        Contents::unpack(self.0.load(SeqCst))
    }

    pub(super) fn set(&self, contents: Contents) {
        self.0.store(contents.pack(), SeqCst);
    }

    /// Replaces `seen`; false when the bucket holds something else by now.
    pub(super) fn exchange(&self, seen: Contents, new: Contents) -> bool {
        self.0.compare_exchange(seen.pack(), new.pack(), SeqCst, SeqCst).is_ok()
    }

    /// Takes one request from the bucket of `owner`: what it then holds, or what it holds when that is
    /// not enough. `None` when it is not this owner's any more.
    pub(super) fn debit(
        &self,
        owner: u64,
        quota: &Quota,
        now: u64,
    ) -> Option<Result<Contents, Contents>> {
        let mut word = self.0.load(SeqCst);
        loop {
            let seen = Contents::unpack(word);
            if seen.owner != owner || seen.pending {
                return None;
            }
            let Some(tat) = quota.debit(seen.tat, now) else { return Some(Err(seen)) };
            let new = Contents { tat, ..seen };
            match self.0.compare_exchange_weak(word, new.pack(), SeqCst, SeqCst) {
                Ok(_) => return Some(Ok(new)),
                Err(other) => word = other,
            }
        }
    }

    /// Takes one request from a bucket that never changes hands.
    pub(super) fn debit_unowned(&self, quota: &Quota, now: u64) -> Result<Contents, Contents> {
        self.debit(NOBODY, quota, now).unwrap_or_else(|| Err(self.get()))
    }

    /// Gives the debit of `receipt` back, as far as that is exact.
    ///
    /// A bucket that has changed hands since gets nothing: it was full then, so all of the debit lies
    /// behind.
    pub(super) fn refund(&self, receipt: Receipt, quota: &Quota, now: u64) {
        let mut word = self.0.load(SeqCst);
        loop {
            let seen = Contents::unpack(word);
            let since = seen.changes.wrapping_sub(receipt.changes) & CHANGES_MASK;
            let amount = quota.refundable(receipt.after, since, now);
            if amount == 0 {
                return;
            }
            let new = Contents { tat: seen.tat.saturating_sub(amount), ..seen.changed() };
            match self.0.compare_exchange_weak(word, new.pack(), SeqCst, SeqCst) {
                Ok(_) => return,
                Err(other) => word = other,
            }
        }
    }
}

impl Contents {
    /// Whether another owner may have the bucket: it is full, so forgetting it loses nothing.
    pub(super) fn is_free(&self, now: u64) -> bool {
        self.owner == NOBODY || (!self.pending && self.tat <= now)
    }

    /// The same with one more change counted.
    pub(super) fn changed(self) -> Self {
        Self { changes: self.changes.wrapping_add(1) & CHANGES_MASK, ..self }
    }

    fn pack(self) -> u128 {
        let head = (self.owner << OWNER_SHIFT)
            | (u64::from(self.pending) << CHANGES_BITS)
            | u64::from(self.changes);
        (u128::from(head) << 64) | u128::from(self.tat)
    }

    fn unpack(word: u128) -> Self {
        let head = (word >> 64) as u64;
        Self {
            owner: head >> OWNER_SHIFT,
            pending: (head >> CHANGES_BITS) & 1 == 1,
            changes: head as u32 & CHANGES_MASK,
            tat: word as u64,
        }
    }
}

const CHANGES_BITS: u32 = 23;
const CHANGES_MASK: u32 = (1 << CHANGES_BITS) - 1;
pub(super) const OWNER_SHIFT: u32 = CHANGES_BITS + 1;

//! What has been worked out for a slice of time, kept for whoever asks within the same slice.
//!
//! Each part carries the slice beside it in one word. Whoever works it out for a slice comes to the same
//! result, so parts that several threads have written make a whole, and no thread waits for another.
//! Words of 64 bits, because reading one is a plain load.

use crate::sync::{AtomicU64, Ordering::Relaxed};

/// `PARTS` numbers that belong to one slice.
///
/// It knows a slice by the lower 32 bits of its number: 34 years of slices of 250 ms. A breaker would
/// have to be left alone for exactly so long to be told of another slice.
#[derive(Debug)]
pub(crate) struct Memo<const PARTS: usize>([AtomicU64; PARTS]);

impl<const PARTS: usize> Memo<PARTS> {
    /// Remembers nothing; slices are numbered from 1.
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    /// What is known of `slice`, or what `work` finds out.
    pub(crate) fn get(&self, slice: u64, work: impl FnOnce() -> [u32; PARTS]) -> [u32; PARTS] {
        let words = self.0.each_ref().map(|word| word.load(Relaxed));
        if words.iter().all(|word| (word >> 32) as u32 == slice as u32) {
            return words.map(|word| word as u32);
        }
        self.learn(slice, work)
    }

    #[cold]
    fn learn(&self, slice: u64, work: impl FnOnce() -> [u32; PARTS]) -> [u32; PARTS] {
        let parts = work();
        for (word, part) in self.0.iter().zip(parts) {
            word.store((slice << 32) | u64::from(part), Relaxed);
        }
        parts
    }
}

//! What answers tell, counted by all threads until one of them takes it.
//!
//! An answer is two additions in one cache line: to a word that holds how many there were and the sum of
//! their logarithms, so that a mean is never made of a sum and a count that do not belong together, and
//! to one with the sum of their squares. The squares say how much latencies vary; whether they count an
//! answer more or less than the rest does not matter.

use super::grid::PLACES;
use crate::sync::{AtomicU64, Ordering::Relaxed};

/// Latencies by the number in flight at which they were seen.
#[derive(Debug)]
pub(super) struct Tally([Cell; PLACES]);

#[derive(Debug)]
#[repr(align(16))]
struct Cell {
    /// The upper 24 bits count answers, the lower 40 add up their logarithms in parts of [`UNIT`]: 16
    /// million between two takes, which are a fraction of a second apart.
    logs: AtomicU64,
    /// Their squares, in parts of the square of [`UNIT`].
    squares: AtomicU64,
}

/// Latencies of one number in flight, as logarithms of nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Batch {
    pub(super) count: u32,
    pub(super) mean: f64,
    /// The mean of the squares.
    pub(super) square: f64,
}

impl Batch {
    pub(super) fn variance(&self) -> f64 {
        (self.square - self.mean * self.mean).max(0.0)
    }

    /// As if latencies had varied by at least so much.
    pub(super) fn varying(self, variance: f64) -> Self {
        Self { square: self.mean * self.mean + self.variance().max(variance), ..self }
    }
}

impl Tally {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Cell { logs: AtomicU64::new(0), squares: AtomicU64::new(0) }))
    }

    /// Counts an answer. `log` is the logarithm of its nanoseconds, at least 0 and below 64.
    pub(super) fn add(&self, place: usize, log: f64) {
        let log = ((log * UNIT) as u64).min(LOG_MAX);
        let Some(cell) = self.0.get(place) else { return };
        cell.logs.fetch_add(ONE | log, Relaxed);
        cell.squares.fetch_add(log * log, Relaxed);
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|cell| cell.logs.load(Relaxed) >> SHIFT).sum()
    }

    /// Takes what there is out of it, by place.
    pub(super) fn take(&self) -> Vec<(usize, Batch)> {
        let taken =
            self.0.iter().enumerate().filter_map(|(place, cell)| Some((place, cell.take()?)));
        taken.collect()
    }
}

impl Cell {
    fn take(&self) -> Option<Batch> {
        // Most are empty, and to look costs less than to write.
        if self.logs.load(Relaxed) == 0 {
            return None;
        }
        let (logs, squares) = (self.logs.swap(0, Relaxed), self.squares.swap(0, Relaxed));
        let count = logs >> SHIFT;
        let mean = |sum: u64, unit: f64| sum as f64 / unit / count as f64;
        (count > 0).then(|| Batch {
            count: count as u32,
            mean: mean(logs & (ONE - 1), UNIT),
            square: mean(squares, UNIT * UNIT),
        })
    }
}

const SHIFT: u32 = 40;
const ONE: u64 = 1 << SHIFT;
/// A thousandth is far below what latencies differ by.
const UNIT: f64 = 1024.0;
const LOG_MAX: u64 = (1 << 16) - 1;

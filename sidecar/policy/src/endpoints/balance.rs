//! Which of several endpoints gets the next request.
//!
//! Turns are dealt among the endpoints that may be asked, not among all: passing an excluded one's
//! turn to its neighbour would send the neighbour twice its share.
//!
//! The fewest requests in flight are found by looking at all, since one process knows them exactly; from
//! a certain number on by looking at two at random, which is nearly as even and does not grow with the
//! number (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001). Answer times
//! are always compared between two at random, as Finagle does: what is known of them is noise and some
//! seconds old, and to follow the best of it would send everything to one endpoint until it is the worst.
//!
//! An endpoint that starts slowly takes part in neither: it has few requests in flight and no answer
//! times, which is just what would draw everything to it. It gets its share by lot, and the others the
//! rest.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use weir_config::Balance;

use crate::lot::{again, below, unit};

/// A choice among the endpoints of one upstream.
#[derive(Debug)]
pub(super) struct Balancer {
    balance: Balance,
    turn: AtomicUsize,
}

/// An endpoint that may be asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// Its place among all.
    pub(super) place: usize,
    /// What is held against it; the least is the best.
    pub(super) load: f64,
    /// How much of an equal share it gets, above 0 and up to 1.
    pub(super) share: f64,
}

/// Up to so many are looked at one by one.
const SCANNED_MAX: usize = 16;

impl Balancer {
    /// A balancer whose first turn is the first endpoint's.
    pub(super) fn new(balance: Balance) -> Self {
        Self { balance, turn: AtomicUsize::new(0) }
    }

    /// The place of one of the candidates; `None` when there is none.
    pub(super) fn pick(&self, candidates: &mut [Candidate], random: u64) -> Option<usize> {
        let whole = partition(candidates);
        if let Some(starting) = by_lot(&candidates[whole..], whole, random) {
            return Some(starting.place);
        }
        let settled = &candidates[..whole];
        let two = |random| two_choices(settled, random);
        match self.balance {
            _ if settled.is_empty() => None,
            Balance::RoundRobin => Some(settled[self.turn() % whole].place),
            Balance::LeastRequests if whole <= SCANNED_MAX => self.least(settled),
            Balance::LeastRequests | Balance::PeakEwma => two(again(random)),
        }
    }

    /// The least loaded; those that are alike in turn.
    fn least(&self, settled: &[Candidate]) -> Option<usize> {
        let least = settled.iter().map(|one| one.load).min_by(f64::total_cmp)?;
        let best = || settled.iter().filter(|one| one.load <= least);
        best().nth(self.turn() % best().count()).map(|one| one.place)
    }

    fn turn(&self) -> usize {
        self.turn.fetch_add(1, Relaxed)
    }
}

/// Those with a whole share first, in their order; how many they are.
fn partition(candidates: &mut [Candidate]) -> usize {
    if candidates.iter().all(|one| one.share >= 1.0) {
        return candidates.len();
    }
    candidates.sort_by_key(|one| one.share < 1.0);
    candidates.partition_point(|one| one.share >= 1.0)
}

/// One of those that start slowly, when the lot falls on it; always one, when there are no others.
fn by_lot(starting: &[Candidate], others: usize, random: u64) -> Option<&Candidate> {
    let sum: f64 = starting.iter().map(|one| one.share).sum();
    let mut point = unit(random) * (sum + others as f64);
    let drawn = starting.iter().find(|one| {
        point -= one.share;
        point < 0.0
    });
    // A sum that was rounded may leave the last one out.
    drawn.or_else(|| starting.last().filter(|_| others == 0))
}

/// The better of two that are not the same; of two that are alike the first.
fn two_choices(settled: &[Candidate], random: u64) -> Option<usize> {
    let count = settled.len();
    let first = below(count, random as u32);
    let Some(rest) = count.checked_sub(1).filter(|rest| *rest > 0) else {
        return settled.first().map(|one| one.place);
    };
    let second = (first + 1 + below(rest, (random >> 32) as u32)) % count;
    let (first, second) = (settled[first], settled[second]);
    Some(if second.load < first.load { second.place } else { first.place })
}

//! Which endpoint gets the next request.
//!
//! Turns are dealt among the endpoints that may be asked, not among all: passing an excluded one's
//! turn to its neighbour would send the neighbour twice its share.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use smallvec::SmallVec;
use weir_config::Balance;

/// A choice among the endpoints of one upstream.
#[derive(Debug, Default)]
pub struct Balancer {
    balance: Balance,
    turn: AtomicUsize,
}

impl Balancer {
    /// A balancer whose first turn is the first endpoint's.
    pub fn new(balance: Balance) -> Self {
        Self { balance, turn: AtomicUsize::new(0) }
    }

    /// The index, below `count`, of an endpoint for which `is_allowed` holds; `None` when there is
    /// none. `in_flight` tells how many requests an endpoint has.
    pub fn pick(
        &self,
        count: usize,
        in_flight: impl Fn(usize) -> u32,
        is_allowed: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let load = |index: usize| match self.balance {
            Balance::RoundRobin => 0,
            Balance::LeastRequests => in_flight(index),
        };
        // Read once: loads and exclusions change while we look.
        let allowed: SmallVec<[(usize, u32); 16]> = (0..count)
            .filter(|&index| is_allowed(index))
            .map(|index| (index, load(index)))
            .collect();
        let least = allowed.iter().map(|&(_, load)| load).min()?;
        let best = || allowed.iter().filter(|&&(_, load)| load == least);
        let turn = self.turn.fetch_add(1, Relaxed) % best().count();
        best().nth(turn).map(|&(index, _)| index)
    }
}

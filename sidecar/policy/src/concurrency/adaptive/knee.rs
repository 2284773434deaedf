//! How many may be in flight, as far as the curve tells.
//!
//! With a latency that is longer than that without a queue, some of those in flight wait inside the
//! service. A few are to wait: each slot finds its next request there at once, and a limit that is a
//! little too high costs little, while one that is too low leaves slots idle. Where there is no sharp
//! knee, since requests are in each other's way from the first on, more are let in as long as much more
//! is done for it and nobody waits twice as long.

use super::{
    curve::{Curve, Seen},
    grid::number,
};

impl Curve {
    /// Whether as many may be in flight as in `seen`.
    pub(super) fn fits(&self, seen: &Seen, base: f64) -> bool {
        queue(seen, base) <= most(seen.place) || self.is_worth_waiting(seen, base)
    }

    /// Whether nearly nobody waits, so that there is room for many more.
    pub(super) fn has_room(&self, seen: &Seen, base: f64) -> bool {
        queue(seen, base) < least(seen.place) || self.is_worth_waiting(seen, base)
    }

    /// Whether the next place is one where as many may be in flight, even if all who come in addition
    /// wait.
    pub(super) fn has_some_room(&self, seen: &Seen, base: f64) -> bool {
        let next = seen.place + 1;
        let more = f64::from(number(next) - number(seen.place));
        queue(seen, base) + more <= most(next)
    }

    /// The highest place from `bottom` up to `top` where as many may be in flight.
    pub(super) fn knee(&self, bottom: usize, top: usize) -> Option<usize> {
        let base = self.base(top)?;
        (bottom..=top).rev().find(|place| {
            let between = self.log(*place, base).map(|log| Seen {
                place: *place,
                log,
                error: 0.0,
                in_doubt: false,
            });
            self.at(*place).or(between).is_some_and(|seen| self.fits(&seen, base))
        })
    }

    fn is_worth_waiting(&self, seen: &Seen, base: f64) -> bool {
        seen.log - base < LONGER && self.is_worth(seen)
    }
}

/// How many of those in flight wait inside the service.
fn queue(seen: &Seen, base: f64) -> f64 {
    f64::from(number(seen.place)) * (1.0 - (base - seen.log).exp().min(1.0))
}

/// How many may. With a few slots and exponential service times one more than the slots reads as 1.85.
fn most(place: usize) -> f64 {
    (0.2 * f64::from(number(place))).max(1.9)
}

/// With fewer there is room for more.
fn least(place: usize) -> f64 {
    (0.05 * f64::from(number(place))).max(0.5)
}

/// The logarithm of 2.
const LONGER: f64 = std::f64::consts::LN_2;

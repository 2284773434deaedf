//! The shape of the curve: where it is flat, and where it rises.
//!
//! It is flat as long as requests are worked on side by side. Where they wait for each other the latency
//! rises as fast as their number, or faster.

use super::{
    curve::{Curve, Seen},
    grid::{number, place_of},
};

impl Curve {
    /// The latency without a queue: that of the lowest points up to `place`, which differ by no more than
    /// their errors.
    pub(super) fn base(&self, place: usize) -> Option<f64> {
        let known = || self.trusted().take_while(|seen| seen.place <= place);
        let sure = |seen: &Seen| seen.log + seen.error;
        let least = known().min_by(|a, b| sure(a).total_cmp(&sure(b)))?;
        let same =
            known().filter(|seen| seen.log - least.log < ALIKE * seen.error.hypot(least.error));
        let (sum, weight) = same.fold((0.0, 0.0), |(sum, weight), seen| {
            let precision = seen.error.powi(-2);
            (sum + seen.log * precision, weight + precision)
        });
        Some(sum / weight)
    }

    /// Whether points up to `place` show the latency without a queue: a stretch where it surely rises
    /// more slowly than the number in flight begins below the knee. Nothing is below `bottom`.
    pub(super) fn shows_base(&self, place: usize, bottom: usize) -> bool {
        let known: Vec<_> = self.trusted().take_while(|seen| seen.place <= place).collect();
        let rises_slowly = |low: &Seen, high: &Seen| {
            let wider = wider(low.place, high.place);
            wider >= STRETCH && rise(low, high) < FOLLOWS * wider.ln()
        };
        known.first().is_some_and(|low| low.place <= bottom)
            || known.iter().any(|low| known.iter().any(|high| rises_slowly(low, high)))
    }

    /// Whether the last third of those in flight there surely brings more done, since the latency rises
    /// far more slowly than their number.
    pub(super) fn is_worth(&self, high: &Seen) -> bool {
        let Some(low) = self.trusted().find(|low| wider(low.place, high.place) <= THIRD.1) else {
            return false;
        };
        let wider = wider(low.place, high.place);
        wider >= THIRD.0 && rise(&low, high) < WORTH * wider.ln()
    }

    /// The logarithm of the latency at a place, also between those that are known; none above the
    /// highest. `base` is that without a queue.
    pub(super) fn log(&self, place: usize, base: f64) -> Option<f64> {
        let above = self.trusted().find(|seen| seen.place >= place)?;
        if above.place == place {
            return Some(above.log);
        }
        // The curve is convex: it runs below the chord, and falls at least as fast as requests do.
        let falling = above.log - wider(place, above.place).ln();
        let chord = self.trusted().rfind(|seen| seen.place < place).map(|below| {
            let part = wider(below.place, place).ln() / wider(below.place, above.place).ln();
            below.log + part * (above.log - below.log)
        });
        Some(chord.map_or(falling, |chord| chord.min(falling)).max(base))
    }

    /// A place well below `place`, but not far, at which something is known to compare with.
    pub(super) fn comparable(&self, place: usize) -> Option<usize> {
        let part = |part: f64| place_of((part * f64::from(number(place))) as u32);
        let range = part(COMPARED.0)..=part(COMPARED.1);
        self.seen().map(|seen| seen.place).rfind(|seen| range.contains(seen))
    }
}

/// How many times as many are in flight at `high` as at `low`.
fn wider(low: usize, high: usize) -> f64 {
    f64::from(number(high)) / f64::from(number(low))
}

/// By how much the latency rises at most, give or take its error.
fn rise(low: &Seen, high: &Seen) -> f64 {
    high.log - low.log + high.error.hypot(low.error)
}

/// Errors of a difference that is none.
const ALIKE: f64 = 2.0;

/// The latency follows the number in flight if it rises by this power of it or a higher one, and more
/// are worth it below that one.
const FOLLOWS: f64 = 0.8;
const WORTH: f64 = 0.6;

/// How many times as many there are at the end of a stretch as at its beginning.
const STRETCH: f64 = 1.5;
const THIRD: (f64, f64) = (1.33, 1.67);

/// The parts of those in flight that are worth comparing with.
const COMPARED: (f64, f64) = (0.35, 0.55);

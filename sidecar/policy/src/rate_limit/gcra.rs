//! The generic cell rate algorithm: a token bucket that is one number.
//!
//! A bucket is its *theoretical arrival time* (TAT): the moment at which it will be full again. Each
//! request moves it one interval further; a request conforms as long as the TAT stays within the
//! tolerance of now. Nothing has to refill in the background, and the first instant at which a refused
//! request would pass is a subtraction.
//!
//! The algorithm is ITU-T I.371's virtual scheduling; the same formulas drive `governor`.

use std::num::NonZeroU32;

/// A rate with a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    /// What one request is worth on the buckets' clock, at least 1: nanoseconds until the rate changes,
    /// see [`Pace`](super::pace::Pace).
    interval: u64,
    /// How far the TAT may lie ahead of a request that passes: `interval * (burst - 1)`.
    tolerance: u64,
}

impl Quota {
    /// `burst` requests at once from rest, each of which is worth `interval`. A burst that would take more
    /// than [`LONGEST`] to refill is cut to what refills in that time.
    pub(super) fn new(interval: u64, burst: NonZeroU32) -> Self {
        let tolerance = interval.saturating_mul(u64::from(burst.get()) - 1);
        Self { interval, tolerance: tolerance.min(LONGEST - LONGEST % interval) }
    }

    /// Nanoseconds that a request is worth at `qps` requests a second.
    ///
    /// The interval is rounded up to a whole nanosecond, so a rate is never exceeded; it falls short by
    /// at most one part in `10^9 / qps` (0.1 % at a million a second, nothing at 10 a second). The
    /// rounding is in the constant, so it does not add up over time.
    pub(super) fn interval(qps: f64) -> u64 {
        ((NANOS_PER_SECOND / qps).ceil() as u64).clamp(1, LONGEST)
    }

    /// Takes one request from the bucket `tat` at `now`: the TAT afterwards, or `None` when it is empty.
    pub(super) fn debit(&self, tat: u64, now: u64) -> Option<u64> {
        (self.wait(tat, now) == 0).then(|| tat.max(now).saturating_add(self.interval))
    }

    /// Nanoseconds until a request passes; zero when it passes now.
    pub(super) fn wait(&self, tat: u64, now: u64) -> u64 {
        tat.saturating_sub(self.tolerance).saturating_sub(now)
    }

    /// Whole requests that would pass at `now`.
    pub(super) fn remaining(&self, tat: u64, now: u64) -> u32 {
        let ahead = tat.saturating_sub(now);
        let free = (self.tolerance + self.interval).saturating_sub(ahead);
        u32::try_from(free / self.interval).unwrap_or(u32::MAX)
    }

    /// Nanoseconds of a past debit that can be given back at `now` without admitting too much.
    ///
    /// `after` is the TAT that debit left behind; `refunds` is how many others have been given back to
    /// the bucket since.
    ///
    /// A full bucket lets tokens run over. So giving one back is exact only if it would not have run
    /// over since. The debit is the interval of the TAT that ends at `after`; each refund since may have
    /// moved it one interval down. What of it is still ahead of now was ahead of every debit since, so
    /// each found the bucket less than full and would have found this much more in it. What lies behind
    /// now may have run over, and stays spent.
    pub(super) fn refundable(&self, after: u64, refunds: u32, now: u64) -> u64 {
        let shift = self.interval.saturating_mul(u64::from(refunds));
        let after = after.saturating_sub(shift);
        after.saturating_sub(now).min(self.interval)
    }
}

const NANOS_PER_SECOND: f64 = 1e9;

/// 73 years: far enough from the end of the clock that sums of two never reach it.
const LONGEST: u64 = u64::MAX / 8;

//! The clock that the buckets of a limit run by, which is what changes when its rate does.
//!
//! What a caller owes is a number of requests, and a bucket is a time. To keep the one when the rate
//! changes, every bucket would have to be rewritten while requests are served. So it is the clock that
//! changes: it runs so fast that a request is always worth the same of *its* time. A reload then costs
//! one value, whatever the number of callers, and no debit is lost between the old rate and the new.
//!
//! At first it runs as the sidecar's own clock does, so a limit that is never changed is exact to the
//! nanosecond; afterwards it is rounded so that nothing passes too early.

/// A clock beside the sidecar's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// When it began to run like this, and what it showed then.
    since: u64,
    shown: u64,
    /// Nanoseconds that a request is worth.
    interval: u64,
    /// What a request is worth on this clock; never changes.
    unit: u64,
}

impl Pace {
    /// As the sidecar's own, for a rate whose requests are worth `interval` nanoseconds, at least 1.
    pub(super) fn new(interval: u64) -> Self {
        Self { since: 0, shown: 0, interval, unit: interval }
    }

    pub(super) fn unit(&self) -> u64 {
        self.unit
    }

    /// Whether it runs for this rate.
    pub(super) fn is_for(&self, interval: u64) -> bool {
        self.interval == interval
    }

    /// Whether it can run for another rate: not so fast that it would come to its end within nine years.
    pub(super) fn takes(&self, interval: u64) -> bool {
        self.unit <= interval.saturating_mul(FASTEST)
    }

    /// For another rate from `now` on.
    pub(super) fn changed(&self, interval: u64, now: u64) -> Self {
        Self { since: now, shown: self.at(now), interval, unit: self.unit }
    }

    /// What it shows at `now`. Who has read the time just before a change is taken to have come with it.
    pub(super) fn at(&self, now: u64) -> u64 {
        let passed = now.saturating_sub(self.since);
        if self.unit == self.interval {
            return self.shown.saturating_add(passed);
        }
        self.shown.saturating_add(scaled(passed, self.unit, self.interval, 0))
    }

    /// How many nanoseconds it takes for `span` on this clock, rounded up.
    pub(super) fn nanos(&self, span: u64) -> u64 {
        if self.unit == self.interval {
            return span;
        }
        scaled(span, self.interval, self.unit, self.unit - 1)
    }
}

fn scaled(number: u64, by: u64, of: u64, round: u64) -> u64 {
    let scaled = (u128::from(number) * u128::from(by) + u128::from(round)) / u128::from(of);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// 584 years of nanoseconds are used up in nine at this pace.
const FASTEST: u64 = 64;

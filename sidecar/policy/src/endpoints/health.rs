//! What checks say of an endpoint.
//!
//! The first check decides alone; after that it takes some in a row to change the verdict, so that one
//! lost packet moves nobody. Of an upstream that begins nothing is known, and its endpoints are used
//! until a check says otherwise; one that joins others waits for its first check.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use weir_config::HealthCheck;

use crate::Time;

/// The verdict on one endpoint. Checks write it; requests only read whether it is well.
#[derive(Debug)]
pub(super) struct Health {
    is_well: AtomicBool,
    /// When it was last found to be well after all, in nanoseconds; 0 for never. Its share grows from then
    /// on.
    recovered: AtomicU64,
    seen: Mutex<Seen>,
    passed: AtomicU64,
    failed: AtomicU64,
}

/// What is known, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) verdict: Verdict,
    pub(super) since: Time,
    /// Checks in a row that said otherwise.
    against: u32,
}

/// Whether an endpoint is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not checked yet, and used.
    Presumed,
    /// Not checked yet, and not used before it is.
    Awaited,
    Healthy,
    Unhealthy,
}

impl Health {
    pub(super) fn new(verdict: Verdict, now: Time) -> Self {
        Self {
            is_well: AtomicBool::new(verdict.is_well()),
            recovered: AtomicU64::new(0),
            seen: Mutex::new(Seen { verdict, since: now, against: 0 }),
            passed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    pub(super) fn is_well(&self) -> bool {
        self.is_well.load(Relaxed)
    }

    /// When it was last found to be well after all.
    pub(super) fn recovered(&self) -> Option<Time> {
        let recovered = self.recovered.load(Relaxed);
        (recovered > 0).then(|| Time::from_nanos(recovered))
    }

    pub(super) fn seen(&self) -> Seen {
        *self.lock()
    }

    /// Checks that went well, and that did not, since the start.
    pub(super) fn checks(&self) -> (u64, u64) {
        (self.passed.load(Relaxed), self.failed.load(Relaxed))
    }

    /// A check has ended.
    pub(super) fn on_check(&self, went_well: bool, settings: &HealthCheck, now: Time) {
        let counter = if went_well { &self.passed } else { &self.failed };
        counter.fetch_add(1, Relaxed);
        let mut seen = self.lock();
        let was = seen.verdict;
        seen.hear(went_well, settings, now);
        if !was.is_well() && seen.verdict.is_well() {
            self.recovered.store(now.as_nanos().max(1), Relaxed);
        }
        self.is_well.store(seen.verdict.is_well(), Relaxed);
    }

    /// Nobody checks it any more.
    pub(super) fn forget(&self, now: Time) {
        let mut seen = self.lock();
        if seen.verdict != Verdict::Presumed {
            *seen = Seen { verdict: Verdict::Presumed, since: now, against: 0 };
        }
        self.is_well.store(true, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn hear(&mut self, went_well: bool, settings: &HealthCheck, now: Time) {
        let agrees = match self.verdict {
            Verdict::Presumed | Verdict::Awaited => false,
            Verdict::Healthy => went_well,
            Verdict::Unhealthy => !went_well,
        };
        if agrees {
            self.against = 0;
            return;
        }
        self.against = self.against.saturating_add(1);
        let needed = match self.verdict {
            Verdict::Presumed | Verdict::Awaited => 1,
            Verdict::Healthy => settings.unhealthy_after.get(),
            Verdict::Unhealthy => settings.healthy_after.get(),
        };
        if self.against < needed {
            return;
        }
        let verdict = if went_well { Verdict::Healthy } else { Verdict::Unhealthy };
        *self = Self { verdict, since: now, against: 0 };
    }
}

impl Verdict {
    fn is_well(self) -> bool {
        matches!(self, Self::Presumed | Self::Healthy)
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, time::Duration};

    use weir_config::Probe;

    use super::*;

    fn settings() -> HealthCheck {
        HealthCheck {
            probe: Probe::Tcp,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            healthy_after: NonZeroU32::new(2).unwrap(),
            unhealthy_after: NonZeroU32::new(3).unwrap(),
        }
    }

    #[track_caller]
    fn check(from: Verdict, checks: &str, expected: Verdict) {
        let health = Health::new(from, Time::default());
        for check in checks.chars() {
            health.on_check(check == '+', &settings(), Time::default());
        }
        assert_eq!(health.seen().verdict, expected, "{checks} after {from:?}");
        assert_eq!(health.is_well(), expected.is_well());
    }

    #[test]
    fn the_first_check_decides_and_then_some_in_a_row() {
        use Verdict::{Awaited, Healthy, Presumed, Unhealthy};
        check(Presumed, "", Presumed);
        check(Awaited, "", Awaited);
        for unchecked in [Presumed, Awaited] {
            check(unchecked, "+", Healthy);
            check(unchecked, "-", Unhealthy);
        }
        check(Healthy, "--", Healthy);
        check(Healthy, "--+--", Healthy);
        check(Healthy, "---", Unhealthy);
        check(Unhealthy, "+", Unhealthy);
        check(Unhealthy, "+-+", Unhealthy);
        check(Unhealthy, "++", Healthy);
    }

    #[test]
    fn one_that_was_used_all_along_has_not_recovered() {
        let recovered = |from, checks: &str| {
            let health = Health::new(from, Time::default());
            for check in checks.chars() {
                health.on_check(check == '+', &settings(), Time::from_nanos(7));
            }
            health.recovered().is_some()
        };
        assert!(!recovered(Verdict::Presumed, "+"));
        assert!(recovered(Verdict::Awaited, "+"));
        assert!(recovered(Verdict::Presumed, "-++"));
    }
}

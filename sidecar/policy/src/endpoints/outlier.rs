//! When an endpoint is passed over because it fails where others do not.
//!
//! An outlier differs from the others: an endpoint that fails is ejected only while another one does
//! better. Where all fail, it is the service that fails, which is a breaker's affair; to eject some of
//! them would only leave the rest with more to do, and the service with less than its capacity when it
//! is back. Envoy compares success rates for that reason, and does not where failures in a row are
//! counted; here it holds for both.
//!
//! So all are never ejected: the last one that is used stays. When that one fails too, those that were
//! ejected are no worse than what is left, and come back at once.

use std::{
    sync::{
        Arc, Mutex, PoisonError, TryLockError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use weir_config::Outlier;

use super::Standing;
use crate::{
    Time,
    time::nanos,
    window::{Counts, Window},
};

/// Slices of the window.
const SLICES: usize = 10;
/// An endpoint that may not be ejected now is not judged again before so much time has passed: each time
/// the others are looked at.
const JUDGED_AGAIN: Duration = Duration::from_millis(100);

/// What an endpoint did, and whether it is ejected.
#[derive(Debug)]
pub(super) struct Record {
    /// Failures in a row.
    run: AtomicU32,
    /// Outcomes and failures.
    window: ArcSwap<(Duration, Window)>,
    /// Until when it is ejected, in nanoseconds; 0 for never.
    until: AtomicU64,
    /// The last ejection; written by who judges.
    last: Mutex<Option<Ejection>>,
    /// Ejections since the start, by [`Cause`].
    ejections: [AtomicU64; Cause::ALL.len()],
    /// When it was last judged, plus 1 ns; 0 for never.
    judged: AtomicU64,
}

/// Why an endpoint is ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Failures in a row.
    Consecutive,
    /// The share of failures in the window.
    ErrorRatio,
}

/// One ejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// When it was ejected.
    pub at: Time,
    /// When it is used again.
    pub until: Time,
    /// How many times in a row, this one included.
    pub times: u32,
    /// Why.
    pub cause: Cause,
}

/// What came of judging an endpoint that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It is ejected.
    Ejected(Ejection),
    /// It is the last one that is used, and stays; those that were ejected, so many, are used again.
    Last {
        /// How many.
        readmitted: usize,
    },
    /// As many as may be ejected are.
    Enough,
    /// No other one does better.
    Alike,
    /// Another thread has just judged.
    Busy,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 2] = [Self::Consecutive, Self::ErrorRatio];

    /// The word for it, as in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Consecutive => "consecutive",
            Self::ErrorRatio => "error_ratio",
        }
    }
}

impl Record {
    pub(super) fn new() -> Self {
        let window = (Duration::ZERO, Window::new(Duration::ZERO, SLICES));
        Self {
            run: AtomicU32::new(0),
            window: ArcSwap::from_pointee(window),
            until: AtomicU64::new(0),
            last: Mutex::new(None),
            ejections: [const { AtomicU64::new(0) }; Cause::ALL.len()],
            judged: AtomicU64::new(0),
        }
    }

    pub(super) fn is_ejected(&self, now: Time) -> bool {
        now.as_nanos() < self.until.load(Relaxed)
    }

    /// When the last ejection ended, where that is over.
    pub(super) fn readmitted(&self, now: Time) -> Option<Time> {
        let until = self.until.load(Relaxed);
        (until > 0 && until <= now.as_nanos()).then(|| Time::from_nanos(until))
    }

    pub(super) fn last(&self) -> Option<Ejection> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ejections for this cause since the start.
    pub(super) fn ejections(&self, cause: Cause) -> u64 {
        self.ejections[cause as usize].load(Relaxed)
    }

    /// Failures in a row.
    pub(super) fn run(&self) -> u32 {
        self.run.load(Relaxed)
    }

    /// Takes an outcome in, of a request that was begun then; a cause when it is now to be judged. What
    /// was begun before an ejection ended says nothing of today.
    pub(super) fn on_outcome(
        &self,
        failed: bool,
        began: Time,
        settings: &Outlier,
        now: Time,
    ) -> Option<Cause> {
        if began.as_nanos() < self.until.load(Relaxed) {
            return None;
        }
        self.with_window(settings, |window| window.add(Counts([1, u32::from(failed), 0]), now));
        if !failed {
            if self.run() > 0 {
                self.run.store(0, Relaxed);
            }
            return None;
        }
        let run = self.run.fetch_add(1, Relaxed).saturating_add(1);
        let cause = if run >= settings.consecutive.get() {
            Cause::Consecutive
        } else {
            let (requests, share) = self.failing(settings, now);
            let many = requests >= settings.min_requests.get();
            (many && share >= settings.error_ratio.get()).then_some(Cause::ErrorRatio)?
        };
        let judged = self.judged.load(Relaxed);
        let is_due = judged == 0 || now.as_nanos() >= judged.saturating_add(nanos(JUDGED_AGAIN));
        is_due.then(|| self.judged.store(now.as_nanos() + 1, Relaxed))?;
        Some(cause)
    }

    /// Outcomes in the window, and the share of failures among them.
    fn failing(&self, settings: &Outlier, now: Time) -> (u32, f64) {
        self.with_window(settings, |window| {
            let number = window.advance(now);
            let closed = window.closed(number).fold(Counts::default(), Counts::plus);
            let Counts([requests, failures, _]) = closed.plus(window.newest(number));
            (requests, f64::from(failures) / f64::from(requests.max(1)))
        })
    }

    /// The window, which is as long as it is set to be now; one that is not begins empty.
    fn with_window<T>(&self, settings: &Outlier, ask: impl FnOnce(&Window) -> T) -> T {
        let found = self.window.load();
        if found.0 == settings.window {
            return ask(&found.1);
        }
        let next = Arc::new((settings.window, Window::new(settings.window, SLICES)));
        self.window.store(Arc::clone(&next));
        ask(&next.1)
    }

    /// Whether this one does better than one that fails for that cause.
    fn does_better_than(&self, other: &Self, cause: Cause, settings: &Outlier, now: Time) -> bool {
        match cause {
            Cause::Consecutive => self.run() < settings.consecutive.get().div_ceil(2),
            Cause::ErrorRatio => {
                let (requests, share) = self.failing(settings, now);
                requests == 0 || share < other.failing(settings, now).1 / 2.0
            }
        }
    }

    fn eject(&self, cause: Cause, settings: &Outlier, now: Time) -> Ejection {
        let in_a_row = |last: &Ejection| now.since(last.until) < settings.ejection_time_max;
        let times = self.last().filter(in_a_row).map_or(1, |last| last.times.saturating_add(1));
        let lasts = settings.ejection_time.saturating_mul(times).min(settings.ejection_time_max);
        let ejection = Ejection { at: now, until: now + lasts, times, cause };
        self.set_last(Some(ejection));
        self.until.store(ejection.until.as_nanos(), Relaxed);
        self.run.store(0, Relaxed);
        self.with_window(settings, |window| window.clear(now));
        self.ejections[cause as usize].fetch_add(1, Relaxed);
        ejection
    }

    fn readmit(&self, now: Time) {
        self.set_last(self.last().map(|last| Ejection { until: now, ..last }));
        self.until.store(now.as_nanos(), Relaxed);
    }

    fn set_last(&self, last: Option<Ejection>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }
}

/// Who judges the endpoints of one upstream: one thread at a time, and nobody waits for it.
#[derive(Debug, Default)]
pub(super) struct Judge(Mutex<()>);

impl Judge {
    /// Judges one of `all` that fails.
    pub(super) fn judge<'a>(
        &self,
        failing: &Standing,
        cause: Cause,
        all: impl Iterator<Item = &'a Standing> + Clone,
        settings: &Outlier,
        now: Time,
    ) -> Judged {
        let _judging = match self.0.try_lock() {
            Ok(judging) => judging,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Judged::Busy,
        };
        if failing.record.is_ejected(now) {
            return Judged::Busy;
        }
        let is_used = |one: &&Standing| one.health.is_well() && !one.record.is_ejected(now);
        let is_other = |one: &&Standing| !std::ptr::eq(*one, failing);
        let ejected = || all.clone().filter(|one| one.record.is_ejected(now));
        let mut others = all.clone().filter(is_other).filter(is_used).peekable();
        if others.peek().is_none() {
            let readmitted = ejected().map(|one| one.record.readmit(now)).count();
            return Judged::Last { readmitted };
        }
        if ejected().count() >= may_be_ejected(all.clone().count(), settings) {
            return Judged::Enough;
        }
        let better =
            |one: &Standing| one.record.does_better_than(&failing.record, cause, settings, now);
        if !others.any(better) {
            return Judged::Alike;
        }
        Judged::Ejected(failing.record.eject(cause, settings, now))
    }
}

fn may_be_ejected(of: usize, settings: &Outlier) -> usize {
    ((of as f64 * settings.max_ejected.get()) as usize).max(1)
}

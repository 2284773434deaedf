//! Concurrency limits: those that routes have of their own, and those that routes share because they
//! lead to the same upstream.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tokio::sync::oneshot;
use weir_config::{ConcurrencyLimit, Mode, Priority};
use weir_policy::{InFlight, Sample, Time};

use super::carried::ByName;

/// Wakes the request that waits for a permit.
pub(crate) type Waker = oneshot::Sender<Turn>;

/// What a request that waits is woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It has the permit.
    Granted,
    /// Its place has gone to another.
    PushedOut,
}

/// A concurrency limit as this plan has it.
#[derive(Debug)]
pub(crate) struct Concurrency {
    pub(crate) settings: weir_config::Concurrency,
    /// The route that it belongs to; `None` where routes share it.
    pub(crate) route: Option<String>,
    permits: Arc<Permits>,
}

/// The permits themselves, whatever the plan.
#[derive(Debug)]
pub(crate) struct Permits {
    in_flight: InFlight<Waker>,
    /// Requests refused, by class.
    refused: [AtomicU64; Priority::ALL.len()],
}

impl Concurrency {
    pub(super) fn new(
        settings: &weir_config::Concurrency,
        route: Option<&str>,
        known: &mut ByName<Permits>,
    ) -> Self {
        let suits = |permits: &Permits| permits.in_flight.suits(settings);
        let make = || Permits { in_flight: InFlight::new(settings), refused: Default::default() };
        Self {
            settings: settings.clone(),
            route: route.map(str::to_owned),
            permits: known.take(&settings.name, suits, make),
        }
    }

    pub(crate) fn in_flight(&self) -> &InFlight<Waker> {
        &self.permits.in_flight
    }

    /// Whether it is asked at all.
    pub(crate) fn is_on(&self) -> bool {
        self.settings.mode != Mode::Disabled
    }

    /// Whether the limit is learned from answers.
    pub(crate) fn learns(&self) -> bool {
        matches!(self.settings.limit, ConcurrencyLimit::Adaptive(_))
    }

    /// Sets it as this plan has it. There may be room then for some who wait, or nobody has to.
    pub(super) fn set(&self, now: Time) {
        self.in_flight().reconfigure(&self.settings);
        let next = match self.settings.mode {
            Mode::Enforce => InFlight::grant,
            Mode::Shadow | Mode::Disabled => InFlight::let_go,
        };
        self.grant(next, now);
    }

    /// Hands a permit on to the next waiter that is still there.
    pub(crate) fn hand_on(&self, now: Time) {
        while let Some(waker) = self.in_flight().release(now) {
            if waker.send(Turn::Granted).is_ok() {
                return;
            }
        }
    }

    /// Tells the limit what the upstream did.
    pub(crate) fn learn(&self, sample: Sample, now: Time) {
        self.in_flight().on_sample(sample, now);
        if self.in_flight().queued() > 0 {
            self.grant(InFlight::grant, now);
        }
    }

    /// Counts a refusal.
    pub(crate) fn refused(&self, priority: Priority) {
        self.permits.refused[priority as usize].fetch_add(1, Relaxed);
    }

    /// Refusals so far, with their class.
    pub(crate) fn refusals(&self) -> impl Iterator<Item = (Priority, u64)> {
        Priority::ALL
            .into_iter()
            .map(|class| (class, self.permits.refused[class as usize].load(Relaxed)))
    }

    /// Gives permits to those who wait for as long as `next` has one.
    fn grant(&self, next: fn(&InFlight<Waker>, Time) -> Option<Waker>, now: Time) {
        while let Some(waker) = next(self.in_flight(), now) {
            if waker.send(Turn::Granted).is_err() {
                self.hand_on(now);
            }
        }
    }
}

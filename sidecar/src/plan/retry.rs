//! What a route tries again, and what has come of it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use http::Method;
use weir_config::RetryOn;
use weir_policy::{Retries, Time};

use super::carried::Carried;
use crate::clock;

/// The tries again of a route, as this plan has them.
#[derive(Debug)]
pub(crate) struct RouteRetry {
    pub(crate) settings: weir_config::Retry,
    tally: Arc<Tally>,
}

/// Their budget and their numbers, whatever the plan.
#[derive(Debug)]
pub(crate) struct Tally {
    budget: Retries,
    made: [AtomicU64; Cause::ALL.len()],
    withheld: [AtomicU64; Withheld::ALL.len()],
}

/// What is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A connection of the pool that had ended, before anything was read from it.
    Stale,
    Connect,
    Reset,
    FirstByte,
    /// An answer whose status, or gRPC status, is among those that are tried again.
    Status,
}

/// Why it was not, although the route would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Withheld {
    /// The tokens were spent.
    Budget,
    /// There was not enough time left.
    Deadline,
    /// The service said when to come back, and it is not now.
    Pushback,
    /// More of the body had gone up than is kept.
    Body,
    /// No breaker let it pass, or no endpoint was used.
    Upstream,
}

impl Cause {
    pub(crate) const ALL: [Self; 5] =
        [Self::Stale, Self::Connect, Self::Reset, Self::FirstByte, Self::Status];

    /// As metrics and `/explain` have it; where there is one, its word in the configuration.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::FirstByte => "first_byte",
            Self::Status => "status",
        }
    }
}

impl Withheld {
    pub(crate) const ALL: [Self; 5] =
        [Self::Budget, Self::Deadline, Self::Pushback, Self::Body, Self::Upstream];

    /// As metrics and `/explain` have it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Deadline => "deadline",
            Self::Pushback => "pushback",
            Self::Body => "body",
            Self::Upstream => "upstream",
        }
    }
}

impl RouteRetry {
    pub(super) fn new(route: &weir_config::Route, carried: &mut Carried) -> Self {
        let settings = route.retry.clone();
        let make = || Tally {
            budget: Retries::new(&settings.budget, clock::now()),
            made: Default::default(),
            withheld: Default::default(),
        };
        let tally = carried.retries.take(&route.name, |_| true, make);
        Self { settings, tally }
    }

    /// Sets the budget as this plan has it.
    pub(super) fn set(&self) {
        self.tally.budget.reconfigure(&self.settings.budget);
    }

    /// Whether anything but a stale connection is tried again.
    pub(crate) fn is_on(&self) -> bool {
        self.settings.attempts > 0
    }

    /// Whether a request with this method may be repeated although the service may have heard it.
    pub(crate) fn repeats(&self, method: &Method) -> bool {
        self.settings.methods.iter().any(|listed| listed == method.as_str())
    }

    /// Whether this is among what is tried again.
    pub(crate) fn covers(&self, failure: RetryOn) -> bool {
        self.settings.on.contains(&failure)
    }

    /// A request came, which is not a try again.
    pub(crate) fn on_request(&self, now: Time) {
        self.tally.budget.on_request(now);
    }

    /// Takes the token for a try again; `false` when there is none.
    pub(crate) fn withdraw(&self, now: Time) -> bool {
        self.tally.budget.withdraw(now)
    }

    /// Gives the token back, because there is no other try after all.
    pub(crate) fn give_back(&self, now: Time) {
        self.tally.budget.give_back(now);
    }

    /// Counts a try again.
    pub(crate) fn make(&self, cause: Cause) {
        self.tally.made[cause as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn withhold(&self, why: Withheld) {
        self.tally.withheld[why as usize].fetch_add(1, Relaxed);
    }

    /// So many could be tried again now.
    pub(crate) fn tokens(&self, now: Time) -> f64 {
        self.tally.budget.tokens(now)
    }

    pub(crate) fn made(&self) -> impl Iterator<Item = (Cause, u64)> {
        let made = &self.tally.made;
        Cause::ALL.into_iter().map(|cause| (cause, made[cause as usize].load(Relaxed)))
    }

    pub(crate) fn withheld(&self) -> impl Iterator<Item = (Withheld, u64)> {
        let withheld = &self.tally.withheld;
        Withheld::ALL.into_iter().map(|why| (why, withheld[why as usize].load(Relaxed)))
    }
}

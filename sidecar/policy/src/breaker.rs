//! Circuit breakers: when to stop asking a dependency that fails.
//!
//! Two kinds behind one door. The [adaptive](adaptive) one refuses a share of the requests that grows
//! with the failures; it has no threshold to tune and no cliff, so it is the default. The
//! [tripping](trip) one refuses everything for a while once a threshold is reached, and then sends a
//! few probes; it is what people know, and right where each call to a dead dependency is expensive.
//!
//! Both eat only what the dependency did: its own refusals and clients that left never reach
//! [`Breaker::on_outcome`].

mod adaptive;
mod phase;
mod trip;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use weir_config::Trip;

use self::{adaptive::Adaptive, trip::Tripping};
use crate::Time;

/// One breaker: one state for the whole process.
///
/// Its settings may change while it works. They are beside what it has seen, in a value that is
/// replaced whole, so that no decision sees a part of each.
#[derive(Debug)]
pub struct Breaker(ArcSwap<Kind>);

#[derive(Debug)]
enum Kind {
    Adaptive(Adaptive),
    Tripping(Tripping),
}

/// Leave to ask the dependency. Each ends in exactly one [`Breaker::on_outcome`] or
/// [`Breaker::release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The breaker's state changes so far; an outcome from before the last one says nothing of today.
    pub(crate) generation: u32,
    /// It holds one of the half-open breaker's slots.
    pub(crate) probe: bool,
}

/// What the dependency did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered well.
    Success {
        /// Until the response header; `None` where the time says nothing, as with streams.
        latency: Option<Duration>,
    },
    /// It answered badly, late, or not at all.
    Failure,
}

/// A refusal, with what was known when it fell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Open {
    /// When to come back: until the first probe may pass. Zero while half-open: a slot may come free at
    /// any moment.
    pub retry_after: Duration,
    /// Which limit was reached.
    pub threshold: Threshold,
    /// The breaker and its numbers: a tripped one's as they were when it tripped.
    pub snapshot: Snapshot,
}

/// What made a breaker refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// Failures in a row.
    Consecutive,
    /// The share of failures in the window.
    ErrorRatio,
    /// The share of slow answers in the window.
    SlowRatio,
    /// A probe failed, or was slow where slowness counts.
    Probe,
    /// The adaptive breaker's dice.
    Share,
}

/// What a breaker does with requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    /// Lets all pass.
    Closed,
    /// Refuses all.
    Open {
        /// When the first probe may pass.
        until: Time,
    },
    /// Lets a few probes pass; also when it was open and nobody has come since its time was up.
    HalfOpen {
        /// Probes at the dependency right now.
        probes: u32,
    },
    /// Refuses some.
    Throttling {
        /// The chance of a request to be refused, above 0 and below 1.
        refused_share: f64,
    },
}

impl State {
    /// Every word, in the order of the states; at any time a breaker is in one of them.
    pub const WORDS: [&'static str; 4] = ["closed", "open", "half_open", "throttling"];

    /// The word for it, wherever it is shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Closed => Self::WORDS[0],
            Self::Open { .. } => Self::WORDS[1],
            Self::HalfOpen { .. } => Self::WORDS[2],
            Self::Throttling { .. } => Self::WORDS[3],
        }
    }

    /// The chance of the next request to be refused, `0.0..=1.0`; 1 while half-open, for all but probes.
    pub const fn refused_share(self) -> f64 {
        match self {
            Self::Closed => 0.0,
            Self::Open { .. } | Self::HalfOpen { .. } => 1.0,
            Self::Throttling { refused_share } => refused_share,
        }
    }
}

/// A breaker's numbers at one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Snapshot {
    /// What it does.
    pub state: State,
    /// Requests in the window; the adaptive breaker's count its own refusals, as its formula does.
    pub requests: u32,
    /// Failures in the window.
    pub failures: u32,
    /// Slow answers in the window; 0 for an adaptive breaker.
    pub slow: u32,
    /// Refusals in the window; 0 for a tripping breaker.
    pub refused: u32,
    /// Failures in a row; 0 for an adaptive breaker.
    pub consecutive_failures: u32,
}

impl Breaker {
    /// A closed breaker with an empty window.
    pub fn new(settings: &weir_config::Breaker) -> Self {
        Self(ArcSwap::from_pointee(Kind::new(settings)))
    }

    /// Is configured anew, and stays in its state. What is in its window still counts; in a window of
    /// another length, as though it had just happened. One that is open stays open for as long as it was
    /// to when it tripped. One that becomes of the other kind starts closed.
    pub fn reconfigure(&self, settings: &weir_config::Breaker, now: Time) {
        let next = match (&**self.0.load(), &settings.trip) {
            (Kind::Adaptive(breaker), Trip::Adaptive(settings)) => {
                Kind::Adaptive(breaker.reconfigured(settings, now))
            }
            (Kind::Tripping(breaker), Trip::Open(settings)) => {
                Kind::Tripping(breaker.reconfigured(settings, now))
            }
            _ => Kind::new(settings),
        };
        self.0.store(Arc::new(next));
    }

    /// Whether a request may go to the dependency. `random` is 64 even random bits.
    ///
    /// # Errors
    ///
    /// When it may not.
    pub fn admit(&self, now: Time, random: u64) -> Result<Ticket, Open> {
        match &**self.0.load() {
            Kind::Adaptive(breaker) => breaker.admit(now, random),
            Kind::Tripping(breaker) => breaker.admit(now),
        }
    }

    /// What came of a request that was admitted. `random` is 64 even random bits.
    pub fn on_outcome(&self, ticket: Ticket, outcome: Outcome, now: Time, random: u64) {
        match &**self.0.load() {
            Kind::Adaptive(breaker) => breaker.on_outcome(outcome, now),
            Kind::Tripping(breaker) => breaker.on_outcome(ticket, outcome, now, random),
        }
    }

    /// A request ended without saying anything of the dependency: the client left, or a later stage
    /// refused it. A probe's slot comes back.
    pub fn release(&self, ticket: Ticket) {
        match &**self.0.load() {
            Kind::Adaptive(_) => {}
            Kind::Tripping(breaker) => breaker.release(ticket),
        }
    }

    /// What it does at `now`.
    pub fn state(&self, now: Time) -> State {
        self.snapshot(now).state
    }

    /// What it does at `now`, and the numbers behind it.
    pub fn snapshot(&self, now: Time) -> Snapshot {
        match &**self.0.load() {
            Kind::Adaptive(breaker) => breaker.snapshot(now),
            Kind::Tripping(breaker) => breaker.snapshot(now),
        }
    }
}

impl Kind {
    fn new(settings: &weir_config::Breaker) -> Self {
        match &settings.trip {
            Trip::Adaptive(settings) => Self::Adaptive(Adaptive::new(settings)),
            Trip::Open(settings) => Self::Tripping(Tripping::new(settings)),
        }
    }
}

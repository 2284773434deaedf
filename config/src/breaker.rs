//! `breaker:` when to stop asking a dependency that fails.

pub(crate) mod yaml;

use std::{num::NonZeroU32, time::Duration};

use crate::{Mode, Ratio};

/// The breaker of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct Breaker {
    /// The policy's name: the route's name, or the one written.
    pub name: String,
    /// How it decides.
    pub trip: Trip,
    /// One state for the route, or one for each endpoint.
    pub per: BreakerScope,
    /// Enforce, shadow or disabled.
    pub mode: Mode,
}

/// How a breaker decides.
#[derive(Clone, Debug, PartialEq)]
pub enum Trip {
    /// Refuse a share of the requests that grows with the failures (Google SRE's client throttling).
    Adaptive(AdaptiveBreaker),
    /// Refuse everything for a while once any of the thresholds is passed.
    Open(TripBreaker),
}

/// What a breaker's state belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BreakerScope {
    /// The route as a whole.
    #[default]
    Route,
    /// Each endpoint of the upstream; an open one is not picked.
    Endpoint,
}

/// The adaptive breaker: no thresholds to tune.
#[derive(Clone, Debug, PartialEq)]
pub struct AdaptiveBreaker {
    /// How many requests are let through per success seen; at least 1.1, 1.5 by default.
    pub k: f64,
    /// How far back successes and requests are counted; 10 s by default.
    pub window: Duration,
}

/// The breaker that opens; at least one of the three thresholds is set.
#[derive(Clone, Debug, PartialEq)]
pub struct TripBreaker {
    /// Failures in a row that open it.
    pub consecutive: Option<NonZeroU32>,
    /// Share of failures in the window that opens it.
    pub error_ratio: Option<Ratio>,
    /// Share of slow answers in the window that opens it; set together with `slow_after`.
    pub slow_ratio: Option<Ratio>,
    /// From when on an answer is slow (time to the response header).
    pub slow_after: Duration,
    /// How far back outcomes are counted for the two ratios; 10 s by default.
    pub window: Duration,
    /// Outcomes in the window before a ratio counts; 20 by default.
    pub min_requests: NonZeroU32,
    /// How long it stays open the first time; doubles each time a probe fails. 5 s by default.
    pub open_for: Duration,
    /// The longest it stays open; 60 s by default, never below `open_for`.
    pub open_max: Duration,
    /// How many probes run at once while it is half-open, and how many must succeed; 3 by default.
    pub probes: NonZeroU32,
}

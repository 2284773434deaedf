//! `rate_limit:` how often, per which key.

pub(crate) mod shared;
pub(crate) mod yaml;

use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use self::shared::Shared;
use crate::Mode;

/// A sustained rate with a burst, for each value of each of its keys.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit {
    /// The policy's name: the route's name, or the one written.
    pub name: String,
    /// Requests a second; above zero, up to a million, fractions allowed (`0.5` is one in two seconds).
    pub qps: f64,
    /// How many may come at once from rest; at least 1. Defaults to one second's worth, at least 1.
    pub burst: NonZeroU32,
    /// Each key has buckets of its own; a request is debited on all of them or on none. Never empty.
    pub per: Vec<Key>,
    /// How many keys are remembered; further ones share one bucket until others have refilled.
    pub keys: NonZeroUsize,
    /// Keep the token when a later stage refuses the request.
    pub charge_on_reject: bool,
    /// Where it is kept for several sidecars; each keeps its own when `None`.
    pub shared: Option<Shared>,
    /// Enforce, shadow or disabled.
    pub mode: Mode,
}

impl RateLimit {
    /// The time between two requests at the sustained rate.
    pub fn interval(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.qps)
    }
}

/// What tells one caller from another. A request without the key shares the bucket of all such
/// requests; one with several values of it is debited for each, or counts as one without when they are
/// more than four.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// Nothing: one bucket for the whole route.
    Route,
    /// The client's address, IPv6 cut to this many leading bits (64 by default).
    Client {
        /// Leading bits of an IPv6 address that count, `1..=128`.
        v6_prefix: u8,
    },
    /// The value of a request header as it is sent, its name in lower case.
    Header(String),
    /// The value of a cookie, decoded and without quotes.
    Cookie(String),
    /// The value of a query parameter, decoded.
    Query(String),
}

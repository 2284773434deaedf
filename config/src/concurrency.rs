//! `concurrency:` how many at once, and how many may wait.

pub(crate) mod yaml;

use std::{num::NonZeroU32, time::Duration};

use crate::{Key, Mode};

/// A limit on requests in flight with a short queue before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// The policy's name: that of its route or upstream, or the one written.
    pub name: String,
    /// Requests at the upstream at once; adaptive by default.
    pub limit: ConcurrencyLimit,
    /// Who may wait for a permit.
    pub queue: Queue,
    /// What tells clients apart that must not starve each other in the queue; [`Key::Route`] for nothing.
    pub fair_per: Key,
    /// Enforce, shadow or disabled.
    pub mode: Mode,
}

/// How many requests may be at the upstream at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConcurrencyLimit {
    /// So many, whatever happens.
    Fixed(NonZeroU32),
    /// As many as the upstream takes without getting slower, learned from its answers.
    Adaptive(AdaptiveLimit),
}

/// Where a learned limit starts and stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptiveLimit {
    /// The first one, before anything is known; from `min` to `max`, 20 by default or the nearest to it.
    pub start: NonZeroU32,
    /// The lowest; 1 by default.
    pub min: NonZeroU32,
    /// The highest; 1000 by default.
    pub max: NonZeroU32,
}

/// The queue before a concurrency limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// How many may wait; zero refuses at once. `None` lets it follow the limit: room for a burst, and
    /// for a few once the queue does not empty any more.
    pub length: Option<u32>,
    /// How long one may wait. `None` is the time that a request is at the upstream, and at least 100 ms.
    pub timeout: Option<Duration>,
}

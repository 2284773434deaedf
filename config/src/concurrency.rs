//! `concurrency:` how many at once, and how many may wait.

pub(crate) mod yaml;

use std::{num::NonZeroU32, time::Duration};

use crate::Mode;

/// A limit on requests in flight with a short queue before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// The policy's name: the route's name, or the one written.
    pub name: String,
    /// Requests at the upstream at once; 1024 by default.
    pub limit: NonZeroU32,
    /// Who may wait for a permit.
    pub queue: Queue,
    /// Enforce, shadow or disabled.
    pub mode: Mode,
}

/// The queue before a concurrency limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// How many may wait; zero refuses at once. 16 by default.
    pub length: u32,
    /// How long one may wait; 50 ms by default.
    pub timeout: Duration,
}

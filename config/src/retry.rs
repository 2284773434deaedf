//! `retry:` what is tried again, and how often in all.

pub(crate) mod yaml;

use std::time::Duration;

use crate::Ratio;

/// When a request that has failed is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Tries beyond the first, 0 to 10; 0, the default, is none.
    pub attempts: u32,
    /// What is tried again; never empty.
    pub on: Vec<RetryOn>,
    /// Methods, in upper case, that may be repeated although the service may have heard the first; the
    /// idempotent ones by default.
    pub methods: Vec<String>,
    /// The longest pause before the first of them; each further one may be twice as long, up to 250 ms.
    pub backoff: Duration,
    /// How many there may be beside the requests of the route.
    pub budget: RetryBudget,
}

/// A failure that may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryOn {
    /// There was no connection, so the service has not heard of it.
    Connect,
    /// The connection ended before an answer came.
    Reset,
    /// No answer came within `timeout.first_byte`.
    FirstByte,
    /// gRPC's UNAVAILABLE, where nothing else was said.
    Unavailable,
    /// An answer with this status, 400 to 599.
    Status(u16),
}

/// Tries again, as a share of requests and beside it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudget {
    /// For each request; 20 % by default.
    pub ratio: Ratio,
    /// A second, whatever the number of requests; 10 by default.
    pub per_second: f64,
}

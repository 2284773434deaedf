//! `health_check:` whether an endpoint is well, asked without a request.

pub(crate) mod yaml;

use std::{fmt, num::NonZeroU32, time::Duration};

/// The health check of an upstream's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked.
    pub probe: Probe,
    /// From the end of one check of an endpoint to the next, give or take a tenth; 10 s by default.
    pub interval: Duration,
    /// How long a check may take; 1 s by default, never above `interval`.
    pub timeout: Duration,
    /// Checks in a row that must go well before an unhealthy endpoint is used again; 2 by default.
    pub healthy_after: NonZeroU32,
    /// Checks in a row that must fail before a healthy endpoint is passed over; 3 by default.
    pub unhealthy_after: NonZeroU32,
}

/// What a check asks of an endpoint, over a connection of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// `GET` of a path, in the upstream's protocol.
    Http {
        /// The path, with its query where it has one.
        path: String,
        /// The `Host` that is named; the endpoint's own by default.
        host: Option<String>,
        /// The statuses that are well; at least one range.
        statuses: Vec<Statuses>,
    },
    /// `grpc.health.v1.Health/Check`.
    Grpc {
        /// The service that is asked about; empty for the server as a whole.
        service: String,
        /// The `:authority` that is named; the endpoint's own by default.
        host: Option<String>,
    },
    /// Whether it takes a connection, TLS included.
    Tcp,
}

/// A range of statuses, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statuses {
    /// The first.
    pub first: u16,
    /// The last, never below the first.
    pub last: u16,
}

impl Statuses {
    /// Whether a status is one of them.
    pub fn contains(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

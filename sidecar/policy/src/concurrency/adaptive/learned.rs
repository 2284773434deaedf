//! What an adaptive limit has learned, to be shown.

use std::time::Duration;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// The limit as it stands.
    pub limit: u32,
    /// Why it stands there.
    pub stance: Stance,
    /// The latency without a queue inside the service; none before that is known.
    pub base: Option<Duration>,
    /// The highest number in flight without too much of a queue, as far as has been seen.
    pub knee: Option<u32>,
    /// The latency at each number in flight that was seen well enough, the lowest first.
    pub points: Vec<Point>,
}

/// The latency at a number in flight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Requests in flight; those up to the next point count with it.
    pub in_flight: u32,
    /// The geometric mean.
    pub latency: Duration,
    /// Its standard error, as a share of it.
    pub error: f64,
    /// The service has changed since, and it is not known yet by how much here.
    pub in_doubt: bool,
}

/// Why a limit stands where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    /// It has just begun.
    Learning,
    /// It holds nobody back.
    AtEase,
    /// The queue inside the service is as long as it may be.
    AtKnee,
    /// It tries whether more can be worked on at once.
    Exploring,
    /// It is lower for a moment, to see whether fewer are answered faster than those at `with`.
    Comparing {
        /// The limit that it is compared with.
        with: u32,
    },
}

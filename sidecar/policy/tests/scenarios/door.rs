//! The queue before the service: all that a scenario touches of it.

use std::time::Duration;

use weir_policy::{Claim, Entered, InFlight, Limit, Place, Sample, Time};

use super::scenario::Scenario;

/// Requests in flight under a limit, and those that wait for a permit.
#[derive(Debug)]
pub(crate) struct Door(InFlight<u64>);

/// What became of a request that came to it.
pub(crate) enum Arrival {
    /// It goes to the service.
    In,
    /// It waits, and gives up after that time; another may have had to give up its place.
    Waits { place: Place, patience: Duration, pushed_out: Option<u64> },
    /// It is sent away.
    Refused,
}

impl Door {
    pub(crate) fn new(limit: Box<dyn Limit>, scenario: &Scenario) -> Self {
        let queue = weir_config::Queue {
            length: scenario.queue,
            timeout: scenario.wait.map(|wait| Duration::from_secs_f64(wait / 1e3)),
        };
        Self(InFlight::with_limit(limit, queue))
    }

    pub(crate) fn limit(&self) -> u32 {
        self.0.limit()
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.0.in_flight()
    }

    pub(crate) fn arrive(&self, id: u64, now: Time) -> Arrival {
        match self.0.enqueue(Claim::default(), || id, now) {
            Entered::Granted => Arrival::In,
            Entered::Waiting { place, patience, pushed_out } => {
                Arrival::Waits { place, patience, pushed_out }
            }
            Entered::Full(_) => Arrival::Refused,
        }
    }

    /// A waiter gives up, or was pushed out.
    pub(crate) fn leave(&self, place: Place) {
        assert!(self.0.leave(place), "it has no permit");
    }

    /// A request is answered; who goes in now.
    pub(crate) fn answered(&self, sample: Sample, now: Time) -> Vec<u64> {
        self.0.on_sample(sample, now);
        self.0.on_held(sample.latency);
        let mut next: Vec<_> = self.0.release(now).into_iter().collect();
        while let Some(id) = self.0.grant(now) {
            next.push(id);
        }
        next
    }
}

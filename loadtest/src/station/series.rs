//! What the station did, over time.
//!
//! The mean of some thousand drawn service times is a percent or two off the mean of their distribution.
//! The times that were really drawn are known here, so that a share of the capacity can be one of the
//! capacity that there was.

use std::time::Duration;

use serde::Serialize;

use super::slots::Begun;

/// Counts for each step of time, from the first request on.
#[derive(Debug, Serialize)]
pub(super) struct Series {
    step_ms: u64,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Step {
    arrived: u64,
    begun: u64,
    /// Service times of those that began.
    taken_s: f64,
    ended: u64,
}

impl Series {
    pub(super) fn new() -> Self {
        Self { step_ms: STEP_MS, steps: Vec::new() }
    }

    pub(super) fn arrived(&mut self, now: Duration) {
        self.at(now).arrived += 1;
    }

    pub(super) fn begun(&mut self, begun: Begun) {
        let step = self.at(begun.at);
        step.begun += 1;
        step.taken_s += begun.takes.as_secs_f64();
    }

    pub(super) fn ended(&mut self, now: Duration, count: usize) {
        self.at(now).ended += count as u64;
    }

    fn at(&mut self, now: Duration) -> &mut Step {
        let last = usize::try_from(now.as_millis() / u128::from(STEP_MS)).unwrap_or(usize::MAX);
        let last = last.min(STEPS_MAX - 1);
        if self.steps.len() <= last {
            self.steps.resize(last + 1, Step::default());
        }
        &mut self.steps[last]
    }
}

const STEP_MS: u64 = 100;

/// An hour; what comes after it is counted in the last step.
const STEPS_MAX: usize = 36_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_counted_in_its_step() {
        let mut series = Series::new();
        series.arrived(Duration::from_millis(250));
        series.begun(Begun { at: Duration::from_millis(299), takes: Duration::from_millis(10) });
        series.ended(Duration::from_millis(300), 2);
        series.ended(Duration::from_secs(1_000_000), 1);
        assert_eq!(series.steps.len(), STEPS_MAX);
        let counts: Vec<_> =
            series.steps[..4].iter().map(|step| (step.arrived, step.begun, step.ended)).collect();
        assert_eq!(counts, [(0, 0, 0), (0, 0, 0), (1, 1, 0), (0, 0, 2)]);
        assert_eq!(series.steps[2].taken_s, 0.01);
        assert_eq!(series.steps[STEPS_MAX - 1].ended, 1);
    }
}

//! What became of each request, by stage, stream and class.
//!
//! A request belongs to the stage in which it was due, however late its answer comes. Latencies are kept
//! in HDR histograms: three digits of any value, at a size that does not grow with the run.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;

use super::{arrivals::Arrival, outcome::Outcome, stage::Stage};

/// What a recorder must know of a run.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    /// An answer later than this after its intended start is no good one.
    pub deadline: Duration,
    /// The grain in which goodput is kept over time.
    pub step: Duration,
}

/// What became of the requests of a run.
#[derive(Clone, Debug)]
pub struct Recorder {
    judged: Judged,
    begins: Vec<Duration>,
    records: Vec<Vec<Record>>,
}

impl Recorder {
    /// A recorder that has seen nothing.
    #[must_use]
    pub fn new(stages: &[Stage], streams: usize, judged: Judged) -> Self {
        let mut begins = Vec::with_capacity(stages.len());
        let mut at = Duration::ZERO;
        for stage in stages {
            begins.push(at);
            at += stage.lasts;
        }
        Self {
            judged,
            begins,
            records: vec![vec![Record::default(); streams.max(1)]; stages.len()],
        }
    }

    /// A request has ended. `sent` is when it really started, if it did.
    pub fn ended(
        &mut self,
        arrival: Arrival,
        sent: Option<Duration>,
        now: Duration,
        outcome: &Outcome,
    ) {
        let begin = self.begins[arrival.stage];
        let step = (arrival.at.saturating_sub(begin).as_nanos()
            / self.judged.step.as_nanos().max(1)) as usize;
        let latency = now.saturating_sub(arrival.at);
        let good = outcome.is_ok() && latency <= self.judged.deadline;
        let record = &mut self.records[arrival.stage][arrival.stream];
        if record.steps.len() <= step {
            record.steps.resize(step + 1, Step::default());
        }
        record.steps[step].add(good);
        let class = record.class(outcome);
        class.count += 1;
        if let Some(sent) = sent {
            class.since_intended.saturating_record(micros(latency));
            class.since_sent.saturating_record(micros(now.saturating_sub(sent)));
        }
    }

    /// The record of each stream, by stage.
    #[must_use]
    pub fn records(&self) -> &[Vec<Record>] {
        &self.records
    }
}

/// What became of the requests of one stream in one stage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// How many ended in which way.
    pub classes: BTreeMap<String, Latencies>,
    /// Goodput over time, by when the requests were due.
    pub steps: Vec<Step>,
}

impl Record {
    /// How many were due.
    #[must_use]
    pub fn offered(&self) -> u64 {
        self.steps.iter().map(|step| step.offered).sum()
    }

    /// How many were answered as asked, and in time.
    #[must_use]
    pub fn good(&self) -> u64 {
        self.steps.iter().map(|step| step.good).sum()
    }

    fn class(&mut self, outcome: &Outcome) -> &mut Latencies {
        let name = outcome.class();
        let full = self.classes.len() >= CLASSES_MAX && !self.classes.contains_key(&name);
        self.classes.entry(if full { OTHER.to_owned() } else { name }).or_default()
    }
}

/// Requests that were due within one step of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// How many.
    pub offered: u64,
    /// How many of them were answered as asked, and in time.
    pub good: u64,
}

impl Step {
    fn add(&mut self, good: bool) {
        self.offered += 1;
        self.good += u64::from(good);
    }
}

/// How long the requests of a class took, in microseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Latencies {
    /// How many there were; those that were never sent have no latency.
    pub count: u64,
    /// Since they were meant to start.
    pub since_intended: Histogram<u32>,
    /// Since they did start.
    pub since_sent: Histogram<u32>,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { count: 0, since_intended: micros_histogram(), since_sent: micros_histogram() }
    }
}

/// A histogram of microseconds, up to [`LATENCY_MAX`] and with three digits.
pub(super) fn micros_histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1, micros(LATENCY_MAX), 3)
        .unwrap_or_else(|_| unreachable!("constant bounds"))
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What takes longer is recorded as this.
const LATENCY_MAX: Duration = Duration::from_secs(120);

/// A server that words each refusal anew must not fill the memory.
const CLASSES_MAX: usize = 32;

const OTHER: &str = "other";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::units::Rate;

    const JUDGED: Judged =
        Judged { deadline: Duration::from_millis(250), step: Duration::from_millis(100) };

    fn stages() -> Vec<Stage> {
        let rate = Rate::per_second(100.0).unwrap();
        let stage = |name: &str, lasts| Stage { name: name.into(), rate, lasts };
        vec![stage("warm", Duration::from_secs(2)), stage("measured", Duration::from_secs(3))]
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn answered(status: u16) -> Outcome {
        Outcome::Answered { status, reason: None }
    }

    fn outcome() -> impl Strategy<Value = Outcome> {
        let statuses = prop_oneof![Just(200_u16), 100..600_u16];
        prop_oneof![
            statuses.prop_map(answered),
            "[a-z]{1,3}".prop_map(|word| Outcome::Answered { status: 503, reason: Some(word) }),
            Just(Outcome::TimedOut),
            Just(Outcome::Cut),
            Just(Outcome::Unconnected),
            Just(Outcome::Unsent),
        ]
    }

    proptest! {
        #[test]
        fn every_request_is_in_one_class_and_one_step(
            ended in prop::collection::vec((2_000_u64..5_000, 0_u64..1_000, 0_usize..2, outcome()), 0..400)
        ) {
            let mut recorder = Recorder::new(&stages(), 2, JUDGED);
            let mut good = 0;
            for (due, took, stream, outcome) in &ended {
                let arrival = Arrival { at: at(*due), stage: 1, stream: *stream };
                let sent = (*outcome != Outcome::Unsent).then(|| at(*due));
                recorder.ended(arrival, sent, at(due + took), outcome);
                good += usize::from(outcome.is_ok() && *took <= 250);
            }
            let records = &recorder.records()[1];
            let offered: u64 = records.iter().map(Record::offered).sum();
            prop_assert_eq!(offered as usize, ended.len());
            prop_assert_eq!(records.iter().map(Record::good).sum::<u64>() as usize, good);
            for record in records {
                prop_assert_eq!(record.classes.values().map(|class| class.count).sum::<u64>(), record.offered());
                prop_assert!(record.classes.len() <= CLASSES_MAX + 1 && record.steps.len() <= 30);
                for (name, class) in &record.classes {
                    let timed = if name == "unsent" { 0 } else { class.count };
                    prop_assert_eq!(class.since_intended.len(), timed);
                    prop_assert_eq!(class.since_sent.len(), timed);
                }
            }
        }
    }

    #[test]
    fn a_request_that_waited_to_be_sent_took_as_long_as_its_caller_waited() {
        let mut recorder = Recorder::new(&stages(), 1, JUDGED);
        let arrival = Arrival { at: at(2_150), stage: 1, stream: 0 };
        recorder.ended(arrival, Some(at(2_390)), at(2_400), &answered(200));
        recorder.ended(arrival, Some(at(2_390)), at(2_401), &answered(200));
        let record = &recorder.records()[1][0];
        assert_eq!(record.steps, [Step::default(), Step { offered: 2, good: 1 }]);
        let class = &record.classes["200"];
        assert!(class.since_intended.min().abs_diff(250_000) <= 250);
        assert!(class.since_sent.min().abs_diff(10_000) <= 10);
    }

    /// A service that stands still for a while delays all that arrive meanwhile. Half a second of
    /// ten is felt by one request in twenty: without the correction by one in a thousand.
    #[test]
    fn a_stall_is_felt_by_all_that_it_delayed() {
        let stage =
            Stage { name: "a".into(), rate: Rate::per_second(100.0).unwrap(), lasts: at(10_000) };
        let mut recorder = Recorder::new(&[stage], 1, JUDGED);
        for number in 0..1_000 {
            let due = number * 10;
            let sent = if (5_000..5_500).contains(&due) { 5_500 } else { due };
            let arrival = Arrival { at: at(due), stage: 0, stream: 0 };
            recorder.ended(arrival, Some(at(sent)), at(sent + 1), &answered(200));
        }
        let class = &recorder.records()[0][0].classes["200"];
        let p99 = class.since_intended.value_at_quantile(0.99);
        assert!(p99.abs_diff(401_000) <= 401, "{p99}");
        assert!(class.since_sent.value_at_quantile(0.99) <= 1_001);
    }
}

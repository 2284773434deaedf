//! A run as a JSON document.
//!
//! Histograms are written whole, as pairs of a value in microseconds and its count, so that runs can be
//! put together and any percentile asked for later.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::{
    analysis::recovery::{Well, recovered_after},
    engine::{
        Ran, Run,
        recorder::{Latencies, Record},
        stage::Stage,
    },
};

/// A run's result.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    seed: u64,
    deadline_ms: f64,
    timeout_ms: f64,
    generator: Generator,
    stages: Vec<Staged>,
}

#[derive(Clone, Debug, Serialize)]
struct Generator {
    due: u64,
    unsent: u64,
    lag_p99_us: u128,
    lag_max_us: u128,
    cores: f64,
    limited: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct Staged {
    name: String,
    rate: f64,
    seconds: f64,
    step_ms: f64,
    streams: Vec<Stream>,
}

#[derive(Clone, Debug, Serialize)]
struct Stream {
    name: String,
    offered: u64,
    good: u64,
    /// After how long goodput was well, to the end of the stage.
    well_after_ms: Option<f64>,
    classes: Vec<Class>,
    /// Pairs of offered and good requests, one for each step of time.
    steps: Vec<(u64, u64)>,
}

#[derive(Clone, Debug, Serialize)]
struct Class {
    name: String,
    count: u64,
    since_intended_us: Vec<(u64, u32)>,
    since_sent_us: Vec<(u64, u32)>,
}

impl Report {
    /// What a run was and what came of it.
    #[must_use]
    pub fn new(run: &Run, ran: &Ran) -> Self {
        let health = &ran.health;
        let stages = run.stages.iter().zip(ran.recorder.records());
        Self {
            seed: run.seed,
            deadline_ms: millis(run.judged.deadline),
            timeout_ms: millis(run.timeout),
            generator: Generator {
                due: health.due,
                unsent: health.unsent,
                lag_p99_us: health.lag_p99.as_micros(),
                lag_max_us: health.lag_max.as_micros(),
                cores: health.cores,
                limited: health.limited.clone(),
            },
            stages: stages.map(|(stage, records)| staged(run, stage, records)).collect(),
        }
    }
}

fn staged(run: &Run, stage: &Stage, records: &[Record]) -> Staged {
    let step = run.judged.step;
    let streams = run.streams.iter().zip(records);
    Staged {
        name: stage.name.clone(),
        rate: stage.rate.as_f64(),
        seconds: stage.lasts.as_secs_f64(),
        step_ms: millis(step),
        streams: streams.map(|(of, record)| stream(&of.name, record, step)).collect(),
    }
}

fn stream(name: &str, record: &Record, step: Duration) -> Stream {
    let window = (WINDOW.as_nanos() / step.as_nanos().max(1)) as usize;
    let well = Well { window, share: WELL_SHARE, misses: MISSES };
    let well_after = recovered_after(&record.steps, well);
    Stream {
        name: name.to_owned(),
        offered: record.offered(),
        good: record.good(),
        well_after_ms: well_after.map(|steps| millis(step) * steps as f64),
        classes: record.classes.iter().map(|(name, latencies)| class(name, latencies)).collect(),
        steps: record.steps.iter().map(|step| (step.offered, step.good)).collect(),
    }
}

fn class(name: &str, latencies: &Latencies) -> Class {
    Class {
        name: name.to_owned(),
        count: latencies.count,
        since_intended_us: pairs(&latencies.since_intended),
        since_sent_us: pairs(&latencies.since_sent),
    }
}

fn pairs(histogram: &Histogram<u32>) -> Vec<(u64, u32)> {
    histogram.iter_recorded().map(|at| (at.value_iterated_to(), at.count_at_value())).collect()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Goodput is well when this share of what is offered is answered in time, in windows of so long. Two
/// misses in a window are chance at the rates at which a window holds some dozens of requests.
const WELL_SHARE: f64 = 0.97;
const WINDOW: Duration = Duration::from_millis(500);
const MISSES: u64 = 2;

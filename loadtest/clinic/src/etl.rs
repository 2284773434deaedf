//! A run reads records from two sources, redacts them, and stores them in batches.

mod pipeline;

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use weir_pool::Size;

use crate::{
    accepted::Accepted,
    body,
    deadline::Deadline,
    jobs::{Collection, Job, Jobs},
    problem::{Problem, Reason},
    route::Route,
    site::Site,
};
use pipeline::{Loaded, Pipeline};

pub(crate) type Runs = Jobs<Order, Run>;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    progress: Progress,
    records: usize,
    #[serde(flatten)]
    loaded: Loaded,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Progress {
    Queued,
    Running,
    Done,
    Failed(String),
}

/// What a run is asked to do.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Order {
    /// Records to load, over both sources; from 0 to 10,000.
    records: usize,
}

impl Default for Order {
    fn default() -> Self {
        Self { records: 200 }
    }
}

pub(crate) fn runs(site: Site) -> Arc<Runs> {
    Jobs::new(site, RUNS, |site, job| run(site.clone(), job))
}

pub(crate) fn routes(runs: Arc<Runs>) -> Router {
    runs.routes(post(start))
}

async fn start(
    State(runs): State<Arc<Runs>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Accepted, Problem> {
    let site = &runs.site;
    site.enter(Route::Etl, &headers, PATIENCE).await?;
    let order = order(&body)?;
    let (progress, loaded) = (Progress::Queued, Loaded::default());
    let record = Run { progress, records: order.records, loaded };
    let (accepted, run) = runs.open(order, record);
    if site.faults.get(Route::Etl).leak {
        drop(site.tasks.background("etl.run", run_leaking(site.clone(), run)));
    } else {
        runs.submit(run)?;
    }
    Ok(accepted)
}

fn order(body: &[u8]) -> Result<Order, Problem> {
    if body.is_empty() {
        return Ok(Order::default());
    }
    let order: Order = body::parse(body, r#"an order like {"records": 200}"#)?;
    if order.records > RECORDS_MAX {
        let detail =
            format!("records: {} is above {RECORDS_MAX}; start several runs", order.records);
        return Err(Problem::new(Reason::Invalid, detail));
    }
    Ok(order)
}

async fn run(site: Site, job: Job<Order, Run>) {
    let deadline = Deadline::after(RUN_PATIENCE, Instant::now());
    let progress = match deadline.within(load(site, &job, false)).await {
        Ok(()) => Progress::Done,
        Err(problem) => Progress::Failed(problem.detail),
    };
    job.finish(|run| run.progress = progress);
}

/// The leak: no deadline, and cleaners that leave while the others count on them.
async fn run_leaking(site: Site, job: Job<Order, Run>) {
    load(site, &job, true).await;
}

async fn load(site: Site, job: &Job<Order, Run>, cleaners_leave: bool) {
    job.update(|run| run.progress = Progress::Running);
    let pipeline = Pipeline { site, records: job.input.records, cleaners_leave };
    pipeline.run(|loaded| job.update(|run| run.loaded = loaded)).await;
}

const RUNS: Collection = Collection {
    path: "/etl/runs",
    noun: "run",
    size: Size { workers: NonZeroUsize::new(4).expect("not zero"), queue: 16 },
    kept: 1_000,
};
const RECORDS_MAX: usize = 10_000;
/// For the acceptance.
const PATIENCE: Duration = Duration::from_secs(1);
/// For a whole run, once a worker has it.
const RUN_PATIENCE: Duration = Duration::from_secs(30);

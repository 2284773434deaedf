//! A run reads records from two sources, redacts them, and stores them in batches.

mod pipeline;

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::HeaderMap,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use weir_pool::{Pool, Size};

use crate::{
    accepted::Accepted,
    deadline::Deadline,
    problem::{Problem, Reason},
    route::Route,
    site::Site,
    store::Store,
};
use pipeline::{Loaded, Pipeline};

/// The route, and the pool it must be closed with.
#[derive(Clone, Debug)]
pub(crate) struct Etl {
    desk: Desk,
    pool: Arc<Pool<Job, ()>>,
}

/// Where runs are worked on.
#[derive(Clone, Debug)]
struct Desk {
    site: Site,
    runs: Arc<Store<Run>>,
}

struct Job {
    id: u64,
    records: usize,
}

#[derive(Clone, Debug, Serialize)]
struct Run {
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
struct Order {
    /// Records to load, over both sources; from 0 to 10,000.
    records: usize,
}

impl Default for Order {
    fn default() -> Self {
        Self { records: 200 }
    }
}

impl Etl {
    pub(crate) fn new(site: Site) -> Self {
        let desk = Desk { site, runs: Arc::new(Store::new(RUNS_KEPT)) };
        let worker = desk.clone();
        let pool = Pool::new(SIZE, move |job| {
            let desk = worker.clone();
            async move { desk.run(job).await }
        });
        Self { desk, pool: Arc::new(pool) }
    }

    pub(crate) fn routes(self) -> Router {
        Router::new()
            .route("/etl/runs", post(start))
            .route("/etl/runs/{id}", get(status))
            .with_state(self)
    }

    /// Finishes the runs that were accepted; returns how many the deadline cut.
    pub(crate) async fn close(&self, deadline: Instant) -> usize {
        let unfinished = self.pool.drain(deadline).await;
        unfinished.queued.len() + unfinished.running
    }
}

async fn start(
    State(etl): State<Etl>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Accepted, Problem> {
    let Desk { site, runs } = &etl.desk;
    site.enter(Route::Etl, &headers, PATIENCE).await?;
    let Order { records } = order(&body)?;
    let run = Run { progress: Progress::Queued, records, loaded: Loaded::default() };
    let id = runs.open(run);
    let job = Job { id, records };
    if site.faults.get(Route::Etl).leak {
        let desk = etl.desk.clone();
        drop(site.tasks.background("etl.run", async move { desk.run_leaking(job).await }));
    } else if let Err(refused) = etl.pool.try_submit(job) {
        runs.withdraw(id);
        return Err(Problem::new(Reason::Full, format!("runs: {refused}")));
    }
    Ok(Accepted { collection: "/etl/runs", id })
}

fn order(body: &[u8]) -> Result<Order, Problem> {
    if body.is_empty() {
        return Ok(Order::default());
    }
    let invalid = |detail| Problem::new(Reason::Invalid, detail);
    let order: Order = serde_json::from_slice(body)
        .map_err(|error| invalid(format!(r#"{error}; write an order like {{"records": 200}}"#)))?;
    if order.records > RECORDS_MAX {
        let detail =
            format!("records: {} is above {RECORDS_MAX}; start several runs", order.records);
        return Err(invalid(detail));
    }
    Ok(order)
}

async fn status(State(etl): State<Etl>, Path(id): Path<u64>) -> Result<Json<Run>, Problem> {
    etl.desk.runs.get(id).map(Json).ok_or_else(|| {
        Problem::new(Reason::NotFound, format!("there is no run {id}, or no longer"))
    })
}

impl Desk {
    async fn run(&self, Job { id, records }: Job) {
        self.runs.update(id, |run| run.progress = Progress::Running);
        let deadline = Deadline::after(RUN_PATIENCE, Instant::now());
        let pipeline = Pipeline { site: self.site.clone(), records, cleaners_leave: false };
        let loaded = deadline.within(pipeline.run(|loaded| self.tell(id, loaded))).await;
        let progress = match loaded {
            Ok(()) => Progress::Done,
            Err(problem) => Progress::Failed(problem.detail),
        };
        self.runs.finish(id, |run| run.progress = progress);
    }

    /// The leak: no deadline, and cleaners that leave while the others count on them.
    async fn run_leaking(&self, Job { id, records }: Job) {
        self.runs.update(id, |run| run.progress = Progress::Running);
        let pipeline = Pipeline { site: self.site.clone(), records, cleaners_leave: true };
        pipeline.run(|loaded| self.tell(id, loaded)).await;
    }

    fn tell(&self, id: u64, loaded: Loaded) {
        self.runs.update(id, |run| run.loaded = loaded);
    }
}

const SIZE: Size = Size { workers: NonZeroUsize::new(4).expect("not zero"), queue: 16 };
const RUNS_KEPT: usize = 1_000;
const RECORDS_MAX: usize = 10_000;
/// For the acceptance.
const PATIENCE: Duration = Duration::from_secs(1);
/// For a whole run, once a worker has it.
const RUN_PATIENCE: Duration = Duration::from_secs(30);

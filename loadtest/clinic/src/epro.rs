//! A patient's report: answered at once, worked on in the background.
//!
//! The patient waits only for the acceptance. Checking, storing and alerting happen in a bounded
//! pool, and the clinic drains that pool before it exits: what was answered with 202 is done.

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

/// The route, and the pool it must be closed with.
#[derive(Clone, Debug)]
pub(crate) struct Epro {
    desk: Desk,
    pool: Arc<Pool<Job, ()>>,
}

/// Where submissions are worked on.
#[derive(Clone, Debug)]
struct Desk {
    site: Site,
    submissions: Arc<Store<Submission>>,
}

struct Job {
    id: u64,
    report: Report,
}

/// What a patient reports.
#[derive(Debug, Deserialize)]
struct Report {
    patient: String,
    #[serde(default)]
    symptoms: Vec<String>,
    /// From 0, none, to 10, unbearable.
    #[serde(default)]
    severity: u8,
}

#[derive(Clone, Debug, Serialize)]
struct Submission {
    progress: Progress,
    alerts: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Progress {
    Accepted,
    Stored,
    Rejected(String),
    Failed(String),
}

impl Epro {
    pub(crate) fn new(site: Site) -> Self {
        let desk = Desk { site, submissions: Arc::new(Store::new(SUBMISSIONS_KEPT)) };
        let worker = desk.clone();
        let pool = Pool::new(SIZE, move |job| {
            let desk = worker.clone();
            let tasks = desk.site.tasks.clone();
            tasks.named("epro.submission", async move { desk.work(job).await })
        });
        Self { desk, pool: Arc::new(pool) }
    }

    pub(crate) fn routes(self) -> Router {
        Router::new()
            .route("/epro/submissions", post(submit))
            .route("/epro/submissions/{id}", get(status))
            .with_state(self)
    }

    /// Finishes what was accepted; returns how many submissions the deadline cut.
    pub(crate) async fn close(&self, deadline: Instant) -> usize {
        let unfinished = self.pool.drain(deadline).await;
        unfinished.queued.len() + unfinished.running
    }
}

async fn submit(
    State(epro): State<Epro>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Accepted, Problem> {
    let Desk { site, submissions } = &epro.desk;
    site.enter(Route::Epro, &headers, PATIENCE).await?;
    let report = serde_json::from_slice(&body).map_err(|error| {
        let like = r#"{"patient": "P-17", "symptoms": ["headache"], "severity": 3}"#;
        Problem::new(Reason::Invalid, format!("{error}; write a report like {like}"))
    })?;
    let id = submissions.open(Submission { progress: Progress::Accepted, alerts: 0 });
    let job = Job { id, report };
    if site.faults.get(Route::Epro).leak {
        drop(site.tasks.background("epro.leaked", hold(job)));
    } else if let Err(refused) = epro.pool.try_submit(job) {
        submissions.withdraw(id);
        return Err(Problem::new(Reason::Full, format!("submissions: {refused}")));
    }
    Ok(Accepted { collection: "/epro/submissions", id })
}

async fn status(
    State(epro): State<Epro>,
    Path(id): Path<u64>,
) -> Result<Json<Submission>, Problem> {
    epro.desk.submissions.get(id).map(Json).ok_or_else(|| {
        Problem::new(Reason::NotFound, format!("there is no submission {id}, or no longer"))
    })
}

/// The leak: waits for an event that nobody will send, with the work in its hands.
async fn hold(job: Job) {
    std::future::pending::<()>().await;
    drop(job);
}

impl Desk {
    async fn work(&self, Job { id, report }: Job) {
        self.site.faults.stall(Route::Epro).await;
        let (progress, alerts) = match self.take(&report).await {
            Ok(alerts) => (Progress::Stored, alerts),
            Err(Problem { reason: Reason::Invalid, detail }) => (Progress::Rejected(detail), 0),
            Err(problem) => (Progress::Failed(problem.detail), 0),
        };
        self.submissions.finish(id, |submission| *submission = Submission { progress, alerts });
    }

    /// Checks, stores, and alerts; returns how many alerts were raised.
    async fn take(&self, report: &Report) -> Result<usize, Problem> {
        let deadline = Deadline::after(WORK_PATIENCE, Instant::now());
        self.site.work("epro.check", Duration::from_millis(2), deadline).await?;
        if report.patient.is_empty() || report.severity > 10 {
            let detail = "a report needs a patient and a severity from 0 to 10";
            return Err(Problem::new(Reason::Invalid, detail));
        }
        self.site.work("epro.store", Duration::from_millis(8), deadline).await?;
        if report.severity < ALARMING {
            return Ok(0);
        }
        let alerts = report.symptoms.len().max(1);
        for _ in 0..alerts {
            self.site.work("epro.alert", Duration::from_millis(5), deadline).await?;
        }
        Ok(alerts)
    }
}

const SIZE: Size = Size { workers: NonZeroUsize::new(32).expect("not zero"), queue: 1_024 };
const SUBMISSIONS_KEPT: usize = 10_000;
/// For the acceptance.
const PATIENCE: Duration = Duration::from_secs(1);
/// For the work on one submission, once a worker has it.
const WORK_PATIENCE: Duration = Duration::from_secs(10);
const ALARMING: u8 = 7;

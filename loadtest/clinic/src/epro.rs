//! A patient's report: answered at once, worked on in the background.
//!
//! The patient waits only for the acceptance. Checking, storing and alerting happen in a bounded
//! pool, and the clinic drains that pool before it exits: what was answered with 202 is done.

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

pub(crate) type Submissions = Jobs<Report, Submission>;

/// What a patient reports.
#[derive(Debug, Deserialize)]
pub(crate) struct Report {
    patient: String,
    #[serde(default)]
    symptoms: Vec<String>,
    /// From 0, none, to 10, unbearable.
    #[serde(default)]
    severity: u8,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Submission {
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

pub(crate) fn submissions(site: Site) -> Arc<Submissions> {
    Jobs::new(site, SUBMISSIONS, |site, submission| {
        site.tasks.named("epro.submission", work(site.clone(), submission))
    })
}

pub(crate) fn routes(submissions: Arc<Submissions>) -> Router {
    submissions.routes(post(submit))
}

async fn submit(
    State(submissions): State<Arc<Submissions>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Accepted, Problem> {
    let site = &submissions.site;
    site.enter(Route::Epro, &headers, PATIENCE).await?;
    let like = r#"a report like {"patient": "P-17", "symptoms": ["headache"], "severity": 3}"#;
    let report = body::parse(&body, like)?;
    let record = Submission { progress: Progress::Accepted, alerts: 0 };
    let (accepted, submission) = submissions.open(report, record);
    if site.faults.get(Route::Epro).leak {
        drop(site.tasks.background("epro.leaked", hold(submission)));
    } else {
        submissions.submit(submission)?;
    }
    Ok(accepted)
}

/// The leak: waits for an event that nobody will send, with the work in its hands.
async fn hold(submission: Job<Report, Submission>) {
    std::future::pending::<()>().await;
    drop(submission);
}

async fn work(site: Site, job: Job<Report, Submission>) {
    site.faults.stall(Route::Epro).await;
    let (progress, alerts) = match take(&site, &job.input).await {
        Ok(alerts) => (Progress::Stored, alerts),
        Err(Problem { reason: Reason::Invalid, detail }) => (Progress::Rejected(detail), 0),
        Err(problem) => (Progress::Failed(problem.detail), 0),
    };
    job.finish(|submission| *submission = Submission { progress, alerts });
}

/// Checks, stores, and alerts; returns how many alerts were raised.
async fn take(site: &Site, report: &Report) -> Result<usize, Problem> {
    let deadline = Deadline::after(WORK_PATIENCE, Instant::now());
    site.work("epro.check", Duration::from_millis(2), deadline).await?;
    if report.patient.is_empty() || report.severity > 10 {
        let detail = "a report needs a patient and a severity from 0 to 10";
        return Err(Problem::new(Reason::Invalid, detail));
    }
    site.work("epro.store", Duration::from_millis(8), deadline).await?;
    if report.severity < ALARMING {
        return Ok(0);
    }
    let alerts = report.symptoms.len().max(1);
    for _ in 0..alerts {
        site.work("epro.alert", Duration::from_millis(5), deadline).await?;
    }
    Ok(alerts)
}

const SUBMISSIONS: Collection = Collection {
    path: "/epro/submissions",
    noun: "submission",
    size: Size { workers: NonZeroUsize::new(32).expect("not zero"), queue: 1_024 },
    kept: 10_000,
};
/// For the acceptance.
const PATIENCE: Duration = Duration::from_secs(1);
/// For the work on one submission, once a worker has it.
const WORK_PATIENCE: Duration = Duration::from_secs(10);
const ALARMING: u8 = 7;

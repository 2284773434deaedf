//! A study's report: one deadline, handed down to the data service.
//!
//! The queries run inside the request's own future. When the client leaves or the deadline passes,
//! that future is dropped and the query with it: there is nothing to clean up.

use std::{future::pending, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::HeaderMap,
    routing::get,
};
use serde_json::{Value, json};

use crate::{
    deadline::Deadline,
    problem::{Problem, Reason},
    route::Route,
    site::Site,
};

pub(crate) fn routes(site: Site) -> Router {
    Router::new().route("/studies/{id}/report", get(report)).with_state(site)
}

async fn report(
    State(site): State<Site>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    let deadline = site.enter(Route::Report, &headers, PATIENCE).await?;
    if site.faults.get(Route::Report).leak {
        return Err(leak(&site).await);
    }
    let patients = query(&site, "patients", deadline).await?;
    let events = query(&site, "adverse_events", deadline).await?;
    Ok(Json(json!({ "study": id, "patients": patients, "adverse_events": events })))
}

/// One question to the data service, by `deadline`; the answer is a count.
async fn query(site: &Site, of: &'static str, deadline: Deadline) -> Result<u64, Problem> {
    let answer = async {
        deadline.within(site.faults.stall(Route::Report)).await?;
        site.work(of, Duration::from_millis(12), deadline).await?;
        // Any stable figure will do; the name's length is one.
        Ok(100 * of.len() as u64)
    };
    site.tasks.named("report.query", answer).await
}

/// The leak: a query that heeds neither deadline nor client, to a service that never answers.
async fn leak(site: &Site) -> Problem {
    let stuck = site.tasks.background("report.leaked", pending::<()>());
    drop(stuck.await);
    Problem::new(Reason::Internal, "the clinic closed before the data service answered")
}

const PATIENCE: Duration = Duration::from_secs(2);

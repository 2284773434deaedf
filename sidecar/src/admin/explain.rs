//! `/explain`: why a request was refused, and what would have let it pass.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};

use super::{Admin, problem::Problem};
use crate::{
    observe::explain::{REMEMBERED, Refused},
    reason::{Class, Reason},
};

/// How many refusals a list may hold.
const LONGEST: usize = 1000;

/// The inputs that a policy compares the others with.
const THRESHOLDS: [&str; 5] = ["qps", "burst", "limit", "limit_bytes", "queue"];

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/explain", get(recent)).route("/explain/{id}", get(one))
}

/// A refusal as it is shown.
#[derive(Serialize)]
struct Explained {
    id: String,
    /// When, in seconds since 1970.
    at: f64,
    listener: String,
    /// Empty where no route was found yet.
    route: String,
    method: String,
    /// Without its query.
    path: String,
    status: u16,
    /// Where on its way the request was refused.
    stage: &'static str,
    /// Empty where no policy refused.
    policy: String,
    reason: &'static str,
    detail: String,
    /// What was seen at that instant.
    inputs: BTreeMap<&'static str, String>,
    /// What it was compared with.
    threshold: BTreeMap<&'static str, String>,
    would_pass: String,
    retry_after_seconds: Option<f64>,
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default = "Asked::few")]
    count: usize,
}

impl Asked {
    fn few() -> usize {
        20
    }
}

async fn recent(
    State(admin): State<Arc<Admin>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let count = asked.ok().map(|Query(asked)| asked.count);
    let count = count.filter(|count| (1..=LONGEST).contains(count)).ok_or_else(|| {
        let detail = format!("count is a number from 1 to {LONGEST}");
        Problem::new(StatusCode::BAD_REQUEST, detail)
    })?;
    let refused = admin.shared.explain.recent(count).into_iter();
    let shown = refused.map(|(id, refused)| Explained::new(id.to_string(), refused));
    Ok(Json(shown.collect::<Vec<_>>()).into_response())
}

async fn one(State(admin): State<Arc<Admin>>, Path(id): Path<String>) -> Result<Response, Problem> {
    let explain = &admin.shared.explain;
    let refused = explain.find(&id).ok_or_else(|| {
        let prefix = explain.prefix();
        let detail = format!(
            "no refusal is kept under this id; each worker keeps its last {REMEMBERED}, \
             and the ids of this process start with {prefix}-"
        );
        Problem::new(StatusCode::NOT_FOUND, detail)
    })?;
    Ok(Json(Explained::new(id, refused)).into_response())
}

impl Explained {
    fn new(id: String, refused: Refused) -> Self {
        let (threshold, inputs) =
            refused.inputs.into_iter().partition(|(name, _)| THRESHOLDS.contains(name));
        Self {
            id,
            at: refused.at,
            listener: refused.listener,
            route: refused.route,
            method: refused.method,
            path: refused.path,
            status: refused.status,
            stage: stage(refused.reason),
            policy: refused.policy,
            reason: refused.reason.word(),
            detail: refused.detail,
            inputs,
            threshold,
            would_pass: refused.would_pass,
            retry_after_seconds: refused.retry_after.map(|after| after.as_secs_f64()),
        }
    }
}

/// The step on a request's way that gives a reason.
fn stage(reason: Reason) -> &'static str {
    match reason {
        Reason::NoRoute => "identify",
        Reason::Deadline => "deadline",
        Reason::RateLimited => "rate",
        Reason::BreakerOpen => "breaker",
        Reason::Overloaded | Reason::StreamLimit => "admit",
        Reason::NoEndpoint | Reason::Internal => "try",
        _ if reason.class() == Class::Rejected => "parse",
        _ => "try",
    }
}

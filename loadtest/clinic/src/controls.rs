//! The routes that look at a service and steer it; they are not counted as in flight.

use axum::{Json, Router, body::Bytes, extract::State, routing::get};
use serde_json::{Value, json};

use crate::{faults::Faults, in_flight::InFlight, problem::Problem, site::Site};

/// `/faults`, `/in-flight` and `/healthz`.
pub(crate) fn routes(site: &Site, in_flight: InFlight) -> Router {
    let tasks = site.tasks.clone();
    let busy = async move || -> Json<Value> {
        Json(json!({ "requests": in_flight.now(), "tasks": tasks.alive() }))
    };
    Router::new()
        .route("/faults", get(show).post(change).delete(clear))
        .with_state(site.faults.clone())
        .route("/in-flight", get(busy))
        .route("/healthz", get(async || "ok\n"))
}

async fn show(State(faults): State<Faults>) -> Json<Value> {
    Json(faults.shown())
}

async fn change(State(faults): State<Faults>, body: Bytes) -> Result<Json<Value>, Problem> {
    faults.apply(&body)?;
    Ok(Json(faults.shown()))
}

async fn clear(State(faults): State<Faults>) -> Json<Value> {
    faults.clear();
    Json(faults.shown())
}

//! `/live` and `/ready`: what an orchestrator asks.
//!
//! They differ in what a "no" does. A process that is not live is restarted, so `/live` says yes while
//! there is anything to answer; one that is not ready is only passed over.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};

use super::Admin;

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/live", get(live)).route("/ready", get(ready))
}

async fn live() -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], "live\n")
}

async fn ready(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    let (status, text) = match admin.readiness.missing(&admin.shared) {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(missing) => (StatusCode::SERVICE_UNAVAILABLE, missing + "\n"),
    };
    (status, [(header::CACHE_CONTROL, "no-store")], text)
}

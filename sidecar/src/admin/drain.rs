//! `POST /drain`: no more requests, please.
//!
//! The first step of the end, on its own: readiness fails and answers say `Connection: close`, so that
//! whoever sends traffic goes elsewhere. Requests are still served, for as long as the process runs;
//! a signal ends it. Asking again changes nothing and tells how far it has come.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    response::IntoResponse,
    routing::post,
};
use serde::Serialize;

use super::{Admin, problem::Problem};

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/drain", post(drain))
}

/// What is still open.
#[derive(Serialize)]
struct Draining<'a> {
    draining: bool,
    listeners: Vec<Open<'a>>,
}

#[derive(Serialize)]
struct Open<'a> {
    name: &'a str,
    /// Requests that have not ended.
    in_flight: i64,
    /// Connections of clients.
    connections: u32,
}

/// The body says nothing, but is read, so that the connection can be used again.
async fn drain(
    State(admin): State<Arc<Admin>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<impl IntoResponse, Problem> {
    body.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    if !admin.shared.draining.is_cancelled() {
        tracing::info!("draining: asked for on the admin API");
    }
    admin.shared.draining.cancel();
    let totals = admin.shared.ledger.totals();
    let listeners = admin.shared.plan.listeners.iter().zip(totals.listeners);
    let open = listeners.map(|(listener, totals)| Open {
        name: &listener.name,
        in_flight: totals.in_flight,
        connections: listener.connections.load(Relaxed),
    });
    Ok(Json(Draining { draining: true, listeners: open.collect() }).into_response())
}

//! `POST /drain`: no more requests, please.
//!
//! The first step of the end, on its own: readiness fails and answers say `Connection: close`, so that
//! whoever sends traffic goes elsewhere. Requests are still served, for as long as the process runs;
//! a signal ends it. Asking again changes nothing and tells how far it has come.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    response::Response,
    routing::post,
};
use serde::Serialize;

use super::{Admin, json::json, problem::Problem};

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
    listener: &'a str,
    /// Requests that have not ended.
    requests_in_flight: i64,
    /// Connections of clients.
    connections_open: u32,
}

/// The body says nothing, but is read, so that the connection can be used again.
async fn drain(
    State(admin): State<Arc<Admin>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    body.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    if !admin.shared.draining.is_cancelled() {
        tracing::info!("draining: asked for on the admin API");
    }
    admin.shared.draining.cancel();
    let totals = admin.shared.ledger.totals();
    let plan = admin.shared.plan();
    let listeners = plan.listeners.iter().zip(totals.listeners);
    let open = listeners.map(|(listener, totals)| Open {
        listener: &listener.name,
        requests_in_flight: totals.in_flight,
        connections_open: listener.connections(),
    });
    json(&Draining { draining: true, listeners: open.collect() })
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use serde_json::json;

    use crate::admin::fixture::{Fixture, ask};

    #[tokio::test]
    async fn draining_tells_what_is_open_and_can_be_asked_again() {
        let fixture = Fixture::new();
        let shared = &fixture.admin.shared;
        shared.ledger.page(1).begin(0);
        shared.plan().listeners[0].doors.open.store(3, std::sync::atomic::Ordering::Relaxed);
        let open =
            json!([{ "listener": "ingress", "requests_in_flight": 1, "connections_open": 3 }]);
        for _ in 0..2 {
            let answer = ask(fixture.app(), Request::post("/drain")).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.json(), json!({ "draining": true, "listeners": open }));
            assert!(shared.draining.is_cancelled());
            assert!(!shared.closing.is_cancelled(), "it goes on serving");
        }
    }
}

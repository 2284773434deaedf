//! The drug-info service: what the clinic depends on.
//!
//! It reads the `drug-info` switches of a board that it may share with a clinic, so that one `POST
//! /faults` to either breaks it.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::HeaderMap,
    middleware::from_fn_with_state,
    routing::get,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    controls,
    faults::Faults,
    in_flight::{self, InFlight},
    problem::Problem,
    route::Route,
    server::{self, Ended},
    site::Site,
};

/// The dependency; clones are the same service.
#[derive(Clone, Debug)]
pub struct Dependency {
    router: Router,
}

impl Dependency {
    /// A service with service times from `seed`, that fails as `faults` says.
    pub fn new(seed: u64, faults: Faults) -> Self {
        let site = Site::new(faults, seed);
        let in_flight = InFlight::default();
        let router = Router::new()
            .route("/drug-info/{code}", get(drug_info))
            .with_state(site.clone())
            .layer(from_fn_with_state(in_flight.clone(), in_flight::count))
            .merge(controls::routes(&site, in_flight));
        Self { router }
    }

    /// Its routes: `GET /drug-info/{code}`, and `/faults`, `/in-flight` and `/healthz` as in the
    /// clinic.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Serves until `shutdown`, then at most `grace` longer.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
        grace: Duration,
    ) -> Ended {
        let stopped = server::serve(listener, self.router(), shutdown, grace).await;
        Ended { connections_cut: stopped.connections_cut, work_lost: 0 }
    }
}

async fn drug_info(
    State(site): State<Site>,
    Path(code): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    let deadline = site.enter(Route::DrugInfo, &headers, PATIENCE).await?;
    // A service that stalls heeds nobody's deadline; the caller's leaving ends it.
    site.faults.stall(Route::DrugInfo).await;
    site.work("drug-info", Duration::from_millis(8), deadline).await?;
    Ok(Json(json!({ "code": code, "interactions": ["alcohol"], "pregnancy": "ask a doctor" })))
}

const PATIENCE: Duration = Duration::from_secs(60);

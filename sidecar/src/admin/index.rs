//! `/`: what there is, for a person with curl.

use std::sync::Arc;

use axum::{Router, routing::get};

use super::Admin;

const INDEX: &str = "\
Weir: the admin API

GET  /live          200 while the process lives
GET  /ready         200 when requests should be sent here, 503 with the reason when not
GET  /metrics       every metric, as Prometheus text or OpenMetrics
GET  /config        the configuration that runs, every default written out
GET  /upstreams     each upstream with its endpoints and its breakers
GET  /explain       the last refusals, newest first; ?count= says how many, 1 to 1000
GET  /explain/{id}  why one request was refused, and what would have let it pass
POST /drain         fail readiness and ask clients to close; a signal ends the process
";

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/", get(INDEX))
}

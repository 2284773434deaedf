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

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use crate::{
        admin::fixture::{Fixture, YAML, ask},
        lifecycle::Readiness,
    };

    #[tokio::test]
    async fn readiness_says_what_is_missing_and_liveness_does_not_care() {
        let fixture = Fixture::new();
        let answer = fixture.get("/ready").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ready\n"));
        fixture.admin.shared.draining.cancel();
        let answer = fixture.get("/ready").await;
        assert_eq!((answer.status, answer.body.as_str()), (503, "draining\n"));
        assert_eq!(fixture.get("/live").await.status, 200);
        assert_eq!(Readiness::default().missing(&fixture.admin.shared), Some("starting".into()));
    }

    #[tokio::test]
    async fn a_name_that_was_never_resolved_is_named() {
        let fixture = Fixture::of(&YAML.replace("127.0.0.1:3000", "nowhere.invalid:80"));
        let answer = fixture.get("/ready").await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.body, "upstream clinic has never been resolved\n");
    }

    #[tokio::test]
    async fn the_health_address_serves_probes_and_metrics_alone() {
        let fixture = Fixture::new();
        for (path, status) in [
            ("/live", 200),
            ("/ready", 200),
            ("/metrics", 200),
            ("/", 404),
            ("/config", 404),
            ("/explain", 404),
        ] {
            let request = Request::get(path).header("host", "10.1.2.3:9902");
            assert_eq!(ask(fixture.health(), request).await.status, status, "{path}");
        }
        assert_eq!(ask(fixture.health(), Request::post("/drain")).await.status, 404);
        assert!(!fixture.admin.shared.draining.is_cancelled());
    }
}

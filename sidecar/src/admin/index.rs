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
GET  /explain       the last requests that did not go well, newest first; ?count= says how many, 1 to 1000
GET  /explain/{id}  why one of them did not, and what would have let it pass
GET  /reload        what came of the last reload of the configuration
POST /reload        read the configuration again: all of it, or nothing when it is wrong
POST /drain         fail readiness and ask clients to close; a signal ends the process
";

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/", get(INDEX))
}

#[cfg(test)]
mod tests {
    use axum::http::{Method, Request};

    use super::*;
    use crate::admin::fixture::{Fixture, ask};

    #[tokio::test]
    async fn every_endpoint_in_the_index_is_served() {
        let fixture = Fixture::new();
        assert_eq!(fixture.get("/").await.body, INDEX);
        for line in INDEX.lines().skip(2) {
            let mut words = line.split_whitespace();
            let method: Method = words.next().unwrap().parse().unwrap();
            let path = words.next().unwrap();
            let answer = ask(
                fixture.app(),
                Request::builder().method(method).uri(path.replace(['{', '}'], "")),
            )
            .await;
            // There is nothing under that id, and no file.
            let served = answer.status == 200
                || path == "/explain/{id}" && answer.status == 404
                || path == "/reload" && answer.status == 409;
            assert!(served, "{line}: {answer:?}");
        }
    }
}

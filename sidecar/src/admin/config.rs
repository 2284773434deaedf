//! `/config`: the configuration that runs, every default written out.

use std::sync::Arc;

use axum::{Router, extract::State, http::header, response::IntoResponse, routing::get};

use super::Admin;

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/config", get(show))
}

/// A secret is the `${VAR}` it was written as.
async fn show(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "application/yaml; charset=utf-8")],
        weir_config::show(&admin.shared.plan().config),
    )
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use crate::admin::fixture::{Fixture, YAML, ask};

    #[tokio::test]
    async fn a_secret_stays_a_variable() {
        let yaml = YAML.replace("9901 }", "9901, token: \"${TOKEN}\" }");
        let request = Request::get("/config").header("authorization", "Bearer s3cret-token");
        let answer = ask(Fixture::of(&yaml).app(), request).await;
        assert_eq!(answer.status, 200);
        assert!(answer.body.contains("token: ${TOKEN}"), "{}", answer.body);
        assert!(!answer.body.contains("s3cret"));
        assert!(answer.body.contains("request_header: 10s"), "defaults are written out");
    }
}

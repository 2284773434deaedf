//! `/config`: the configuration that runs, every default written out.

use std::sync::Arc;

use axum::{Router, extract::State, http::header, response::IntoResponse, routing::get};

use super::Admin;

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/config", get(show))
}

/// A secret is the `${VAR}` it was written as.
async fn show(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/yaml; charset=utf-8")], admin.config.clone())
}

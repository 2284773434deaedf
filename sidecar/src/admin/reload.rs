//! `/reload`: read the configuration again, and what came of the last time.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::StatusCode,
    response::Response,
    routing::get,
};

use super::{Admin, json::json, problem::Problem};
use crate::reload::{Outcome, Trigger};

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/reload", get(last).post(reload))
}

async fn last(State(admin): State<Arc<Admin>>) -> Result<Response, Problem> {
    json(&*admin.shared.reloads.last())
}

/// The body says nothing, but is read, so that the connection can be used again.
async fn reload(
    State(admin): State<Arc<Admin>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    body.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    let report = admin.shared.reloads.reload(Trigger::Admin).await.ok_or_else(|| {
        Problem::new(
            StatusCode::CONFLICT,
            "this process has no file to read its configuration from",
        )
    })?;
    let (status, detail) = match &report.outcome {
        Outcome::Applied { .. } | Outcome::Unchanged => return json(&*report),
        Outcome::Invalid { .. } => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "the configuration is wrong; what was there before goes on",
        ),
        Outcome::NeedsRestart { .. } => (
            StatusCode::CONFLICT,
            "the configuration takes a restart; what was there before goes on",
        ),
    };
    Err(Problem::new(status, detail).of_reload(report))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use crate::admin::fixture::{Fixture, ask, check_documented};

    #[tokio::test]
    async fn the_start_is_the_first_to_be_told_of() {
        let last = Fixture::new().get("/reload").await.json();
        check_documented(&last);
        assert_eq!((&last["result"], &last["trigger"]), (&"applied".into(), &"start".into()));
        assert_eq!(last["generation"], 1);
    }

    #[tokio::test]
    async fn without_a_file_there_is_nothing_to_read() {
        let answer = ask(Fixture::new().app(), Request::post("/reload")).await;
        assert_eq!(answer.status, 409);
        assert!(answer.json()["detail"].as_str().unwrap().contains("no file"), "{answer:?}");
    }

    #[tokio::test]
    async fn another_site_may_not_ask() {
        let request = Request::post("/reload").header("host", "localhost:9901");
        let answer = ask(Fixture::new().app(), request.header("origin", "http://evil.example"));
        assert_eq!(answer.await.status, 403);
    }
}

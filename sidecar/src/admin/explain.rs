//! `/explain`: why a request did not go well, and what would have let it pass.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::Response,
    routing::get,
};
use serde::{Deserialize, Serialize};

use super::{Admin, json::json, problem::Problem};
use crate::observe::explain::{Explanation, Id, KEPT};

/// How many explanations a list may hold.
const LONGEST: usize = 1000;

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/explain", get(recent)).route("/explain/{id}", get(one))
}

/// An explanation as it is shown.
#[derive(Serialize)]
struct Shown {
    id: String,
    #[serde(flatten)]
    explanation: Explanation,
}

impl Shown {
    fn new((id, explanation): (Id, Explanation)) -> Self {
        Self { id: id.to_string(), explanation }
    }
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default = "Asked::few")]
    count: usize,
}

impl Asked {
    fn few() -> usize {
        20
    }
}

async fn recent(
    State(admin): State<Arc<Admin>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let count = asked.ok().map(|Query(asked)| asked.count);
    let count = count.filter(|count| (1..=LONGEST).contains(count)).ok_or_else(|| {
        let detail = format!("count is a number from 1 to {LONGEST}");
        Problem::new(StatusCode::BAD_REQUEST, detail)
    })?;
    let recent = admin.shared.explain.recent(count).into_iter();
    json(&recent.map(Shown::new).collect::<Vec<_>>())
}

async fn one(State(admin): State<Arc<Admin>>, Path(id): Path<String>) -> Result<Response, Problem> {
    let explain = &admin.shared.explain;
    let found = explain.find(&id).ok_or_else(|| {
        let prefix = explain.prefix();
        let detail = format!(
            "nothing is kept under this id; each worker keeps its last {KEPT}, \
             and the ids of this process start with {prefix}-"
        );
        Problem::new(StatusCode::NOT_FOUND, detail)
    })?;
    json(&Shown::new(found))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::{
        admin::fixture::{Fixture, check_documented},
        reason::{Reason, Stage},
    };

    fn refuse(fixture: &Fixture, worker: usize, at_seconds: f64) -> String {
        let shared = &fixture.admin.shared;
        let id = shared.explain.id(worker);
        let explanation = Explanation {
            at_seconds,
            listener: "ingress".into(),
            route: shared.plan().routes[0].name.clone(),
            method: "GET".into(),
            path: "/partner/trials".into(),
            status: Some(429),
            cut: false,
            stage: Stage::Rate,
            policy: "partner".into(),
            reason: Reason::RateLimited,
            detail: "no".into(),
            inputs: vec![("key", "header:x-api-key".into()), ("shared_bucket", false.into())],
            threshold: vec![("qps", 0.5.into()), ("burst", 1.into())],
            would_pass: "2 s later".into(),
            retry_after: Some(Duration::from_secs(2)),
        };
        shared.explain.keep(id, explanation);
        id.to_string()
    }

    #[tokio::test]
    async fn an_explanation_tells_what_was_seen_and_what_it_was_compared_with() {
        let fixture = Fixture::new();
        let id = refuse(&fixture, 1, 1.0);
        let shown = fixture.get(&format!("/explain/{id}")).await.json();
        let expected = json!({
            "id": id,
            "at_seconds": 1.0,
            "listener": "ingress",
            "route": fixture.admin.shared.plan().routes[0].name,
            "method": "GET",
            "path": "/partner/trials",
            "status": 429,
            "cut": false,
            "stage": "rate",
            "policy": "partner",
            "reason": "rate_limited",
            "detail": "no",
            "inputs": { "key": "header:x-api-key", "shared_bucket": false },
            "threshold": { "qps": 0.5, "burst": 1 },
            "would_pass": "2 s later",
            "retry_after_seconds": 2.0,
        });
        assert_eq!(shown, expected);
        check_documented(&shown);
    }

    #[tokio::test]
    async fn the_list_is_newest_first_and_as_long_as_asked() {
        let fixture = Fixture::new();
        let ids: Vec<_> = (0..25).map(|turn| refuse(&fixture, turn % 2, turn as f64)).collect();
        let listed = fixture.get("/explain?count=3").await.json();
        let listed: Vec<_> = listed.as_array().unwrap().iter().map(|one| &one["id"]).collect();
        assert_eq!(listed, [&ids[24], &ids[23], &ids[22]]);
        assert_eq!(fixture.get("/explain").await.json().as_array().unwrap().len(), 20);
        for count in ["0", "1001", "-1", "many"] {
            assert_eq!(fixture.get(&format!("/explain?count={count}")).await.status, 400);
        }
    }

    #[tokio::test]
    async fn an_unknown_id_is_told_what_ids_look_like() {
        let fixture = Fixture::new();
        let answer = fixture.get("/explain/zzzz-000001").await;
        assert_eq!(answer.status, 404);
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("4096"), "{detail}");
        assert!(detail.contains(&fixture.admin.shared.explain.prefix()), "{detail}");
    }
}

//! `/explain`: why a request was refused, and what would have let it pass.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::Response,
    routing::get,
};
use serde::{Deserialize, Serialize};
use weir_config::{Breaker, Ratio, Trip};

use super::{Admin, json::json, problem::Problem};
use crate::{
    observe::explain::{REMEMBERED, Refused},
    plan::Plan,
    reason::Reason,
};

/// How many refusals a list may hold.
const LONGEST: usize = 1000;

/// The inputs that a policy compares the others with.
const THRESHOLDS: [&str; 6] = ["qps", "burst", "limit", "limit_bytes", "queue", "timeout_seconds"];

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/explain", get(recent)).route("/explain/{id}", get(one))
}

/// A refusal as it is shown.
#[derive(Serialize)]
struct Explained {
    id: String,
    /// When, in seconds since 1970.
    at: f64,
    listener: String,
    /// Empty where no route was found yet.
    route: String,
    method: String,
    /// Without its query.
    path: String,
    status: u16,
    /// Where on its way the request was refused.
    stage: &'static str,
    /// Empty where no policy refused.
    policy: String,
    reason: &'static str,
    detail: String,
    /// What was seen at that instant.
    inputs: BTreeMap<&'static str, String>,
    /// What it was compared with.
    threshold: BTreeMap<&'static str, String>,
    would_pass: String,
    retry_after_seconds: Option<f64>,
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
    let plan = &admin.shared.plan;
    let refused = admin.shared.explain.recent(count).into_iter();
    let shown = refused.map(|(id, refused)| Explained::new(plan, id.to_string(), refused));
    json(&shown.collect::<Vec<_>>())
}

async fn one(State(admin): State<Arc<Admin>>, Path(id): Path<String>) -> Result<Response, Problem> {
    let explain = &admin.shared.explain;
    let refused = explain.find(&id).ok_or_else(|| {
        let prefix = explain.prefix();
        let detail = format!(
            "no refusal is kept under this id; each worker keeps its last {REMEMBERED}, \
             and the ids of this process start with {prefix}-"
        );
        Problem::new(StatusCode::NOT_FOUND, detail)
    })?;
    json(&Explained::new(&admin.shared.plan, id, refused))
}

impl Explained {
    fn new(plan: &Plan, id: String, refused: Refused) -> Self {
        let (mut threshold, inputs): (BTreeMap<_, _>, _) =
            refused.inputs.into_iter().partition(|(name, _)| THRESHOLDS.contains(name));
        if refused.reason == Reason::BreakerOpen {
            let route = plan.routes.iter().find(|route| route.name == refused.route);
            threshold.extend(route.into_iter().flat_map(|route| limits(&route.breaker.settings)));
        }
        Self {
            id,
            at: refused.at,
            listener: refused.listener,
            route: refused.route,
            method: refused.method,
            path: refused.path,
            status: refused.status,
            stage: refused.stage.word(),
            policy: refused.policy,
            reason: refused.reason.word(),
            detail: refused.detail,
            inputs,
            threshold,
            would_pass: refused.would_pass,
            retry_after_seconds: refused.retry_after.map(|after| after.as_secs_f64()),
        }
    }
}

/// What opens a breaker, by the names of the configuration.
fn limits(breaker: &Breaker) -> Vec<(&'static str, String)> {
    let written = match &breaker.trip {
        Trip::Adaptive(adaptive) => vec![("k", Some(adaptive.k.to_string()))],
        Trip::Open(trip) => vec![
            ("consecutive", trip.consecutive.map(|failures| failures.to_string())),
            ("error_ratio", trip.error_ratio.map(percent)),
            ("slow_ratio", trip.slow_ratio.map(percent)),
            ("min_requests", Some(trip.min_requests.to_string())),
        ],
    };
    written.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn percent(ratio: Ratio) -> String {
    // As many digits as a person wrote: 0.29 is 28.999999999999996 hundredths.
    format!("{}%", (ratio.get() * 1e6).round() / 1e4)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::admin::fixture::Fixture;

    fn refuse(fixture: &Fixture, worker: usize, at: f64, reason: Reason) -> String {
        let shared = &fixture.admin.shared;
        let (number, id) = shared.explain.id(worker);
        let refused = Refused {
            at,
            listener: "ingress".into(),
            route: shared.plan.routes[0].name.clone(),
            policy: "partner".into(),
            reason,
            stage: reason.usual_stage(),
            status: reason.status().as_u16(),
            method: "GET".into(),
            path: "/partner/trials".into(),
            detail: "no".into(),
            inputs: vec![("qps", "0.5".into()), ("wait_seconds", "2".into())],
            would_pass: "2 s later".into(),
            retry_after: Some(Duration::from_secs(2)),
        };
        shared.explain.keep(number, refused);
        id.to_string()
    }

    #[tokio::test]
    async fn a_refusal_tells_what_was_seen_and_what_it_was_compared_with() {
        let fixture = Fixture::new();
        let id = refuse(&fixture, 1, 1.0, Reason::RateLimited);
        let shown = fixture.get(&format!("/explain/{id}")).await.json();
        assert_eq!(shown["id"], id);
        assert_eq!(shown["stage"], "rate");
        assert_eq!(shown["reason"], "rate_limited");
        assert_eq!(shown["inputs"], serde_json::json!({ "wait_seconds": "2" }));
        assert_eq!(shown["threshold"], serde_json::json!({ "qps": "0.5" }));
        assert_eq!(shown["would_pass"], "2 s later");
        assert_eq!(shown["retry_after_seconds"], 2.0);

        let id = refuse(&fixture, 0, 2.0, Reason::BreakerOpen);
        let shown = fixture.get(&format!("/explain/{id}")).await.json();
        assert_eq!(shown["stage"], "breaker");
        assert_eq!(shown["threshold"]["error_ratio"], "29%");
    }

    #[tokio::test]
    async fn the_list_is_newest_first_and_as_long_as_asked() {
        let fixture = Fixture::new();
        let ids: Vec<_> = (0..25)
            .map(|turn| refuse(&fixture, turn % 2, turn as f64, Reason::Overloaded))
            .collect();
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
        assert!(detail.contains(fixture.admin.shared.explain.prefix()), "{detail}");
    }
}

//! Each route with its faults off.

use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use serde_json::json;
use tokio::time::Instant;

use crate::harness::{Visited, request};

#[tokio::test(start_paused = true)]
async fn a_submission_is_answered_at_once_and_worked_on_later() {
    let visited = Visited::new();
    let before = Instant::now();
    let report = r#"{"patient": "P-17", "symptoms": ["fever", "rash"], "severity": 8}"#;
    let accepted = visited.post("/epro/submissions", report).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED);
    assert_eq!(before.elapsed(), Duration::ZERO, "the patient does not wait for the work");
    let path = accepted.headers["location"].to_str().expect("a path");
    assert_eq!(visited.get(path).await.json["progress"], "accepted");
    assert_eq!(visited.settled(path).await, json!({ "progress": "stored", "alerts": 2 }));
}

#[tokio::test(start_paused = true)]
async fn a_submission_that_makes_no_sense_is_rejected_in_the_background() {
    let visited = Visited::new();
    let report = r#"{"patient": "P-17", "severity": 11}"#;
    assert_eq!(visited.post("/epro/submissions", report).await.status, StatusCode::ACCEPTED);
    let status = visited.settled("/epro/submissions/1").await;
    assert!(status["progress"]["rejected"].as_str().is_some(), "{status}");
    assert_eq!(visited.post("/epro/submissions", "fever").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(visited.get("/epro/submissions/2").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn a_run_stores_every_record_redacted_and_ends_all_its_stages() {
    let visited = Visited::new();
    for (id, records) in [(1, 0), (2, 1), (3, 777), (4, 10_000)] {
        let order = json!({ "records": records }).to_string();
        assert_eq!(visited.post("/etl/runs", &order).await.status, StatusCode::ACCEPTED);
        let run = visited.settled(&format!("/etl/runs/{id}")).await;
        assert_eq!((&run["progress"], &run["stored"]), (&json!("done"), &json!(records)), "{run}");
        assert_eq!(run["redacted"], json!(records), "each record holds one telephone number");
    }
    for stage in ["etl.source", "etl.cleaner", "etl.store"] {
        assert_eq!(visited.alive(stage).await, 0, "{stage}");
    }
    let latest = visited.get("/etl/runs/4").await.json["latest"].to_string();
    assert!(latest.contains("[number]") && !latest.contains("0301234"), "{latest}");
    assert_eq!(
        visited.post("/etl/runs", r#"{"records": 10001}"#).await.status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test(start_paused = true)]
async fn runs_beyond_pool_and_queue_are_turned_away() {
    let visited = Visited::new();
    let mut statuses = Vec::new();
    for _ in 0..21 {
        statuses.push(visited.post("/etl/runs", "").await.status);
    }
    assert!(statuses[..20].iter().all(|status| *status == StatusCode::ACCEPTED));
    assert_eq!(statuses[20], StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(visited.settled("/etl/runs/20").await["progress"], "done");
    assert_eq!(visited.get("/etl/runs/21").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn a_report_keeps_the_callers_deadline_and_leaves_no_query_behind() {
    let visited = Visited::new();
    assert_eq!(visited.get("/studies/S-1/report").await.json["patients"], 800);
    let before = Instant::now();
    let hurried = Request::get("/studies/S-1/report").header("x-request-timeout-ms", "3");
    let answer = visited.call(hurried.body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(before.elapsed(), Duration::from_millis(3));
    assert_eq!((visited.alive("report.query").await, visited.requests().await), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn of_two_deadlines_the_nearer_counts() {
    let visited = Visited::new();
    for (ours, envoys) in [("4", "3600000"), ("3600000", "4")] {
        let before = Instant::now();
        let request = Request::get("/studies/S-1/report")
            .header("x-request-timeout-ms", ours)
            .header("x-envoy-expected-rq-timeout-ms", envoys);
        let answer = visited.call(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(before.elapsed(), Duration::from_millis(4));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_begun_for_a_caller_with_no_time_left() {
    let visited = Visited::new();
    for path in ["/epro/submissions", "/etl/runs", "/ocr/jobs"] {
        let late = Request::post(path).header("x-request-timeout-ms", "0");
        let answer = visited.call(late.body(Body::from("{}")).expect("a request")).await;
        assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT, "{path}");
        assert_eq!(visited.get(&format!("{path}/1")).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_is_no_number_is_refused() {
    let visited = Visited::new();
    for wrong in ["soon", "-1", "1.5", "86400001"] {
        let request = Request::get("/studies/S-1/report").header("x-request-timeout-ms", wrong);
        let answer = visited.call(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong}");
        assert!(answer.json["detail"].to_string().contains(wrong), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn updates_at_the_same_time_are_all_kept() {
    let visited = Visited::new();
    let config = update_at_once(&visited, 50).await;
    assert_eq!(config["version"], 50);
    assert_eq!(config["settings"].as_object().expect("settings").len(), 50);
    let removed = visited.patch("/studies/S-1/config", r#"{"setting-3": null}"#).await;
    assert_eq!(removed.json["settings"].get("setting-3"), None);
}

/// The configuration after so many clients have each set a setting of their own at once.
pub(crate) async fn update_at_once(visited: &Visited, clients: u64) -> serde_json::Value {
    let mut updates = tokio::task::JoinSet::new();
    for client in 0..clients {
        let router = visited.router.clone();
        let body = format!(r#"{{"setting-{client}": {client}}}"#);
        let request = request(Method::PATCH, "/studies/S-1/config", &body);
        updates.spawn(async move {
            let answer = tower::ServiceExt::oneshot(router, request).await;
            assert_eq!(answer.expect("infallible").status(), StatusCode::OK);
        });
    }
    updates.join_all().await;
    visited.get("/studies/S-1/config").await.json
}

#[tokio::test(start_paused = true)]
async fn only_updates_take_room_and_the_room_is_bounded() {
    let visited = Visited::new();
    for study in 0..1_000 {
        let config = visited.get(&format!("/studies/read-{study}/config")).await;
        assert_eq!(config.json, json!({ "version": 0, "settings": {} }));
    }
    let update = async |study| visited.patch(&format!("/studies/{study}/config"), "{}").await;
    for study in 0..1_000 {
        assert_eq!(update(study).await.status, StatusCode::OK, "{study}");
    }
    assert_eq!(update(1_000).await.status, StatusCode::SERVICE_UNAVAILABLE);
    let settings: serde_json::Map<_, _> =
        (0..1_001).map(|setting| (setting.to_string(), json!(setting))).collect();
    let settings = json!(settings).to_string();
    let answer = visited.patch("/studies/0/config", &settings).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn a_full_dictionary_still_takes_new_names() {
    let visited = Visited::new();
    let write = async |code| visited.put(&format!("/drugs/{code}"), r#"{"name": "x"}"#).await;
    for code in 8..10_000 {
        assert_eq!(write(code).await.status, StatusCode::OK, "{code}");
    }
    assert_eq!(write(10_000).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(write(9_999).await.json["revision"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_drug_is_read_and_written() {
    let visited = Visited::new();
    assert_eq!(visited.get("/drugs/N02BE01").await.json["name"], "paracetamol");
    assert_eq!(visited.get("/drugs/X01").await.status, StatusCode::NOT_FOUND);
    let entry = r#"{"name": "weirin"}"#;
    assert_eq!(visited.put("/drugs/X01", entry).await.json["revision"], 1);
    assert_eq!(visited.put("/drugs/X01", entry).await.json["revision"], 2);
    assert_eq!(visited.get("/drugs/X01").await.json["name"], "weirin");
    assert_eq!(visited.put("/drugs/X01", "weirin").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(start_paused = true)]
async fn a_health_report_has_all_three_parts() {
    let visited = Visited::new();
    let report = visited.get("/patients/P-1/health-report").await.json;
    for part in ["vitals", "medications", "diagnoses"] {
        assert_eq!(report[part]["entries"], 3, "{part}");
    }
    assert_eq!(report["complete"], true);
    assert_eq!(visited.alive("health-report.branch").await, 0);
}

#[tokio::test(start_paused = true)]
async fn four_pages_are_read_at_once_sixteen_wait_and_the_next_is_turned_away() {
    let visited = Visited::new();
    for _ in 0..20 {
        let accepted = visited.post("/ocr/jobs", "two words").await;
        assert_eq!(accepted.status, StatusCode::ACCEPTED);
    }
    let full = visited.post("/ocr/jobs", "one more").await;
    assert_eq!(
        (full.status, &full.json["reason"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("full"))
    );
    assert_eq!(full.headers["retry-after"], "1");
    tokio::task::yield_now().await;
    assert_eq!(visited.alive("ocr.page").await, 4);
    let page = visited.settled("/ocr/jobs/20").await;
    assert_eq!(page, json!({ "progress": "done", "words": 2, "characters": 9 }));
}

#[tokio::test(start_paused = true)]
async fn each_partner_has_a_key() {
    let visited = Visited::new();
    let with_key = |key| {
        let request = Request::get("/partner/trials").header("x-api-key", key);
        visited.call(request.body(Body::empty()).expect("a request"))
    };
    let answer = with_key("beta-key").await;
    assert_eq!(answer.json["partner"], "beta");
    assert_eq!(answer.json["trials"].as_array().expect("a list").len(), 3);
    assert_eq!(with_key("delta-key").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(visited.get("/partner/trials").await.status, StatusCode::UNAUTHORIZED);
}

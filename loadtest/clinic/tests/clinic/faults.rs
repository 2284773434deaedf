//! Each route with a fault on: it breaks as the table says, and heals when the switch is off.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    harness::{Visited, request},
    patterns::update_at_once,
};

const REPORT: &str = r#"{"patient": "P-17", "severity": 3}"#;

#[tokio::test(start_paused = true)]
async fn slow_is_added_to_every_request() {
    let visited = Visited::new();
    let before = Instant::now();
    visited.break_it(r#"{"epro": {"slow": 700}}"#).await;
    assert_eq!(visited.post("/epro/submissions", REPORT).await.status, StatusCode::ACCEPTED);
    assert_eq!(before.elapsed(), Duration::from_millis(700));
    visited.break_it(r#"{"epro": {"slow": 1001}}"#).await;
    let answer = visited.post("/epro/submissions", REPORT).await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT, "slower than the route's patience");
}

/// What can be asked of each route but `drug-info`, whose switches its dependency heeds.
const REQUESTS: [(&str, Method, &str, &str); 10] = [
    ("epro", Method::POST, "/epro/submissions", REPORT),
    ("etl", Method::POST, "/etl/runs", ""),
    ("report", Method::GET, "/studies/S-1/report", ""),
    ("study-config", Method::GET, "/studies/S-1/config", ""),
    ("study-config", Method::PATCH, "/studies/S-1/config", "{}"),
    ("drugs", Method::GET, "/drugs/N02BE01", ""),
    ("drugs", Method::PUT, "/drugs/N02BE01", r#"{"name": "x"}"#),
    ("health-report", Method::GET, "/patients/P-1/health-report", ""),
    ("ocr", Method::POST, "/ocr/jobs", "a page"),
    ("partner", Method::GET, "/partner/trials", ""),
];

#[tokio::test(start_paused = true)]
async fn every_route_can_be_slow_and_fail() {
    let visited = Visited::new();
    for (route, method, path, body) in REQUESTS {
        let switches = json!({ route: { "slow": 700, "error_ratio": 1 } });
        visited.break_it(&switches.to_string()).await;
        let before = Instant::now();
        let answer = visited.call(request(method, path, body)).await;
        let failed = (StatusCode::INTERNAL_SERVER_ERROR, &json!("injected"));
        assert_eq!((answer.status, &answer.json["reason"]), failed, "{route}");
        assert_eq!(before.elapsed(), Duration::from_millis(700), "{route}");
        visited.break_it(&json!({ route: { "slow": 0, "error_ratio": 0 } }).to_string()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn asking_for_accepted_work_is_spared_slowness_and_errors() {
    let visited = Visited::new();
    let posts = REQUESTS.into_iter().filter(|(_, method, ..)| method == Method::POST);
    for (route, method, path, body) in posts {
        visited.call(request(method, path, body)).await;
        let switches = json!({ route: { "slow": 700, "error_ratio": 1 } });
        visited.break_it(&switches.to_string()).await;
        let before = Instant::now();
        assert_eq!(visited.get(&format!("{path}/1")).await.status, StatusCode::OK, "{route}");
        assert_eq!(before.elapsed(), Duration::ZERO, "{route}");
    }
}

#[tokio::test(start_paused = true)]
async fn error_ratio_fails_its_share_the_same_in_every_run() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let visited = Visited::new();
        visited.break_it(r#"{"drugs": {"error_ratio": 0.25}}"#).await;
        let mut failed = Vec::new();
        for request in 0..400 {
            match visited.get("/drugs/N02BE01").await.status {
                StatusCode::OK => {}
                StatusCode::INTERNAL_SERVER_ERROR => failed.push(request),
                other => panic!("{other}"),
            }
        }
        assert!((70..130).contains(&failed.len()), "{} of 400", failed.len());
        runs.push(failed);
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test(start_paused = true)]
async fn epro_stall_leaves_submissions_accepted_and_then_fills_the_pool() {
    let visited = Visited::new();
    visited.break_it(r#"{"epro": {"stall": true}}"#).await;
    for _ in 0..32 + 1_024 {
        assert_eq!(visited.post("/epro/submissions", REPORT).await.status, StatusCode::ACCEPTED);
    }
    let full = visited.post("/epro/submissions", REPORT).await;
    assert_eq!(full.status, StatusCode::SERVICE_UNAVAILABLE);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(visited.get("/epro/submissions/1").await.json["progress"], "accepted");
    visited.break_it(r#"{"epro": {"stall": false}}"#).await;
    assert_eq!(visited.settled("/epro/submissions/1056").await["progress"], "stored");
}

#[tokio::test(start_paused = true)]
async fn etl_stall_fails_the_run_at_its_deadline_and_ends_its_stages() {
    let visited = Visited::new();
    visited.break_it(r#"{"etl": {"stall": true}}"#).await;
    visited.post("/etl/runs", "").await;
    sleep(Duration::from_secs(29)).await;
    let stages = ["etl.source", "etl.cleaner", "etl.store"];
    let mut alive = Vec::new();
    for stage in stages {
        alive.push(visited.alive(stage).await);
    }
    assert_eq!(alive, [2, 5, 1], "backpressure holds every stage, and no memory grows");
    let run = visited.settled("/etl/runs/1").await;
    assert!(run["progress"]["failed"].is_string(), "{run}");
    for stage in stages {
        assert_eq!(visited.alive(stage).await, 0, "{stage}");
    }
}

#[tokio::test(start_paused = true)]
async fn report_stall_is_cured_by_the_deadline() {
    let visited = Visited::new();
    visited.break_it(r#"{"report": {"stall": true}}"#).await;
    let before = Instant::now();
    let answer = visited.get("/studies/S-1/report").await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(before.elapsed(), Duration::from_secs(2));
    assert_eq!(visited.alive("report.query").await, 0);
}

#[tokio::test(start_paused = true)]
async fn study_config_leak_loses_updates() {
    let visited = Visited::new();
    visited.break_it(r#"{"study-config": {"leak": true}}"#).await;
    let broken = update_at_once(&visited, 50).await;
    let kept = broken["settings"].as_object().expect("settings").len();
    assert!(kept < 50, "all 50 were acknowledged and {kept} kept");
    assert!(broken["version"].as_u64().expect("a version") < 50);
}

#[tokio::test(start_paused = true)]
async fn study_config_stall_holds_the_lock() {
    let visited = Visited::new();
    let update = async || visited.patch("/studies/S-1/config", r#"{"arm": 2}"#).await.status;
    visited.break_it(r#"{"study-config": {"stall": true}}"#).await;
    assert_eq!(update().await, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(update().await, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(visited.alive("study-config.writer").await, 1);
    assert_eq!(visited.get("/studies/S-1/config").await.json["version"], 0);
    visited.break_it(r#"{"study-config": {"stall": false}}"#).await;
    assert_eq!(update().await, StatusCode::OK);
    assert_eq!(visited.alive("study-config.writer").await, 0);
}

#[tokio::test(start_paused = true)]
async fn drugs_stall_holds_the_lock_against_readers_and_writers() {
    let visited = Visited::new();
    visited.break_it(r#"{"drugs": {"stall": true}}"#).await;
    assert_eq!(visited.get("/drugs/N02BE01").await.status, StatusCode::GATEWAY_TIMEOUT);
    let written = visited.put("/drugs/N02BE01", r#"{"name": "x"}"#).await;
    assert_eq!(written.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(visited.alive("drugs.writer").await, 1);
    visited.break_it(r#"{"drugs": {"stall": false}}"#).await;
    let drug = visited.get("/drugs/N02BE01").await;
    assert_eq!((drug.status, &drug.json["revision"]), (StatusCode::OK, &json!(1)));
    assert_eq!(visited.alive("drugs.writer").await, 0);
}

#[tokio::test(start_paused = true)]
async fn health_report_leak_answers_before_the_branches_have_registered() {
    let visited = Visited::new();
    visited.break_it(r#"{"health-report": {"leak": true}}"#).await;
    let report = visited.get("/patients/P-1/health-report").await;
    assert_eq!((report.status, &report.json["complete"]), (StatusCode::OK, &json!(false)));
    assert_eq!(report.json["vitals"], json!(null));
    assert_eq!(visited.alive("health-report.orphan").await, 3, "they outlive their answer");
}

#[tokio::test(start_paused = true)]
async fn ocr_stall_fills_the_queue_and_goes_on_afterwards() {
    let visited = Visited::new();
    visited.break_it(r#"{"ocr": {"stall": true}}"#).await;
    for _ in 0..20 {
        assert_eq!(visited.post("/ocr/jobs", "a page").await.status, StatusCode::ACCEPTED);
    }
    sleep(Duration::from_secs(60)).await;
    let refused = visited.post("/ocr/jobs", "a page").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    visited.break_it(r#"{"ocr": {"stall": false}}"#).await;
    assert_eq!(visited.settled("/ocr/jobs/20").await["progress"], "done");
}

#[tokio::test(start_paused = true)]
async fn ocr_leak_spawns_without_bound() {
    let visited = Visited::new();
    visited.break_it(r#"{"ocr": {"leak": true}}"#).await;
    for _ in 0..500 {
        assert_eq!(visited.post("/ocr/jobs", "a page").await.status, StatusCode::ACCEPTED);
    }
    assert_eq!(visited.alive("ocr.unbounded").await, 500);
    assert_eq!(visited.settled("/ocr/jobs/500").await["progress"], "done");
}

#[tokio::test(start_paused = true)]
async fn partner_stall_holds_the_answer_back_until_the_deadline() {
    let visited = Visited::new();
    visited.break_it(r#"{"partner": {"stall": true}}"#).await;
    let mut asked = request(Method::GET, "/partner/trials", "");
    asked.headers_mut().insert("x-api-key", "alpha-key".parse().expect("a header value"));
    assert_eq!(visited.call(asked).await.status, StatusCode::GATEWAY_TIMEOUT);
}

//! The switchboard itself.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Visited, request};

fn all_off() -> Value {
    let off = json!({ "stall": false, "slow": 0, "error_ratio": 0.0 });
    let mut board = json!({});
    for route in
        ["epro", "etl", "report", "study-config", "drugs", "health-report", "ocr", "partner"]
    {
        board[route] = off.clone();
    }
    board["drug-info"] = off;
    for leaky in ["epro", "etl", "report", "study-config", "health-report", "ocr"] {
        board[leaky]["leak"] = false.into();
    }
    board
}

#[tokio::test]
async fn all_switches_are_off_at_the_start_and_change_one_by_one() {
    let visited = Visited::new();
    assert_eq!(visited.get("/faults").await.json, all_off());
    visited.break_it(r#"{"epro": {"leak": true}, "ocr": {"slow": 20}}"#).await;
    visited.break_it(r#"{"ocr": {"error_ratio": 0.5}}"#).await;
    let mut expected = all_off();
    expected["epro"]["leak"] = true.into();
    expected["ocr"]["slow"] = 20.into();
    expected["ocr"]["error_ratio"] = 0.5.into();
    assert_eq!(visited.get("/faults").await.json, expected);
    let shown = visited.get("/faults").await.json.to_string();
    visited.break_it(&shown).await;
    assert_eq!(visited.get("/faults").await.json, expected, "what is shown can be sent back");
    visited.call(request(Method::DELETE, "/faults", "")).await;
    assert_eq!(visited.get("/faults").await.json, all_off());
}

#[tokio::test]
async fn a_wrong_switch_is_refused_with_its_fix_and_changes_nothing() {
    let visited = Visited::new();
    for (body, says) in [
        (r#"{"eprom": {}}"#, "there is no route `eprom`; the routes are epro, etl, report, "),
        (r#"{"epro": {"laek": true}}"#, "`epro` has no switch `laek`; it has leak, stall, slow, "),
        (r#"{"drugs": {"leak": true}}"#, "`drugs` has no switch `leak`; it has stall, slow, "),
        (r#"{"epro": {"leak": 1}}"#, "`epro.leak`: 1 is not true or false"),
        (r#"{"epro": {"slow": "1s"}}"#, "`epro.slow`: \"1s\" is not whole milliseconds from 0 "),
        (
            r#"{"epro": {"error_ratio": 1.5}}"#,
            "`epro.error_ratio`: 1.5 is not a number from 0 to 1",
        ),
        (r#"{"epro": true}"#, "`epro`: true is not an object of switches, like {\"stall\": true}"),
        ("epro", "write an object of routes, like {\"epro\": {\"leak\": true}}"),
        (r#"{"ocr": {"stall": true, "slow": -1}, "x": 1}"#, "-1 is not whole milliseconds"),
        (r#"{"ocr": {"stall": true, "slow": -1}, "x": 1}"#, "there is no route `x`"),
    ] {
        let answer = visited.post("/faults", body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        let detail = answer.json["detail"].as_str().expect("a detail");
        assert!(detail.contains(says), "{body}\n says {detail}\n not {says}");
    }
    assert_eq!(visited.get("/faults").await.json, all_off());
}

#[tokio::test]
async fn looking_and_steering_are_not_counted() {
    let visited = Visited::new();
    assert_eq!(visited.requests().await, 0);
    assert_eq!(visited.get("/healthz").await.status, StatusCode::OK);
    assert_eq!(visited.get("/no-such-route").await.status, StatusCode::NOT_FOUND);
}

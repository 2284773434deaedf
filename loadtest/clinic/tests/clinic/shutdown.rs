//! What was answered with 202 is done before the clinic ends, unless a fault is on.

use std::time::Duration;

use http::{Method, StatusCode};
use tokio::{net::TcpListener, time::Instant};
use weir_clinic::Ended;

use crate::{
    harness::{Visited, call, request},
    served::in_flight,
};

const GRACE: Duration = Duration::from_secs(10);

/// Ends the clinic now; returns what was cut and how long it took.
async fn end(visited: Visited) -> (Ended, Duration) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let before = Instant::now();
    let ended = visited.clinic.serve(listener, std::future::ready(()), GRACE).await;
    (ended, before.elapsed())
}

async fn post(visited: &Visited, times: usize, path: &str, body: &str) {
    for _ in 0..times {
        assert_eq!(visited.post(path, body).await.status, StatusCode::ACCEPTED);
    }
}

const REPORT: &str = r#"{"patient": "P-17"}"#;

#[tokio::test(start_paused = true)]
async fn accepted_work_is_done_when_the_clinic_has_ended() {
    for (times, path, body, done) in [
        (200, "/epro/submissions", REPORT, "stored"),
        (10, "/etl/runs", "", "done"),
        (20, "/ocr/jobs", "a page", "done"),
    ] {
        let visited = Visited::new();
        post(&visited, times, path, body).await;
        let router = visited.router.clone();
        let (ended, took) = end(visited).await;
        assert_eq!(ended, Ended { connections_cut: 0, work_lost: 0 });
        assert!(took < GRACE, "{took:?}");
        for id in 1..=times {
            let status = call(&router, request(Method::GET, &format!("{path}/{id}"), "")).await;
            assert_eq!(status.json["progress"], done, "{path}/{id}");
        }
        let tasks = in_flight(&router).await["tasks"].clone();
        assert!(tasks.as_object().expect("groups").values().all(|alive| *alive == 0), "{tasks}");
    }
}

#[tokio::test(start_paused = true)]
async fn leaked_work_is_lost_at_the_end_of_the_grace() {
    let visited = Visited::new();
    visited.break_it(r#"{"epro": {"leak": true}}"#).await;
    post(&visited, 5, "/epro/submissions", REPORT).await;
    assert_eq!(visited.alive("epro.leaked").await, 5);
    let router = visited.router.clone();
    let (ended, took) = end(visited).await;
    assert_eq!((ended.work_lost, took), (5, GRACE));
    assert_eq!(in_flight(&router).await["tasks"]["epro.leaked"], 0);
}

#[tokio::test(start_paused = true)]
async fn stalled_work_is_lost_at_the_end_of_the_grace() {
    let visited = Visited::new();
    visited.break_it(r#"{"ocr": {"stall": true}}"#).await;
    post(&visited, 7, "/ocr/jobs", "a page").await;
    let (ended, took) = end(visited).await;
    assert_eq!((ended.work_lost, took), (7, GRACE));
}

#[tokio::test(start_paused = true)]
async fn dropping_a_clinic_cuts_its_leaks() {
    let visited = Visited::new();
    visited.break_it(r#"{"epro": {"leak": true}}"#).await;
    post(&visited, 5, "/epro/submissions", REPORT).await;
    let Visited { clinic, router } = visited;
    drop(clinic);
    tokio::task::yield_now().await;
    assert_eq!(in_flight(&router).await["tasks"]["epro.leaked"], 0);
}

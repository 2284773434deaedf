//! A leak grows with every request and stays; without the switch the count returns to zero.

use std::time::Duration;

use http::StatusCode;
use tokio::{task::yield_now, time::sleep};

use crate::harness::Visited;

const ROUNDS: u64 = 25;

/// Lets everything that ends by itself end.
async fn rest() {
    sleep(Duration::from_secs(120)).await;
}

/// Tasks alive in the group after each round of one POST and a long rest.
async fn levels(visited: &Visited, path: &str, body: &str, group: &str) -> Vec<u64> {
    let mut levels = Vec::new();
    for _ in 0..ROUNDS {
        assert_eq!(visited.post(path, body).await.status, StatusCode::ACCEPTED);
        rest().await;
        levels.push(visited.alive(group).await);
    }
    levels
}

fn rising(by: u64) -> Vec<u64> {
    (1..=ROUNDS).map(|round| round * by).collect()
}

const FLAT: [u64; ROUNDS as usize] = [0; ROUNDS as usize];

#[tokio::test(start_paused = true)]
async fn epro_leaks_one_task_a_submission_and_its_work_is_never_done() {
    let visited = Visited::new();
    let (path, body) = ("/epro/submissions", r#"{"patient": "P-17"}"#);
    assert_eq!(levels(&visited, path, body, "epro.submission").await, FLAT);
    visited.break_it(r#"{"epro": {"leak": true}}"#).await;
    assert_eq!(levels(&visited, path, body, "epro.leaked").await, rising(1));
    let leaked = format!("/epro/submissions/{}", ROUNDS + 1);
    assert_eq!(visited.get(&leaked).await.json["progress"], "accepted");
    visited.break_it(r#"{"epro": {"leak": false}}"#).await;
    assert_eq!(levels(&visited, path, body, "epro.leaked").await, [ROUNDS; ROUNDS as usize]);
}

#[tokio::test(start_paused = true)]
async fn etl_leaks_a_waiting_store_and_blocked_sources_a_run() {
    let visited = Visited::new();
    assert_eq!(levels(&visited, "/etl/runs", "", "etl.store").await, FLAT);
    visited.break_it(r#"{"etl": {"leak": true}}"#).await;
    assert_eq!(levels(&visited, "/etl/runs", "", "etl.store").await, rising(1));
    assert_eq!(visited.alive("etl.cleaner").await, 0, "they have returned, that is the fault");
    assert_eq!(visited.alive("etl.source").await, 2 * ROUNDS, "blocked on the full channel");
    assert_eq!(visited.get(&format!("/etl/runs/{}", 2 * ROUNDS)).await.json["progress"], "running");
}

/// A client that asks and leaves without its answer, after everything else has come to rest.
async fn leave(visited: &Visited, path: &str) {
    let client = visited.visit(path);
    yield_now().await;
    assert_eq!(visited.requests().await, 1);
    client.abort();
    assert!(client.await.expect_err("it left").is_cancelled());
    assert_eq!(visited.requests().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_report_ends_with_its_client_unless_it_leaks() {
    let visited = Visited::new();
    for _ in 0..ROUNDS {
        leave(&visited, "/studies/S-1/report").await;
        assert_eq!(visited.alive("report.query").await, 0);
    }
    visited.break_it(r#"{"report": {"leak": true}}"#).await;
    for round in 1..=ROUNDS {
        leave(&visited, "/studies/S-1/report").await;
        rest().await;
        assert_eq!(visited.alive("report.leaked").await, round);
    }
}

#[tokio::test(start_paused = true)]
async fn a_health_report_ends_with_its_client_unless_a_branch_stalls() {
    let visited = Visited::new();
    for _ in 0..ROUNDS {
        leave(&visited, "/patients/P-1/health-report").await;
        yield_now().await;
        assert_eq!(visited.alive("health-report.branch").await, 0);
    }
    visited.break_it(r#"{"health-report": {"stall": true}}"#).await;
    for round in 1..=ROUNDS {
        leave(&visited, "/patients/P-1/health-report").await;
        rest().await;
        assert_eq!(visited.alive("health-report.wait").await, round);
        assert_eq!(visited.alive("health-report.branch").await, round);
    }
}

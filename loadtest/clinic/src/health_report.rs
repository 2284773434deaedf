//! A patient's health report: three fetches at once, the first error wins, all are awaited.
//!
//! The branches live in a `JoinSet` inside the request's future. One failure ends the others, and
//! the answer leaves only after the last branch has ended: no branch outlives its request.

use std::{future::pending, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::HeaderMap,
    routing::get,
};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use crate::{
    deadline::Deadline,
    problem::{Problem, Reason},
    route::Route,
    site::Site,
};

type Part = (&'static str, Value);

pub(crate) fn routes(site: Site) -> Router {
    Router::new().route("/patients/{id}/health-report", get(health_report)).with_state(site)
}

async fn health_report(
    State(site): State<Site>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    let deadline = site.enter(Route::HealthReport, &headers, PATIENCE).await?;
    let fault = site.faults.get(Route::HealthReport);
    let parts = if fault.leak {
        assemble_early(&site, deadline).await
    } else if fault.stall {
        return Err(wait_for_ever(&site, deadline).await);
    } else {
        let mut branches = JoinSet::new();
        for part in PARTS {
            let branch = fetch(site.clone(), part, deadline);
            branches.spawn(site.tasks.named("health-report.branch", branch));
        }
        all_or_first_error(branches).await?
    };
    let report = |part| parts.get(part).cloned().unwrap_or(Value::Null);
    let [vitals, medications, diagnoses] = PARTS.map(report);
    Ok(Json(json!({
        "patient": id,
        "vitals": vitals,
        "medications": medications,
        "diagnoses": diagnoses,
        "complete": parts.len() == PARTS.len(),
    })))
}

/// Every part, or the first error once all other branches have ended.
async fn all_or_first_error(
    mut branches: JoinSet<Result<Part, Problem>>,
) -> Result<Map<String, Value>, Problem> {
    let mut parts = Map::new();
    while let Some(joined) = branches.join_next().await {
        let part = joined.unwrap_or_else(|panic| {
            Err(Problem::new(Reason::Internal, format!("a branch failed: {panic}")))
        });
        match part {
            Ok((name, value)) => parts.insert(name.to_owned(), value),
            Err(problem) => {
                branches.shutdown().await;
                return Err(problem);
            }
        };
    }
    Ok(parts)
}

async fn fetch(site: Site, part: &'static str, deadline: Deadline) -> Result<Part, Problem> {
    site.work(part, Duration::from_millis(10), deadline).await?;
    Ok((part, json!({ "entries": 3 })))
}

/// The first fault: branches register themselves when they first run, and the wait begins before
/// any has. It finds nobody to wait for, and the branches outlive the answer.
async fn assemble_early(site: &Site, deadline: Deadline) -> Map<String, Value> {
    let group = TaskTracker::new();
    let (send, mut fetched) = tokio::sync::mpsc::unbounded_channel();
    for part in PARTS {
        let (site_, group, send) = (site.clone(), group.clone(), send.clone());
        drop(site.tasks.background("health-report.orphan", async move {
            let _registered = group.token();
            if let Ok(part) = fetch(site_, part, deadline).await {
                // Nobody receives it: the answer has left.
                drop(send.send(part));
            }
        }));
    }
    group.close();
    group.wait().await;
    std::iter::from_fn(|| fetched.try_recv().ok())
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// The second fault: one branch never ends, and the wait for all heeds neither deadline nor client.
async fn wait_for_ever(site: &Site, deadline: Deadline) -> Problem {
    let mut branches = JoinSet::new();
    for part in &PARTS[1..] {
        let branch = fetch(site.clone(), part, deadline);
        branches.spawn(site.tasks.named("health-report.branch", branch));
    }
    branches.spawn(site.tasks.named("health-report.branch", pending()));
    let wait = site.tasks.background("health-report.wait", branches.join_all());
    drop(wait.await);
    Problem::new(Reason::Internal, "the clinic closed before all branches had ended")
}

const PARTS: [&str; 3] = ["vitals", "medications", "diagnoses"];
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::faults::Faults;

    #[tokio::test(start_paused = true)]
    async fn the_first_error_wins_and_the_other_branches_end_with_it() {
        let site = Site::new(Faults::default(), 1);
        let mut branches = JoinSet::new();
        for (ms, part) in [
            (1, Ok(("vitals", Value::Null))),
            (5, Err(Problem::new(Reason::NotFound, "first"))),
            (9, Err(Problem::new(Reason::NotFound, "second"))),
            (60_000, Ok(("diagnoses", Value::Null))),
        ] {
            let branch = async move {
                sleep(Duration::from_millis(ms)).await;
                part
            };
            branches.spawn(site.tasks.named("branch", branch));
        }
        let before = Instant::now();
        let problem = all_or_first_error(branches).await.expect_err("two branches fail");
        assert_eq!(problem.detail, "first");
        assert_eq!(before.elapsed(), Duration::from_millis(5));
        assert_eq!(site.tasks.alive()["branch"], 0);
    }
}

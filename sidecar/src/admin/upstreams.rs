//! `/upstreams`: where requests go, and what the breakers make of it.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use axum::{Router, extract::State, response::Response, routing::get};
use serde::Serialize;
use weir_config::{Mode, Protocol};
use weir_policy::{Breaker, State as BreakerState, Time};

use super::{Admin, json::json, problem::Problem};
use crate::{clock, observe::metrics::breaker, plan::Route, upstream::Upstream};

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/upstreams", get(list))
}

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    protocol: &'static str,
    tls: bool,
    /// Since the start.
    connections_opened: u64,
    /// Since the start.
    resolve_failures: u64,
    endpoints: Vec<ShownEndpoint>,
    breakers: Vec<ShownBreaker<'a>>,
}

#[derive(Serialize)]
struct ShownEndpoint {
    address: String,
    in_flight: u32,
}

#[derive(Serialize)]
struct ShownBreaker<'a> {
    route: &'a str,
    policy: &'a str,
    mode: &'static str,
    /// None where one breaker holds for all endpoints.
    endpoint: Option<String>,
    state: &'static str,
    /// The window's numbers.
    requests: u32,
    failures: u32,
    slow: u32,
    refused: u32,
    consecutive_failures: u32,
    /// The chance of a request to be refused.
    refused_share: f64,
    /// Until the first probe may pass; only while open.
    #[serde(skip_serializing_if = "Option::is_none")]
    probes_in_seconds: Option<f64>,
}

async fn list(State(admin): State<Arc<Admin>>) -> Result<Response, Problem> {
    let plan = &admin.shared.plan;
    let now = clock::now();
    let shown = plan.upstreams.iter().map(|upstream| {
        let of_this = |route: &&Arc<Route>| Arc::ptr_eq(&route.upstream, upstream);
        let breakers = plan.routes.iter().filter(of_this).flat_map(|route| breakers(route, now));
        show(upstream, breakers.collect())
    });
    json(&shown.collect::<Vec<_>>())
}

fn show<'a>(upstream: &'a Upstream, breakers: Vec<ShownBreaker<'a>>) -> Shown<'a> {
    let endpoints = upstream.endpoints();
    let endpoints = endpoints.iter().map(|endpoint| ShownEndpoint {
        address: endpoint.name.clone(),
        in_flight: endpoint.in_flight.load(Relaxed),
    });
    Shown {
        name: &upstream.name,
        protocol: match upstream.protocol {
            Protocol::H1 => "h1",
            Protocol::H2 => "h2",
        },
        tls: upstream.tls.is_some(),
        connections_opened: upstream.connections_opened.load(Relaxed),
        resolve_failures: upstream.resolve_failures.load(Relaxed),
        endpoints: endpoints.collect(),
        breakers,
    }
}

fn breakers(route: &Route, now: Time) -> Vec<ShownBreaker<'_>> {
    let all = route.breaker.all().into_iter();
    all.map(|(endpoint, breaker)| show_breaker(route, endpoint, &breaker, now)).collect()
}

fn show_breaker<'a>(
    route: &'a Route,
    endpoint: Option<String>,
    breaker: &Breaker,
    now: Time,
) -> ShownBreaker<'a> {
    let settings = &route.breaker.settings;
    let seen = breaker.snapshot(now);
    let (refused_share, until) = match seen.state {
        BreakerState::Closed => (0.0, None),
        BreakerState::Open { until } => (1.0, Some(until)),
        BreakerState::HalfOpen { .. } => (1.0, None),
        BreakerState::Throttling { refused_share } => (refused_share, None),
    };
    ShownBreaker {
        route: &route.name,
        policy: &settings.name,
        mode: if settings.mode == Mode::Shadow { "shadow" } else { "enforce" },
        endpoint,
        state: breaker::word(seen.state),
        requests: seen.total,
        failures: seen.failures,
        slow: seen.slow,
        refused: seen.refused,
        consecutive_failures: seen.consecutive,
        refused_share,
        probes_in_seconds: until.map(|until| seconds_between(now, until)),
    }
}

fn seconds_between(now: Time, until: Time) -> f64 {
    Duration::from_nanos(until.as_nanos().saturating_sub(now.as_nanos())).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use weir_policy::Outcome;

    use super::*;
    use crate::admin::fixture::Fixture;

    #[tokio::test]
    async fn an_open_breaker_shows_its_numbers() {
        let fixture = Fixture::new();
        let plan = &fixture.admin.shared.plan;
        let upstream = &plan.upstreams[0];
        let endpoint = &upstream.endpoints()[0];
        endpoint.in_flight.store(2, Relaxed);
        let breaker = plan.routes[0].breaker.of_endpoint(&plan.upstreams[0], endpoint).unwrap();
        let ticket = breaker.admit(clock::now(), 0).unwrap();
        breaker.on_outcome(ticket, Outcome::Failure, clock::now(), 0);

        let shown = fixture.get("/upstreams").await.json();
        assert_eq!(shown[0]["name"], "clinic");
        assert_eq!(shown[0]["endpoints"][0]["address"], "127.0.0.1:3000");
        assert_eq!(shown[0]["endpoints"][0]["in_flight"], 2);
        let breaker = &shown[0]["breakers"][0];
        assert_eq!(breaker["state"], "open");
        assert_eq!(breaker["endpoint"], "127.0.0.1:3000");
        assert_eq!(breaker["failures"], 1);
        assert_eq!(breaker["refused_share"], 1.0);
        assert!(breaker["probes_in_seconds"].as_f64().is_some_and(|seconds| seconds <= 60.0));
        assert_eq!(shown[0]["breakers"].as_array().unwrap().len(), 1, "one of two is disabled");
    }
}

//! `/upstreams`: where requests go, and what the breakers make of it.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use axum::{Router, extract::State, response::Response, routing::get};
use serde::{Serialize, Serializer};
use weir_config::{Mode, Protocol};
use weir_policy::{Breaker, Snapshot, State as BreakerState, Time};

use super::{Admin, json::json, problem::Problem};
use crate::{
    clock,
    observe::words::{BREAKER_NUMBERS, NONE},
    plan::Route,
    upstream::Upstream,
};

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/upstreams", get(list))
}

#[derive(Serialize)]
struct Shown<'a> {
    upstream: &'a str,
    protocol: Protocol,
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
    endpoint: String,
    in_flight: u32,
}

#[derive(Serialize)]
struct ShownBreaker<'a> {
    route: &'a str,
    policy: &'a str,
    mode: Mode,
    endpoint: String,
    state: &'static str,
    #[serde(flatten, serialize_with = "numbers")]
    seen: Snapshot,
    refused_share: f64,
    /// Until the first probe may pass; only while open.
    probes_in_seconds: Option<f64>,
}

fn numbers<S: Serializer>(seen: &Snapshot, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(BREAKER_NUMBERS.iter().map(|(name, _, value)| (name, value(seen))))
}

async fn list(State(admin): State<Arc<Admin>>) -> Result<Response, Problem> {
    let plan = admin.shared.plan();
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
        endpoint: endpoint.name.clone(),
        in_flight: endpoint.in_flight.load(Relaxed),
    });
    Shown {
        upstream: &upstream.name,
        protocol: upstream.protocol,
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
    let probes_in_seconds = match seen.state {
        BreakerState::Open { until } => Some(until.since(now).as_secs_f64()),
        _ => None,
    };
    ShownBreaker {
        route: &route.name,
        policy: &settings.name,
        mode: settings.mode,
        endpoint: endpoint.unwrap_or_else(|| NONE.to_owned()),
        state: seen.state.word(),
        seen,
        refused_share: seen.state.refused_share(),
        probes_in_seconds,
    }
}

#[cfg(test)]
mod tests {
    use weir_policy::Outcome;

    use super::*;
    use crate::admin::fixture::{Fixture, check_documented};

    #[tokio::test]
    async fn an_open_breaker_shows_its_numbers() {
        let fixture = Fixture::new();
        let plan = fixture.admin.shared.plan();
        let upstream = &plan.upstreams[0];
        let endpoint = &upstream.endpoints()[0];
        endpoint.in_flight.store(2, Relaxed);
        let breaker = plan.routes[0].breaker.of_endpoint(&plan.upstreams[0], endpoint).unwrap();
        let ticket = breaker.admit(clock::now(), 0).unwrap();
        breaker.on_outcome(ticket, Outcome::Failure, clock::now(), 0);

        let shown = fixture.get("/upstreams").await.json();
        check_documented(&shown);
        assert_eq!(shown[0]["upstream"], "clinic");
        assert_eq!(shown[0]["endpoints"][0]["endpoint"], "127.0.0.1:3000");
        assert_eq!(shown[0]["endpoints"][0]["in_flight"], 2);
        let breaker = &shown[0]["breakers"][0];
        assert_eq!(breaker["state"], "open");
        assert_eq!(breaker["endpoint"], "127.0.0.1:3000");
        assert_eq!(breaker["mode"], "enforce");
        assert_eq!((&breaker["requests"], &breaker["failures"]), (&1.into(), &1.into()));
        assert_eq!(breaker["refused_share"], 1.0);
        assert!(breaker["probes_in_seconds"].as_f64().is_some_and(|seconds| seconds <= 60.0));
        assert_eq!(shown[0]["breakers"].as_array().unwrap().len(), 1, "one of two is disabled");
    }
}

//! `/upstreams`: where requests go, what is known of each endpoint, and what limits and breakers make of it.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use axum::{Router, extract::State, response::Response, routing::get};
use serde::{Serialize, Serializer};
use weir_config::{Mode, Protocol};
use weir_policy::{Breaker, Cause, EndpointState, Snapshot, State as BreakerState, Time};

use super::{
    Admin,
    json::json,
    limits::{self, ShownLimit},
    problem::Problem,
};
use crate::{
    clock,
    observe::words::{BREAKER_NUMBERS, NONE},
    plan::{Concurrency, Route},
    upstream::{Endpoint, Upstream},
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
    /// No endpoint would be used, so all are.
    in_panic: bool,
    /// Requests that were sent to any endpoint because of that, since the start.
    panicked: u64,
    endpoints: Vec<ShownEndpoint>,
    limits: Vec<ShownLimit<'a>>,
    breakers: Vec<ShownBreaker<'a>>,
}

#[derive(Serialize)]
struct ShownEndpoint {
    endpoint: String,
    in_flight: u32,
    state: &'static str,
    since_seconds: f64,
    why: String,
    share: f64,
    consecutive_failures: u32,
    /// Of an upstream that never ejects there is none of what follows.
    ejections: ShownEjections,
    checks: Option<ShownChecks>,
    latency_seconds: Option<f64>,
}

#[derive(Serialize)]
struct ShownEjections {
    /// Since the start, by cause.
    #[serde(serialize_with = "by_cause")]
    by_cause: [u64; Cause::ALL.len()],
    /// How often in a row.
    times_in_a_row: u32,
    /// Only while it is ejected.
    returns_in_seconds: Option<f64>,
}

#[derive(Serialize)]
struct ShownChecks {
    /// Since the start.
    passed: u64,
    /// Since the start.
    failed: u64,
    /// Before the first there is none.
    last_seconds_ago: Option<f64>,
    last_error: String,
}

fn by_cause<S: Serializer>(
    counts: &[u64; Cause::ALL.len()],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(Cause::ALL.iter().map(|cause| cause.word()).zip(counts))
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
        let routes = || plan.routes.iter().filter(of_this);
        let breakers = routes().flat_map(|route| breakers(route, now));
        let before_it = |limit: &&Arc<Concurrency>| {
            limit.is_on() && routes().any(|route| Arc::ptr_eq(&route.concurrency, limit))
        };
        let limits = plan.limits.iter().filter(before_it).map(|limit| limits::show(limit));
        show(upstream, limits.collect(), breakers.collect(), now)
    });
    json(&shown.collect::<Vec<_>>())
}

fn show<'a>(
    upstream: &'a Upstream,
    limits: Vec<ShownLimit<'a>>,
    breakers: Vec<ShownBreaker<'a>>,
    now: Time,
) -> Shown<'a> {
    let endpoints = upstream.endpoints();
    let endpoints = endpoints.iter().map(|endpoint| show_endpoint(upstream, endpoint, now));
    Shown {
        upstream: &upstream.name,
        protocol: upstream.protocol,
        tls: upstream.tls.is_some(),
        connections_opened: upstream.connections_opened.load(Relaxed),
        resolve_failures: upstream.resolve_failures.load(Relaxed),
        in_panic: upstream.is_in_panic(now),
        panicked: upstream.panicked(),
        endpoints: endpoints.collect(),
        limits,
        breakers,
    }
}

fn show_endpoint(upstream: &Upstream, endpoint: &Endpoint, now: Time) -> ShownEndpoint {
    let view = upstream.view(endpoint, now);
    let last = endpoint.checked.last();
    let is_ejected = view.state == EndpointState::Ejected;
    let checks = upstream.health_check().map(|_| ShownChecks {
        passed: view.checks_passed,
        failed: view.checks_failed,
        last_seconds_ago: last.as_ref().map(|(at, _)| now.since(*at).as_secs_f64()),
        last_error: last.and_then(|(_, found)| found.err()).unwrap_or_else(|| NONE.to_owned()),
    });
    ShownEndpoint {
        endpoint: endpoint.name.clone(),
        in_flight: endpoint.standing.in_flight(),
        state: view.state.word(),
        since_seconds: now.since(view.since).as_secs_f64(),
        why: upstream.why(endpoint, &view).unwrap_or_else(|| NONE.to_owned()),
        share: view.share,
        consecutive_failures: view.consecutive_failures,
        ejections: ShownEjections {
            by_cause: view.ejections,
            times_in_a_row: view.last_ejection.map_or(0, |last| last.times),
            returns_in_seconds: view
                .until
                .filter(|_| is_ejected)
                .map(|until| until.since(now).as_secs_f64()),
        },
        checks,
        latency_seconds: view.latency.map(|latency| latency.as_secs_f64()),
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
        (0..2).for_each(|_| endpoint.standing.began());
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

    #[tokio::test]
    async fn an_endpoint_shows_what_becomes_of_its_requests_and_why() {
        let fixture = Fixture::of(
            "version: 1\nlisteners: [{ address: 127.0.0.1:8080, upstream: app }]\nupstreams:\n  app:\n    \
             endpoints: [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n    health_check: { tcp: true, unhealthy_after: 1 }\n    \
             outlier: { consecutive: 1, ejection_time: 1h, ejection_time_max: 1h }\n    balance: peak_ewma\n",
        );
        let plan = fixture.admin.shared.plan();
        let upstream = &plan.upstreams[0];
        let endpoints = upstream.endpoints();
        let now = clock::now();
        upstream.on_outcome(&endpoints[0], Outcome::Failure, now, now);
        let shown = fixture.get("/upstreams").await.json();
        check_documented(&shown);
        let ejected = &shown[0]["endpoints"][0];
        assert_eq!(ejected["state"], "ejected");
        assert_eq!(ejected["ejections"]["by_cause"]["consecutive"], 1);
        assert!(ejected["ejections"]["returns_in_seconds"].as_f64().unwrap() > 3_000.0);
        assert!(ejected["why"].as_str().unwrap().contains("in a row"), "{ejected}");
        assert_eq!(ejected["share"], 0.0);
        assert!(ejected["latency_seconds"].as_f64().unwrap() > 0.9, "{ejected}");
        assert_eq!(shown[0]["in_panic"], false);

        endpoints[1].standing.on_check(false, upstream.health_check().unwrap(), now);
        let shown = fixture.get("/upstreams").await.json();
        let unhealthy = &shown[0]["endpoints"][1];
        assert_eq!(unhealthy["state"], "unhealthy");
        assert_eq!(unhealthy["checks"]["failed"], 1);
        assert_eq!(shown[0]["in_panic"], true);
    }
}

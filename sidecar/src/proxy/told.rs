//! What `/explain` is told of a request that ended at the upstream, refused there or cut.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use weir_policy::EndpointState;

use crate::{
    clock,
    observe::words::NONE,
    plan::{Route, Withheld},
    proxy::{exchange::Exchange, faults, refuse::Refusal, stop::Stop},
    reason::{Reason, Stage},
    upstream::{Endpoint, Upstream},
};

/// Adds what was seen, and what a time that ran out is held against.
pub(super) fn how(exchange: &Exchange, route: &Route, endpoint: &Endpoint, stop: Stop) -> Stop {
    let told = |refusal: Refusal| {
        let reason = refusal.reason;
        let refusal = seen(exchange, route, endpoint, refusal);
        match overrun(exchange, route, reason) {
            Some((name, limit, would_pass)) => {
                refusal.threshold(name, limit.as_secs_f64()).would_pass(would_pass.to_owned())
            }
            None => refusal,
        }
    };
    match stop {
        Stop::Refused(refusal) => Stop::Refused(told(refusal)),
        Stop::Upstream(refusal) => Stop::Upstream(told(refusal)),
        Stop::Reset(refusal) => Stop::Reset(told(refusal)),
        Stop::Gone(reason) => Stop::Gone(reason),
    }
}

/// Where the upstream is, which is for `/explain` and not for its callers, and how long it has had.
pub(super) fn seen(
    exchange: &Exchange,
    route: &Route,
    endpoint: &Endpoint,
    refusal: Refusal,
) -> Refusal {
    let now = clock::now();
    let refusal = refusal
        .at(Stage::Try)
        .input("upstream", route.upstream.name.as_str())
        .input("endpoint", endpoint.name.as_str())
        .input("tried", names(&exchange.tried))
        .input("retry_withheld", exchange.withheld.map_or(NONE, Withheld::word))
        .input("elapsed_seconds", now.since(exchange.started).as_secs_f64())
        .input("at_upstream_seconds", now.since(exchange.forwarded_at).as_secs_f64());
    let refusal = endpoints(&route.upstream, refusal);
    let refusal = faults::told(exchange.injected, refusal);
    match exchange.header_at {
        Some(at) => {
            refusal.input("first_byte_seconds", at.since(exchange.forwarded_at).as_secs_f64())
        }
        None => refusal,
    }
}

/// Adds how many endpoints there were in each state.
pub(super) fn endpoints(upstream: &Upstream, refusal: Refusal) -> Refusal {
    let now = clock::now();
    let endpoints = upstream.endpoints();
    let mut states = serde_json::Map::new();
    for word in EndpointState::WORDS {
        let is_so = |one: &&Arc<Endpoint>| upstream.view(one, now).state.word() == word;
        let count = endpoints.iter().filter(is_so).count();
        if count > 0 {
            states.insert(word.to_owned(), count.into());
        }
    }
    refusal.input("endpoints", states).input("in_panic", upstream.is_in_panic(now))
}

/// There was nobody to ask.
pub(super) fn no_endpoint(upstream: &Upstream) -> Refusal {
    let detail = match upstream.endpoints().is_empty() {
        true => "has no address yet: its name was never resolved",
        false => "has no other endpoint that is used",
    };
    let refusal = Refusal::new(Reason::NoEndpoint, format!("upstream {} {detail}", upstream.name))
        .input("upstream", upstream.name.as_str())
        .input("resolve_failures", upstream.resolve_failures.load(Relaxed))
        .retry_after(upstream.dns_refresh);
    endpoints(upstream, refusal)
}

fn names(endpoints: &[Arc<Endpoint>]) -> Vec<&str> {
    endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect()
}

/// The time that ran out, by its name in the configuration, and what would have let the request pass.
fn overrun(
    exchange: &Exchange,
    route: &Route,
    reason: Reason,
) -> Option<(&'static str, Duration, &'static str)> {
    let timeout = &route.timeout;
    let (whole_name, whole) = exchange.whole_time();
    Some(match reason {
        Reason::UpstreamFirstByteTimeout => (
            "first_byte_seconds",
            timeout.first_byte,
            "a higher timeout.first_byte, or a faster upstream",
        ),
        Reason::UpstreamIdleTimeout => (
            "idle_seconds",
            timeout.idle,
            "a higher timeout.idle, or an upstream that does not pause",
        ),
        Reason::UpstreamTotalTimeout => {
            (whole_name, whole, "a higher timeout.total, or a faster upstream")
        }
        Reason::RequestTimeout => (
            "request_body_seconds",
            timeout.request_body,
            "a higher timeout.request_body, or a faster client",
        ),
        Reason::Deadline if exchange.deadline.callers => {
            (whole_name, whole, "a longer deadline of the caller, or a faster upstream")
        }
        Reason::Deadline if exchange.injected.is_some() => {
            (whole_name, whole, "a higher timeout.total, or a request without faults")
        }
        Reason::Deadline => (whole_name, whole, "a higher timeout.total, or a faster client"),
        _ => return None,
    })
}

//! Rate limits, concurrency limits and streams: where each stands against its limit.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use weir_policy::InFlight;

use super::family::{counters, gauges};
use crate::{
    clock,
    observe::words::NONE,
    plan::{Concurrency, Plan, Route, Waker},
    shared::Shared,
};

#[derive(Debug)]
pub(super) struct Policies(pub(super) Arc<Shared>);

impl Collector for Policies {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let plan = self.0.plan();
        rates(&mut encoder, &plan)?;
        concurrency(&mut encoder, &plan)?;
        streams(&mut encoder, &plan)
    }
}

fn rates(encoder: &mut DescriptorEncoder<'_>, plan: &Plan) -> fmt::Result {
    let now = clock::now();
    let of_each = || {
        plan.routes.iter().flat_map(|route| {
            let labels = |policy| [("route", route.name.as_str()), ("policy", policy)];
            route.rates.iter().map(move |rate| (labels(rate.settings.name.as_str()), rate))
        })
    };
    gauges(
        encoder,
        "weir_rate_limit_qps",
        "Requests a second that a rate limit lets pass for each of its keys.",
        of_each().map(|(labels, rate)| (labels, rate.settings.qps)),
    )?;
    gauges(
        encoder,
        "weir_rate_limit_burst",
        "Requests that a rate limit lets pass at once, from rest.",
        of_each().map(|(labels, rate)| (labels, rate.settings.burst.get())),
    )?;
    gauges(
        encoder,
        "weir_rate_limit_keys",
        "Callers that a rate limit remembers: those whose bucket is not full.",
        of_each().map(|(labels, rate)| (labels, rate.limiter.keys_in_use(now))),
    )?;
    counters(
        encoder,
        "weir_rate_limit_overflowed",
        "Requests whose caller found no bucket of its own and shared one.",
        of_each().map(|(labels, rate)| (labels, rate.limiter.overflowed())),
    )
}

fn concurrency(encoder: &mut DescriptorEncoder<'_>, plan: &Plan) -> fmt::Result {
    let limits = || plan.limits.iter().filter(|limit| limit.is_on());
    let mut family = |name: &str, help: &str, value: fn(&InFlight<Waker>) -> u32| {
        gauges(encoder, name, help, limits().map(|limit| (labels(limit), value(limit.in_flight()))))
    };
    family(
        "weir_concurrency_limit",
        "Requests that may be at the upstream at once.",
        InFlight::limit,
    )?;
    family("weir_concurrency_in_flight", "Requests that hold a permit.", InFlight::in_flight)?;
    family("weir_concurrency_queued", "Requests that wait for a permit.", InFlight::queued)?;
    family(
        "weir_concurrency_queue_length",
        "Requests that may wait for a permit at once.",
        InFlight::queue_length,
    )?;
    family("weir_concurrency_headroom", "Permits that are free.", |in_flight| {
        in_flight.limit().saturating_sub(in_flight.in_flight())
    })?;
    family(
        "weir_concurrency_overloaded",
        "Whether more arrive than can be served.",
        |in_flight| u32::from(in_flight.is_standing()),
    )?;
    let refusals = limits().flat_map(|limit| {
        limit.refusals().map(|(priority, refused)| {
            let [route, policy] = labels(limit);
            ([route, policy, ("priority", priority.word())], refused)
        })
    });
    counters(
        encoder,
        "weir_concurrency_refused",
        "Requests that got no permit, by their priority.",
        refusals,
    )
}

/// A limit that routes share is nobody's in particular.
fn labels(limit: &Concurrency) -> [(&str, &str); 2] {
    [("route", limit.route.as_deref().unwrap_or(NONE)), ("policy", &limit.settings.name)]
}

fn streams(encoder: &mut DescriptorEncoder<'_>, plan: &Plan) -> fmt::Result {
    let of_each = |value: fn(&Route) -> u32| {
        plan.routes.iter().map(move |route| ([("route", route.name.as_str())], value(route)))
    };
    gauges(
        encoder,
        "weir_streams_open",
        "Streams that are open: WebSockets, and requests of routes that stream.",
        of_each(|route| route.streams.load(Relaxed)),
    )?;
    gauges(
        encoder,
        "weir_streams_limit",
        "Streams that may be open at once.",
        of_each(|route| route.limits.streams.get()),
    )
}

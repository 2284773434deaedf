//! Upstreams: what their endpoints are working on, and what reaching them took.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::family::{counters, gauges};
use crate::{
    clock,
    plan::Plan,
    shared::Shared,
    upstream::{Endpoint, Upstream},
};

#[derive(Debug)]
pub(super) struct Upstreams(pub(super) Arc<Shared>);

impl Collector for Upstreams {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let plan = self.0.plan();
        let in_flight = plan.upstreams.iter().flat_map(|upstream| {
            let endpoints = upstream.endpoints();
            let sample = |endpoint: &Arc<Endpoint>| {
                let labels =
                    [("upstream", upstream.name.clone()), ("endpoint", endpoint.name.clone())];
                (labels, endpoint.standing.in_flight())
            };
            endpoints.iter().map(sample).collect::<Vec<_>>()
        });
        gauges(
            &mut encoder,
            "weir_upstream_in_flight",
            "Requests that an endpoint is working on.",
            in_flight,
        )?;
        counters(
            &mut encoder,
            "weir_upstream_connections_opened",
            "Connections opened to an upstream.",
            of_each(&plan, |upstream| upstream.connections_opened.load(Relaxed)),
        )?;
        counters(
            &mut encoder,
            "weir_upstream_resolve_failures",
            "Failed look-ups of an upstream's names.",
            of_each(&plan, |upstream| upstream.resolve_failures.load(Relaxed)),
        )?;
        let now = clock::now();
        gauges(
            &mut encoder,
            "weir_upstream_in_panic",
            "1 while no endpoint of an upstream would be used, so that all are.",
            plan.upstreams.iter().map(|upstream| {
                let label = [("upstream", upstream.name.as_str())];
                (label, u32::from(upstream.is_in_panic(now)))
            }),
        )?;
        counters(
            &mut encoder,
            "weir_upstream_panicked",
            "Requests sent to any endpoint because none would be used.",
            of_each(&plan, Upstream::panicked),
        )
    }
}

fn of_each(
    plan: &Plan,
    value: fn(&Upstream) -> u64,
) -> impl Iterator<Item = ([(&'static str, &str); 1], u64)> {
    plan.upstreams
        .iter()
        .map(move |upstream| ([("upstream", upstream.name.as_str())], value(upstream)))
}

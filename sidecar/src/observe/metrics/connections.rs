//! Connections of clients, by listener.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::family::{counters, gauges};
use crate::{
    plan::{Listener, Plan},
    shared::Shared,
};

#[derive(Debug)]
pub(super) struct Connections(pub(super) Arc<Shared>);

impl Collector for Connections {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let plan = self.0.plan();
        gauges(
            &mut encoder,
            "weir_connections_open",
            "Connections of clients that are open.",
            of_each(&plan, |listener| listener.connections()),
        )?;
        gauges(
            &mut encoder,
            "weir_connections_limit",
            "Connections of clients that may be open at once.",
            of_each(&plan, |listener| listener.limits.connections.get()),
        )?;
        counters(
            &mut encoder,
            "weir_connections_refused",
            "Connections closed on accept because the limit of them were open.",
            of_each(&plan, |listener| listener.doors.refused.load(Relaxed)),
        )
    }
}

fn of_each<V>(
    plan: &Plan,
    value: fn(&Listener) -> V,
) -> impl Iterator<Item = ([(&'static str, &str); 1], V)> {
    plan.listeners
        .iter()
        .map(move |listener| ([("listener", listener.name.as_str())], value(listener)))
}

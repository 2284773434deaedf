//! Connections of clients, by listener.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::family::{counters, gauges};
use crate::{plan::Listener, shared::Shared};

#[derive(Debug)]
pub(super) struct Connections(pub(super) Arc<Shared>);

impl Collector for Connections {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        gauges(
            &mut encoder,
            "weir_connections_open",
            "Connections of clients that are open.",
            self.of_each(|listener| listener.connections.load(Relaxed)),
        )?;
        gauges(
            &mut encoder,
            "weir_connections_limit",
            "Connections of clients that may be open at once.",
            self.of_each(|listener| listener.limits.connections.get()),
        )?;
        counters(
            &mut encoder,
            "weir_connections_refused",
            "Connections closed on accept because the limit of them were open.",
            self.of_each(|listener| listener.connections_refused.load(Relaxed)),
        )
    }
}

impl Connections {
    fn of_each<V>(
        &self,
        value: fn(&Listener) -> V,
    ) -> impl Iterator<Item = ([(&'static str, &str); 1], V)> {
        self.0
            .plan
            .listeners
            .iter()
            .map(move |listener| ([("listener", listener.name.as_str())], value(listener)))
    }
}

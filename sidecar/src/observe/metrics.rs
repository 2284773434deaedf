//! What a scrape sees.
//!
//! Nothing is counted here. Collectors read the ledger, the plan and the policies at the moment of a
//! scrape, so a metric cannot drift from what it speaks of, and a request pays for none. Label values
//! come from the configuration, from closed enums, and from the addresses that an upstream's names
//! resolve to: no caller can add a series.

mod breaker;
mod connections;
mod endpoints;
mod exposition;
mod family;
mod health;
mod policies;
mod process;
mod reload;
mod requests;
mod retries;
mod stores;
mod upstreams;

use std::{fmt, sync::Arc};

use prometheus_client::registry::Registry;

pub(crate) use self::exposition::Format;
use crate::{lifecycle::Readiness, shared::Shared};

/// Every metric of this process.
#[derive(Debug)]
pub(crate) struct Metrics(Registry);

impl Metrics {
    pub(crate) fn new(shared: &Arc<Shared>, readiness: &Arc<Readiness>) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(requests::Requests(Arc::clone(shared))));
        registry.register_collector(Box::new(policies::Policies(Arc::clone(shared))));
        registry.register_collector(Box::new(retries::TriesAgain(Arc::clone(shared))));
        registry.register_collector(Box::new(stores::Stores(Arc::clone(shared))));
        registry.register_collector(Box::new(breaker::Breakers(Arc::clone(shared))));
        registry.register_collector(Box::new(connections::Connections(Arc::clone(shared))));
        registry.register_collector(Box::new(upstreams::Upstreams(Arc::clone(shared))));
        registry.register_collector(Box::new(endpoints::Endpoints(Arc::clone(shared))));
        registry.register_collector(Box::new(reload::Reload(Arc::clone(shared))));
        let (shared, readiness) = (Arc::clone(shared), Arc::clone(readiness));
        registry.register_collector(Box::new(health::Health { shared, readiness }));
        registry.register_collector(Box::new(process::Process));
        Self(registry)
    }

    /// All of them, at this moment.
    ///
    /// # Errors
    /// Never: it writes into memory. The encoder's interface has the error.
    pub(crate) fn render(&self, format: Format) -> Result<String, fmt::Error> {
        exposition::render(&self.0, format)
    }
}

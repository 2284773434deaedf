//! Endpoints: the state of each as a set of states, its share, and what has been held against it.

use std::{fmt, sync::Arc};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use weir_policy::{Cause, EndpointState, View};

use super::family::{Labels, counters, gauges};
use crate::{clock, shared::Shared};

#[derive(Debug)]
pub(super) struct Endpoints(pub(super) Arc<Shared>);

/// One endpoint at the moment of a scrape.
struct Seen<'a> {
    upstream: &'a str,
    endpoint: String,
    /// Whether it is checked.
    checked: bool,
    view: View,
}

impl Collector for Endpoints {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (plan, now) = (self.0.plan(), clock::now());
        let mut seen = Vec::new();
        for upstream in &plan.upstreams {
            seen.extend(upstream.endpoints().iter().map(|endpoint| Seen {
                upstream: &upstream.name,
                endpoint: endpoint.name.clone(),
                checked: upstream.health_check().is_some(),
                view: upstream.view(endpoint, now),
            }));
        }
        states(&mut encoder, &seen)?;
        counts(&mut encoder, &seen)
    }
}

fn states(encoder: &mut DescriptorEncoder<'_>, seen: &[Seen<'_>]) -> fmt::Result {
    gauges(
        encoder,
        "weir_endpoint_state",
        "1 for the state that an endpoint is in, 0 for the others.",
        seen.iter().flat_map(|one| {
            EndpointState::WORDS.iter().map(|state| {
                let is = u32::from(*state == one.view.state.word());
                ((one.labels(), [("state", *state)]), is)
            })
        }),
    )?;
    gauges(
        encoder,
        "weir_endpoint_share",
        "How much of an equal share of the requests an endpoint gets, 0 to 1.",
        seen.iter().map(|one| (one.labels(), one.view.share)),
    )
}

fn counts(encoder: &mut DescriptorEncoder<'_>, seen: &[Seen<'_>]) -> fmt::Result {
    counters(
        encoder,
        "weir_endpoint_ejections",
        "How often an endpoint was ejected, or in shadow mode would have been.",
        seen.iter().flat_map(|one| {
            let causes = Cause::ALL.iter().map(|cause| cause.word()).zip(one.view.ejections);
            causes.map(|(cause, count)| ((one.labels(), [("cause", cause)]), count))
        }),
    )?;
    counters(
        encoder,
        "weir_endpoint_checks",
        "Health checks of an endpoint.",
        seen.iter().filter(|one| one.checked).flat_map(|one| {
            let results = [("passed", one.view.checks_passed), ("failed", one.view.checks_failed)];
            results.map(|(result, count)| ((one.labels(), [("result", result)]), count))
        }),
    )
}

impl Seen<'_> {
    fn labels(&self) -> Labels<'_, 2> {
        [("upstream", self.upstream), ("endpoint", &self.endpoint)]
    }
}
